"""``export``: events streamed into one file, which appears under its name only when it is complete."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from tqdm import tqdm

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.selection import say_what_was_skipped, scan_options
from batpak_analytics.cli.text import json_lines, text_batch, text_schema

Write = Callable[[pa.RecordBatch], object]
OpenWriter = Callable[[BinaryIO, pa.Schema, str], AbstractContextManager[Write]]


def export(arguments: argparse.Namespace) -> int:
    """Stream the selected events into ``OUT`` in the format that its ending names."""
    out = Path(arguments.out)
    open_writer, usual_mode = _format_of(out)
    mode = arguments.payload or usual_mode
    with bp.open_reader(arguments.path, on_damage=arguments.on_damage) as reader:
        _refuse_bad_target(out, Path(arguments.path), arguments.force)
        scan = reader.events(**scan_options(arguments, payload=mode))
        with complete_or_absent(out, replace=arguments.force) as file:
            count = _stream(scan, open_writer(file, scan.schema, mode))
        say_what_was_skipped(reader, arguments.path)
    print(f"{tables.plural(count, 'event')} -> {out} ({tables.size_text(out.stat().st_size)})")
    return 0


def _stream(scan: Any, writer: AbstractContextManager[Write]) -> int:
    """Write batch by batch, so that memory does not grow with the store; returns the number of events."""
    written = 0
    # disable=None: a bar on a terminal, silence in a log.
    with (
        tqdm(total=scan.count(), unit=" events", unit_scale=True, leave=False, disable=None, delay=0.5) as bar,
        writer as write,
    ):
        for batch in scan.to_batches():
            write(batch)
            written += batch.num_rows
            bar.update(batch.num_rows)
    return written


def _format_of(out: Path) -> tuple[OpenWriter, str]:
    """The writer for the ending, and the payload mode that suits it."""
    found = FORMATS.get(out.suffix.lower())
    if found is None:
        ending = f"the ending {out.suffix!r}" if out.suffix else "no ending"
        raise ValueError(f"{out} has {ending}; name the file *{', *'.join(FORMATS)}")
    return found


def _refuse_bad_target(out: Path, store: Path, force: bool) -> None:
    if out.parent.resolve().is_relative_to(store.resolve()):
        raise ValueError(f"{out} lies inside the store, where nothing is ever written; choose another directory")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no directory {out.parent}; create it first")
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a directory; name a file in it")
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists; add --force to replace it")


@contextmanager
def complete_or_absent(out: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file to write that becomes ``out`` when the block ends well, and leaves no trace when it does not."""
    hidden = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with hidden.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if out.exists() and not replace:
            raise FileExistsError(f"{out} appeared meanwhile; add --force to replace it")
        hidden.replace(out)
    finally:
        hidden.unlink(missing_ok=True)


@contextmanager
def _parquet(file: BinaryIO, schema: pa.Schema, _: str) -> Iterator[Write]:
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        yield writer.write_batch


@contextmanager
def _arrow(file: BinaryIO, schema: pa.Schema, _: str) -> Iterator[Write]:
    # An IPC file has one dictionary a column; a scan gives all of its batches the same one.
    with pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        yield writer.write_batch


@contextmanager
def _csv(file: BinaryIO, schema: pa.Schema, _: str) -> Iterator[Write]:
    with pyarrow.csv.CSVWriter(file, text_schema(schema)) as writer:
        yield lambda batch: writer.write_batch(text_batch(batch))


@contextmanager
def _jsonl(file: BinaryIO, _: pa.Schema, mode: str) -> Iterator[Write]:
    yield lambda batch: file.writelines(json_lines(batch, payload_is_json=mode == "json"))


FORMATS: dict[str, tuple[OpenWriter, str]] = {
    ".parquet": (_parquet, "columns"),
    ".arrow": (_arrow, "columns"),
    ".csv": (_csv, "columns"),
    ".jsonl": (_jsonl, "json"),
}
