"""Usage of an offering's resources as DWDI tells it: asked in batches, believed row by row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from reconciler.providers.dwdi.client import Client, Query
from reconciler.providers.dwdi.rows import BadRowError
from reconciler.providers.dwdi.service import Service
from reconciler.providers.usage import Metered
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Accounted, Used

_SHOWN = 5
_LONGEST_QUOTE = 240


class DwdiSource:
    """What DWDI says was used. It is only read."""

    may_fall = True  # late data and corrections: DWDI takes usage back, rightly

    def __init__(self, service: Service, client: Client, today: Callable[[], date]) -> None:
        self.name = service.name
        self._service = service
        self._client = client
        self._today = today

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return self._client.requests

    def key(self, resource: Resource) -> str:
        """What DWDI knows the resource by: ``daint/g207``, a path, a uuid. Empty if it cannot be known."""
        return self._service.key(resource)

    def read(self, period: Period, metered: Sequence[Metered]) -> Accounted:
        """Usage in a month, by uuid. Raises ``ReadError`` where an answer cannot be trusted as a whole."""
        tally = _Tally(self._service)
        groups: dict[str, dict[str, list[Metered]]] = {}
        for one in metered:
            name = self._service.asked(one.resource)
            if name:
                wanted = groups.setdefault(self._service.group(one.resource), {})
                wanted.setdefault(self._service.canonical(name), []).append(one)
            else:
                tally.spoil(one, f"it has no {self._service.lacking}")
            tally.silent(c for c in one.components if not self._service.field(c))
        for group, wanted in groups.items():
            for name, several in wanted.items():
                if len(several) > 1:
                    for one in several:
                        tally.spoil(one, f"{len(several)} resources are {name!r} to {self.name}")
            single = {name: several[0] for name, several in wanted.items() if len(several) == 1}
            self._ask(period, group, single, tally)
        return tally.accounted(self.name)

    def _ask(self, period: Period, group: str, wanted: Mapping[str, Metered], tally: _Tally) -> None:
        query = self._service.query(period, group)
        asked = {self._service.asked(one.resource): one for one in wanted.values()}
        for batch in self._client.batches(query, list(asked)):
            rows = self._client.rows(query, batch)
            here = {self._service.canonical(name): asked[name] for name in batch}
            tally.take(query, rows, here, period, group)

    def silence(self) -> str:
        """A warehouse that answers knows what it knows."""
        return ""

    def unended(self, keys: Collection[str], since: datetime, stop: Callable[[], str]) -> Mapping[str, str]:
        """It knows days, and no jobs."""
        return {}

    def counter(self) -> None:
        """Nobody else counts what it tells."""

    def ping(self) -> str:
        """What answered, in a line. Raises ``ReadError``."""
        query = self._service.ping(self._today())
        self._client.rows(query, ())
        return f"token for {self._client.lifetime:.0f} s, {query.endpoint} answers"


@dataclass
class _Tally:
    """What was understood so far, and what was not."""

    service: Service
    used: dict[str, Used] = field(default_factory=dict)
    quoted: list[str] = field(default_factory=list)
    bad: int = 0
    without: dict[str, None] = field(default_factory=dict)  # components, in the order they were met

    def silent(self, components: Iterable[str]) -> None:
        """Note components that DWDI says nothing about."""
        self.without.update(dict.fromkeys(components))

    def spoil(self, one: Metered, why: str) -> None:
        """Nothing may be told about this resource."""
        self.used[one.resource.uuid] = Used({}, {}, why)

    def reject(self, text: str) -> None:
        """Note a row that is not believed."""
        self.bad += 1
        if len(self.quoted) < _SHOWN:
            self.quoted.append(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…")

    def take(self, query: Query, rows: list[Any], wanted: Mapping[str, Metered], period: Period, group: str) -> None:
        """Believe an answer, row by row. Rows that nobody asked for are passed over."""
        found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in wanted}
        respelt: dict[str, str] = {}
        folded = {name.lower(): name for name in wanted}
        nameless = 0
        for row in rows:
            name = row.get(query.identity) if isinstance(row, dict) else None
            if not isinstance(name, str) or not name:
                nameless += 1
                self.reject(f"{query.rows}: a row without {query.identity}: {row!r}")
                continue
            name = self.service.canonical(name)
            if name in found:
                found[name].append(row)
            elif name.lower() in folded:
                respelt[folded[name.lower()]] = name
        for name, mine in found.items():
            one = wanted[name]
            if mine:
                self._believe(name, one, mine, period, group)
            elif name in respelt:
                self.spoil(one, f"DWDI spells it {respelt[name]!r}, not {name!r}: write it so in Waldur")
            elif nameless:
                self.spoil(one, f"DWDI has no row of it, but {nameless} that name nobody")
            else:
                self.used[one.resource.uuid] = self.service.unused(one.components)

    def _believe(self, name: str, one: Metered, rows: list[Mapping[str, Any]], period: Period, group: str) -> None:
        readings = []
        for row in rows:
            try:
                readings.append(self.service.reading(row, one.components, period, group))
            except BadRowError as error:
                self.reject(f"{name}: {error}")
                self.spoil(one, f"its row cannot be understood: {error}")
                return
        if any(reading != readings[0] for reading in readings[1:]):
            self.reject(f"{name}: {len(rows)} rows that contradict each other")
            self.spoil(one, f"DWDI has {len(rows)} rows of {name!r} that contradict each other")
            return
        self.silent(readings[0].silent)
        self.used[one.resource.uuid] = readings[0].used

    def accounted(self, source: str) -> Accounted:
        """All of it."""
        note = f"{source} has no figures for {', '.join(map(repr, self.without))}, so nothing is told of these"
        return Accounted(self.used, tuple(self.quoted), self.bad, (note,) if self.without else ())
