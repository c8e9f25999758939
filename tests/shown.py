"""Everything that a notebook shows of values and widgets, as text that two runs or two Pythons must agree on.

``python -m tests.shown`` prints it. The stores are those of the Rust engine and a hostile one: no clock is in them.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from tests.hostile import HOSTILE, write_hostile

FIXTURES = Path(__file__).resolve().parent / "fixtures"
STORES = ("quickstart", "segments", "lanes", "hidden", "crash", "retention", "tombstone", "untouched")


class Failing:
    """A projection that takes no event, and says so in the words of the store."""

    def initial(self) -> int:
        return 0

    def apply(self, state: int, event: Any) -> int:
        raise KeyError(f"{event.entity}: {event.payload}")


SUMS = bp.vectorised(lambda df: df["global_sequence"].cumsum(), columns=["global_sequence"], initial=0)


def _diff(replay: bp.Replay) -> Any:
    return replay.diff(0, min(3, len(replay)))


VALUES: dict[str, Callable[[bp.Reader], Any]] = {
    "Reader": lambda reader: reader,
    "Scan": lambda reader: reader.events(),
    "Explanation": lambda reader: reader.events(entity=HOSTILE).explain(),
    "Event": lambda reader: reader.get(reader.query(bp.Region(entity=HOSTILE))[0].event_id),
    "Entries": lambda reader: reader.query(),
    "Causes": lambda reader: reader.causes(),
    "CausalNodes": lambda reader: reader.causal_nodes(),
    "Correlations": lambda reader: reader.correlations(),
    "GraphPlan": lambda reader: reader.causes().explain(),
    "Chains": lambda reader: reader.chains(),
    "ChainSummary": lambda reader: reader.chain_summary(),
    "Segments": lambda reader: reader.segments(),
    "Replay": lambda reader: reader.replay(bp.Last(by="entity")),
    "Diff": lambda reader: _diff(reader.replay(bp.Last(by="entity"))),
    "ReplayEvents": lambda reader: reader.replay(bp.Count()).events(),
    "VectorReplay": lambda reader: reader.replay(SUMS),
    "PurityReport": lambda reader: reader.replay(Failing()).check(),
    "CompactionPlan": lambda reader: reader.plan_compaction("retention", bp.keep.entities(HOSTILE), min_segments=1),
    "PlanSummary": lambda reader: reader.plan_compaction().summary(),
    "VerifyReport": lambda reader: reader.verify(),
}

WIDGETS: dict[str, Callable[[bp.Reader], Any]] = {
    "CausesWidget": lambda reader: reader.explore(kind_names={0x1001: HOSTILE}),
    "CompactionWidget": lambda reader: reader.what_if(projections=[bp.Count()], min_segments=1),
    "ReplayWidget": lambda reader: reader.replay(bp.Count(by="entity")).widget(kind_names={0x1002: HOSTILE}),
}
OF_HOSTILE_ALONE = ("Explanation", "Event")  # those that ask for its entity


def write_stores(directory: Path) -> list[Path]:
    """Copies of the committed stores, and a hostile one."""
    copied = [Path(shutil.copytree(FIXTURES / name, directory / name)) for name in STORES]
    return [*copied, write_hostile(directory / "<b>&")]


def shown(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name, plain text and HTML of everything shown of a store."""
    for name, make in (VALUES | WIDGETS).items():
        if name in OF_HOSTILE_ALONE and path.name in STORES:
            continue
        value = make(bp.open_reader(path))
        bundle = value._repr_mimebundle_() if name in WIDGETS else {}
        yield name, bundle.get("text/plain", repr(value)), bundle.get("text/html") or value._repr_html_()


def main() -> None:
    """A line of JSON for each thing shown of each store."""
    with tempfile.TemporaryDirectory() as directory:
        for path in write_stores(Path(directory)):
            for one in shown(path):
                line = json.dumps([path.name, *one], ensure_ascii=False)
                sys.stdout.write(line.replace(directory, "DIRECTORY") + "\n")


if __name__ == "__main__":
    main()
