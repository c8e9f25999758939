"""``snapshot``, ``fork`` and ``import`` as a user meets them: what they print, leave behind, and exit with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import batpak_analytics as bp
from batpak_analytics.cli import main
from tests.conftest import FIXTURES
from tests.store.copy_cases import KIND


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "segments", tmp_path / "store"))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("kind", ["snapshot", "fork"])
def test_a_copy_is_made_beside_a_writer_and_its_evidence_printed(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    before = bp.read_batpak(store)
    with bp.Store.open(store):
        code, out, err = run(capsys, kind, store, tmp_path / "copy")
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'copy'}: 125 events in ") and out.count("\n") == 1
    assert ("shared" in out) == (kind == "fork")
    assert bp.read_batpak(tmp_path / "copy").equals(before)
    code, out, _ = run(capsys, kind, store, tmp_path / "other", "--json")
    report = json.loads(out)
    assert report["body_hash"] != "" and report["events"] == 126
    body = report["evidence"]["body"]
    digest = body["destination_path_digest"]
    assert len(digest) == 64 and {"index.idemp"} < {one["name"] for one in report["files"]}
    assert all(isinstance(one, dict) for one in body["findings"])


def test_a_copy_that_cannot_be_made_is_one_line_and_exit_code_2(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dest in (store / "copy", store, tmp_path / "missing" / "copy"):
        code, out, err = run(capsys, "snapshot", store, dest)
        assert (code, out) == (2, "") and err.startswith("batpak: error: ") and err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_keys_stay_behind_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "fork", FIXTURES / "encrypted", tmp_path / "copy", "--copy", "copy")
    assert code == 2 and "keys" in err
    code, out, _ = run(capsys, "fork", FIXTURES / "encrypted", tmp_path / "copy", "--copy", "copy", "--exclude-keys")
    assert code == 0 and "shared" not in out
    assert not (tmp_path / "copy" / "keyset.fbatk").exists()


def test_an_index_image_is_taken_along_when_asked(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "fork", store, tmp_path / "one")[0] == 0
    assert run(capsys, "fork", store, tmp_path / "two", "--with-caches")[0] == 0
    assert not (tmp_path / "one" / "index.fbati").exists() and (tmp_path / "two" / "index.fbati").exists()


def test_an_import_says_what_is_new_and_what_was_not(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "import", tmp_path / "mine", store, "--namespace", "src")
    assert (code, err) == (0, "")
    assert out.startswith("120 events imported; not imported: ") and "the source's own" in out
    assert "go on with --after 123" in out
    code, out, _ = run(capsys, "import", tmp_path / "mine", store, "--namespace", "src", "--json")
    report = json.loads(out)
    assert (code, report["imported"], report["deduplicated"]) == (0, 0, 120)
    options = ("--entity", "order:1", "--kind", "0x1001", "--after", "60", "--lanes", "--clear-causes")
    code, out, _ = run(capsys, "import", tmp_path / "other", store, "--namespace", "src", *options, "--chunk-size", 3)
    assert code == 0 and "cause" not in out


def test_a_cause_that_is_not_here_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bp.Store.open(tmp_path / "source") as source:
        cause = source.append("left:1", "shop", KIND, 1).event_id
        source.append("order:1", "shop", KIND, 2, causation_id=cause)
    command = ("import", tmp_path / "mine", tmp_path / "source", "--namespace", "src", "--entity", "order")
    code, out, _ = run(capsys, *command)
    assert code == 0 and "1 cause dropped" in out


def test_sealed_events_are_skipped_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("import", tmp_path / "mine", FIXTURES / "encrypted", "--namespace", "src")
    code, _, err = run(capsys, *command)
    assert code == 2 and "sealed" in err
    code, out, _ = run(capsys, *command, "--skip-encrypted")
    assert code == 0 and "sealed" in out


def test_a_source_that_is_none_leaves_no_store_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "import", tmp_path / "mine", tmp_path / "nowhere", "--namespace", "src")
    assert code == 2 and "does not exist" in err
    assert not (tmp_path / "mine").exists()
