"""`txbox ...`: click commands of a few lines each that call the library."""
