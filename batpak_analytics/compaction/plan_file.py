"""The text form of a plan: JSON that a person can review, with a CRC-32C over its canonical form."""

from __future__ import annotations

import json
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import crc32c

from batpak_analytics.compaction.plan import STRATEGIES, CompactionPlan, PlanSource, PlanSummary
from batpak_analytics.compaction.ranges import Ranges
from batpak_analytics.compaction.rules import Rule, rule_from_json, says_all
from batpak_analytics.errors import CompactionPlanError
from batpak_analytics.format.layout import HASH_SIZE, ID_SIZE

FORMAT = "batpak-compaction-plan"
VERSION = 1


def body_of(plan: CompactionPlan) -> dict[str, Any]:
    """Everything that the plan is, as JSON values."""
    return {
        "strategy": plan.strategy,
        "outcome": plan.outcome,
        "refusals": list(plan.refusals),
        "min_segments": plan.min_segments,
        "active_segment_id": plan.active_segment_id,
        "keep": None if plan.keep is None else json.loads(plan.keep),
        "ids": None if plan.ids is None else _ids(plan.ids),
        "system": plan.system,
        "tombstone_encrypted": plan.tombstone_encrypted,
        "sampled": plan.sampled,
        "summary": asdict(plan.numbers),
        "sources": [
            {
                "segment_id": one.segment_id,
                "name": one.name,
                "size_bytes": one.size_bytes,
                "blake3": one.digest.hex(),
                "events": one.events,
                "struck": one.struck.steps,
            }
            for one in plan.sources
        ],
    }


def canonical(value: Any) -> str:
    """The one text of a JSON value: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_text(plan: CompactionPlan) -> str:
    """The text that `CompactionPlan.digest` is the hash of."""
    return canonical({"format": FORMAT, "version": VERSION, "plan": body_of(plan)})


def text_of(plan: CompactionPlan) -> str:
    """The file's text: one field a line, the long ones in one line each."""
    body = body_of(plan)
    lines = [f"    {json.dumps(name)}: {canonical(value)}" for name, value in body.items() if name != "sources"]
    sources = ",\n".join(f"      {canonical(one)}" for one in body["sources"])
    lines.append(f'    "sources": [\n{sources}\n    ]')
    plan_text = ",\n".join(lines)
    return (
        f'{{\n  "format": "{FORMAT}",\n  "version": {VERSION},\n  "crc32c": "{checksum(body)}",\n'
        f'  "plan": {{\n{plan_text}\n  }}\n}}\n'
    )


def checksum(body: dict[str, Any]) -> str:
    """CRC-32C of the canonical text of the plan's values, in hexadecimal digits."""
    return f"{crc32c.crc32c(canonical(body).encode()):08x}"


def save(plan: CompactionPlan, path: str | PathLike[str]) -> Path:
    """Write the text of a plan to a file."""
    target = Path(path)
    target.write_text(text_of(plan), encoding="utf-8", newline="\n")
    return target


def load(path: str | PathLike[str]) -> CompactionPlan:
    """Read one from a file; `CompactionPlanError` where it is none."""
    try:
        text = Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _unusable(path, f"it is no UTF-8 ({error})") from error
    return parse(text, path)


def parse(text: str, path: Any = None) -> CompactionPlan:
    """A plan from its text; `CompactionPlanError` where it is none."""
    try:
        whole = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"it is no JSON ({error})") from error
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise _unusable(path, f"it does not say that it is a {FORMAT}")
    if whole.get("version") != VERSION:
        raise CompactionPlanError(
            f"{path or 'The plan'} has version {whole.get('version')!r}, and this package reads {VERSION}. Update "
            f"batpak-analytics, or plan again.",
            path=path, expected=VERSION, actual=whole.get("version"),
        )  # fmt: skip
    body = whole.get("plan")
    try:
        if not isinstance(body, dict) or checksum(body) != whole.get("crc32c"):
            raise _unusable(path, "its checksum is wrong: it was changed or damaged")
        return _plan(body)
    except CompactionPlanError:
        raise
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        raise _unusable(path, f"something in it cannot be ({type(error).__name__}: {error})") from error


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _plan(body: dict[str, Any]) -> CompactionPlan:
    sources = tuple(
        PlanSource(
            _count(one["segment_id"]), _text(one["name"]), _count(one["size_bytes"]),
            _digest(one["blake3"]), _count(one["events"]), Ranges.from_steps([_count(step) for step in one["struck"]]),
        )
        for one in body["sources"]
    )  # fmt: skip
    if body["strategy"] not in STRATEGIES or body["outcome"] not in ("ready", "skipped", "refused"):
        raise ValueError(f"strategy {body['strategy']!r}, outcome {body['outcome']!r}")
    if [one.segment_id for one in sources] != sorted({one.segment_id for one in sources}):
        raise ValueError("the sources do not ascend")
    return CompactionPlan(
        strategy=body["strategy"],
        outcome=body["outcome"],
        min_segments=_count(body["min_segments"]),
        active_segment_id=_count(body["active_segment_id"]),
        sources=sources,
        keep=None if body["keep"] is None else canonical(body["keep"]),
        numbers=_numbers(body["summary"]),
        refusals=tuple(map(_text, body["refusals"])),
        ids=None if body["ids"] is None else b"".join(map(_id, body["ids"])),
        system=_flag(body["system"]),
        tombstone_encrypted=_flag(body["tombstone_encrypted"]),
        sampled=_share(body["sampled"]),
        rule=_rule(body["keep"]),
    )


def _numbers(values: dict[str, Any]) -> PlanSummary:
    share = _share(values["estimated_from"])
    for name, value in values.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and (value >= 0 or name == "bytes_net")
        if name != "estimated_from" and value is not None and not whole:
            raise ValueError(f"{name} is {value!r}")
    return PlanSummary(**values | {"estimated_from": share})


def _share(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no share")
    return float(value)


def _rule(form: Any) -> Rule | None:
    """The rule, where its form says all of it; one that says too little was judged by the ids."""
    return None if form is None or not says_all(form) else rule_from_json(form)


def _ids(ids: bytes) -> list[str]:
    text = ids.hex()
    return [text[at : at + 2 * ID_SIZE] for at in range(0, len(text), 2 * ID_SIZE)]


def _id(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != ID_SIZE:
        raise ValueError(f"{text!r} is no event id")
    return found


def _digest(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != HASH_SIZE:
        raise ValueError(f"{text!r} is no BLAKE3")
    return found


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _unusable(path: Any, why: str) -> CompactionPlanError:
    return CompactionPlanError(
        f"{path or 'The text'} is no compaction plan: {why}. Plan again with plan_compaction().", path=path
    )
