"""Entities and scopes that 0.9.0 refuses (segments spec 2.11)."""

from __future__ import annotations

from functools import lru_cache

from batpak_analytics.format.layout import MAX_COORDINATE_PART


@lru_cache(maxsize=1 << 16)  # the same few names stand in every segment, and are looked at again by each refresh
def refused(value: str) -> str | None:
    """Why 0.9.0 would not have written this entity or scope, or None where it would."""
    if not 0 < len(value.encode()) <= MAX_COORDINATE_PART:
        return f"is empty or longer than {MAX_COORDINATE_PART} bytes"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        return "holds a control character"
    if any(part in value for part in ("/", "..", "|", "=")):
        return "holds a character that coordinates may not have"
    return None
