"""The clusters of a configuration, each with all offerings on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.config import DIRECTORY_KEY, REPORTED_BY, Config, Offering
from reconciler.config.backend import cluster_backends
from reconciler.cycle.cluster import Cluster
from reconciler.cycle.scope import Scope
from reconciler.cycle.usage import Accounting
from reconciler.errors import ConfigError
from reconciler.plan.model import Plan
from reconciler.plan.select import Mode
from reconciler.providers.registry import backend_of
from reconciler.providers.runner import CommandRunner
from reconciler.store import store_of
from reconciler.store.names import USAGE, names_of


def clusters(config: Config, offering: str = "") -> list[Cluster]:
    """The clusters of a configuration, with all their offerings; ``offering`` picks the one it is on.

    Raises :class:`ConfigError` when there is none to serve.
    """
    groups: dict[str, list[Offering]] = {}
    for one in config.offerings:
        if one.cluster_backend:
            groups.setdefault(one.cluster_name, []).append(one)
    if "" in groups and _named_alike(groups):
        raise ConfigError(
            f"{config.path}: offering {groups[''][0].name!r} has no backend_settings.cluster_name, others have one",
            f"Whether they share a cluster decides what is theirs: give every {_kinds()} offering its cluster_name.",
        )
    for name, members in groups.items():
        if len(kinds := {o.cluster_backend for o in members}) > 1:
            raise ConfigError(
                f"{config.path}: the offerings on cluster {name!r} are of several kinds: {', '.join(sorted(kinds))}",
                "Give each cluster a backend_settings.cluster_name of its own.",
            )
        if len({config.runner_of(o).model_dump_json() for o in members}) > 1:
            raise ConfigError(f"{config.path}: the offerings on cluster {name!r} differ in {DIRECTORY_KEY}")
    wanted = [
        Cluster(config, name or None, members, config.runner_of(members[0]))
        for name, members in groups.items()
        if not offering or offering in {x for o in members for x in (o.name, o.waldur_offering_uuid)}
    ]
    if not wanted:
        known = ", ".join(o.name for o in config.offerings if o.cluster_backend) or "none"
        what = f"no offering {offering!r}" if offering else f"no offering with a {_kinds()} backend"
        raise ConfigError(f"{config.path}: {what}; {_kinds()} offerings here: {known}")
    return wanted


def _named_alike(groups: Mapping[str, Sequence[Offering]]) -> bool:
    """Whether some clusters of the unnamed ones' kinds have names."""
    unnamed = {o.cluster_backend for o in groups[""]}
    return any(name and o.cluster_backend in unnamed for name, members in groups.items() for o in members)


def _kinds() -> str:
    """Kinds of clusters that are served, by what people call them."""
    return " or ".join(backend_of(word).title for word in cluster_backends())


def accountings(config: Config, offering: str = "", *, alone: bool = False) -> list[Accounting]:
    """Usage by cluster, and of all offerings without one; ``offering`` picks its group.

    ``alone``: only offerings that no cluster's cycle looks after.
    """
    groups: dict[str, list[Offering]] = {}
    store = store_of(config)
    for one in config.offerings:
        if one.reports and not one.from_file and not (alone and one.cluster_backend):
            # those without any are looked at together: two resources of one account must be seen
            name = names_of(config, one, store)[0]
            groups.setdefault(f"{USAGE}{name}", []).append(one)
    return [
        Accounting(config, label, members, CommandRunner(config.runner_of(members[0]), veil=config.veil))
        for label, members in groups.items()
        if not offering or offering in {x for o in members for x in (o.name, o.waldur_offering_uuid)}
    ]


def scopes(config: Config, offering: str = "", mode: Mode = Mode.ALL) -> list[Scope]:
    """What a mode works on: clusters with everything on them, or usage alone. Raises :class:`ConfigError`."""
    if mode is Mode.REPORT:
        found: list[Scope] = [*accountings(config, offering)]
        if not found:
            raise ConfigError(
                f"{config.path}: {f'offering {offering!r} reports' if offering else 'no offering reports'} no usage",
                f"reporting_backend says from where: {REPORTED_BY}.",
            )
        return found
    found = [*accountings(config, offering, alone=True)] if mode is Mode.ALL else []
    chosen = [o for o in config.offerings if not offering or offering in (o.name, o.waldur_offering_uuid)]
    if found and not any(o.cluster_backend for o in chosen):
        return found
    return [*clusters(config, offering), *found]


def serving(config: Config, plan: Plan) -> Scope | None:
    """What a saved plan was made for."""
    usage = plan.cluster.startswith(USAGE)
    known: list[Scope] = [*accountings(config)] if usage else [*clusters(config)]
    return next((one for one in known if one.serves(plan)), None)


def offering_name(config: Config, wanted: str) -> str:
    """An offering's name from its name or uuid."""
    plain = wanted.replace("-", "").lower()
    return next((o.name for o in config.offerings if o.waldur_offering_uuid == plain), wanted)
