"""Every byte of the stores that the Rust engine wrote, read and written again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blake3
import pytest

from batpak_analytics.errors import FormatError
from batpak_analytics.format import layout
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.footer import encode_footer, read_footer
from batpak_analytics.format.frame import encode_frame, probe_frame, read_frame
from batpak_analytics.format.json_text import json_text, payload_to_json_value
from batpak_analytics.format.layout import FooterState
from batpak_analytics.format.segment import (
    canonical_name,
    encode_segment_header,
    parse_file_name,
    read_segment_header,
)
from batpak_analytics.format.sidecars import checkpoint, cursor, idempotency, keyset, mmap_index, visibility
from batpak_analytics.model import Event


def segments(stores: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(stores.glob(f"*/*.{layout.SEGMENT_EXTENSION}")):
        yield path, path.read_bytes()


def frames(data: bytes) -> Iterator[tuple[int, int]]:
    """(offset, length) of each frame, to the end of the file or the start of the footer."""
    offset = read_segment_header(data).frames_start
    footer = read_footer(data)
    end = footer.frames_end if footer.state is FooterState.TRUSTED else len(data)
    while True:
        status, length = probe_frame(data, offset, end)
        if status != layout.FRAME_OK:
            assert status == layout.FRAME_END and offset == end
            return
        yield offset, length
        offset += length


def test_every_frame_is_written_again_byte_for_byte(fixture_stores: Path) -> None:
    count = 0
    for path, data in segments(fixture_stores):
        for offset, length in frames(data):
            frame = data[offset : offset + length]
            event = decode_event(read_frame(frame))
            assert encode_frame(encode_event(event)) == frame, (path.name, offset)
            assert event.is_marker or event.content_hash == blake3.blake3(event.payload).digest()
            count += 1
    assert count > 500


def test_every_header_and_footer_is_written_again_byte_for_byte(fixture_stores: Path) -> None:
    states = set()
    for path, data in segments(fixture_stores):
        header = read_segment_header(data)
        assert parse_file_name(path.name) == header.segment_id
        assert encode_segment_header(header.segment_id, header.created_ns) == data[: header.frames_start]
        footer = read_footer(data)
        states.add(footer.state)
        if footer.state is FooterState.TRUSTED:
            assert footer.entries is not None and footer.frames_end is not None
            again = encode_footer(footer.entries, footer.strings, footer.frames_end)
            assert again == data[footer.frames_end :]
    assert states == {FooterState.TRUSTED, FooterState.ABSENT}


@pytest.mark.parametrize(
    ("pattern", "module"),
    [
        (layout.CHECKPOINT_NAME, checkpoint),
        (layout.MMAP_INDEX_NAME, mmap_index),
        (layout.IDEMPOTENCY_NAME, idempotency),
        (layout.VISIBILITY_NAME, visibility),
    ],
)
def test_every_sidecar_is_written_again_byte_for_byte(fixture_stores: Path, pattern: str, module: Any) -> None:
    paths = list(fixture_stores.glob(f"*/{pattern}"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        assert module.encode(module.decode(data)) == data, path


def test_keysets_name_the_scopes_of_encrypted_frames(fixture_stores: Path) -> None:
    for name in ("encrypted", "encrypted-event"):
        keys = keyset.decode((fixture_stores / name / layout.KEYSET_NAME).read_bytes())
        used = {
            event.payload_encryption.keyscope_id
            for _, data in segments(fixture_stores)
            for event in events(data)
            if event.payload_encryption is not None
        }
        assert keys.scopes and keys.scopes <= used


def events(data: bytes) -> Iterator[Event]:
    for offset, length in frames(data):
        yield decode_event(data, offset + layout.FRAME_HEADER_SIZE, offset + length)


def test_cursors_if_any_are_read(fixture_stores: Path) -> None:
    for path in fixture_stores.glob(f"*/{layout.CURSOR_FOLDER}/*{layout.CURSOR_SUFFIX}"):
        assert cursor.encode(cursor.decode(path.read_bytes())) == path.read_bytes()


def test_numbering_of_an_image_is_that_of_its_rows(fixture_stores: Path) -> None:
    modules: list[tuple[str, Any]] = [(layout.CHECKPOINT_NAME, checkpoint), (layout.MMAP_INDEX_NAME, mmap_index)]
    for name, module in modules:
        for path in fixture_stores.glob(f"*/{name}"):
            data = path.read_bytes()
            full, quick = module.decode(data), module.decode_sequences(data)
            assert quick.allocator == full.allocator
            assert quick.watermark_segment == full.watermark_segment
            assert [item.tobytes() for item in quick.event_id] == [row.event_id[::-1] for row in full.entries]
            assert [item.tobytes() for item in quick.event_hash] == [row.event_hash for row in full.entries]
            assert quick.global_sequence.tolist() == [row.global_sequence for row in full.entries]


def rows(stores: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(store, the line itself, the row) of everything the engine reported."""
    for path in sorted(stores.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            yield path.stem, line, json.loads(line)


def test_every_event_decodes_to_what_the_engine_reported(fixture_stores: Path) -> None:
    files: dict[Path, bytes] = {}
    for store, _, row in rows(fixture_stores):
        path = fixture_stores / store / canonical_name(row["segment_id"])
        data = files[path] = files.get(path) or path.read_bytes()
        start = row["offset"] + layout.FRAME_HEADER_SIZE
        assert bytes(read_frame(data, row["offset"])) == data[start : row["offset"] + row["length"]]
        event = decode_event(data, start, row["offset"] + row["length"])
        found = described(event)
        # Fields that the engine could not read are null in its report, and where it took the row from a footer
        # it reports no extensions, though the frame has them (spec segments, trap 10).
        silent = {key for key in found if row[key] is None or (key == "extensions" and not row[key])}
        assert {key: found[key] for key in found.keys() - silent} == {key: row[key] for key in found.keys() - silent}


def described(event: Event) -> dict[str, Any]:
    assert event.hash_chain is not None
    return {
        "event_id": event.event_id.hex(),
        "correlation_id": event.correlation_id.hex(),
        "causation_id": event.causation_id.hex() if event.causation_id else None,
        "entity": event.entity,
        "scope": event.scope,
        "kind": int(event.kind),
        "wall_ms": event.position.wall_ms,
        "clock": event.position.clock,
        "lane": event.position.lane,
        "depth": event.position.depth,
        "prev_hash": event.hash_chain.prev_hash.hex(),
        "event_hash": event.hash_chain.event_hash.hex(),
        "extensions": {name: value.hex() for name, value in event.extensions.items()},
        "timestamp_us": event.timestamp_us,
        "flags": event.flags,
        "payload_version": event.payload_version,
        "payload_size": event.payload_size,
        "encrypted": event.payload_encryption is not None,
        "payload_raw": event.payload.hex(),
    }


def test_every_payload_reads_as_the_engine_reported_it(fixture_stores: Path) -> None:
    compared = 0
    for _, line, row in rows(fixture_stores):
        if row["encrypted"] or row["payload_raw"] is None:
            continue
        reported = row["payload"]
        if isinstance(reported, dict) and "$error" in reported:
            with pytest.raises(FormatError):
                payload_to_json_value(bytes.fromhex(row["payload_raw"]))
            continue
        value = payload_to_json_value(bytes.fromhex(row["payload_raw"]))
        assert value == reported
        assert f'"payload":{json_text(value)}' in line
        compared += 1
    assert compared > 500


def test_footer_rows_agree_with_the_frames_they_point_to(fixture_stores: Path) -> None:
    for path, data in segments(fixture_stores):
        footer = read_footer(data)
        for row in footer.entries if footer.entries is not None else ():
            start, stop = int(row["offset"]), int(row["offset"]) + int(row["length"])
            event = decode_event(data, start + layout.FRAME_HEADER_SIZE, stop)
            assert event.event_id == row["event_id"].tobytes()[::-1], path
            assert (event.causation_id or layout.ZERO_ID) == row["causation_id"].tobytes()[::-1]
            assert event.entity == footer.strings[row["entity_idx"]]
            assert event.scope == footer.strings[row["scope_idx"]]
            assert event.content_hash == row["event_hash"].tobytes()


def test_damage_in_real_frames_never_escapes_as_another_error(fixture_stores: Path) -> None:
    data = (fixture_stores / "quickstart" / canonical_name(1)).read_bytes()
    for offset, length in frames(data):
        body = bytearray(data[offset + layout.FRAME_HEADER_SIZE : offset + length])
        for index in range(len(body)):
            old, body[index] = body[index], body[index] ^ 0x80
            try:
                decode_event(body)
            except FormatError as error:
                assert error.offset is not None
            body[index] = old
