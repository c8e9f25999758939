"""Plans side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

import pandas as pd

from batpak_analytics.compaction.plan import CompactionPlan, PlanSummary

NUMBERS = tuple(one.name for one in fields(PlanSummary) if one.name != "estimated_from")


def compare_plans(plans: Iterable[CompactionPlan] | Mapping[str, CompactionPlan]) -> pd.DataFrame:
    """One row for each plan, in the order given; the index has the names of a mapping, or counts.

    Columns: `strategy`, `outcome` and `keep` (str, the rule in its JSON form; missing for a merge), `estimated_from`
    (Float64, missing where exact), every number of `PlanSummary` (Int64, missing where not known) and `digest` (str, 64
    hexadecimal digits).

    Raises `TypeError` for what is no plan. Cost: nothing is counted again.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> plans = {"merge": reader.plan_compaction(), "old": reader.plan_compaction("retention", bp.keep.newer_than(2))}
    >>> bp.compare_plans(plans)["outcome"].to_dict()
    {'merge': 'skipped', 'old': 'skipped'}
    """
    named = plans if isinstance(plans, Mapping) else dict(enumerate(plans))
    for plan in named.values():
        if not isinstance(plan, CompactionPlan):
            raise TypeError(f"{plan!r:.60} is no plan. Give what plan_compaction() returns.")
    given = list(named.values())
    frame = pd.DataFrame(index=pd.Index(list(named), dtype=None if named else "object"))
    text = str if pd.__version__ >= "3" else "object"
    for name in ("strategy", "outcome", "keep"):
        frame[name] = pd.Series([getattr(plan, name) for plan in given], frame.index, dtype=text)
    estimated = [plan.numbers.estimated_from for plan in given]
    frame["estimated_from"] = pd.Series(pd.array(estimated, dtype="Float64"), frame.index)
    for name in NUMBERS:
        numbers = pd.array([getattr(plan.numbers, name) for plan in given], dtype="Int64")
        frame[name] = pd.Series(numbers, frame.index)
    frame["digest"] = pd.Series([plan.digest.hex() for plan in given], frame.index, dtype=text)
    return frame
