"""The write side of the store engine: one directory, one owner, one order."""
