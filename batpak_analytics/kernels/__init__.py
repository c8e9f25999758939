"""The same bytes, a million at a time: compiled where there was a compiler, else the functions of ``format``.

``COMPILED`` says which. ``BATPAK_KERNELS=off`` in the environment forces the latter. The sources of
the kernels are Python by syntax only: run uncompiled, their unsigned arithmetic gives wrong data in silence.
So they are loaded as extension modules or not at all.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from typing import Any, Final

from batpak_analytics.errors import PerformanceWarning
from batpak_analytics.format.blake3 import hash_spans
from batpak_analytics.format.collected import Collected
from batpak_analytics.format.event_rows import EventColumns, EventRow
from batpak_analytics.format.framing import put_frame, put_frames
from batpak_analytics.format.gather import Form, Job, Part, gather_rows, used_strings
from batpak_analytics.format.graph import Forest, join_ids, measure_forest
from batpak_analytics.format.hexadecimal import write_hex
from batpak_analytics.format.packing import pack_plain
from batpak_analytics.format.payload import (
    MALFORMED,
    MISSING,
    NOT_JSON,
    ROOT_MAP,
    ROOT_VALUE,
    SKIPPED,
    ColumnStats,
    FieldTable,
    Located,
    column_stats,
    locate_fields,
    take_binary,
    take_bool,
    take_float64,
    take_int64,
    take_spans,
    take_string,
    take_uint64,
)
from batpak_analytics.format.plain import Plain, join_rows, plain_segments
from batpak_analytics.format.rows import (
    Source,
    Taken,
    check_frames,
    differing_rows,
    intern_strings,
    parse_frames,
    take_frames,
    unescape,
    walk_frames,
)
from batpak_analytics.format.survey import Matched, Survey, match_rows, survey_rows
from batpak_analytics.format.tabular import pack_rows

__all__ = [
    "COMPILED",
    "MALFORMED",
    "MISSING",
    "NOT_JSON",
    "ROOT_MAP",
    "ROOT_VALUE",
    "SKIPPED",
    "Collected",
    "ColumnStats",
    "EventColumns",
    "EventRow",
    "FieldTable",
    "Forest",
    "Form",
    "Job",
    "Located",
    "Matched",
    "Part",
    "Plain",
    "Source",
    "Survey",
    "Taken",
    "check_frames",
    "column_stats",
    "differing_rows",
    "gather_rows",
    "hash_spans",
    "intern_strings",
    "join_ids",
    "join_rows",
    "locate_fields",
    "match_rows",
    "measure_forest",
    "pack_plain",
    "pack_rows",
    "parse_frames",
    "plain_segments",
    "put_frame",
    "put_frames",
    "survey_rows",
    "take_binary",
    "take_bool",
    "take_float64",
    "take_frames",
    "take_int64",
    "take_spans",
    "take_string",
    "take_uint64",
    "unescape",
    "used_strings",
    "walk_frames",
    "write_hex",
]

_KERNELS: Final = {
    "wire": (),
    "walk": ("check_frames", "walk_frames"),
    "escape": ("unescape",),
    "frames": ("parse_frames",),
    "compare": ("differing_rows",),
    "take": ("take_frames",),
    "survey": ("match_rows", "survey_rows"),
    "strings": ("intern_strings",),
    "plain": ("join_rows", "plain_segments"),
    "gather": ("gather_rows", "used_strings"),
    "graph": ("join_ids", "measure_forest"),
    "hexadecimal": ("write_hex",),
    "blake3": ("hash_spans",),
    "packing": ("pack_plain",),
    "tabular": ("pack_rows",),
    "framing": ("put_frame", "put_frames"),
    "values": (),
    "event_rows": ("EventColumns", "EventRow"),
    "collected": ("Collected",),
    "fields": ("locate_fields",),
    "columns": (
        "column_stats",
        "take_binary",
        "take_bool",
        "take_float64",
        "take_int64",
        "take_spans",
        "take_string",
        "take_uint64",
    ),
}


def _compiled_functions() -> dict[str, Any] | None:
    """Every kernel by name, or None where one is missing: a mixture would be slow in one odd place."""
    functions: dict[str, Any] = {}
    for stem, names in _KERNELS.items():
        spec = find_spec(f"{__name__}.{stem}")
        if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
            return None
        try:
            module = import_module(spec.name)
            functions.update((name, getattr(module, name)) for name in names)
        except (ImportError, AttributeError):  # built for another Python, or from an older source
            return None
    return functions


def _choose() -> dict[str, Any]:
    """The compiled functions, or nothing and one warning that says how to get them."""
    if os.environ.get("BATPAK_KERNELS") == "off":
        reason = "BATPAK_KERNELS=off is set. Unset it to use the compiled kernels."
    elif sys.byteorder == "big":
        reason = "they need a little-endian machine."
    else:
        functions = _compiled_functions()
        if functions is not None:
            return functions
        reason = "they are not built. Install a C compiler (gcc or clang), then reinstall batpak-analytics."
    warnings.warn(
        f"batpak_analytics works without its compiled kernels, up to 100 times slower: {reason}",
        PerformanceWarning,
        stacklevel=2,
    )
    return {}


_chosen = _choose()
COMPILED: Final = bool(_chosen)
globals().update(_chosen)
