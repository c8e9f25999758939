"""The ``batpak`` command: ``command`` parses, ``show`` prints, ``export`` writes, ``check`` verifies."""

from __future__ import annotations

from batpak_analytics.cli.command import main

__all__ = ["main"]
