"""`CompactionWidget`: what a compaction would cost, asked before it is done. It applies nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import observe

from batpak_analytics.compaction.states import listed
from batpak_analytics.markup import Html, clip, element, joined, one_line
from batpak_analytics.widgets import plans
from batpak_analytics.widgets.frame import Frame, guarded
from batpak_analytics.widgets.rule_maker import RuleMaker
from batpak_analytics.widgets.toolkit import button, control, fill, html, row, tabs
from batpak_analytics.widgets.turns import TURN, cancel

MOST_SAMPLED, LARGEST_SHARE = 8_000, 0.5
"""An estimate looks at so many events, which takes a blink even where a function judges them."""
SMALL = 10_000
"""A store of no more events is counted exactly at once."""
LONGEST_TOLD = 300
MOST_PLANS = 4
TABS = ("Lost", "Chains", "Causes", "Entities", "Segments", "Suggestions", "Plans")
ASKED_FOR = ("Suggestions", "Plans")
"""Tabs with controls of their own, which the loop alone may set."""


class CompactionWidget(Frame):
    """Ask what a compaction would cost, in a notebook: `reader.what_if()`.

    Another strategy or rule shows an estimate at once, marked as one, and the exact plan when that is counted; of a
    small store the exact plan at once. `plan` is what is shown, a `CompactionPlan`: observe it, look at its tables,
    save it. `plans` are those that were kept by name. The widget applies nothing: its code does.

    Parameters
    ----------
    reader_or_store
        An open `Reader` or `Store`.
    projections
        Objects with ``initial()`` and ``apply(state, event)``: the states that would change are counted.
    keep
        A rule of `bp.keep`, a filter, or a function of an event, to begin with; None for the controls' own.
    min_segments, system
        As in `plan_compaction`.
    kind_names
        Names for kinds, as in `read_batpak`.

    Raises `MissingExtraError` without ipywidgets. Cost: that of `plan_compaction`, in a thread, so that the controls
    stay quick.
    """

    plan = AnyTrait(None, help="the plan that is shown", allow_none=True)

    def __init__(
        self,
        reader_or_store: Any,
        *,
        projections: Iterable[Any] = (),
        keep: Any = None,
        min_segments: int = 2,
        system: bool = False,
        kind_names: Mapping[int, str] | None = None,
    ) -> None:
        # One thread: what nobody waits for any more ends before the next begins, and what has not begun never does.
        self._counting: asyncio.Task[None] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="batpak-count")
        self._reader, self._names = reader_or_store, dict(kind_names or {})
        self._projections = listed(projections)
        self._options = {"min_segments": min_segments, "system": system}
        events = len(reader_or_store.query())
        self._small = events <= SMALL
        self._share = min(LARGEST_SHARE, MOST_SAMPLED / max(events, 1))
        self.plans: dict[str, Any] = {}
        self._drawn: tuple[Any, str, Html] | None = None
        self._suggested: list[Any] = []
        self._taken = self._rule_code = ""
        self._maker = RuleMaker(self._names, keep, self._attempt, self._ask)
        self._numbers = html()
        self._panes = [html() for _ in TABS]
        self._chosen = control("Dropdown", "Suggestion", "What could be kept besides", options=(), width="auto")
        self._take = button("Take it", "Look at the plan that this suggestion makes", self._take_suggestion)
        self._name = control("Text", "Name", "A name for the plan that is shown", width="220px")
        self._keep = button("Keep this plan", "To compare it with others", self._keep_plan)
        super().__init__(joined(["What if ", reader_or_store.path.name, " were compacted?"]), self._parts())
        self._attempt(self._ask)

    def _parts(self) -> list[Any]:
        suggestions = row(self._chosen, self._take, self._panes[5])
        self._tabs = tabs(TABS, [*self._panes[:5], suggestions, row(self._name, self._keep, self._panes[6])])
        self._tabs.observe(lambda _: self._attempt(self._show_pane), "selected_index")
        return [*self._maker.parts, self._numbers, self._tabs]

    def _planned(self, strategy: Any, rule: Any, sample: float | None) -> Any:
        return self._reader.plan_compaction(
            strategy, rule, sample=sample, projections=() if sample else self._projections, **self._options
        )

    def _ask(self) -> None:
        """Another strategy or rule: an estimate now, and the exact plan when it is counted."""
        strategy, (rule, code) = self._maker.strategy, self._maker.made()
        try:
            loop = None if self._small else asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        plan = self._planned(strategy, rule, None if loop is None else self._share)
        # Where no plan was made, what is shown and counted stays.
        self._stop_counting()
        self._taken, self._rule_code, self.plan = "", code, plan
        if loop is not None and plan.sampled is not None:
            self._counting = loop.create_task(self._count(strategy, rule, TABS[self._tabs.selected_index or 0]))

    async def _count(self, strategy: Any, rule: Any, tab: str) -> None:
        """Count exactly, beside the loop."""
        try:
            loop = asyncio.get_running_loop()
            exact = await loop.run_in_executor(self._worker, partial(self._counted, strategy, rule, tab))
        except Exception as error:
            self._arrived(self._tell_error, error)
        else:
            self._arrived(self._attempt, self._set_plan, exact)

    def _arrived(self, show: Callable[..., None], *what: Any) -> None:
        """Show what came of counting, unless something else was asked for meanwhile, in another thread perhaps."""
        with TURN:
            if self._counting is asyncio.current_task():
                self._counting = None
                show(*what)

    def _counted(self, strategy: Any, rule: Any, tab: str) -> Any:
        """The exact plan; the tab in view is drawn here as well, as a list of all that goes takes its time."""
        plan = self._planned(strategy, rule, None)
        if tab not in ASKED_FOR:
            self._drawn = (plan, tab, self._pane(tab, plan))
        return plan

    def _set_plan(self, plan: Any) -> None:
        self.plan = plan

    def _stop_counting(self) -> None:
        task, self._counting = self._counting, None
        if task is not None:
            cancel(task)

    @property
    def counting(self) -> bool:
        """Whether an estimate is shown and the exact plan is being counted."""
        return self._counting is not None

    @observe("plan")
    @guarded
    def _planned_anew(self, _: Any) -> None:
        if self.plan is None:
            return
        self._suggested = []
        with self._silent():
            fill(self._chosen, [], None)
        self._take.disabled = True
        entities = len(self.plan.entities()) if self._projections and self.plan.applicable else None
        self._numbers.value = plans.headline(self.plan, len(self._projections), entities)
        self._keep.disabled = self.plan.sampled is not None
        self._show_pane()
        self._tell(clip(self.plan.headline, LONGEST_TOLD))
        self._tell_code()

    def _show_pane(self) -> None:
        """The tab in view; the others are made when they are."""
        chosen = self._tabs.selected_index
        if chosen is None:
            return
        drawn, self._drawn = self._drawn, None
        if drawn is not None and drawn[0] is self.plan and drawn[1] == TABS[chosen]:
            self._panes[chosen].value = drawn[2]
        else:
            self._panes[chosen].value = self._pane(TABS[chosen], self.plan)

    def _pane(self, name: str, plan: Any) -> Html:
        if name == "Plans":
            return plans.compared(self.plans)
        if plan.outcome == "skipped" or (plan.refusals and plan.effects is None):
            return element("div", "There is nothing to list.")
        if plan.sampled is not None:
            return element("div", "An estimate lists no events; the exact plan follows.")
        if name == "Suggestions":
            return self._suggestions()
        if name == "Lost":
            return plans.lost(plan, self._names)
        made: Html = {
            "Chains": plans.chains, "Causes": plans.causes, "Entities": plans.entities, "Segments": plans.segments
        }[name](plan)  # fmt: skip
        return made

    def _suggestions(self) -> Html:
        if not self._suggested:
            self._suggested = self.plan.suggestions()
            with self._silent():
                options = [(clip(repr(one), LONGEST_TOLD), at) for at, one in enumerate(self._suggested)]
                fill(self._chosen, options, 0 if options else None)
            self._take.disabled = not options
        if not self._suggested:
            return element("div", "Nothing that is lost could be kept by a rule known here.")
        return element("ul", *(element("li", clip(repr(one), LONGEST_TOLD)) for one in self._suggested))

    @guarded
    def _take_suggestion(self) -> None:
        one = self._suggested[self._chosen.value]
        self._stop_counting()
        self._taken = one.what
        self.plan = one.plan

    @guarded
    def _keep_plan(self) -> None:
        """Keep the plan by name; of too many the oldest goes."""
        if self.plan.sampled is not None:
            raise ValueError("This is an estimate. Wait for the exact plan, then keep it.")
        name = self._name.value.strip() or f"plan {len(self.plans) + 1}"
        self.plans = {**{key: plan for key, plan in self.plans.items() if key != name}, name: self.plan}
        while len(self.plans) > MOST_PLANS:
            self.plans.pop(next(iter(self.plans)))
        self._tabs.selected_index = TABS.index("Plans")
        self._show_pane()

    @property
    def code(self) -> str:
        """The calls that make this plan, save it for review and apply it; the last is left to whoever runs it."""
        keep = f", keep={self._rule_code}" if self._rule_code else ""
        options = "".join(f", {name}={value}" for name, value in self._options.items() if value not in (2, False))
        folded = ", projections=projections" if self._projections else ""
        strategy = self._maker.strategy if self.plan is None else self.plan.strategy
        lines = [f'plan = reader.plan_compaction("{strategy}"{keep}{options}{folded})']
        if self._taken:
            lines.append(f"plan = next(one.plan for one in plan.suggestions() if one.what == {self._taken!r})")
        lines.append('plan.save("plan.json")  # then, to apply it: bp.Store.open(path).compact(plan)')
        if "timedelta(" in keep:
            lines.insert(0, "from datetime import timedelta")
        return "\n".join(lines)

    def _picture(self) -> Html:
        pane = element("div", "") if self.plan is None else self._pane("Segments", self.plan)
        return joined([Html(self._numbers.value), pane])

    def __repr__(self) -> str:
        told = "no plan" if self.plan is None else clip(self.plan.headline, LONGEST_TOLD)
        return f"CompactionWidget({one_line(self._reader.path.name)}: {told})"

    def close(self) -> None:
        """Stop counting, and let go of every model."""
        if hasattr(self, "_worker"):  # or there was a wrong argument, and nothing is under way
            self._stop_counting()
            self._worker.shutdown(wait=False, cancel_futures=True)
        super().close()
