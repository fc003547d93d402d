"""A kind of cluster with accounts and members and nothing else: what a backend may inherit, and override one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from reconciler.config import Component, Config, Offering
from reconciler.errors import ConfigError
from reconciler.providers.base import (
    Allocation,
    Allowance,
    Bulk,
    Cluster,
    Conversion,
    Feature,
    Jobs,
    NameRules,
    Reading,
    Stuck,
)
from reconciler.providers.command import Command
from reconciler.providers.finding import Finding, asked
from reconciler.providers.runner import CommandRunner
from reconciler.providers.usage import UsageSource
from reconciler.state.diff import Change
from reconciler.state.facts import Resource
from reconciler.state.managed import Managed
from reconciler.state.model import Desired, State
from reconciler.state.values import Value, Wanted


class PlainBackend:
    """Translations of what a product has none of. See :class:`reconciler.providers.base.Backend`."""

    names = NameRules()
    listing = "its own list of accounts"

    def access(self, allocation: Allocation, config: Config) -> Mapping[str, Wanted]:
        """Of an account that somebody else makes there is nothing to look after but its members."""
        return {}

    def member(
        self, offering: Offering, config: Config, amounts: Mapping[str, object] | None, *, squeezed: bool
    ) -> Mapping[str, Wanted]:
        """Members have nothing of their own."""
        return {}

    def allowance(self, allocation: Allocation) -> Allowance | None:
        """No policy of periods is known."""
        return None

    def nothing(self, offering: Offering) -> Mapping[str, Wanted] | None:
        """An ended account that is to stay (soft_delete) stays as it is, without members."""
        return {} if offering.backend_settings.soft_delete else None

    def explained(self, offering: Offering, resource: Resource) -> Sequence[Conversion]:
        """There are no limits."""
        return ()

    def told(self, account: Mapping[str, Value]) -> Mapping[str, Wanted]:
        """The portal is told of no more than the account's name."""
        return {}

    def amounts(
        self, account: Mapping[str, Value], components: Mapping[str, Component], known: Mapping[str, object]
    ) -> Mapping[str, str | None]:
        """There are no limits."""
        return {}

    def objects(self, config: Config) -> State:
        """The configuration itself wants nothing."""
        return {}

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
        """Nothing is wanted besides."""

    def settle(self, changes: Iterable[Change], actual: State) -> list[Change]:
        """Nothing has to move out of the way."""
        return list(changes)


class PlainCluster:
    """A cluster that runs no jobs of its own and keeps no books. See :class:`reconciler.providers.base.Cluster`."""

    features: frozenset[Feature] = frozenset()
    width = 1

    def __init__(self, runner: CommandRunner, name: str | None) -> None:
        self.runner, self.name = runner, name or ""

    def read(self) -> Reading:
        """What every cluster must be able to tell."""
        raise NotImplementedError

    def told_name(self) -> str:
        """What it calls itself. Raises ``ReadError``."""
        return self.read().cluster

    def ping(self) -> str:
        """Who answers. Raises ``ReadError``."""
        return f"{self.told_name()} answers"

    def findings(self, label: str, offerings: Sequence[Offering], config: Config) -> Iterator[Finding]:
        """For ``doctor``: whether it answers."""
        yield asked(f"cluster {label}", "cluster", self.ping)

    def remote(self, cluster: str) -> bool:
        """Commands of this host go to this cluster."""
        return False

    def bulk(self, changes: Sequence[Change], actual: State, cluster: str) -> Bulk | None:
        """Each step stands for itself."""
        return None

    def used(self, reading: Reading, accounts: Sequence[str], since: date | timedelta) -> frozenset[str]:
        """It keeps no books: guards of accounts that are in use do not hold here."""
        return frozenset()

    def known_users(self, names: Sequence[str]) -> frozenset[str]:
        """There is no head node that knows anybody."""
        return frozenset()

    def usage(self, config: Config) -> UsageSource:
        """It keeps no books."""
        raise ConfigError("this kind of cluster does not tell what was used", "Leave reporting_backend empty.")

    # asked only where ``features`` names them, and then to be answered

    def jobs(self, reading: Reading) -> Jobs:
        """It shows none."""
        raise NotImplementedError

    def stuck(self, reading: Reading) -> Stuck:
        """None that anything would have to wait for."""
        return Stuck()

    def cancel(self, reading: Reading, pairs: Collection[tuple[str, str]], only: Collection[str] | None = None) -> None:
        """It shows none."""
        raise NotImplementedError

    def cancelling(self, numbers: Sequence[str], cluster: str, *, remote: bool) -> Command:
        """It shows none."""
        raise NotImplementedError

    def consumed(self) -> Mapping[str, Mapping[str, int]]:
        """It counts nothing."""
        raise NotImplementedError
