"""Accounts on the cluster that Waldur does not know, as resources that could be made of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.config import Offering
from reconciler.state import kinds
from reconciler.state.facts import Project
from reconciler.state.model import Desired, Obj, State
from reconciler.state.naming import fold
from reconciler.state.portal import amounts
from reconciler.state.units import to_amount


@dataclass(frozen=True)
class Importable:
    """One account. ``limits`` are in Waldur's units; ``project`` is the uuid of the Waldur project it hangs below."""

    account: str
    parent: str
    description: str
    offering: str = ""
    project: str = ""
    project_name: str = ""
    limits: Mapping[str, str] = field(default_factory=dict)
    grp_tres_mins: Mapping[str, int] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    known_members: tuple[str, ...] = ()
    offered: bool = False


def candidates(actual: State, desired: Desired, roots: frozenset[str]) -> list[str]:
    """Accounts without accounts below them that no live resource names and no configuration protects."""
    parents = {str(o.values.get("parent") or "") for a, o in actual.items() if a.kind == "slurm.account"}
    return sorted(
        a.key[0]
        for a in actual
        if a.kind == "slurm.account"
        and a.key[0] not in parents
        and a.key[0] not in roots
        and a not in desired.objects
        and a not in desired.absent
        and a not in desired.held
    )


def importables(
    accounts: Sequence[str],
    actual: State,
    offerings: Sequence[Offering],
    projects: Mapping[str, Mapping[str, Project]],
    usernames: frozenset[str],
) -> list[Importable]:
    """What is known about each account; ``projects`` by offering and slug, ``usernames``: whom Waldur knows."""
    members: dict[str, list[str]] = {name: [] for name in accounts}
    for address in actual:
        if address.kind == "slurm.association" and address.key[0] in members:
            members[address.key[0]].append(address.key[1])
    result = []
    for name in accounts:
        values = actual[kinds.account(name)].values
        parent = str(values.get("parent") or "")
        offering, project = _place(name, actual, offerings, projects)
        minutes = values.get("grp_tres_mins")
        have = {k: int(v) for k, v in minutes.items()} if isinstance(minutes, Mapping) else {}
        people = tuple(sorted(members[name]))
        result.append(
            Importable(
                account=name,
                parent=parent,
                description=str(values.get("description") or ""),
                offering=offering.name if offering else "",
                project=project.uuid if project else "",
                project_name=project.name if project else "",
                limits=_limits(offering, have),
                grp_tres_mins=have,
                members=people,
                known_members=tuple(p for p in people if p in usernames),
            )
        )
    return result


def _place(
    name: str, actual: State, offerings: Sequence[Offering], projects: Mapping[str, Mapping[str, Project]]
) -> tuple[Offering | None, Project | None]:
    """The offering and the project of an account: by its place in the tree, else by its prefix alone."""
    fitting = [o for o in offerings if name.startswith(fold(o.backend_settings.prefixes[-1]))]
    # the longest prefix says most
    fitting.sort(key=lambda o: -len(o.backend_settings.prefixes[-1]))
    for offering in fitting:
        project = _project(name, actual, offering, projects.get(offering.name, {}))
        if project is not None:
            return offering, project
    return (fitting[0] if fitting else None), None


def _project(name: str, actual: State, offering: Offering, projects: Mapping[str, Project]) -> Project | None:
    """The project that an account hangs below, if its account stands where the offering's projects do."""
    settings = offering.backend_settings
    customer, prefix, _ = (fold(p) for p in settings.prefixes)
    parent = _parent(actual, name)
    if not parent.startswith(prefix):
        return None
    project = projects.get(parent.removeprefix(prefix))
    if project is None:
        return None
    above = fold(settings.hierarchy_root) if settings.parent_account else customer + fold(project.customer_slug)
    return project if _parent(actual, parent) == above else None


def _parent(actual: State, name: str) -> str:
    account = actual.get(kinds.account(name))
    return str(account.values.get("parent") or "") if account is not None else ""


def _limits(offering: Offering | None, have: Mapping[str, int]) -> dict[str, str]:
    if offering is None:
        return {}
    found: dict[str, str] = {}
    for name, component in offering.backend_components.items():
        minutes = have.get(fold(name))
        # other accounting types have no limit of the resource's own in Waldur
        if minutes is not None and component.has_own_limit:
            found[name] = to_amount(minutes, component.unit_factor)
    return found


def desired(found: Sequence[Importable], offerings: Mapping[str, str]) -> Desired:
    """The accounts as objects to offer to Waldur; ``offerings`` maps names to uuids. Only those of known projects."""
    result = Desired()
    for one in found:
        if one.project and one.offering in offerings:
            result.objects[kinds.backend_resource(offerings[one.offering], one.account)] = Obj(
                {"name": one.description or one.account, "project": one.project, "limits": amounts(one.limits)},
                f'account {one.account} of project "{one.project_name}", unknown to Waldur',
                frozenset({one.offering}),
            )
    return result
