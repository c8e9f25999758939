"""Compaction planned as data: what would stay, what would go, what that breaks, and the very bytes it would leave."""

from __future__ import annotations

from batpak_analytics.compaction import keep as keep
