"""The documents, and the code that makes those which are made."""
