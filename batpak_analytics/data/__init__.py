"""A small real store, written by the Rust engine 0.9.0, to try things on without having one."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_store"]


def demo_store() -> Path:
    """The directory of the bundled store: four user events in one causal chain, one open, one close.

    It is ordinary package data. Reading never writes to a store, so it can be read where it is installed;
    copy it before handing it to anything that opens a store for writing.
    """
    return Path(__file__).resolve().parent / "quickstart"
