"""Damage stores case by case and judge what is read; every case is named by kind and number."""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.damage.damages import Damage, case
from tests.damage.judge import frame_is_wanted, judge, judge_raising
from tests.damage.oracle import Remains, Truth
from tests.damage.reading import check_command, data_frame_length, point_read, read
from tests.damage.stores import Store, built_stores, written_stores

EVERY = 25  # one case in so many also goes through `read_batpak`, `get` and the command line


@dataclass
class Tally:
    """Counts of one kind of damage."""

    cases: int = 0
    proven: int = 0
    returned: int = 0
    findings: int = 0
    refused: int = 0
    raised: int = 0
    rules: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Verdict:
    """One judged case: the counts it adds and what is wrong."""

    proven: int
    returned: int
    findings: tuple[str, ...]
    refused: bool
    raised: bool
    wrong: tuple[str, ...]

    def add_to(self, tally: Tally) -> None:
        tally.cases += 1
        tally.proven += self.proven
        tally.returned += self.returned
        tally.findings += len(self.findings)
        tally.refused += self.refused
        tally.raised += self.raised
        tally.rules.update(self.findings)


class Campaign:
    """Cases over a set of stores, in a directory of its own."""

    def __init__(self, directory: Path, seed: int, *, written: bool = True) -> None:
        self.directory, self.seed = directory, seed
        self.stores = built_stores() + (written_stores() if written else [])
        self._on_disk: dict[str, bytes] = {}
        directory.mkdir(exist_ok=True)

    def run(self, kind: str, number: int) -> Verdict:
        """Damage, read and judge case `number` of a kind."""
        damage = case(kind, number, self.seed, self.stores)
        return self.judge(damage, thorough=number % EVERY == 0)

    def judge(self, damage: Damage, *, thorough: bool = False) -> Verdict:
        """Read the damaged copy in every way and compare with what must be there."""
        truth = self.truth(damage.store)
        self.write(damage.files)
        remains = Remains(truth, damage.files)
        report, raising = read(self.directory), read(self.directory, "raise")
        wrong = [*judge(truth, remains, report), *judge_raising(report, raising)]
        if thorough and report.error is None:
            wrong += self._other_ways(truth, remains, [row["event_id"] for row in report.rows])
        return Verdict(
            0 if report.error else sum(remains.proven(event_id) for event_id in truth.rows), len(report.rows),
            tuple(one.rule for one in report.findings), report.error is not None, raising.error is not None,
            tuple(wrong),
        )  # fmt: skip

    def _other_ways(self, truth: Truth, remains: Remains, shown: list[bytes]) -> Iterator[str]:
        """`read_batpak`, `get_raw` and `batpak check` agree with the scan that was judged."""
        length = data_frame_length(self.directory)
        if length != len(shown):
            yield f"read_batpak gives {length} rows, the scan {len(shown)}"
        for event_id, payload in point_read(self.directory, shown).items():
            frames = truth.by_id[event_id]
            if (
                remains.proven(event_id)
                and frame_is_wanted(remains, frames)
                and payload != truth.rows[event_id]["payload"]
            ):
                yield f"get_raw({event_id.hex()}) gives {payload!r}"
        code, said = check_command(self.directory)
        findings = read(self.directory).findings
        serious = any(one.severity != "info" for one in findings)
        if code != (1 if serious else 0):
            yield f"batpak check exits with {code}: {said[-300:]}"

    def truth(self, store: Store) -> Truth:
        """The rows of the sound store, read once."""
        return _truth(store.name, self)

    def sound(self, store: Store) -> Truth:
        self.write(store.files)
        reading = read(self.directory)
        assert reading.error is None, reading.error
        return Truth(store, reading.rows)

    def write(self, files: dict[str, bytes]) -> None:
        """Make the directory hold exactly these files; a changed one is a new file, as no segment ever changes."""
        for name in self._on_disk.keys() - files.keys():
            (self.directory / name).unlink()
        for name, data in files.items():
            if self._on_disk.get(name) != data:
                path = self.directory / name
                path.unlink(missing_ok=True)
                path.write_bytes(data)
        self._on_disk = dict(files)


@functools.lru_cache(maxsize=64)
def _truth(name: str, campaign: Campaign) -> Truth:
    return campaign.sound(next(one for one in campaign.stores if one.name == name))


@contextmanager
def campaign(seed: int, *, written: bool = True) -> Iterator[Campaign]:
    """A campaign in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="batpak-damage-") as directory:
        yield Campaign(Path(directory) / "store", seed, written=written)
