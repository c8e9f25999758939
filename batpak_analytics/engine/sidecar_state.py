"""What the small files and names of a directory say: keys, odd names, coordinates that could not have been written."""

from __future__ import annotations

from batpak_analytics.engine.coordinates import refused
from batpak_analytics.engine.listing import Listing
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.stretches import AnyScan
from batpak_analytics.errors import CorruptSegmentError, FormatError, FutureVersionError, KeysetCorruptError
from batpak_analytics.format.layout import KEYSET_NAME
from batpak_analytics.format.segment import canonical_name
from batpak_analytics.format.sidecars import keyset
from batpak_analytics.format.sidecars.keyset import Keyset
from batpak_analytics.model import Finding


def load_keyset(listing: Listing, problems: Problems) -> Keyset | None:
    """Which key scopes exist, to tell `encrypted` from `shredded`; None without a usable keyset. Keys are not kept."""
    data = listing.sidecars.get(KEYSET_NAME)
    if data is None:
        return None
    fails: type[KeysetCorruptError] | None = None
    if isinstance(data, OSError):
        reason = f"may not be read ({data.strerror or data})"
    else:
        try:
            return keyset.decode(data)
        except (FormatError, FutureVersionError) as error:
            reason, fails = f"is damaged ({getattr(error, 'reason', error)})", KeysetCorruptError
    problems.add(
        Finding("warning", "keyset-unusable", None, KEYSET_NAME, None,
                f"The keyset {reason}, so shredded payloads cannot be told from encrypted ones; all say encrypted.",
                "Read as the user that writes the store, or restore the file. No event is lost by it."),
        fails=fails,
    )  # fmt: skip
    return None


def check_names(listing: Listing, problems: Problems) -> None:
    """Report names that end in .fbat and are no segment, and segments that the reference cannot point-read."""
    for name in listing.malformed_names:
        problems.add(
            Finding("warning", "segment-name", None, name, None, "This is no segment number; the file was not read.",
                    "If it is a segment, give it back its number (000042.fbat).")
        )  # fmt: skip
    for one in listing.segments:
        name = one.file.name.removesuffix(".compact-src")
        if name != canonical_name(one.segment_id):
            problems.add(
                Finding("info", "segment-name", one.segment_id, one.file.name, None,
                        f"The name is not the one 0.9.0 writes ({canonical_name(one.segment_id)}).",
                        "It was read; 0.9.0 lists its events and cannot read their payloads.")
            )  # fmt: skip


def check_strings(scans: list[AnyScan], problems: Problems) -> None:
    """Report entities and scopes that 0.9.0 refuses: one of them makes its whole open fail (segments spec 2.11)."""
    if not any(map(refused, set().union(*(scan.strings for scan in scans)))):
        return
    for scan in scans:
        for value in scan.strings:
            reason = refused(value)
            if reason:
                problems.add(
                    Finding("warning", "coordinate", scan.listed.segment_id, scan.listed.file.name, None,
                            f"The entity or scope {value[:60]!r} {reason}; 0.9.0 refuses to open such a store.",
                            "The events are shown as they are stored."),
                    fails=CorruptSegmentError,
                )  # fmt: skip
