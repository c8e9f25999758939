"""Hypothesis without a stopwatch: a busy machine is not a wrong kernel."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("kernels", deadline=None)
settings.load_profile("kernels")
