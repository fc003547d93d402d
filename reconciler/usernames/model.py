"""What a username backend is given and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Person:
    """An offering user without a name, and what Waldur knows about the person. Unknown parts are empty."""

    offering_user_uuid: str
    user_uuid: str
    login: str = ""  # the username in Waldur
    first_name: str = ""
    last_name: str = ""
    full_name: str = ""
    email: str = ""
    unix_name: str = ""  # a Unix name the person has elsewhere


@dataclass(frozen=True, slots=True)
class Proposal:
    """Either the ``username`` to give, or the ``problem``: a sentence for the person, why none can be made."""

    username: str = ""
    problem: str = ""

    def __post_init__(self) -> None:
        if bool(self.username) == bool(self.problem):
            raise ValueError("a proposal has either a username or a problem")


@runtime_checkable
class UsernameBackend(Protocol):
    """Makes user names. A plugin's entry point is called with the ``reconcile.usernames`` section and gives one."""

    def usernames(self, people: Sequence[Person], taken: frozenset[str]) -> Mapping[str, Proposal]:
        """Proposals by ``offering_user_uuid``; who has no entry is left alone.

        ``people`` come in the order of ``offering_user_uuid``, however Waldur listed them. ``taken`` are the names
        that somebody has already, in any case of letters. The same people and taken names must give the same
        answer: it is asked for in every plan until Waldur has the names.
        """


class Base:
    """The backend ``base``: names are whatever Waldur has."""

    def __init__(self, settings: object) -> None:
        pass

    def usernames(self, people: Sequence[Person], taken: frozenset[str]) -> Mapping[str, Proposal]:
        """Nobody gets a name from here."""
        return {}
