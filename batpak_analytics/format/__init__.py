"""Bytes to values and back: pure functions over buffers, no files."""
