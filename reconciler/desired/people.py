"""Names for people who have none on the cluster yet: proposals by a username backend, as desired state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.config import Offering, Usernames
from reconciler.desired.accounts import Source
from reconciler.state import waldur
from reconciler.state.facts import CREATING, ERROR_CREATING, OK, REQUESTED, OfferingUser
from reconciler.state.model import Desired, Note, Obj
from reconciler.state.names import fold
from reconciler.state.values import UNMANAGED
from reconciler.usernames import Person, Proposal, backend

_UNNAMED = (REQUESTED, CREATING, "")  # older servers tell no state
# so many people may vanish at once, or this share of them
_FEW, _SHARE = 5, 0.3
_UNIX_NAME = re.compile(r"[a-z_][a-z0-9_-]*")


def former(
    sources: Iterable[Source],
    remembered: Mapping[tuple[str, str], frozenset[str]],
    on_cluster: frozenset[str],
    refused: frozenset[str],
) -> dict[str, str]:
    """Usernames on the cluster that people had and nobody has any more, with what became of the person.

    A name is left behind only for another that is usable (not ``refused``). Whoever vanished from the list
    must be a member of nothing as well, and a list that lost many people at once is not believed: a token
    that lost a role sees fewer.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for source in sources:
        rows = {u.user_uuid: fold(u.username) for u in source.facts.offering_users}
        taken |= set(rows.values()) | {fold(n) for names in source.facts.service_users.values() for n in names}
        members = {person for team in source.facts.members.values() for person in team}
        key = source.offering.key
        here = {p: names & on_cluster for (o, p), names in remembered.items() if o == key and names & on_cluster}
        gone = here.keys() - rows.keys() - members
        believed = len(gone) <= max(_FEW, _SHARE * len(here)) and any(rows.values())
        for person, names in here.items():
            now = rows.get(person, "")
            if now and now not in refused:
                found |= {name: f"the person is {now!r} in Waldur now" for name in names if name != now}
            elif person in gone and believed:
                found |= dict.fromkeys(names, "Waldur has no such offering user any more")
    return {name: why for name, why in found.items() if name not in taken}


def present(sources: Iterable[Source]) -> set[tuple[str, str, str]]:
    """Offering, person and username of everybody who has one."""
    return {
        (s.offering.key, u.user_uuid, fold(u.username)) for s in sources for u in s.facts.offering_users if u.username
    }


@dataclass
class Named:
    """Offerings as they will be once the portal has the proposed names."""

    sources: list[Source]
    desired: Desired = field(default_factory=Desired)


def named(
    sources: Sequence[Source],
    settings: Usernames,
    on_cluster: Iterable[str],
    known: Callable[[Sequence[str]], frozenset[str]],
) -> Named:
    """Give a name to everyone who waits for one, where the offering has a backend that makes names.

    ``known`` tells which of some names the head node has for somebody already. Raises ``ReconcileError``
    for a backend that does not exist or answers nonsense.
    """
    taken = {fold(u.username) for s in sources for u in s.facts.offering_users if u.username} | set(on_cluster)
    for source in sources:
        taken |= {fold(n) for names in source.facts.service_users.values() for n in names}
        taken |= {fold(n) for n in source.facts.closed_service_users}
    result = Named([])
    # somebody with a name in another offering of the cluster keeps it, also one that was proposed just now
    elsewhere = {
        (s.offering.api_url, u.user_uuid): u.username for s in sources for u in s.facts.offering_users if u.username
    }
    for source in sources:
        waiting = [u for u in source.facts.offering_users if u.uuid and not u.username and u.state in _UNNAMED]
        proposals = _proposals(source, elsewhere, waiting, settings, taken, known) if waiting else {}
        users = []
        for person in source.facts.offering_users:
            proposal = proposals.get(person.uuid) if not person.username else None
            if proposal is None:
                users.append(person)
                continue
            if not proposal.problem:
                taken.add(fold(proposal.username))
                elsewhere.setdefault((source.offering.api_url, person.user_uuid), proposal.username)
            users.append(_with_name(person, proposal, source.offering, result.desired))
        result.sources.append(replace(source, facts=replace(source.facts, offering_users=tuple(users))))
    return result


def _with_name(person: OfferingUser, proposal: Proposal, offering: Offering, desired: Desired) -> OfferingUser:
    """Somebody as they will be once the portal has what is proposed."""
    address = waldur.offering_user(person.uuid)
    offerings = frozenset({offering.name})
    name = person.full_name or person.login or person.user_uuid
    if proposal.problem:
        text = f"{name}: {proposal.problem}"
        values = {"state": ERROR_CREATING if person.state else UNMANAGED}
        desired.objects[address] = Obj(values, text, offerings)
        desired.refused.append(Note(address, text, offering.name))
        return person
    values = {"username": proposal.username, "state": OK if person.state else UNMANAGED}
    reason = f"{name} waits for a username ({offering.username_management_backend})"
    desired.objects[address] = Obj(values, reason, offerings)
    return replace(person, username=proposal.username, state=OK, needs=frozenset({address}))


def _proposals(
    source: Source,
    elsewhere: Mapping[tuple[str, str], str],
    waiting: Sequence[OfferingUser],
    settings: Usernames,
    taken: set[str],
    known: Callable[[Sequence[str]], frozenset[str]],
) -> dict[str, Proposal]:
    name = source.offering.username_management_backend
    if name == "base":
        return {}
    names = {u.uuid: elsewhere.get((source.offering.api_url, u.user_uuid), "") for u in waiting}
    found = {uuid: Proposal(username=name) for uuid, name in names.items() if name}
    people = [_person(u) for u in waiting if u.uuid not in found]
    maker = backend(name, settings)
    foreign: set[str] = set()
    while people:
        made = dict(maker.usernames(people, frozenset(taken | foreign)))
        # a name that the head node has belongs to somebody, unless it was asked for by that very name
        wanted = sorted(p.username for p in made.values() if p.username)
        there = known(wanted) - foreign if name == "generator" and "{unix_name" not in settings.pattern else None
        if not there:
            return found | made
        foreign |= there
    return found


def _person(user: OfferingUser) -> Person:
    unix = user.login if _UNIX_NAME.fullmatch(user.login) else ""
    return Person(
        user.uuid, user.user_uuid, user.login, user.first_name, user.last_name, user.full_name, user.email, unix
    )
