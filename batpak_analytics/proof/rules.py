"""Every rule that `verify` checks: from which level on, what it proves when it holds, and what it leaves open."""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = ("index", "frames", "full")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Its faults are those whose rule is `name`, or begins with `name` and a dash."""

    name: str
    level: str
    proves: str
    leaves_open: str


RULES = (
    Rule(
        "files",
        "index",
        "every segment file could be listed, its header read and its events found",
        "whether a file, or the end of one, is gone",
    ),
    Rule(
        "segment-missing",
        "index",
        "the numbers of the segment files have no hole that a compaction does not explain",
        "segments removed from the end",
    ),
    Rule(
        "sidecar",
        "index",
        "index images, idempotency records, hidden ranges, keys and cursors are whole; no image names a missing event",
        "whether what they say is true: a CRC is no seal",
    ),
    Rule(
        "sequence",
        "index",
        "sequence numbers ascend in the files and along every chain, none is used twice, and none is unaccounted for",
        "events removed from the end, and numbers that were made anew",
    ),
    Rule("event-id", "index", "no two events share an id", "whether an id is the one that was given"),
    Rule(
        "link",
        "index",
        "every event names the hash of the event one clock before it on its entity and lane",
        "all of the header; events cut off the end of a chain; a chain whose hashes were written anew",
    ),
    Rule(
        "clock",
        "index",
        "the wall clock does not run backwards along any chain",
        "whether a time is true",
    ),
    Rule(
        "frame",
        "frames",
        "every frame has its CRC and holds an event",
        "any change whose author computed the CRC again: that is not a secret",
    ),
    Rule(
        "footer-row",
        "frames",
        "every footer row says what its frame says",
        "changes made in both; sequence numbers, which frames do not hold",
    ),
    Rule(
        "header",
        "frames",
        "each header agrees with the rest of its frame: content hash, payload size, wall clock against timestamp",
        "kind, entity, scope, cause, correlation, flags: nothing covers them",
    ),
    Rule(
        "batch",
        "frames",
        "every batch has a BEGIN, as many events as that says, all of one time, and its own COMMIT",
        "which batches a compaction by retention or tombstone took the markers of",
    ),
    Rule(
        "payload",
        "full",
        "BLAKE3 of every stored payload is its event hash",
        "a payload that was changed together with its hash, unless an event behind names the old one",
    ),
    Rule(
        "anchor",
        "index",
        "the events that the checkpoint counts are, byte for byte and in this order, those it was made of",
        "every event behind them, and whatever was wrong when it was made",
    ),
)
RULE_NAMES = tuple(rule.name for rule in RULES)


def applies(rule: Rule, level: str) -> bool:
    """Whether a run of that level checks the rule."""
    return LEVELS.index(rule.level) <= LEVELS.index(level)
