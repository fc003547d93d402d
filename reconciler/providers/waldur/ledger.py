"""Usage of one offering as Waldur keeps it: what is known, and a writer for each apply."""

from __future__ import annotations

from datetime import date

from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.people import People
from reconciler.providers.waldur.read import Reading
from reconciler.providers.waldur.token import Token
from reconciler.providers.waldur.usage_writer import UsageWriter
from reconciler.providers.waldur.usages import Usages
from reconciler.state.facts import Facts, Resource
from reconciler.state.model import State
from reconciler.state.period import Period


class WaldurLedger:
    """What is told of usage, and asked about it."""

    def __init__(self, lists: Lists, reading: Reading, usages: Usages, people: People, token: Token) -> None:
        self._lists = lists
        self._reading = reading
        self._usages = usages
        self._people = people
        self._token = token

    def usage_facts(self) -> Facts:
        """Only what reporting usage needs. Raises ``ReadError``."""
        return self._reading.usage_facts()

    def usages(self, period: Period) -> State:
        """What Waldur holds of a month. Raises ``ReadError``."""
        return self._usages.usages(period)

    def ended(self, since: date) -> list[Resource]:
        """Resources of this offering that ended since a day."""
        return self._usages.ended(since)

    def staff(self) -> bool:
        """Whether the token is a staff user's, who may set any month."""
        return self._token.staff()

    def writer(self, facts: Facts | None, held: State) -> UsageWriter:
        """For one apply, with what its plan was told."""
        return UsageWriter(self._lists, self._usages, self._people, facts, held)
