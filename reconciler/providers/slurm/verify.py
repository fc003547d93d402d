"""slurmctld's counters beside the accounting database: the same usage, counted twice over the same days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING

from reconciler.config import Component
from reconciler.providers.slurm import counters
from reconciler.providers.slurm.meter import count
from reconciler.providers.usage import Counted, Metered, Recount
from reconciler.state.names import fold

if TYPE_CHECKING:
    from reconciler.providers.slurm.usage import SacctSource


class Slurmctld:
    """The counters of one cluster, read once; ``sacct`` is asked for what they have counted since."""

    name = "slurmctld"

    def __init__(self, sacct: SacctSource) -> None:
        self._sacct = sacct
        self._read: counters.Counters | None = None

    def counted(self, today: date, metered: Sequence[Metered]) -> Counted:
        """These resources since the counters' last reset, or why there is nothing to compare."""
        if self._read is None:
            self._read = counters.read(self._sacct.runner, today)
        if self._read.since is None:
            return Counted("", notes=(self._read.why_not,))
        since: date = self._read.since
        span = "all time" if since == counters.ALL_TIME else f"since {since}"
        if not metered:
            return Counted(span)
        used = self._sacct.since(since, today, metered).used
        if self._sacct.silence():
            return Counted(span)
        notes: list[str] = []
        rows: list[Recount] = []
        for one in metered:
            rows += self._recounts(self._read, one, used[one.resource.uuid].total, notes)
        return Counted(span, tuple(rows), tuple(notes))

    def _recounts(
        self, read: counters.Counters, one: Metered, used: Mapping[str, Fraction], notes: list[str]
    ) -> list[Recount]:
        name = fold(one.resource.backend_id)
        minutes, allocated = read.minutes.get(name), read.allocated.get(name, {})
        if minutes is None:
            notes.append(f"slurmctld has no account {name!r}")
            return []
        found = []
        for component, settings in one.components.items():
            if len(settings.reported_factors(component)) > 1:
                notes.append(f"component {component!r} of several TRES: slurmctld counts each of them alone")
                continue
            amounts = {self._sacct.name: used[component], self.name: _units(minutes, settings, component)}
            # the last minute is not full, and what runs is added up every few minutes only
            late = {t: 1 + n * read.period for t, n in {**dict.fromkeys(minutes, 0), **allocated}.items()}
            found.append(Recount(one.resource, component, amounts, _units(late, settings, component)))
        return found


def _units(minutes: Mapping[str, int], component: Component, name: str) -> Fraction:
    """TRES-minutes of the component's only TRES in Waldur's units; of a generic resource, of all its types."""
    (tres, factor) = next(iter(component.reported_factors(name).items()))
    known = {t: Fraction(n) for t, n in minutes.items()}
    return count(known, tres) / Fraction(factor)
