"""The reference engine as a program: it writes, dumps, grows, compacts and times real stores.

``oracle/`` is a small Rust program on the batpak crate. It is built with cargo on first use.
Opening a store takes its lock and leaves files behind, so `Oracle.dump` reads a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

from tests.interop.rows import Row, parse_rows

PROGRAM = Path(__file__).resolve().parent / "oracle"
BUILD_SECONDS = 1800
RUN_SECONDS = 900
REFUSED = 3


class OracleUnavailable(Exception):
    """The program cannot be built here."""


class OracleFailed(Exception):
    """The program ran and reported an error."""


class OracleRefused(OracleFailed):
    """The engine does not open this store."""


def interop_required() -> bool:
    """Whether a missing cargo is an error rather than a reason to skip."""
    return os.environ.get("BATPAK_REQUIRE_INTEROP") == "1"


@dataclass(frozen=True)
class RandomStore:
    """One store of `Oracle.write_many`, with its history and what the engine reads from it."""

    seed: int
    path: Path
    rounds: list[dict[str, Any]]
    refusal: str | None

    def rows(self) -> list[Row]:
        """The engine's own answer, in commit order."""
        return parse_rows(self.path.with_suffix(".jsonl").read_text(encoding="utf-8"))

    def did(self, what: str) -> int:
        """How often an operation occurred, over all rounds."""
        return sum(round_.get("did", {}).get(what, 0) for round_ in self.rounds)

    @property
    def last_end(self) -> str | None:
        """How the last round ended: Close, Drop, Crash, CrashInFence or CloseInFence."""
        end: str | None = self.rounds[-1].get("end")
        return end


@dataclass(frozen=True)
class Oracle:
    """The built program."""

    binary: Path

    @classmethod
    def build(cls) -> Oracle:
        """Build the program, or raise `OracleUnavailable` with the reason."""
        cargo = shutil.which("cargo")
        if cargo is None:
            raise OracleUnavailable("cargo is not installed; install Rust 1.92 or later to compare with batpak 0.9.0")
        manifest = PROGRAM / "Cargo.toml"
        command = [cargo, "build", "--release", "--locked", "--quiet", "--manifest-path", str(manifest)]
        built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if built.returncode != 0:
            raise OracleUnavailable(f"the reference program does not build:\n{built.stderr[-2000:]}")
        target = Path(os.environ.get("CARGO_TARGET_DIR", PROGRAM / "target"))
        return cls(target / "release" / "batpak-oracle")

    def run(self, *arguments: object) -> str:
        """Run one command and return what it printed."""
        command = [str(self.binary), *map(str, arguments)]
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=RUN_SECONDS, check=False)
        if ran.returncode != 0:
            failure = OracleRefused if ran.returncode == REFUSED else OracleFailed
            raise failure(f"{' '.join(command[1:])}: {ran.stderr.strip()}")
        return ran.stdout

    def _report(self, *arguments: object) -> Any:
        return json.loads(self.run(*arguments))

    def profiles(self) -> list[str]:
        """The names `write` knows."""
        names: list[str] = self._report("profiles")
        return names

    def write(self, profile: str, directory: Path, **options: int) -> Any:
        """Write a named store (options: seed, events, segment_bytes); returns a compaction's report or None."""
        return self._report("write", profile, directory, *_flags(options))

    def bulk(self, directory: Path, *, events: int, segment_bytes: int, **options: int) -> Any:
        """Write many everyday events of one shape, fast (options: seed, payload_bytes, entities, batch, wait)."""
        return self._report("bulk", directory, *_flags({"events": events, "segment_bytes": segment_bytes, **options}))

    def write_random(self, seed: int, directory: Path) -> list[dict[str, Any]]:
        """Write one seeded random store and return its history, one entry per round."""
        rounds: list[dict[str, Any]] = self._report("write", "random", directory, "--seed", seed)["rounds"]
        return rounds

    def write_many(self, seeds: range, directory: Path) -> list[RandomStore]:
        """Write the stores of consecutive seeds, with their dumps, in one run."""
        self.run("write-many", directory, "--from", seeds.start, "--to", seeds.stop)
        return [_random_store(directory / f"seed-{seed}") for seed in seeds]

    def dump_text(self, store: Path, granularity: int | None = None) -> str:
        """What the engine reads from a copy, as JSON lines; raises `OracleRefused` where it cannot open it."""
        flags = [] if granularity is None else ["--granularity", granularity]
        with tempfile.TemporaryDirectory() as scratch:
            copy = copy_store(store, Path(scratch) / "copy")
            return self.run("dump", copy, *flags)

    def dump(self, store: Path, granularity: int | None = None) -> list[Row]:
        """`dump_text`, parsed."""
        return parse_rows(self.dump_text(store, granularity))

    def ask(self, store: Path, questions: Sequence[dict[str, Any]]) -> list[Any]:
        """What the engine's queries on a copy of the store give; `queries.rs` says what can be asked."""
        with tempfile.TemporaryDirectory() as scratch:
            return self._answers(["queries", copy_store(store, Path(scratch) / "copy")], questions)

    def project(self, store: Path, lines: Sequence[Any], **options: Any) -> list[Any]:
        """Take the steps and answer the runs of `project.rs`, in the store itself (cache, incremental, clock_us)."""
        return self._answers(["project", store, *_flags(options)], lines)

    def _answers(self, arguments: Sequence[object], lines: Sequence[Any]) -> list[Any]:
        """What a command prints for JSON lines on its stdin, parsed."""
        asked = "".join(json.dumps(line) + "\n" for line in lines)
        command = [str(self.binary), *map(str, arguments)]
        ran = subprocess.run(
            command, input=asked, capture_output=True, encoding="utf-8", timeout=RUN_SECONDS, check=False
        )
        if ran.returncode != 0:
            raise OracleFailed(f"{' '.join(command[1:])}: {ran.stderr.strip()}")
        return [json.loads(line) for line in ran.stdout.split("\n") if line]  # text may hold other ends of lines

    def marks(self, directory: Path) -> list[dict[str, Any]]:
        """What is visible, and where the watermarks are, after each step of `marks.rs`."""
        steps: list[dict[str, Any]] = self._report("marks", directory)
        return steps

    def append(self, store: Path, **options: int | str) -> Any:
        """Add events (options: seed, events, segment_bytes, odd, fences, shared_keys, end="close" | "drop" | ...)."""
        return self._report("append", store, *_flags(options))

    def compact(self, store: Path, strategy: str, **options: str) -> Any:
        """Compact by merge, retention or tombstone; the last two strike one entity (option: strike), or the events
        whose ids are in a file, one a line (option: strike_ids).
        """
        return self._report("compact", store, "--strategy", strategy, *_flags(options))

    def snapshot(self, store: Path, destination: Path, **options: str) -> Any:
        """The engine's own snapshot and its report (options: keys="exclude", end="close" | "drop")."""
        return self._report("snapshot", store, destination, *_flags(options))

    def fork(self, store: Path, destination: Path, **options: str) -> Any:
        """The engine's own fork, its report and its wire form (options: copy, caches="keep", keys, end)."""
        return self._report("fork", store, destination, *_flags(options))

    def import_events(self, store: Path, source: Path, namespace: str, **options: int | str) -> Any:
        """The engine's own import, from another store or from itself (options: entity, after, chunk, end)."""
        return self._report("import", store, source, "--namespace", namespace, *_flags(options))

    def verify(self, store: Path) -> Any:
        """What the engine says of all content hashes and links of a copy."""
        with tempfile.TemporaryDirectory() as scratch:
            return self._report("verify", copy_store(store, Path(scratch) / "copy"))

    def bench(self, store: Path) -> dict[str, float]:
        """Seconds the engine takes to open, query everything and get every event."""
        report: dict[str, float] = self._report("bench", store)
        return report

    def graph(self, directory: Path, *, events: int, segment_bytes: int, **options: int) -> Any:
        """Write many events that cause each other (options: seed, entities, roots, in percent)."""
        return self._report("graph", directory, *_flags({"events": events, "segment_bytes": segment_bytes, **options}))

    def open_seconds(self, store: Path) -> float:
        """Seconds the engine takes to open a store for reading."""
        report: dict[str, float] = self._report("open", store)
        return report["open_seconds"]

    def totals(self, store: Path, entity: str) -> dict[str, Any]:
        """A projection of one entity of a `bulk` store: seconds, and the state. Opening takes the lock: pass a copy."""
        report: dict[str, Any] = self._report("totals", store, "--entity", entity)
        return report

    def verify_chain(self, store: Path) -> dict[str, Any]:
        """Seconds for open and `verify_chain`, and its report; raises `OracleRefused` where it cannot open the store.

        Opening takes the store's lock: pass a copy.
        """
        report: dict[str, Any] = self._report("verify-chain", store)
        return report

    @contextmanager
    def live(self, directory: Path, **options: int | str | Path) -> Iterator[subprocess.Popen[str]]:
        """An application that writes while the block runs; its stdout has one JSON line per stretch of work.

        With `ask=1` it waits for a line on its stdin before each compaction.
        """
        command = [str(self.binary), "live", str(directory), *map(str, _flags(options))]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, encoding="utf-8") as process:
            try:
                yield process
            finally:
                process.kill()


def _flags(options: dict[str, Any]) -> Sequence[object]:
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]


def _random_store(path: Path) -> RandomStore:
    notes = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return RandomStore(notes["seed"], path, notes["rounds"], notes["dump_error"])


def copy_store(store: Path, copy: Path) -> Path:
    """A writable copy: stores that are kept may be read-only."""
    shutil.copytree(store, copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    return copy
