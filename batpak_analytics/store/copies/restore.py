"""Whether a store that was restored is the copy that its manifest tells of."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from blake3 import blake3

from batpak_analytics.engine.filesystem import list_files
from batpak_analytics.engine.view import given_path, require_directory
from batpak_analytics.errors import FormatError
from batpak_analytics.evidence.backup import ManifestBody, RestoreProofBody, SegmentDigest, restore_proof
from batpak_analytics.evidence.canonical import Evidence
from batpak_analytics.format.segment import parse_file_name
from batpak_analytics.store.copies.transfer import PIECE_BYTES


def prove_restore(
    manifest: Evidence[ManifestBody] | ManifestBody, path: str | PathLike[str]
) -> Evidence[RestoreProofBody]:
    """Hold the segment files at `path` against a manifest, as the reference's restore proof does.

    The body's `findings` are empty where every segment is there, no other is, and all bytes are the same. A store that
    was opened for writing since has a segment more. Cost: one pass over the bytes of the segments.

    Examples
    --------
    >>> import tempfile
    >>> import batpak_analytics as bp
    >>> with tempfile.TemporaryDirectory() as directory, bp.open_reader(bp.demo_store()) as reader:
    ...     report = reader.snapshot(f"{directory}/copy")
    ...     proof = bp.prove_restore(report.manifest(), report.path)
    >>> proof.body.findings
    ()
    """
    directory = given_path(path)
    require_directory(directory)
    body = manifest if isinstance(manifest, ManifestBody) else manifest.body
    return restore_proof(body, [_digest_of(directory / name, one) for name, one in _segments(directory)])


def _segments(directory: Path) -> list[tuple[str, int]]:
    found = []
    for name in list_files(directory):
        try:
            segment_id = parse_file_name(name)
        except FormatError:
            continue
        if segment_id is not None:
            found.append((name, segment_id))
    return found


def _digest_of(path: Path, segment_id: int) -> SegmentDigest:
    digest = blake3()
    with path.open("rb") as handle:
        while piece := handle.read(PIECE_BYTES):
            digest.update(piece)
    return SegmentDigest(segment_id, digest.digest())
