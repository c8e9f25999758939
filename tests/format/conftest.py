"""Hypothesis without a stopwatch: a busy machine is not a broken format."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("format", deadline=None)
settings.load_profile("format")
