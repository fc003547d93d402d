"""What the core asks of a kind of cluster. Data and protocols alone: nothing here reads, writes or names a product.

A backend is one folder: its kinds (``state.kinds.declare``), a :class:`Backend` with its pure translations, and a
:class:`Cluster` that talks. ``providers/registry.py`` knows which there are; docs/backends.md shows how to write one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Protocol

from reconciler.config import Component, Config, Offering
from reconciler.errors import ReadError
from reconciler.providers.command import Command
from reconciler.providers.finding import Finding
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.usage import UsageSource
from reconciler.state.diff import Change
from reconciler.state.facts import Resource
from reconciler.state.managed import Managed
from reconciler.state.model import Desired, State
from reconciler.state.names import name_problem
from reconciler.state.periodic import Announced, Terms
from reconciler.state.tree import Shape
from reconciler.state.values import Value, Wanted

#: numbers of running and pending jobs by account and user; "" is whoever fits no member of that account
Jobs = Mapping[tuple[str, str], tuple[str, ...]]


class SilenceError(ReadError):
    """The cluster's accounting shows nothing of anybody at all, which may be true."""


class Feature(Enum):
    """What a cluster can do. What it cannot is left out."""

    JOBS = "jobs that can be seen and cancelled"
    COUNTERS = "what counts against a budget can be asked for"
    HOMES = "a head node with home directories"
    PERIODIC = "limits by what is used in a period"


@dataclass(frozen=True)
class NameRules:
    """Which names of accounts and users a kind of cluster takes, as they are folded.

    ``problem``: why it does not take one; ``unique``: characters in which two accounts must differ.
    """

    problem: Callable[[str], str | None] = name_problem
    unique: int = 255


@dataclass(frozen=True)
class Catalog:
    """Names that fields may refer to; ``word`` and ``remedy`` for one that is missing.

    ``kind``: whose objects are such names, so that those which are to be made count as well.
    """

    names: frozenset[str]
    word: str
    remedy: str
    kind: str = ""


@dataclass(frozen=True)
class Reading:
    """One complete reading of a cluster.

    ``members``: account and user by the number under
    which the cluster's queue knows a membership, empty where jobs tell names.
    """

    cluster: str
    state: State
    catalogs: Mapping[str, Catalog] = field(default_factory=dict)
    members: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What an answer means.

    ``problem`` is empty when well; ``final``: asking again is no use; ``outage``: whoever answers for all is gone.
    """

    problem: str = ""
    final: bool = False
    outage: bool = False


@dataclass(frozen=True)
class Bulk:
    """Many changes as one call, with those that come before and after it."""

    before: Sequence[Change]
    command: Command
    after: Sequence[Change]


@dataclass(frozen=True)
class Stuck:
    """Jobs for whose sake a cluster removes nothing under their accounts, by account and user, and what to do."""

    jobs: Jobs = field(default_factory=dict)
    text: Callable[[Sequence[str]], str] = lambda numbers: f"job {', '.join(numbers)} is not let go"


@dataclass(frozen=True)
class Past:
    """What is known of an account beside the reading of its cluster.

    ``limits``: by field, what of it was set here before; ``renewed``: the last period for which its counters began
    anew; ``counted``: what they have counted since, None where nobody can tell, ``unknown`` says why; ``announced``:
    what the portal itself made of its policy.
    """

    limits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    renewed: str = ""
    counted: Mapping[str, int] | None = None
    unknown: str = ""
    announced: Announced | None = None


@dataclass(frozen=True)
class Allocation:
    """A resource with the names of its accounts.

    ``above`` is empty where it is not known where it hangs; ``limited``: whether its limits are the portal's to say;
    ``terms``: what a periodic policy means for it; ``unruled``: why one that there may be cannot be used;
    ``past``: what is known of its account besides.
    """

    offering: Offering
    resource: Resource
    account: str
    above: str
    limited: bool = True
    terms: Terms | None = None
    unruled: str = ""
    past: Past = field(default_factory=Past)


@dataclass(frozen=True)
class Provision:
    """An allocation's account: fields, how its limits come about (a phrase each), and what should be known.

    ``squeezed``: who uses it gets less than usual, which what a member has of their own must not escape.
    """

    values: Mapping[str, Wanted]
    arithmetic: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    squeezed: bool = False


@dataclass(frozen=True)
class Allowance:
    """What a periodic policy gives an account, in the cluster's terms.

    ``limit``: what its limits are called; ``limits``: they, whole; ``parts``: what each component brings of them,
    without grace; ``unit``: what thresholds and ``used`` count; ``threshold``, ``grace``: from where on it is slowed
    down, and blocked; ``used``: what counts at this moment, None where nobody can tell, ``unknown`` says why.
    """

    limit: str
    limits: Mapping[str, int]
    parts: Mapping[str, Mapping[str, int]]
    unit: str = ""
    threshold: int | None = None
    grace: int | None = None
    used: int | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Conversion:
    """How one amount of the portal became a limit: ``value`` of ``limit`` in the cluster's ``cluster_unit``.

    ``source``: where the amount stands; ``months``: paid for in advance.
    """

    component: str
    amount: str
    unit: str
    limit: str
    factor: str
    value: int | Decimal
    cluster_unit: str
    source: str = ""
    months: int = 1

    def arithmetic(self) -> str:
        """How the number came about, and from where."""
        times = f" x {self.months} months" if self.months > 1 else ""
        return f"{self.amount} {self.unit} ({self.source}) x {self.factor}{times} = {self.value}"


class Cluster(Protocol):
    """One cluster, spoken to through one runner. It keeps nothing that is good for one cycle only."""

    @property
    def runner(self) -> CommandRunner:
        """How its commands are run."""

    @property
    def name(self) -> str:
        """What the configuration calls it; empty where it is not named."""

    @property
    def features(self) -> frozenset[Feature]:
        """What it can do."""

    def read(self) -> Reading:
        """Everything, checked. Raises ``ReadError``; never an empty or partial state."""

    def told_name(self) -> str:
        """What it calls itself, without reading it. Raises ``ReadError``."""

    def remote(self, cluster: str) -> bool:
        """Whether commands of this host go to another cluster, so that they have to name this one."""

    def jobs(self, reading: Reading) -> Jobs:
        """Running and pending jobs. Raises ``ReadError``."""

    def stuck(self, reading: Reading) -> Stuck:
        """Jobs that never end, under which nothing can be removed. Raises ``ReadError``."""

    def used(self, reading: Reading, accounts: Sequence[str], since: date | timedelta) -> frozenset[str]:
        """Which accounts ran jobs since a day, or that long ago. Raises ``ReadError``; :class:`SilenceError`."""

    def consumed(self) -> Mapping[str, Mapping[str, int]]:
        """What counts against budgets at this moment, by account. Raises ``ReadError``."""

    def known_users(self, names: Sequence[str]) -> frozenset[str]:
        """Which names the head node has. Raises ``ReadError``."""

    def cancel(self, reading: Reading, pairs: Collection[tuple[str, str]], only: Collection[str] | None = None) -> None:
        """End the jobs of (account, user) pairs, or ``only`` these of them, and wait. Raises ``CommandError``."""

    @property
    def width(self) -> int:
        """How many commands may run side by side."""

    def commands(self, step: Sequence[Change], cluster: str) -> Sequence[Command]:
        """The calls for one step of a plan (``state.order.steps``), in the order to run them in.

        ``apply`` runs them, ``plan --script`` and ``diagnose`` print them: no other place knows any.
        """

    def bulk(self, changes: Sequence[Change], actual: State, cluster: str) -> Bulk | None:
        """Many changes as one call, where there are so many; None where each step stands for itself."""

    def cancelling(self, numbers: Sequence[str], cluster: str, *, remote: bool) -> Command:
        """The call that ends jobs, as one would type it; ``remote``: it has to name the cluster."""

    def verdict(self, result: Result) -> Verdict:
        """What an answer means."""

    def ping(self) -> str:
        """What answers, in a line. Raises ``ReadError``."""

    def findings(self, label: str, offerings: Sequence[Offering], config: Config) -> Iterator[Finding]:
        """For ``doctor``: programs, daemons, rights, and whether what the configuration names is there."""

    def usage(self, config: Config) -> UsageSource:
        """Its own accounting."""


class Backend(Protocol):
    """A kind of cluster: declarations and pure translations. Opening one gives a :class:`Cluster`."""

    @property
    def name(self) -> str:
        """The word of the configuration for it."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def names(self) -> NameRules:
        """Which names it takes."""

    @property
    def listing(self) -> str:
        """The command with which an operator lists its accounts."""

    @property
    def shape(self) -> Shape:
        """Its accounts and members."""

    def open(self, name: str | None, runner: CommandRunner, config: Config) -> Cluster:
        """One cluster of this kind; nothing is asked yet. The runner gets its ``programs`` here."""

    def objects(self, config: Config) -> State:
        """What the configuration itself wants to be there."""

    def account(self, allocation: Allocation, config: Config) -> Provision:
        """An allocation's own account."""

    def access(self, allocation: Allocation, config: Config) -> Mapping[str, Wanted]:
        """The fields of an account that somebody else makes: who may run jobs, and how, is still looked after."""

    def container(self, name: str, title: str, above: str) -> Mapping[str, Wanted]:
        """The fields of a project's or a customer's account."""

    def member(
        self, offering: Offering, config: Config, amounts: Mapping[str, object] | None, *, squeezed: bool
    ) -> Mapping[str, Wanted]:
        """The fields of a member.

        ``amounts``: limits of their own, None where the portal tells of none; ``squeezed``: the resource is paused or
        downscaled, which what a member has of their own must not escape.
        """

    def allowance(self, allocation: Allocation) -> Allowance | None:
        """What its periodic policy gives an allocation; None where there is none, or it cannot be given."""

    def nothing(self, offering: Offering) -> Mapping[str, Wanted] | None:
        """The fields of an ended account that stays (soft_delete), or None where ended accounts go."""

    def explained(self, offering: Offering, resource: Resource) -> Sequence[Conversion]:
        """How amounts become limits, by the very code that makes them."""

    def complete(
        self,
        desired: Desired,
        reading: Reading,
        managed: Managed,
        config: Config,
        cluster: Cluster,
        allocations: Sequence[Allocation],
        today: date,
    ) -> None:
        """What the backend wants besides, in place: default accounts, shares, funds. Raises ``ReadError``.

        ``allocations``: those whose accounts are made and kept here; ``today``: in the site's time zone.
        """

    def settle(self, changes: Iterable[Change], actual: State) -> list[Change]:
        """The changes once guards have blocked some: what the backend moves out of the way, or leaves for it."""

    def told(self, account: Mapping[str, Value]) -> Mapping[str, Wanted]:
        """What the portal is told of an account: fields of ``waldur.resource``."""

    def amounts(
        self, account: Mapping[str, Value], components: Mapping[str, Component], known: Mapping[str, object]
    ) -> Mapping[str, str | None]:
        """An account's limits in the portal's units, where they differ from those it knows; None: not set."""
