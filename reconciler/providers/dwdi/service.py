"""What compute, storage and inference have to say to be asked in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from reconciler.config import Component
from reconciler.providers.dwdi.client import Query
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Used

Components = Mapping[str, Component]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a row says, and the components that it says nothing about."""

    used: Used
    silent: tuple[str, ...] = ()


class Service(ABC):
    """One of the three kinds of usage that DWDI knows."""

    name: str
    #: what a resource is without, when it cannot be asked about
    lacking: str

    @abstractmethod
    def asked(self, resource: Resource) -> str:
        """What DWDI is asked for; empty when it cannot be known."""

    def key(self, resource: Resource) -> str:
        """The same, as it tells resources apart."""
        return self.canonical(self.asked(resource))

    def group(self, resource: Resource) -> str:
        """What resources of one request have in common."""
        return ""

    def canonical(self, name: str) -> str:
        """A name as asked and answered names are compared."""
        return name

    @abstractmethod
    def query(self, period: Period, group: str) -> Query:
        """The question about a month."""

    @abstractmethod
    def ping(self, today: date) -> Query:
        """A question that costs little."""

    @abstractmethod
    def field(self, component: str) -> str:
        """The figure that a component is made of; empty where DWDI has none."""

    @abstractmethod
    def reading(self, row: Mapping[str, Any], components: Components, period: Period, group: str) -> Reading:
        """What a row says about the components. Raises ``BadRowError``."""

    def sourced(self, components: Components) -> dict[str, str]:
        """Components that DWDI has figures for, with the figure."""
        return {name: self.field(name) for name in components if self.field(name)}

    def unused(self, components: Components) -> Used:
        """What a name without any row in a well-formed answer used: nothing."""
        return Used({name: Fraction(0) for name in self.sourced(components)})


def factor(component: Component) -> Fraction:
    """The factor of reports, which differs from that of limits where the file says so."""
    chosen = component.unit_factor if component.unit_factor_reporting is None else component.unit_factor_reporting
    return Fraction(chosen)


def month(period: Period) -> tuple[tuple[str, str], ...]:
    """A month as from and to."""
    return ("from", str(period)), ("to", str(period))
