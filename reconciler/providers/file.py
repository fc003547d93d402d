"""Desired state from a YAML file, for trying things out and for sites without a portal.

The file holds what a portal would tell::

    resources:
      - name: climate-a
        slug: climate-a            # or backend_id: for an account that exists
        project: {slug: climate, name: Climate}
        customer: {slug: nordic, name: Nordic University}
        limits: {cpu: 100}
        used: {2026-10: {cpu: 70}}   # what was used, for periodic limits; also last (month), now
        members: [alice, bob]
        state: OK                  # Terminated: the account goes
        paused: false              # likewise downscaled, restrict_member_access
    restricted_users: [mallory]
    former_users: [carol]          # known, and members of nothing
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from reconciler.config import Offering
from reconciler.errors import ReadError
from reconciler.state.facts import DONE, OK, TERMINATED, UPDATE, Claim, Facts, OfferingUser, Order, Project, Resource
from reconciler.state.names import fold
from reconciler.state.period import Period
from reconciler.state.periodic import Announced, Spent


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_LAST, _NOW = "last", "now"


def _month(value: object) -> str:
    """A month as it is named; YAML reads 2026-10-01 as a day."""
    return str(value) if value in (_LAST, _NOW) else str(Period.parse(str(value)))


Month = Annotated[str, BeforeValidator(_month)]
Amount = Annotated[Decimal, BeforeValidator(lambda value: str(value) if isinstance(value, float) else value)]


class Container(_Part):
    """A project or a customer."""

    slug: str
    name: str = ""


class Entry(_Part):
    """One allocation."""

    name: str
    slug: str = ""
    backend_id: str = ""
    state: Literal["OK", "Updating", "Erred", "Creating", "Terminating", "Terminated"] = "OK"
    project: Container
    customer: Container = Container(slug="")
    limits: dict[str, int | float] = Field(default_factory=dict)
    used: dict[Month, dict[str, Amount]] = Field(default_factory=dict)
    attributes: dict[str, Any] = Field(default_factory=dict)
    members: tuple[str, ...] = ()
    paused: bool = False
    downscaled: bool = False
    restrict_member_access: bool = False
    created: date | None = None
    end_date: date | None = None


class Document(_Part):
    """The whole file."""

    resources: tuple[Entry, ...] = ()
    restricted_users: frozenset[str] = frozenset()
    former_users: frozenset[str] = frozenset()


class FileSource:
    """Facts from one YAML file. Slugs and places in the file stand in for uuids."""

    def __init__(self, offering: Offering, directory: Path) -> None:
        self.offering = offering
        self.path = directory / offering.waldur_api_url.removeprefix("file:")

    def _read(self) -> Document:
        try:
            data = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ReadError(f"{self.path}: cannot be read: {error}") from None
        try:
            if data is None:
                raise ReadError(f"{self.path}: the file is empty", "Nothing at all is written as: resources: []")
            return Document.model_validate(data)
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
            raise ReadError(f"{self.path}: {found}") from None

    def facts(self, now: datetime) -> Facts:
        """The file's resources as facts."""
        document = self._read()
        live = [e for e in document.resources if e.state != TERMINATED]
        members: dict[str, set[str]] = {}
        resources = []
        for number, entry in enumerate(live):
            # membership is a project's in a portal and an allocation's here
            members[str(number)] = {fold(m) for m in entry.members}
            resources.append(_resource(entry, f"{self.path.name}#{number}", str(number)))
        restricted = {fold(u) for u in document.restricted_users}
        names = {fold(m) for e in document.resources for m in e.members}
        names |= restricted | {fold(u) for u in document.former_users}
        users = tuple(OfferingUser(n, n, n in restricted, OK) for n in sorted(names))
        return Facts(tuple(resources), users, {k: frozenset(v) for k, v in members.items()})

    def rules(self) -> None:
        """A file has no policies."""

    def used(self, months: Sequence[Period]) -> Spent:
        """What the file says was used."""
        live = [e for e in self._read().resources if e.state != TERMINATED]
        present = Period.of(datetime.now(UTC), "UTC")
        words = {_LAST: str(present.previous), _NOW: str(present)}
        by = {
            f"{self.path.name}#{number}": {
                words.get(month, month): {name: Fraction(amount) for name, amount in amounts.items()}
                for month, amounts in entry.used.items()
            }
            for number, entry in enumerate(live)
        }
        return Spent(by)

    def announced(self, policy: str, since: date) -> Mapping[str, Announced]:
        """Nobody else reckons anything."""
        return {}

    def report(self, policy: str, resource: str, commands: Sequence[str], error: str) -> None:
        """Nobody is told."""

    def claims(self, names: Iterable[str], offerings: Mapping[str, Offering]) -> dict[str, Claim]:
        """``terminated`` for entries of that state, ``unknown`` for the rest."""
        gone = {}
        customer, project, allocation = self.offering.backend_settings.prefixes
        for entry in self._read().resources:
            if entry.state == TERMINATED:
                parents = [fold(project + entry.project.slug)]
                if entry.customer.slug and self.offering.customer_level:
                    parents.append(fold(customer + entry.customer.slug))
                text = f'resource "{entry.name}" is {TERMINATED} in {self.path.name}'
                gone[fold(entry.backend_id or allocation + entry.slug)] = Claim(
                    "terminated", text, tuple(parents), self.offering.name
                )
        return {n: gone.get(n, Claim("unknown", offering=self.offering.name)) for n in names}

    def made(self, containers: Iterable[str], facts: Facts) -> frozenset[str]:
        """Containers named in the file."""
        customer, project, _ = self.offering.backend_settings.prefixes
        known = set()
        for entry in self._read().resources:
            known |= {fold(project + entry.project.slug), fold(customer + entry.customer.slug)}
        return frozenset(containers) & known

    def projects(self, facts: Facts) -> Mapping[str, Project]:
        """The file's own projects."""
        return {
            fold(e.project.slug): Project(e.project.slug, e.project.name, e.customer.slug)
            for e in self._read().resources
        }

    def ping(self) -> str:
        """The file, if it can be read."""
        return f"{self.path}: {len(self._read().resources)} resources"

    def ordered(self) -> Mapping[str, Order]:
        """What stands in the file is what was ordered."""
        return {
            r.uuid: Order(self.path.name, UPDATE, DONE, r.uuid, r.limits)
            for r in self.facts(datetime.now(UTC)).resources
        }


def _resource(entry: Entry, uuid: str, team: str) -> Resource:
    return Resource(
        uuid=uuid,
        name=entry.name,
        slug=entry.slug,
        state=entry.state,
        backend_id=entry.backend_id,
        project_uuid=entry.project.slug,
        customer_uuid=entry.customer.slug,
        project_name=entry.project.name or entry.project.slug,
        project_slug=entry.project.slug,
        customer_name=entry.customer.name or entry.customer.slug,
        customer_slug=entry.customer.slug,
        limits=dict(entry.limits),
        attributes=entry.attributes,
        paused=entry.paused,
        downscaled=entry.downscaled,
        restrict_member_access=entry.restrict_member_access,
        created=entry.created,
        end_date=entry.end_date,
        team=team,
    )
