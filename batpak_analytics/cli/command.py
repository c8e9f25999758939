"""The parser of the ``batpak`` command, and the dispatch to what runs.

Nothing heavy is imported here: ``batpak --help`` answers at once, and each command loads what it needs. What each of
them takes is in `arguments`.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from batpak_analytics import __version__
from batpak_analytics.cli.arguments import compaction, copies, history, integrity, reading
from batpak_analytics.cli.outcome import FAILED, INTERRUPTED, PIPE_CLOSED, one_line
from batpak_analytics.errors import BatpakError

FAMILIES = (reading, history, integrity, compaction, copies)  # in the order of the help

EXAMPLES = """\
examples:
  batpak demo                                     read a small store that comes with the package
  batpak info   data/store                        segments, counts, kinds, time span
  batpak head   data/store -n 5                   the first events
  batpak head   data/store --kind 0xF001 --entity player:alice
  batpak export data/store events.parquet         everything, streamed, to one file
  batpak export data/store events.csv --since 2026-03-01T00:00:00Z --columns global_sequence,entity,payload
  batpak why    data/store 391124e8               what led to an event, and what it led to
  batpak replay data/store --sum total --by entity --at 1204   a state as it was
  batpak check  data/store                        CRC of every frame and footer; exit code 0, 1 or 2
  batpak verify data/store                        links, clocks, batches, payload hashes; what that proves
  batpak compact data/store                       what a compaction would do, and --apply does it
  batpak snapshot data/store backup/today         a copy that is whole in itself, while the application runs
  batpak import data/store other/store --namespace other    its events, each once

A store is the directory in which a Rust application keeps its *.fbat files. It is opened without a lock and
nothing is written into it, so reading while the application runs is safe. Only import and compact --apply
write, and lock.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line with the next step, like every other error here."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"batpak: error: {message}. Try: {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 ``check`` has findings, 2 it could not be done."""
    if sys.stdout is None:  # closed by the caller (`batpak check STORE >&-`), who wants the exit code
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    arguments = _parser().parse_args(argv)
    try:
        with _warnings_on_one_line():
            code: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (`batpak head STORE | head -1`). Python would complain once more
        # when it flushes at exit, so give it somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _complain("interrupted; nothing half-written was left behind", INTERRUPTED)
    except (BatpakError, OSError, ValueError, TypeError) as error:
        return _complain(_told(error), FAILED)
    return code


def _told(error: Exception) -> str:
    """What an exception says; of what the system alone says, the file first, and no number."""
    if isinstance(error, OSError) and not isinstance(error, BatpakError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}. Look at the path, and at who may use it"
    return str(error) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="batpak",
        description="Look into batpak event stores, and turn them into files that every data tool reads.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"batpak-analytics {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for family in FAMILIES:
        family.add(commands)
    return parser


def _complain(message: str, code: int) -> int:
    print(f"batpak: error: {one_line(message)}", file=sys.stderr)
    return code


@contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"batpak: warning: {one_line(message)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
