"""What the payload columns of a selection are: one counted pass over its payloads, remembered by the view."""

from __future__ import annotations

from typing import Any

import numpy as np

from batpak_analytics.arrow.chunks import chunks
from batpak_analytics.arrow.decode import Decoder, Needs
from batpak_analytics.arrow.options import Step
from batpak_analytics.arrow.payload import PayloadInference, PayloadPlan
from batpak_analytics.arrow.selection import Selection

ROWS_AT_ONCE = 65_536
MAX_PLANS = 32
"""Plans remembered for one view; the oldest goes first."""


def _ignore(_: int) -> None:
    return None


def payload_plan(
    view: Any, selection: Selection, limit: int | None, key: tuple[Any, ...], step: Step = _ignore
) -> PayloadPlan:
    """The plan for the first `limit` selected rows. `key` names the selection; `step` hears how many rows
    were read.
    """
    found = view.cache.get(("payload-plan", key))
    if found is None:
        # Two threads may both compute it: the results are equal and storing one is atomic.
        found = _infer(view, selection, limit, step)
        _remember(view.cache, ("payload-plan", key), found)
    plan: PayloadPlan = found
    return plan


def _infer(view: Any, selection: Selection, limit: int | None, step: Step) -> PayloadPlan:
    inference = PayloadInference()
    decoder = Decoder(view, Needs(payload=True))
    with view.pinned():
        for chunk in chunks(view, selection, ROWS_AT_ONCE, frames=True, limit=limit):
            decoded = decoder.decode(chunk)
            present = (decoded.ok & ~decoded.encrypted).astype(np.uint8)
            inference.update(decoded.data, decoded.offsets, present)
            step(chunk.count)
    return inference.finish()


def _remember(cache: dict[Any, Any], key: tuple[str, Any], plan: PayloadPlan) -> None:
    kept = [k for k in list(cache) if isinstance(k, tuple) and k[0] == "payload-plan"]
    for old in kept[: max(len(kept) - MAX_PLANS + 1, 0)]:
        cache.pop(old, None)
    cache[key] = plan
