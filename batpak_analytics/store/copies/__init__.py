"""Copies of a store: a snapshot, which is whole in itself, and a fork, which shares what never changes."""
