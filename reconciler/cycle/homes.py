"""Home directories of members, as they should be and as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.config import Offering
from reconciler.providers import host
from reconciler.providers.host.kinds import homedir
from reconciler.providers.runner import CommandRunner
from reconciler.state.kinds import is_member
from reconciler.state.model import Desired, Note, State
from reconciler.state.names import some


@dataclass
class Homes:
    """The members' homes: as they should be, and as they are."""

    desired: Desired = field(default_factory=Desired)
    actual: State = field(default_factory=dict)


def members(offerings: Sequence[Offering], cluster: Desired) -> dict[str, Offering]:
    """Users with an association in an offering that makes homes, and the first such offering of each."""
    serving = {o.name: o for o in offerings if o.backend_settings.enable_user_homedir_account_creation}
    found: dict[str, Offering] = {}
    for address, obj in cluster.objects.items() if serving else ():
        if is_member(address) and address not in cluster.held:
            for name in sorted(obj.offerings & serving.keys()):
                found.setdefault(address.key[1], serving[name])
    return found


def read(runner: CommandRunner, users: Mapping[str, Offering], spelling: Mapping[str, str] | None = None) -> Homes:
    """Look at all homes at once. A base directory that cannot be read spoils the homes below it alone.

    ``spelling``: users' names as the host writes them, where that is not all lower case.
    """
    homes = Homes()
    known = host.accounts(runner, {name for u in users for name in (u, (spelling or {}).get(u, u))}) if users else {}
    groups: dict[str | None, list[str]] = defaultdict(list)
    for user, offering in users.items():
        groups[offering.backend_settings.homedir_base_path].append(user)
    for base, names in groups.items():
        mine = {n: known[n] for n in names if n in known}
        paths = {n: host.home_path(a, base) for n, a in mine.items()}
        entries, unreadable = host.scanned(runner, paths.values())
        lost = {n for n, path in paths.items() if path.rpartition("/")[0] in unreadable}
        placeless = {n for n, path in paths.items() if host.path_problem(path)}
        for text in sorted(unreadable.values()):
            offering = users[names[0]]
            note = Note(homedir(min(lost)), f"home directories there are left alone: {text}", offering.name)
            homes.desired.refused.append(note)
        sound = {n: a for n, a in mine.items() if n not in lost | placeless}
        homes.actual |= host.actual(sound, entries, base)
        for one in {users[n].name: users[n] for n in names}.values():
            here = [n for n in names if users[n] is one]
            wanted = host.desired(
                [n for n in here if n in sound],
                sound,
                entries,
                one.backend_settings,
                reason=f'member of offering "{one.name}"; enable_user_homedir_account_creation',
                offerings=frozenset({one.name}),
            )
            homes.desired.objects |= wanted
            _without(homes, one, sorted(n for n in here if n not in mine), "unknown to this host (getent passwd)")
            _without(homes, one, sorted(placeless & set(here)), "passwd gives them no place for a home")
    return homes


def _without(homes: Homes, offering: Offering, names: Sequence[str], why: str) -> None:
    if names:
        text = f"{why}, so without homes: {some(names)}"
        homes.desired.warnings.append(Note(homedir(names[0]), text, offering.name))
