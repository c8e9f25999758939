"""The rows of a `.jsonl` file: what the reference engine returned, one JSON object per visible event.

A parsed row has the keys of the file and one more, `PAYLOAD_TEXT`: the payload's JSON exactly as the engine wrote it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]

PAYLOAD_TEXT = "$payload_text"
# Keys are sorted, the keys before "payload" hold ids and names, and a quote inside a name is escaped:
# the first occurrence is the key itself.
_PAYLOAD_KEY = '"payload":'


def read_rows(path: Path) -> list[Row]:
    """The rows of one file."""
    return parse_rows(path.read_text(encoding="utf-8"))


def parse_rows(text: str) -> list[Row]:
    """The rows of JSON lines."""
    # splitlines() would also split at the line separators that JSON leaves raw inside strings.
    return [_parse_row(line) for line in text.split("\n") if line]


def _parse_row(line: str) -> Row:
    row: Row = json.loads(line)
    start = line.index(_PAYLOAD_KEY) + len(_PAYLOAD_KEY)
    _, end = json.JSONDecoder().raw_decode(line, start)
    row[PAYLOAD_TEXT] = line[start:end]
    return row
