"""`compact`, for `Store`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what they stand on is loaded when a plan is carried out
    from batpak_analytics.compaction.plan import CompactionPlan
    from batpak_analytics.store.compact import Compactor, Site
    from batpak_analytics.store.compact_report import CompactionReport


class Compacting(ABC):
    """A store that carries out compaction plans."""

    _compactor: Compactor | None = None

    @abstractmethod
    def _site(self) -> Site:
        """The parts of the store that a compaction deals with. Raises `StoreClosedError`."""

    def compact(self, plan: CompactionPlan) -> CompactionReport:
        """Replace the plan's source segments by its output: one segment, with the events that it keeps.

        Appends of other threads go on while the output is written, and wait for the change itself, which is short. A
        crash at any moment leaves exactly the events of before or of after, in both engines; readers that are open keep
        what they show. What was not planned is not touched: events appended meanwhile, other segments, sequence
        numbers, clocks, links. A plan that was made before further appends still applies.

        Returns a `CompactionReport`: ``"performed"``; ``"skipped"`` where the plan has too few sources; or
        ``"failed"`` where the disk refused, with the reason, and every event as it was.

        Raises
        ------
        PlanOutgrownError
            The sources are not those it was made for. Nothing was changed; plan again.
        CompactionPlanError
            It is an estimate, or refused for a reason that `plan.refusals` gives.
        FenceActiveError
            Events behind an open fence are in the sources.
        WriteFailedError
            A sync of the segment being written failed: the store has stopped, and every event is as it was.

        Cost: the sources are read twice and the output is written once, beside the store's other work; a turn of about
        a dozen syncs, in which a segment is written anew where its footer has to be another; and as much room on the
        disk as the output takes, until the sources are gone. Their room is free when the last reader lets them go.

        Examples
        --------
        >>> import tempfile
        >>> import batpak_analytics as bp
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     for number in range(3):
        ...         with bp.Store.open(directory) as store:
        ...             _ = store.append("order:1", "shop", 0x1001, number)
        ...     with bp.Store.open(directory) as store:
        ...         report = store.compact(store.plan_compaction())
        >>> report.outcome, report.segments_before, report.segments_after, report.events_dropped
        ('performed', 4, 2, 0)
        """
        site = self._site()
        with site.turns:
            site.running()
            if self._compactor is None:
                made: Compactor = import_module("batpak_analytics.store.compact").Compactor(site)
                self._compactor = made
        return self._compactor.compact(plan)

    def _finish_compaction(self) -> None:
        """Clear away what the disk refused to let go of, in a turn of the caller's."""
        if self._compactor is not None:
            self._compactor.finish()
