"""What the payload columns of a selection are: one counted pass over its payloads, remembered by the view."""

from __future__ import annotations

from typing import Any

import numpy as np

from batpak_analytics.arrow.chunks import Chunk, chunks
from batpak_analytics.arrow.decode import Decoder, FrameFindings, Needs
from batpak_analytics.arrow.options import Step
from batpak_analytics.arrow.payload import PayloadInference, PayloadPlan
from batpak_analytics.arrow.selection import Selection
from batpak_analytics.arrow.windows import release_pages
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.model import Finding

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
    found = known_plan(view, key)
    if found is None:
        # Two threads may both compute it: the results are equal and storing one is atomic.
        found = _infer(view, selection, limit, step)
        remember_plan(view, key, found)
    return found


def known_plan(view: Any, key: tuple[Any, ...]) -> PayloadPlan | None:
    """The plan for a selection that was looked at before."""
    found: PayloadPlan | None = view.cache.get(("payload-plan", key))
    return found


def _infer(view: Any, selection: Selection, limit: int | None, step: Step) -> PayloadPlan:
    decoder = Decoder(view, Needs(payload=True))

    def look(chunk: Chunk) -> tuple[Chunk, PayloadInference, list[Finding]]:
        part = PayloadInference()
        return chunk, part, look_at(decoder, chunk, part)

    whole, findings = PayloadInference(), FrameFindings(view)
    with view.pinned():
        for chunk, part, found in in_order(look, chunks(view, selection, ROWS_AT_ONCE, frames=True, limit=limit)):
            if not whole.merge(part):
                look_at(decoder, chunk, whole)
            findings.take(found)
            release_pages(view, chunk)
            step(chunk.count)
    return whole.finish()


def look_at(decoder: Decoder, chunk: Chunk, inference: PayloadInference) -> list[Finding]:
    """Show the payloads of one chunk to `inference`; what was wrong with single frames."""
    decoded = decoder.decode(chunk)
    inference.update(decoded.data, decoded.offsets, (decoded.ok & ~decoded.encrypted).astype(np.uint8))
    return decoded.findings


def remember_plan(view: Any, key: tuple[Any, ...], plan: PayloadPlan) -> None:
    """Keep a plan for the next scan of the same selection."""
    kept = [k for k in list(view.cache) if isinstance(k, tuple) and k[0] == "payload-plan"]
    for old in kept[: max(len(kept) - MAX_PLANS + 1, 0)]:
        view.cache.pop(old, None)
    view.cache["payload-plan", key] = plan
