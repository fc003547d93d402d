"""A kind of cluster that reconcile never heard of, whole: the template of docs/backends.md.

The product is ``toyctl``: accounts below each other, each with a title and amounts, and members of accounts. It has no
root, no people beside the members, and no jobs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from reconciler.config import Component, Config, Offering
from reconciler.errors import CommandError, ReadError
from reconciler.providers.base import (
    Allocation,
    Conversion,
    Provision,
    Reading,
    Verdict,
)
from reconciler.providers.command import Command
from reconciler.providers.plain import PlainBackend, PlainCluster
from reconciler.providers.runner import CommandRunner, Result
from reconciler.state import compare, waldur
from reconciler.state.diff import Action, Change
from reconciler.state.facts import Resource
from reconciler.state.kinds import Field, Key, Kind, Role, declare
from reconciler.state.model import Address, Obj
from reconciler.state.tree import Shape
from reconciler.state.units import UnitError, to_amount, to_units
from reconciler.state.values import UNMANAGED, Refused, Value, Wanted, numbers_of

# ---------------------------------------------------------------------- 1. what there is


def _above(key: Key, values: Mapping[str, Value]) -> tuple[Address, ...]:
    name = values.get("above")
    return (ACCOUNT.at(name),) if isinstance(name, str) and name else ()


def _its_account(key: Key, values: Mapping[str, Value]) -> tuple[Address, ...]:
    return (ACCOUNT.at(key[0]),)


ACCOUNT = Kind(
    "toy.account",
    ("name",),
    0,
    Role.ACCOUNT,
    (
        Field("above", compare.TEXT, "the account it hangs below", heading="Above"),
        Field("title", compare.TEXT, "what people call it", heading="Title"),
        Field("amounts", compare.NUMBERS, "what it may use, by component", heading="Amounts", unit="toys"),
    ),
    _above,
    above="above",
    budget="amounts",
    description="title",
)
MEMBER = Kind("toy.member", ("account", "user"), 1, Role.MEMBER, (), _its_account)
declare(ACCOUNT, MEMBER)
waldur.tell((Field("amounts", compare.NUMBERS, "backend metadata: amounts of the account"), "amounts"))


# ---------------------------------------------------------------------- 2. what is wanted


class Toy(PlainBackend):
    """Waldur's resources, projects and members as a toy has them."""

    name, title, listing = "toy", "Toy", "toyctl list"
    shape = Shape(account="toy.account", member="toy.member", above="above")

    def open(self, name: str | None, runner: CommandRunner, config: Config) -> ToyCluster:
        """One cluster; nothing is asked yet."""
        return ToyCluster(runner, name)

    def account(self, allocation: Allocation, config: Config) -> Provision:
        """An allocation's account; ``above`` is empty where it is not known where it hangs."""
        values: dict[str, Wanted] = {"title": allocation.resource.name, "above": allocation.above or UNMANAGED}
        how = self.explained(allocation.offering, allocation.resource)
        if allocation.limited and not allocation.resource.limits_unsure:
            values["amounts"] = _amounts(allocation.offering, allocation.resource)
        notes = ("is paused, which a toy cannot be",) if allocation.resource.paused else ()
        return Provision(values, tuple(one.arithmetic() for one in how), notes)

    def container(self, name: str, title: str, above: str) -> Mapping[str, Wanted]:
        """A project's or a customer's account; the outermost hang below nothing."""
        return {"title": title, "above": above}

    def nothing(self, offering: Offering) -> Mapping[str, Wanted] | None:
        """What an ended account is left with, where it stays (soft_delete)."""
        return {"amounts": {}} if offering.backend_settings.soft_delete else None

    def explained(self, offering: Offering, resource: Resource) -> Sequence[Conversion]:
        """How amounts become limits; what is no amount is said where it is refused."""
        found = []
        for name, toy, amount, factor in _terms(offering, resource):
            try:
                toys, unit = to_units(amount, factor), offering.backend_components[name].waldur_unit
            except UnitError:
                continue
            found.append(Conversion(name, str(amount), unit, toy, str(factor), toys, "toys", f"limits.{name}"))
        return found

    def told(self, account: Mapping[str, Value]) -> Mapping[str, Wanted]:
        """Waldur is told of the amounts."""
        return {"amounts": account.get("amounts")}

    def amounts(
        self, account: Mapping[str, Value], components: Mapping[str, Component], known: Mapping[str, object]
    ) -> Mapping[str, str | None]:
        """Limits in Waldur's units, for accounts whose limits are the cluster's (limits_owner), and for imports."""
        have = numbers_of(account.get("amounts"))
        limits = ((name, have.get(toy), f) for name, c in components.items() for toy, f in c.factors(name).items())
        return {name: None if toys is None else to_amount(toys, factor) for name, toys, factor in limits}


def _terms(offering: Offering, resource: Resource) -> Iterator[tuple[str, str, object, object]]:
    """Component, what it is called on the cluster, the amount in Waldur, and the toys in one of it."""
    for name, component in offering.backend_components.items():
        amount = component.limit if component.accounting_type == "usage" else resource.limits.get(name)
        if amount is not None:
            yield from ((name, toy, amount, factor) for toy, factor in component.factors(name).items())


def _amounts(offering: Offering, resource: Resource) -> Wanted:
    found: dict[str, int] = {}
    for name, toy, amount, factor in _terms(offering, resource):
        try:
            found[toy] = found.get(toy, 0) + to_units(amount, factor)
        except UnitError as error:
            return Refused(found, f"limit of {name!r}: {error}", final=True)
    return found or UNMANAGED


# ---------------------------------------------------------------------- 3. how one talks to it


class ToyCluster(PlainCluster):
    """One box, by ``toyctl``."""

    def read(self) -> Reading:
        """Everything; an answer that is not whole is an error and never a smaller world. Raises ``ReadError``."""
        result = self.runner.run("toyctl", "list")
        if result.code != 0:
            raise CommandError(f"{result.command}: exit code {result.code}: {result.said}")
        try:
            told = json.loads(result.stdout)
            accounts = told["accounts"].items()
            state = {ACCOUNT.at(n): Obj({f.name: v[f.name] for f in ACCOUNT.fields}) for n, v in accounts}
            state |= {MEMBER.at(account, user): Obj({}) for account, user in told["members"]}
            reading = Reading(told["name"], state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReadError(f"{result.command}: not what a toy says: {error!r}") from None
        if self.name not in ("", reading.cluster):
            raise ReadError(f"{result.command}: this is {reading.cluster!r} and not {self.name!r}")
        return reading

    def commands(self, step: Sequence[Change], cluster: str) -> Sequence[Command]:
        """A command for each change; kinds of a step are the same."""
        return [Command("toyctl", _WORDS[c.address.kind, c.action](c), (c.address,)) for c in step]

    def verdict(self, result: Result) -> Verdict:
        """1: refused, and another try is no use; 2: no box there, so that nothing else need be tried."""
        problem = f"{result.command}: exit code {result.code}: {result.said}" if result.code else ""
        return Verdict(problem, final=result.code == 1, outage=result.code == 2)


def _set(change: Change) -> Iterator[str]:
    for name in change.changed():
        value = (change.after or {})[name]
        amounts = ",".join(f"{toy}={number}" for toy, number in sorted(numbers_of(value).items()))
        yield f"--{name}={amounts if name == ACCOUNT.budget else value}"


_WORDS: Mapping[tuple[str, Action], Callable[[Change], tuple[str, ...]]] = {
    ("toy.account", Action.CREATE): lambda change: ("add-account", *change.address.key, *_set(change)),
    ("toy.account", Action.UPDATE): lambda change: ("set-account", *change.address.key, *_set(change)),
    ("toy.account", Action.DELETE): lambda change: ("drop-account", *change.address.key),
    ("toy.member", Action.CREATE): lambda change: ("add-member", *change.address.key),
    ("toy.member", Action.DELETE): lambda change: ("drop-member", *change.address.key),
}
