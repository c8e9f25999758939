"""Damage of every sort: `verify` ends with a report, finds what was flipped, and anchors still hold it to account."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

import batpak_analytics as bp
from batpak_analytics.format.segment import read_segment_header
from tests.conftest import FIXTURES

HIDING = "visibility_ranges.fbv"  # what it says must be known: the open refuses, as it should
STORES = ("segments", "hidden", "crash", "retention", "encrypted")


def damaged(random: Random, store: Path) -> None:
    """Flip, cut, fill or double part of a random file."""
    path = random.choice(sorted(one for one in store.iterdir() if one.is_file() and one.name != HIDING))
    data = bytearray(path.read_bytes())
    at = random.randrange(len(data) + 1)
    size = random.choice([1, 8, 200, 5000])
    what = random.randrange(4)
    if what == 0 and at < len(data):
        data[at] ^= 1 << random.randrange(8)
    elif what == 1:
        del data[at:]
    elif what == 2:
        data[at : at + size] = bytes(min(size, len(data) - at))
    else:
        data[at:at] = data[at : at + size]
    path.write_bytes(data)


@pytest.mark.parametrize("name", STORES)
def test_whatever_the_damage_there_is_a_report(name: str, tmp_path: Path) -> None:
    sound = bp.open_reader(FIXTURES / name).verify("index")
    checkpoint = sound.checkpoint(leaves=tmp_path / "leaves")
    for seed in range(40):
        random = Random(seed)
        store = Path(shutil.copytree(FIXTURES / name, tmp_path / f"{name}-{seed}"))
        for _ in range(random.choice([1, 1, 3])):
            damaged(random, store)
        reader = bp.open_reader(store)
        report = reader.verify(against=checkpoint, leaves=tmp_path / "leaves")
        assert report.verdict in ("verified", "broken")
        assert len(report.findings()) == len(report.faults.listed) and str(report)
        assert (
            reader.chains(check_payloads=True).to_arrow().num_rows == reader.chain_summary().to_pandas()["length"].sum()
        )
        assert reader.segments().to_arrow().num_rows == len(reader.view.segments)
        if report.verdict == "verified":
            assert report.leaves[: checkpoint.size].tobytes() == sound.leaves.tobytes()
        shutil.rmtree(store)


def test_every_flipped_byte_behind_the_file_header_is_found(tmp_path: Path) -> None:
    random = Random(7)
    for number in range(150):
        store = Path(shutil.copytree(FIXTURES / "segments", tmp_path / str(number)))
        path = random.choice(sorted(store.glob("*.fbat")))
        data = bytearray(path.read_bytes())
        at = random.randrange(read_segment_header(data).frames_start, len(data))
        data[at] ^= 1 << random.randrange(8)
        path.write_bytes(data)
        report = bp.open_reader(store).verify("frames")
        assert report.faults.severities["error"] + report.faults.severities["warning"], (path.name, at)
        shutil.rmtree(store)
