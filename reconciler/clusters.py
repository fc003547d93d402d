"""The clusters of a configuration, each with all offerings on it."""

from __future__ import annotations

from reconciler.accounting import Accounting
from reconciler.config import Config, Offering, Runner
from reconciler.cycle import Cluster
from reconciler.errors import ConfigError
from reconciler.plan import USAGE, Mode
from reconciler.providers.runner import CommandRunner
from reconciler.state.naming import fold

#: what is planned and applied as one
Scope = Cluster | Accounting


def clusters(config: Config, offering: str = "") -> list[Cluster]:
    """The clusters of a configuration, with all their offerings; ``offering`` picks the one it is on.

    Raises :class:`ConfigError` when there is none to serve.
    """
    groups: dict[str, list[Offering]] = {}
    for one in config.offerings:
        if one.uses_slurm:
            groups.setdefault(fold(one.backend_settings.cluster_name or ""), []).append(one)
    if "" in groups and len(groups) > 1:
        raise ConfigError(
            f"{config.path}: offering {groups[''][0].name!r} has no backend_settings.cluster_name, others have one",
            "Whether they share a cluster decides what is theirs: give every SLURM offering its cluster_name.",
        )
    for name, members in groups.items():
        if len({_runner(config, o).model_dump_json() for o in members}) > 1:
            raise ConfigError(f"{config.path}: the offerings on cluster {name!r} differ in slurm_bin_path")
    wanted = [
        Cluster(config, name or None, members, _runner(config, members[0]))
        for name, members in groups.items()
        if not offering or offering in {x for o in members for x in (o.name, o.waldur_offering_uuid)}
    ]
    if not wanted:
        known = ", ".join(o.name for o in config.offerings if o.uses_slurm) or "none"
        what = f"no offering {offering!r}" if offering else "no offering with a SLURM backend"
        raise ConfigError(f"{config.path}: {what}; SLURM offerings here: {known}")
    return wanted


def accountings(config: Config, offering: str = "", *, alone: bool = False) -> list[Accounting]:
    """Usage by cluster, and of all offerings without one; ``offering`` picks its group.

    ``alone``: only offerings that no cluster's cycle looks after.
    """
    groups: dict[str, list[Offering]] = {}
    for one in config.offerings:
        if one.reports and not one.from_file and not (alone and one.uses_slurm):
            on_cluster = one.uses_slurm or one.reporting == "slurm"
            # those without any are looked at together: two resources of one account must be seen
            name = fold(one.backend_settings.cluster_name or "default") if on_cluster else "dwdi"
            groups.setdefault(f"{USAGE}{name}", []).append(one)
    return [
        Accounting(config, label, members, CommandRunner(_runner(config, members[0])))
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
                "reporting_backend says from where: slurm, or one of the cscs-dwdi backends.",
            )
        return found
    found = [*accountings(config, offering, alone=True)] if mode is Mode.ALL else []
    chosen = [o for o in config.offerings if not offering or offering in (o.name, o.waldur_offering_uuid)]
    if found and not any(o.uses_slurm for o in chosen):
        return found
    return [*clusters(config, offering), *found]


def offering_name(config: Config, wanted: str) -> str:
    """An offering's name from its name or uuid."""
    plain = wanted.replace("-", "").lower()
    return next((o.name for o in config.offerings if o.waldur_offering_uuid == plain), wanted)


def _runner(config: Config, offering: Offering) -> Runner:
    settings = offering.backend_settings
    base = config.reconcile.clusters.get(settings.cluster_name or "", config.reconcile.runner)
    if settings.slurm_bin_path and not base.slurm_bin_path:
        return base.model_copy(update={"slurm_bin_path": settings.slurm_bin_path})
    return base
