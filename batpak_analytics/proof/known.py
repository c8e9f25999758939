"""Sealed segments that were checked before, so that they need not be read again while they are unchanged.

The record is a JSON file that the caller keeps, and must keep where nobody who may write the store may write it: a
segment is taken to be unchanged by device, inode, size, time of modification and the end of its footer, all of which
can be forged. It saves time against damage; against a forger verify without it, or against a checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from batpak_analytics.errors import AnchorError
from batpak_analytics.format.layout import FOOTER_CRC_SIZE, FOOTER_TRAILER_SIZE, FooterState
from batpak_analytics.proof.rules import LEVELS

FORMAT = "batpak-analytics/known@v1"
END_BYTES = FOOTER_CRC_SIZE + FOOTER_TRAILER_SIZE


@dataclass(frozen=True, slots=True)
class Known:
    """Fingerprint and level by name of the segment file."""

    segments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def covers(self, segment: Any, level: str) -> bool:
        """Whether this very file was found sound by a run of that level or a higher one."""
        entry = self.segments.get(segment.name)
        if entry is None or LEVELS.index(entry["level"]) < LEVELS.index(level):
            return False
        seen = fingerprint(segment)
        return seen is not None and all(entry.get(name) == value for name, value in seen.items())

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the record to a file; returns its path."""
        target = Path(path)
        target.write_text(json.dumps({"format": FORMAT, "segments": dict(self.segments)}, indent=1) + "\n")
        return target

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Known:
        """Read one back; `AnchorError` where it is none."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            segments: dict[str, dict[str, Any]] = data["segments"]
            if data["format"] != FORMAT or not all(entry["level"] in LEVELS for entry in segments.values()):
                raise ValueError("another format")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise AnchorError(f"{path} is no record of checked segments. Leave it out to check all of them.") from error
        return cls(segments)


def fingerprint(segment: Any) -> dict[str, Any] | None:
    """What tells that a sealed segment file is unchanged; None where it is not sealed, or not that file any more."""
    if segment.footer_state != FooterState.TRUSTED or segment.size_bytes < END_BYTES:
        return None
    try:
        status = os.stat(segment.path)
    except OSError:
        return None
    identity = segment.file.identity
    if (status.st_dev, status.st_ino, status.st_size) != tuple(identity):
        return None
    end = bytes(segment.window(segment.size_bytes - END_BYTES, segment.size_bytes)).hex()
    return {
        "device": status.st_dev,
        "inode": status.st_ino,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "end": end,
    }
