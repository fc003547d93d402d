"""Accounts on the cluster that Waldur does not know, as resources that could be made of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.config import Offering
from reconciler.desired.accounts import top
from reconciler.providers.base import Backend
from reconciler.state import budget, waldur
from reconciler.state.diff import values_of
from reconciler.state.facts import Project
from reconciler.state.kinds import KINDS
from reconciler.state.model import Desired, Obj, State
from reconciler.state.names import fold
from reconciler.state.portal import amounts
from reconciler.state.tree import Shape, Tree


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
    budget: Mapping[str, int | str] = field(default_factory=dict)  # as the cluster has it
    budget_field: str = ""  # what the cluster's kind calls it
    members: tuple[str, ...] = ()
    known_members: tuple[str, ...] = ()
    offered: bool = False


def candidates(actual: State, desired: Desired, roots: frozenset[str]) -> list[str]:
    """Accounts without accounts below them that no live resource names and no configuration protects."""
    tree = Tree(actual)
    known = (desired.objects, desired.absent, desired.held)
    return sorted(
        name
        for name, address in tree.addresses.items()
        if name not in tree.children and name not in roots and not any(address in side for side in known)
    )


def importables(
    accounts: Sequence[str],
    actual: State,
    offerings: Sequence[Offering],
    projects: Mapping[str, Mapping[str, Project]],
    usernames: frozenset[str],
    backend: Backend,
) -> list[Importable]:
    """What is known about each account; ``projects`` by offering and slug, ``usernames``: whom Waldur knows."""
    tree = Tree(actual)
    result = []
    for name in accounts:
        address = tree.addresses[name]
        own = [a for a in backend.shape.budget_of(name) if a in actual]
        values = {k: v for a in (address, *own) for k, v in values_of(actual[a]).items()}
        kind, purse = KINDS[address.kind], KINDS[backend.shape.budget or address.kind]
        offering, project = _place(name, tree, offerings, projects, backend.shape)
        amounts_ = backend.amounts(values, offering.backend_components, {}) if offering else {}
        people = tuple(tree.people(name))
        result.append(
            Importable(
                account=name,
                parent=tree.parents[name],
                description=str(values.get(kind.description) or ""),
                offering=offering.name if offering else "",
                project=project.uuid if project else "",
                project_name=project.name if project else "",
                limits={n: amount for n, amount in amounts_.items() if amount is not None},
                budget=budget.plain(purse, values.get(purse.budget)),
                budget_field=purse.budget,
                members=people,
                known_members=tuple(p for p in people if p in usernames),
            )
        )
    return result


def _place(
    name: str,
    tree: Tree,
    offerings: Sequence[Offering],
    projects: Mapping[str, Mapping[str, Project]],
    shape: Shape,
) -> tuple[Offering | None, Project | None]:
    """The offering and the project of an account: by its place in the tree, else by its prefix alone."""
    fitting = [o for o in offerings if name.startswith(fold(o.backend_settings.prefixes[-1]))]
    # the longest prefix says most
    fitting.sort(key=lambda o: -len(o.backend_settings.prefixes[-1]))
    for offering in fitting:
        project = _project(name, tree, offering, projects.get(offering.name, {}), shape)
        if project is not None:
            return offering, project
    return (fitting[0] if fitting else None), None


def _project(
    name: str, tree: Tree, offering: Offering, projects: Mapping[str, Project], shape: Shape
) -> Project | None:
    """The project that an account hangs below, if its account stands where the offering's projects do."""
    settings = offering.backend_settings
    customer, prefix, _ = (fold(p) for p in settings.prefixes)
    parent = tree.parents.get(name, "")
    if not parent.startswith(prefix):
        return None
    project = projects.get(parent.removeprefix(prefix))
    if project is None:
        return None
    above = customer + fold(project.customer_slug) if offering.customer_level else top(settings, shape)
    return project if tree.parents.get(parent, "") == above else None


def desired(found: Sequence[Importable], offerings: Mapping[str, str]) -> Desired:
    """The accounts as objects to offer to Waldur; ``offerings`` maps names to uuids. Only those of known projects."""
    result = Desired()
    for one in found:
        if one.project and one.offering in offerings:
            result.objects[waldur.backend_resource(offerings[one.offering], one.account)] = Obj(
                {"name": one.description or one.account, "project": one.project, "limits": amounts(one.limits)},
                f'account {one.account} of project "{one.project_name}", unknown to Waldur',
                frozenset({one.offering}),
            )
    return result
