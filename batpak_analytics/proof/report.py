"""What `verify` answers: a verdict of three values, every rule with what it proved, and every fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from batpak_analytics.engine.point_read import id_bytes
from batpak_analytics.errors import AnchorError, EventNotFoundError
from batpak_analytics.format.layout import FRAME_HEADER_SIZE
from batpak_analytics.frames.findings import SEVERITIES
from batpak_analytics.markup import Html, clip, element, folded, joined, plural, table, titled
from batpak_analytics.proof.anchor import Anchored
from batpak_analytics.proof.faults import Faults
from batpak_analytics.proof.inclusion import InclusionProof
from batpak_analytics.proof.known import Known, fingerprint
from batpak_analytics.proof.leaves import LeafFile, leaf_hashes
from batpak_analytics.proof.merkle import inclusion_path, levels, root_of
from batpak_analytics.proof.note import Checkpoint, outside
from batpak_analytics.proof.rows import AllRows
from batpak_analytics.proof.rules import Rule

VERIFIED, UNANCHORED, BROKEN = "verified", "unanchored", "broken"
_SHOWN, _WIDEST, _LONGEST = 10, 200, 1200
HOLDS, IN_DOUBT, FAILS, NOT_CHECKED = "holds", "in doubt", "fails", "not checked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One rule: of how many things it was `checked`, for how many it was `skipped`, and how many faults it has."""

    rule: Rule
    state: str
    checked: int
    skipped: int
    failed: int


@dataclass(frozen=True, eq=False, repr=False)
class VerifyReport:
    """The answer of `Reader.verify`.

    `verdict` is one of three words, and never says more than was proved:

    `verified`
        nothing contradicts itself, and the events that the checkpoint counts are those it was made of. How many
        events that is, and who vouches for the checkpoint, is in `statement`; events behind them are not covered.
    `unanchored`
        nothing contradicts itself, and nothing outside the store says that it is the true history.
    `broken`
        something contradicts itself or the checkpoint; `findings()` says what.
    """

    view: Any = field(repr=False)
    level: str
    outcomes: tuple[Outcome, ...] = field(repr=False)
    faults: Faults = field(repr=False)
    anchored: Anchored | None = field(repr=False)
    skipped_segments: tuple[str, ...] = field(repr=False)
    rows: AllRows = field(repr=False)

    @property
    def events(self) -> int:
        """Committed events of the view, hidden ones included: the leaves of its Merkle tree."""
        return len(self.rows)

    @property
    def covered(self) -> int:
        """How many events, from the first on, a checkpoint covers."""
        return 0 if self.anchored is None else self.anchored.covered

    @property
    def verdict(self) -> str:
        """`verified`, `unanchored` or `broken`."""
        if self.faults.severities["error"]:
            return BROKEN
        return VERIFIED if self.covered else UNANCHORED

    @property
    def statement(self) -> str:
        """The verdict in a sentence that says how far it goes."""
        told = (
            plural(self.faults.severities["error"], "error"),
            plural(self.faults.severities["warning"], "warning"),
        )
        if self.verdict == BROKEN:
            first = next(fault for fault in self.faults.listed if fault.severity == "error")
            return (
                f"broken: {told[0]} and {told[1]}. The first: {first.rule}, {first.meaning}.{self._anchor_sentence()}"
            )
        warned = f" There are {told[1]}." if self.faults.severities["warning"] else ""
        if self.verdict == UNANCHORED:
            return (
                f"unanchored: none of the {self.events} events contradicts another as far as level={self.level!r} "
                f"looks, and nothing outside the store says that they are the true history.{warned}"
            )
        return f"verified:{self._anchor_sentence()}{warned}"

    def _anchor_sentence(self) -> str:
        anchored = self.anchored
        if anchored is None or not anchored.covered:
            return ""
        rest = self.events - anchored.covered
        behind = f" The {rest} events behind them are not covered." if rest else ""
        if anchored.bridge is not None:
            plan = anchored.bridge.plan.hex()
            return (
                f" the store was compacted by plan {plan}, in the word of the key that signed the bridge, and its "
                f"first {anchored.covered} events are those that the compaction left.{behind}"
            )
        return (
            f" the first {anchored.covered} of {self.events} events are byte for byte those of the checkpoint "
            f"{anchored.checkpoint.origin!r} ({anchored.worth}).{behind}"
        )

    def findings(self) -> pd.DataFrame:
        """One row for each fault, errors first.

        `severity` is an ordered category (info < warning < error), `segment` and `offset` are UInt64, `rule`, `event`
        (an id in hex), `expected`, `actual`, `meaning` and `action` (what to do) are str, missing where they do not
        apply. Of one rule at most 1000 are listed.
        """
        return self.faults.frame()

    def rules(self) -> pd.DataFrame:
        """One row for each rule: `rule`, `state`, `checked`, `skipped`, `failed`, `proves` and `leaves_open`.

        `state` is `holds`, `in doubt` (warnings), `fails` (errors) or `not checked`. What a rule `proves` holds only
        where its state is `holds`.
        """
        return pd.DataFrame(
            {
                "rule": [one.rule.name for one in self.outcomes],
                "state": [one.state for one in self.outcomes],
                "checked": [one.checked for one in self.outcomes],
                "skipped": [one.skipped for one in self.outcomes],
                "failed": [one.failed for one in self.outcomes],
                "proves": [one.rule.proves for one in self.outcomes],
                "leaves_open": [one.rule.leaves_open for one in self.outcomes],
            }
        )

    @cached_property
    def leaves(self) -> Any:
        """The leaf hashes of all events as an `(n, 32)` array. Reads every frame once, on first use."""
        return leaf_hashes(self.view)

    def checkpoint(
        self,
        key: Any = None,
        origin: str | None = None,
        leaves: str | PathLike[str] | None = None,
        *,
        despite_errors: bool = False,
    ) -> Checkpoint:
        """A checkpoint of the store as this report saw it; `save` it somewhere else than in the store.

        Parameters
        ----------
        key
            An Ed25519 private key to sign with: 32 bytes, the path of a PEM file, or a key of `cryptography` (the extra
            `crypto`). None leaves it unsigned.
        origin
            Names the store, best as a URL without a scheme; by default the id of the first event.
        leaves
            A file for the leaf hashes (48 bytes an event), with which a later `verify` can name the first event that
            differs.
        despite_errors
            Make one of a broken store too.

        Raises `AnchorError` where the store is broken, or a path lies in it, and `MissingExtraError`. Cost: one pass
        over every frame, about a microsecond an event.
        """
        if self.verdict == BROKEN and not despite_errors:
            raise AnchorError("The store is broken, and a checkpoint would vouch for that. See findings() first.")
        made = Checkpoint(self._origin(origin), self.events, root_of(self.leaves))
        if key is not None:
            made = made.signed(key)
        if leaves is not None:
            LeafFile(self.leaves, self.rows.columns["event_id"]).save(outside(self.view.path, leaves))
        return made

    def _origin(self, origin: str | None) -> str:
        if origin is None:
            return self.rows.event(0) if self.events else "empty"
        if not origin.isprintable() or not origin:
            raise AnchorError(f"origin={origin!r} is no line of text. Give a name such as example.com/orders.")
        return origin

    def prove(self, event_id: Any, checkpoint: Checkpoint | None = None) -> InclusionProof:
        """A proof that one event belongs to `checkpoint` (by default to one of now, unsigned); `save` it.

        Anybody can check it with `verify_inclusion`, without the store. It shows the whole event. Raises
        `EventNotFoundError`, and `AnchorError` where the checkpoint does not fit this store or does not count the
        event.
        """
        wanted = np.frombuffer(id_bytes(event_id), np.uint8)
        found = np.flatnonzero((self.rows.columns["event_id"] == wanted).all(axis=1) & ~self.rows.excluded)
        if not len(found):
            raise EventNotFoundError(f"No visible event has the id {bytes(wanted).hex()}. Take one of this report.")
        index, stamped = int(found[-1]), checkpoint or self.checkpoint(despite_errors=True)
        if index >= stamped.size:
            raise AnchorError(f"The checkpoint counts {stamped.size} events, and this is number {index}. Use a later.")
        tree = levels(self.leaves[: stamped.size])
        if len(tree[0]) != stamped.size or bytes(tree[-1][0]) != stamped.root:
            raise AnchorError("The checkpoint is not one of this store as it is. Verify against it first.")
        segment, row = self.rows.place(index)
        low, length = int(segment.rows["offset"][row]), int(segment.rows["length"][row])
        body = bytes(segment.window(low + FRAME_HEADER_SIZE, low + length))
        return InclusionProof(body, index, tuple(inclusion_path(tree, index)), stamped)

    def known(self) -> Known:
        """A record of the sealed segments that this run, or those before it, found sound; for `verify(known=...)`."""
        if self.level == "index":
            return Known()
        faulty = self.faults.segments
        seen = {
            segment.name: fingerprint(segment) for segment in self.view.segments if segment.segment_id not in faulty
        }
        return Known({name: {"level": self.level, **mark} for name, mark in seen.items() if mark is not None})

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {
            "path": str(self.view.path),
            "level": self.level,
            "verdict": self.verdict,
            "statement": self.statement,
            "events": self.events,
            "covered": self.covered,
            "skipped_segments": list(self.skipped_segments),
            "rules": self.rules().to_dict("records"),
            "findings": [
                {name: getattr(fault, name) for name in fault.__dataclass_fields__} for fault in self.faults.listed
            ],
        }

    def __repr__(self) -> str:
        told = ", ".join(plural(self.faults.severities[one], one) for one in ("error", "warning"))
        return f"VerifyReport({self.verdict}, level={self.level!r}, {self.events:,} events, {told})"

    def _repr_html_(self) -> Html:
        """The statement, each rule with what it leaves open, and the first findings."""
        outcomes = self.outcomes
        listed = sorted(self.faults.listed, key=lambda fault: -SEVERITIES.index(fault.severity))[:_SHOWN]
        rules = {
            "rule": [one.rule.name for one in outcomes],
            "state": [one.state for one in outcomes],
            "checked": [f"{one.checked:,}" for one in outcomes],
            "faults": [f"{one.failed:,}" for one in outcomes],
            "leaves open": [one.rule.leaves_open for one in outcomes],
        }
        names = ("severity", "rule", "segment", "offset", "meaning", "action")
        found = {name: [_cell(getattr(one, name)) for one in listed] for name in names}
        return joined(
            [
                element(
                    "div", titled("VerifyReport", self.view.path, ""), element("div", clip(self.statement, _LONGEST))
                ),
                folded(plural(len(outcomes), "rule"), table(rules)),
                table(found, "The first findings; findings() gives all") if listed else "",
            ]
        )

    def __str__(self) -> str:
        lines = [self.statement, ""]
        for one in self.outcomes:
            skipped = f", {one.skipped} skipped as checked before" if one.skipped else ""
            lines.append(f"{one.state:>11}  {one.rule.name}: {one.rule.proves} ({one.checked} checked{skipped})")
            lines.append(f"{'':>11}  leaves open: {one.rule.leaves_open}")
        return "\n".join(lines)


def _cell(value: Any) -> str | None:
    return None if value is None else clip(value, _WIDEST)
