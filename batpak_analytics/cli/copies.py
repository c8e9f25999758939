"""``snapshot``, ``fork`` and ``import``: what was copied, in a line or with all its evidence."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from tqdm import tqdm

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.check import move
from batpak_analytics.cli.outcome import OK
from batpak_analytics.evidence.canonical import Case


def snapshot(arguments: argparse.Namespace) -> int:
    """Copy the store, and say what is in the copy."""
    with bp.open_reader(arguments.path) as reader:
        report = reader.snapshot(arguments.dest, keys=_keys(arguments))
    return _say(report, arguments)


def fork(arguments: argparse.Namespace) -> int:
    """Copy or share the files of the store, and say how many."""
    with bp.open_reader(arguments.path) as reader:
        report = reader.fork(
            arguments.dest, copy=arguments.copy, exclude_caches=not arguments.with_caches, keys=_keys(arguments)
        )  # fmt: skip
    return _say(report, arguments)


def _keys(arguments: argparse.Namespace) -> Literal["refuse", "exclude"]:
    return "exclude" if arguments.exclude_keys else "refuse"


def _say(report: Any, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps({**told(report), "body_hash": report.body_hash}, indent=1))
        return OK
    shared = sum(one.how != "copy" for one in report.files)
    how = f", {shared} of them shared" if shared else ""
    print(
        f"{report.path}: {tables.plural(report.events, 'event')} in {tables.plural(len(report.files), 'file')}{how} "
        f"({tables.size_text(report.size_bytes)}); evidence {report.body_hash}"
    )
    return OK


def import_(arguments: argparse.Namespace) -> int:
    """Append what is new in the source, and say what became of everything else."""
    region = None if arguments.entity is None else bp.Region(entity=arguments.entity)
    bar = tqdm(unit=" events", unit_scale=True, leave=False, disable=True if arguments.json else None, delay=0.5)
    with bp.open_reader(arguments.source) as source, bp.Store.open(arguments.path) as store, bar:
        report = store.import_events(
            source,
            namespace=arguments.namespace,
            region=region,
            kinds=arguments.kind,
            after=arguments.after,
            chunk_size=arguments.chunk_size,
            causes="clear" if arguments.clear_causes else "map",
            lanes=arguments.lanes,
            encrypted="skip" if arguments.skip_encrypted else "refuse",
            progress=lambda done, of: move(bar, done, of),
        )
    if arguments.json:
        print(json.dumps({**told(report), "body_hash": report.evidence.body_hash}, indent=1))
        return OK
    skipped = [
        f"{count:,} {why}"
        for count, why in (
            (report.deduplicated, "here already"),
            (report.skipped_reserved, "the source's own"),
            (report.skipped_reimported, "imported from here"),
            (report.skipped_encrypted, "sealed"),
        )
        if count
    ]
    rest = f"; not imported: {', '.join(skipped)}" if skipped else ""
    print(f"{tables.plural(report.imported, 'event')} imported{rest}")
    if report.causes_dropped:
        print(f"{tables.plural(report.causes_dropped, 'cause')} dropped: those events are not in {arguments.path}")
    if report.source_high_watermark is not None:
        print(f"the source up to {report.source_high_watermark}: go on with --after {report.source_high_watermark}")
    return OK


def told(value: Any) -> Any:
    """A report as JSON can hold it: digests in hexadecimal, findings as a name with their fields."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (tuple, list)):
        return [told(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: told(getattr(value, field.name)) for field in fields(value)}
        return {type(value).__name__: held} if isinstance(value, Case) else held
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
