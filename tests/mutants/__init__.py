"""Broken copies of txbox, each of which the tests must catch: `make mutants`."""
