"""Finding username backends by their entry points, and holding them to their word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from reconciler.config import Usernames
from reconciler.errors import ConfigError, ReconcileError
from reconciler.state.names import name_problem
from reconciler.usernames.model import Person, Proposal, UsernameBackend
from reconciler.usernames.reserved import is_reserved

GROUP = "reconcile.username_management_backends"


def backend(name: str, settings: Usernames) -> UsernameBackend:
    """The username backend that an installed package gives under this name.

    Raises :class:`ConfigError` for a name that no package or more than one gives, and
    :class:`ReconcileError` for a plugin that does not work.
    """
    entry = _entry_point(name)
    try:
        made = entry.load()(settings)
    except Exception as error:  # noqa: BLE001  # code of others may raise anything
        raise _broken(name, entry, f"cannot be loaded: {_words(error)}") from None
    if not isinstance(made, UsernameBackend):
        raise _broken(name, entry, f"gives a {type(made).__name__} that has no method 'usernames'")
    return _Checked(name, entry, made)


def _entry_point(name: str) -> EntryPoint:
    known = entry_points(group=GROUP)
    found = {entry.value: entry for entry in known if entry.name == name}
    if not found:
        names = ", ".join(sorted({entry.name for entry in known})) or "none"
        shipped = any(entry.name == "base" for entry in known)
        raise ConfigError(
            f"unknown username_management_backend {name!r}; known: {names}",
            f"A package with an entry point {name!r} in the group {GROUP} may give it."
            if shipped
            else "Not even our own are known: this installation is older than its code. Install it again with pip.",
        )
    if len(found) > 1:
        raise ConfigError(
            f"more than one package gives the username_management_backend {name!r}: {', '.join(sorted(found))}",
            "Remove all of them but one.",
        )
    return next(iter(found.values()))


@dataclass(frozen=True)
class _Checked:
    """A backend whose answers are looked at before anybody believes them."""

    name: str
    entry: EntryPoint
    inner: UsernameBackend

    def usernames(self, people: Sequence[Person], taken: frozenset[str]) -> Mapping[str, Proposal]:
        """The backend's proposals. A name that is reserved or somebody else's becomes a problem of that person.

        Raises :class:`ReconcileError` where the backend fails or answers what is no name.
        """
        ordered = tuple(sorted(people, key=lambda p: p.offering_user_uuid))
        try:
            proposals = dict(self.inner.usernames(ordered, taken))
        except Exception as error:  # noqa: BLE001  # code of others may raise anything
            raise _broken(self.name, self.entry, f"failed: {_words(error)}") from None
        asked = {person.offering_user_uuid for person in ordered}
        for uuid, proposal in proposals.items():
            if uuid not in asked:
                raise _broken(self.name, self.entry, f"answers for {uuid!r}, which is none of the offering users asked")
            if problem := _problem(proposal):
                raise _broken(self.name, self.entry, f"answers for offering user {uuid}: {problem}")
        return _apart(proposals, taken)


def _problem(proposal: object) -> str:
    """What is wrong with one answer of a plugin, which no type checker has seen."""
    if not isinstance(proposal, Proposal):
        return f"a {type(proposal).__name__} is no Proposal"
    if not isinstance(proposal.username, str) or not isinstance(proposal.problem, str):
        return "its Proposal is not made of texts"
    name = proposal.username
    if not name:
        return ""
    if why := name_problem(name):
        return f"{name[:60]!r}: {why}"
    if name.isdecimal():
        return f"{name!r}: a name of digits would be read as a user ID"
    return f"{name!r}: the name starts with a dot" if name.startswith(".") else ""


def _apart(proposals: Mapping[str, Proposal], taken: frozenset[str]) -> dict[str, Proposal]:
    """Nobody gets the name, and with it the account, of somebody else."""
    used = {name.casefold() for name in taken}
    times = Counter(p.username.casefold() for p in proposals.values() if p.username)
    result = {}
    for uuid in sorted(proposals):
        proposal = proposals[uuid]
        folded = proposal.username.casefold()
        if is_reserved(folded):
            proposal = Proposal(problem=f'The user name "{proposal.username}" is reserved for the system.')
        elif folded in used or times[folded] > 1:
            proposal = Proposal(problem=f'The user name "{proposal.username}" belongs to more than one person.')
        result[uuid] = proposal
    return result


def _broken(name: str, entry: EntryPoint, what: str) -> ReconcileError:
    package = f" of package {entry.dist.name}" if entry.dist else ""
    return ReconcileError(
        f"the username_management_backend {name!r} ({entry.value}{package}) {what}",
        "No user names are made until the plugin is mended, or username_management_backend is another one.",
    )


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
