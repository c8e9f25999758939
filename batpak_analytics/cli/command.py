"""Arguments, dispatch and exit codes of the ``batpak`` command.

Nothing heavy is imported here: ``batpak --help`` answers at once, and each command loads what it needs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from batpak_analytics import __version__
from batpak_analytics.errors import BatpakError

OK, FINDINGS, FAILED = 0, 1, 2
INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + the signal's number, as a shell reports them

LEVELS = ("index", "frames", "full")
STRATEGIES = ("merge", "retention", "tombstone")
PAYLOAD_MODES = ("columns", "struct", "json", "binary", "none")

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
        return _complain(str(error) or type(error).__name__, FAILED)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="batpak",
        description="Look into batpak event stores, and turn them into files that every data tool reads.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"batpak-analytics {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_demo(commands)
    _add_info(commands)
    _add_head(commands)
    _add_export(commands)
    _add_why(commands)
    _add_replay(commands)
    _add_check(commands)
    _add_verify(commands)
    _add_checkpoint(commands)
    _add_chain(commands)
    _add_compact(commands)
    _add_snapshot(commands)
    _add_fork(commands)
    _add_import(commands)
    return parser


def _add_demo(commands: Any) -> None:
    _command(
        commands,
        "demo",
        "read a small store that comes with the package",
        "Reads a real store of a few events, and prints its rows, a summary by kind, and the same in Python.",
        _run("show", "demo"),
    )


def _add_info(commands: Any) -> None:
    info = _command(
        commands,
        "info",
        "segments, counts, kinds and time span of a store",
        "Describes a store from its footers; no payload is decoded.\n\nexample:\n  batpak info data/store",
        _run("show", "info"),
    )
    _add_path(info)


def _add_head(commands: Any) -> None:
    head = _command(
        commands,
        "head",
        "the first events of a store, as a table",
        "Prints the first events in commit order. Kinds are in hex; ids are shown by their last 8 digits,\n"
        "because they begin with the time.\n\n"
        "examples:\n"
        "  batpak head data/store -n 20\n"
        "  batpak head data/store --columns global_sequence,entity,payload.amount --kind 0xF001",
        _run("show", "head"),
    )
    _add_path(head)
    head.add_argument("-n", type=_count, default=10, dest="limit", metavar="N", help="how many (default 10)")
    _add_selection(head, payload="json")


def _add_export(commands: Any) -> None:
    export = _command(
        commands,
        "export",
        "write events to .parquet, .arrow, .csv or .jsonl",
        "Streams the events, batch by batch, into OUT; its ending chooses the format. The file appears\n"
        "under its name only when it is complete.\n\n"
        "examples:\n"
        "  batpak export data/store events.parquet\n"
        "  batpak export data/store moved.jsonl --kind 0xF001 --since 2026-03-01T00:00:00Z --force",
        _run("export", "export"),
    )
    _add_path(export)
    export.add_argument("out", metavar="OUT", help="file to write: .parquet, .arrow, .csv or .jsonl")
    export.add_argument("--force", action="store_true", help="replace OUT if it exists")
    export.add_argument("--limit", type=_count, metavar="N", help="at most N events")
    _add_selection(export, payload=None)


def _add_why(commands: Any) -> None:
    why = _command(
        commands,
        "why",
        "what led to an event and what it led to, as a tree",
        "Prints the causes of an event, the event itself and its effects. A cause is what the writer named\n"
        "as causation_id; nothing proves it. Times in milliseconds are since the cause.\n\n"
        "examples:\n"
        "  batpak why data/store 01a206129ef37537b7fd667b391124e8\n"
        "  batpak why data/store 391124e8 --json",
        _run("why", "why"),
    )
    _add_path(why)
    why.add_argument("event_id", metavar="EVENT_ID", help="32 hex digits, or the last 8 or more, as tables show them")
    why.add_argument("--depth", type=_count, default=20, metavar="N", help="generations up and down (default 20)")
    why.add_argument("--limit", type=_count, default=200, metavar="N", help="at most N effects (default 200)")
    why.add_argument("--json", action="store_true", help="one JSON object instead of a tree")


def _add_replay(commands: Any) -> None:
    replay = _command(
        commands,
        "replay",
        "fold the events to a count, sums or last values, now or at any sequence",
        "Folds the events in commit order and prints the state after the last one, at a sequence, or after each.\n"
        "A sequence inside a batch means the moment before the batch.\n\n"
        "examples:\n"
        "  batpak replay data/store --count --by kind\n"
        "  batpak replay data/store --sum total --by entity --at 1204\n"
        "  batpak replay data/store --last status --entity order:7 --trace",
        _run("replay", "replay"),
    )
    _add_path(replay)
    what = replay.add_mutually_exclusive_group(required=True)
    what.add_argument("--count", action="store_true", help="how many events")
    what.add_argument("--sum", metavar="FIELD", help="the sum of a payload field, such as total or price.cents")
    what.add_argument("--last", metavar="FIELD", help="the last value of a payload field")
    add = replay.add_argument
    add("--by", metavar="WHAT", help="for each entity, scope, kind, or value of a payload field")
    add("--entity", metavar="NAME", help="this entity alone, without those under it")
    add("--kind", type=_kind, action="append", metavar="KIND", help="0xF001 or 61441; may be repeated")
    add("--at", type=_count, metavar="SEQUENCE", help="as it was at this global sequence")
    add("--trace", action="store_true", help="the state after each event")
    add("--json", action="store_true", help="print JSON: one object, or with --trace one a line")


def _add_check(commands: Any) -> None:
    check = _command(
        commands,
        "check",
        "verify the CRC of every frame and footer",
        "Reads every byte of a store and lists what is wrong and what to do about it.\n\n"
        "exit code:\n"
        "  0  sound (notes marked 'info', such as an unfinished tail, do not count)\n"
        "  1  there are findings\n"
        "  2  the store could not be read",
        _run("check", "check"),
    )
    _add_path(check)


def _add_verify(commands: Any) -> None:
    verify = _command(
        commands,
        "verify",
        "is the history whole, and the one that a checkpoint was made of?",
        "Checks links, clocks, sequences, batches, headers and payload hashes besides every CRC, and says of each\n"
        "rule what it leaves open. The verdict is verified, unanchored or broken; only a checkpoint can make it\n"
        "verified, because the hashes of batpak cover payloads and nothing else.\n\n"
        "examples:\n"
        "  batpak verify data/store\n"
        "  batpak verify data/store --against store.checkpoint --leaves store.leaves\n\n"
        "exit code:\n"
        "  0  nothing contradicts itself or the checkpoint (notes marked 'info' do not count)\n"
        "  1  there are findings\n"
        "  2  the store, or the checkpoint, could not be read or trusted",
        _run("integrity", "verify"),
    )
    _add_path(verify)
    add = verify.add_argument
    add("--against", metavar="CHECKPOINT", help="an earlier checkpoint of the store")
    add("--leaves", metavar="FILE", help="its leaf hashes, to name the first event that differs")
    add("--public-key", metavar="PEM", help="the Ed25519 key that has to have signed it")
    add("--bridge", metavar="FILE", help="what a compaction wrote after it; needs --public-key")
    add("--level", choices=LEVELS, default="full", help="how deep to look (default full)")
    add("--known", metavar="FILE", help="leave out sealed segments listed there and unchanged; updated after")
    add("--json", action="store_true", help="print the report as JSON")


def _add_checkpoint(commands: Any) -> None:
    checkpoint = _command(
        commands,
        "checkpoint",
        "write down the state of a store, to hold it against later",
        "Writes a small text: how many events there are and the root of a Merkle tree over them. Keep it where\n"
        "nobody who can write the store can write. A broken store gets none.\n\n"
        "example:\n"
        "  batpak checkpoint data/store store.checkpoint --leaves store.leaves",
        _run("integrity", "checkpoint"),
    )
    _add_path(checkpoint)
    add = checkpoint.add_argument
    add("out", metavar="OUT", help="file to write, outside the store")
    add("--leaves", metavar="FILE", help="also write the leaf hashes, 48 bytes an event")
    add("--key", metavar="PEM", help="an Ed25519 private key to sign with")
    add("--origin", metavar="NAME", help="names the store, such as example.com/orders (default: its first event's id)")
    add("--level", choices=LEVELS, default="full", help="how deep to look before (default full)")


def _add_chain(commands: Any) -> None:
    chain = _command(
        commands,
        "chain",
        "the hash chains of an entity, event by event",
        "Prints every event with its link to the one before, and a verdict for each lane. The exit code is 1 where\n"
        "a chain has gaps or is broken.\n\n"
        "example:\n"
        "  batpak chain data/store order:1 --payloads",
        _run("integrity", "chain"),
    )
    _add_path(chain)
    chain.add_argument("entity", metavar="ENTITY", help="this entity, and those under it: order also takes order:7")
    chain.add_argument("--lane", type=_count, metavar="N", help="this lane only")
    chain.add_argument("--payloads", action="store_true", help="hash every payload too")


def _add_compact(commands: Any) -> None:
    compact = _command(
        commands,
        "compact",
        "what a compaction would do, counted before it is done",
        "Plans a compaction of every segment but the last, and prints what would stay, what would go, and what that\n"
        "breaks. A dry run: nothing is changed without --apply. Several --keep keep what any of them keeps.\n\n"
        "rules:\n"
        "  kinds=0x1001,0x1002     events of these kinds\n"
        "  entities=order,user:7   these entities, and those under them\n"
        "  last=5                  the last 5 events of each entity\n"
        "  newer-than=30d          younger than that at the newest event; also 12h, a time, or a sequence\n"
        "  where='payload.n > 0'   a condition on a column\n"
        "  chain-heads             the last event of each (entity, lane)\n"
        "  not:RULE, @rule.json    its opposite; a rule in its JSON form\n\n"
        "examples:\n"
        "  batpak compact data/store\n"
        "  batpak compact data/store --strategy retention --keep newer-than=90d --keep last=1 --with-causes\n"
        "  batpak compact data/store --strategy retention --keep last=10 --save plan.json\n"
        "  batpak compact data/store --plan plan.json --apply\n\n"
        "exit code:\n"
        "  0  it was done, or could be, or is skipped\n"
        "  1  it is refused, or failed with every event as it was\n"
        "  2  the store could not be read, or opened for writing; or the plan does not fit it any more",
        _run("compact", "compact"),
    )
    _add_path(compact)
    add = compact.add_argument
    add(
        "--strategy",
        choices=STRATEGIES,
        default="merge",
        help="keep all, drop, or mark what is not kept (default merge)",
    )
    add("--keep", action="append", default=[], metavar="RULE", help="what stays as it is; may be repeated")
    add("--with-causes", action="store_true", help="keep the causes of what stays too")
    add("--whole-correlations", action="store_true", help="tear no correlation apart")
    add("--system", action="store_true", help="judge the store's own events too")
    add("--tombstone-encrypted", action="store_true", help="mark encrypted events, which nobody can decrypt then")
    add("--min-segments", type=_count, default=2, metavar="N", help="skip it with fewer segments (default 2)")
    add("--sample", type=float, metavar="SHARE", help="estimate from a share of the events, such as 0.05")
    add("--save", metavar="FILE", help="also write the plan, as JSON, outside the store")
    add("--plan", metavar="FILE", help="a plan that was saved, instead of a new one")
    add("--apply", action="store_true", help="do it; takes the store's lock")
    add("--json", action="store_true", help="print the summary as JSON")


def _add_snapshot(commands: Any) -> None:
    snapshot = _command(
        commands,
        "snapshot",
        "copy a store to a new directory, while it may be written",
        "Copies what is there now, without a lock: the last segment is cut behind its last whole event, and every\n"
        "segment of the copy has a footer, so that both engines see the same events and numbers. The copy appears\n"
        "under its name when it is whole and on disk.\n\n"
        "example:\n"
        "  batpak snapshot data/store backup/monday",
        _run("copies", "snapshot"),
    )
    _add_copy(snapshot)


def _add_fork(commands: Any) -> None:
    fork = _command(
        commands,
        "fork",
        "as snapshot, but sharing the files that never change",
        "Sealed segments get a second name (or share blocks, where the file system can) instead of a copy. Either\n"
        "store can then be written and compacted without the other noticing.\n\n"
        "example:\n"
        "  batpak fork data/store data/what-if",
        _run("copies", "fork"),
    )
    _add_copy(fork)
    fork.add_argument("--copy", choices=("reflink", "hardlink", "copy"), default="reflink",
                      help="what to try first (default reflink, then hardlink, then copy)")  # fmt: skip
    fork.add_argument("--with-caches", action="store_true", help="take along a true index image")


def _add_copy(parser: argparse.ArgumentParser) -> None:
    _add_path(parser)
    parser.add_argument("dest", metavar="DEST", help="the copy: a path that does not exist yet")
    parser.add_argument("--exclude-keys", action="store_true", help="copy a store that seals payloads, without keys")
    parser.add_argument("--json", action="store_true", help="print the report with its evidence as JSON")


def _add_import(commands: Any) -> None:
    importing = _command(
        commands,
        "import",
        "append the events of another store, each once",
        "Opens PATH for writing, and appends the events of SOURCE that were not imported under this namespace yet,\n"
        "by whichever engine. If it is stopped, run it again: it goes on.\n\n"
        "example:\n"
        "  batpak import data/store other/store --namespace shop-2 --entity order",
        _run("copies", "import_"),
    )
    _add_path(importing)
    add = importing.add_argument
    add("source", metavar="SOURCE", help="the store whose events are appended to PATH")
    add("--namespace", required=True, metavar="NAME", help="names the source, the same each time")
    add("--entity", metavar="NAME", help="this entity, and those under it: order also takes order:7")
    add("--kind", type=_kind, action="append", metavar="KIND", help="0xF001 or 61441; may be repeated")
    add("--after", type=_count, metavar="N", help="events after this sequence of the source")
    add("--chunk-size", type=_count, default=256, metavar="N", help="events written together (default 256)")
    add("--lanes", action="store_true", help="keep lanes and depths; otherwise all go to lane 0")
    add("--clear-causes", action="store_true", help="keep no causes, as batpak does")
    add("--skip-encrypted", action="store_true", help="leave out sealed events instead of refusing")
    add("--json", action="store_true", help="print the report as JSON")


def _command(
    commands: Any, name: str, summary: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def _run(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """A command that is imported when it runs, so that ``--help`` and usage errors stay quick."""

    def run(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        code: int = getattr(import_module(f"batpak_analytics.cli.{module}"), name)(arguments)
        return code

    return run


def _add_path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the store: a directory with *.fbat files")


def _add_selection(parser: argparse.ArgumentParser, *, payload: str | None) -> None:
    """The filters and columns that ``read_batpak`` takes, under the same names."""
    add = parser.add_argument_group("what to read").add_argument
    add(
        "--columns",
        type=_names,
        metavar="A,B",
        help="'all', or names such as entity,wall_time,payload.amount",
    )
    add("--entity", metavar="NAME", help="this entity, and those under it: order also takes order:7")
    add("--scope", metavar="NAME", help="this scope exactly")
    add("--kind", type=_kind, action="append", metavar="KIND", help="0xF001 or 61441; may be repeated")
    add("--lane", type=_count, metavar="N", help="this lane")
    add("--since", type=_moment, metavar="TIME", help="from this time on: 2026-03-01T00:00:00Z")
    add("--until", type=_moment, metavar="TIME", help="before this time")
    add("--as-of", type=_position, metavar="AT", help="as the store was at a sequence, event id or time")
    add("--system", action="store_true", help="also the store's own open and close events")
    chosen = f" (default {payload})" if payload else " (default columns; json for .jsonl)"
    add("--payload", choices=PAYLOAD_MODES, default=payload, help="how to give payloads" + chosen)
    add("--on-damage", choices=("report", "raise"), default="report", help="read what can be proven, or stop")


def _names(text: str) -> str | list[str]:
    return text if text == "all" else [name.strip() for name in text.split(",") if name.strip()]


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _kind(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a kind; write 0x0000 to 0xFFFF")
    return value


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 2026-03-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write {moment.isoformat()}Z for UTC")
    return moment


def _position(text: str) -> int | str | datetime:
    """A sequence (digits), an event id (32 hex digits, dashes allowed), or else a time."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", text.replace("-", "")):
        return text
    return int(text) if text.isdecimal() else _moment(text)


def _complain(message: str, code: int) -> int:
    print(f"batpak: error: {one_line(message)}", file=sys.stderr)
    return code


def one_line(text: object) -> str:
    """The text without line breaks and runs of spaces."""
    return " ".join(str(text).split())


@contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"batpak: warning: {one_line(message)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
