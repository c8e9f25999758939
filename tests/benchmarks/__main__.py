"""Measures the package on stores that the reference engine wrote: ``python -m tests.benchmarks``.

The modules: ``stores`` makes what is read, ``timing`` takes turns and medians, ``passes`` is the unit, ``reading`` is
what this package does, ``peers`` what others do, ``memory`` watches a stream, ``writing`` is the other direction,
``queries`` asks for single events, ``holding`` weighs an open store, ``graph`` has the causal views, ``proving``
verifies, ``replaying`` folds, ``planning`` plans compactions, ``widgets`` steps, ``browser`` waits for what
is painted, ``subjects`` puts them together, ``limits`` has what must hold, ``page`` is the table.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import batpak_analytics as bp
from batpak_analytics import kernels
from tests.benchmarks.machine import machine_lines
from tests.benchmarks.page import Report, markdown, print_table
from tests.benchmarks.stores import SEGMENT_BYTES_AN_EVENT, Stores
from tests.benchmarks.subjects import SUBJECTS, Plan
from tests.benchmarks.timing import PATIENCE_SECONDS
from tests.interop.oracle import Oracle, OracleUnavailable

CASES = (
    *("pass", "words", "open", "scan", "second-scan", "index", "read_batpak", "count", "first-100", "first-100-index"),
    *("reference", "uncompiled", "msgpack", "sqlite", "parquet"),
    *("memory", "growth", "payloads", "segments", "writing", "queries", "holding", "graph", "proving", "replay"),
    *("planning", "widgets", "browser"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, print the table, and write the page where one is wanted."""
    options = _parser().parse_args(arguments)
    if options.write and options.only:
        _parser().error("--write wants the whole table: leave out --only")
    if not kernels.COMPILED:
        sys.exit("The kernels are not compiled, so there is nothing to measure. Install a C compiler, then reinstall.")
    try:
        oracle = Oracle.build()
    except OracleUnavailable as reason:
        sys.exit(f"The stores are written by batpak 0.9.0 itself, and {reason}")
    report = run(oracle, options)
    print_table(report)
    if options.write:
        options.write.write_text(markdown(report, PATIENCE_SECONDS), encoding="utf-8")
    return 0


def run(oracle: Oracle, options: argparse.Namespace) -> Report:
    """Measure every subject."""
    machine = machine_lines()
    with _folder(options.keep) as folder:
        events = bp.scan_batpak(options.store).count() if options.store else options.events
        stores = Stores(oracle, folder, SEGMENT_BYTES_AN_EVENT * events)
        main_store = options.store or stores.everyday(events)
        plan = Plan(stores, main_store, events, options.repeat, options.long, frozenset(options.only))
        sections = [section for subject in SUBJECTS for section in subject(plan)]
    return Report(datetime.date.today().isoformat(), _command(options), machine, sections)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where stores go: a folder that stays, or one that goes."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="batpak-benchmarks-") as folder:
        yield Path(folder)


def _command(options: argparse.Namespace) -> str:
    """The command that does this again, without what is about one machine."""
    flags = [f"--events {options.events}"] if options.events != _parser().get_default("events") else []
    flags += [f"--repeat {options.repeat}"] if options.repeat != _parser().get_default("repeat") else []
    flags += ["--long"] if options.long else []
    return " ".join(["python -m tests.benchmarks", *flags, "--write docs/benchmarks.md"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=_enough, default=1_000_000, help="events of the main store (%(default)s)")
    parser.add_argument("--store", type=Path, help="a store to use as the main store, written by `bulk`")
    parser.add_argument("--repeat", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument("--only", action="append", choices=CASES, default=[], metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--long", action="store_true", help="let the growing stores reach four times the events")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the stores in DIR, and use those it has")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page, docs/benchmarks.md")
    return parser


def _enough(text: str) -> int:
    events = int(text)
    if events < 1000:
        raise argparse.ArgumentTypeError("1000 events is the least that makes every store")
    return events


if __name__ == "__main__":
    sys.exit(main())
