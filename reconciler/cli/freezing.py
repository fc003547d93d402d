"""``reconcile freeze`` and ``unfreeze``: stop applying, and go on. Plans are made all the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from reconciler.cli import options
from reconciler.config import Config
from reconciler.cycle.scopes import clusters
from reconciler.errors import FrozenError, ReconcileError
from reconciler.state.names import fold
from reconciler.store import names, store_of
from reconciler.store.freezes import ONE_STATE, Freezer, labels, unbound

ClusterOption = Annotated[
    str, typer.Option("--cluster", help="Only this cluster. Default: all of this configuration.", show_default=False)
]


def freezer(config: Config) -> Freezer:
    """The freezes of a configuration."""
    return Freezer(store_of(config), config.reconcile.maintenance, config.timezone)


def freeze(
    config_path: options.ConfigOption = None,
    cluster: ClusterOption = "",
    until: Annotated[
        str, typer.Option("--until", help="2026-11-22T06:00 in the site's time zone, or 2h, 3d from now.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="For those who wonder why nothing happens.")] = "",
) -> None:
    """Stop apply, until a moment or until `reconcile unfreeze`. Plans are made all the same.

    Example: reconcile freeze --until 2h --reason "upgrade"
    """
    config = options.configuration(config_path)
    now = datetime.now(UTC)
    end = moment(until, config.timezone, now) if until else None
    if end is not None and end <= now:
        raise ReconcileError(f"--until {until}: that moment is over")
    named = known(config, cluster)
    made = freezer(config)
    made.freeze(named, end, reason, now)
    where = f"cluster {named}" if named else "all clusters of this configuration"
    shown = f"until {end.isoformat(timespec='minutes')}" if end else "until: reconcile unfreeze"
    options.output().print(f"Frozen, {where}: nothing is applied {shown}.")
    options.output().print(f"Written to {made.place}.")
    _say_unbound(config, named)
    store = store_of(config)
    if any(store.held(label) for label in (_aliases(config, named) if named else labels(config))):
        options.output().print(f"An apply on {where} is under way: it ends what it planned.")


def unfreeze(config_path: options.ConfigOption = None, cluster: ClusterOption = "") -> None:
    """Apply again."""
    config = options.configuration(config_path)
    named = known(config, cluster)
    made = freezer(config)
    lifted = [made.lift(name) for name in (sorted(_aliases(config, named)) if named else ("",))]
    said = (
        f"Apply goes on. Written to {made.place}."
        if lifted
        else f"Nothing was frozen by reconcile freeze in {made.place}."
    )
    options.output().print(said)
    _say_unbound(config, named)
    still = made.frozen(_aliases(config, named), datetime.now(UTC))
    if still is not None:
        raise FrozenError(f"it is {still.text}", f"To go on: {still.lifted_by}")


def _say_unbound(config: Config, cluster: str) -> None:
    """Name other state directories of this host: this freeze is not seen by who uses them, nor theirs by us."""
    found = unbound(config, _aliases(config, cluster) if cluster else labels(config))
    for other in found:
        options.errors().print(f"Warning: not bound by this: {other.text}", style="yellow")
    if found:
        options.errors().print(f"  {ONE_STATE}")


def _aliases(config: Config, cluster: str) -> set[str]:
    """All names of a cluster."""
    found = (names.names_of(config, o, store_of(config)) for o in config.offerings)
    return {cluster}.union(*(known_as for known_as in found if cluster in known_as))


def known(config: Config, cluster: str) -> str:
    """A cluster's name as freezes keep it. Raises :class:`ReconcileError` for one that the configuration lacks.

    Where the configuration leaves the name to SLURM, and no apply has learnt it yet, SLURM is asked.
    """
    wanted = fold(cluster)
    if wanted and wanted not in labels(config):
        _learn(config, cluster)
        if wanted not in labels(config):
            shown = ", ".join(sorted({names.names_of(config, o, store_of(config))[0] for o in config.offerings}))
            raise ReconcileError(f"--cluster {cluster}: not in the configuration", f"Clusters: {shown}.")
    return next(
        (n[0] for o in config.offerings if wanted in (n := names.names_of(config, o, store_of(config)))), wanted
    )


def _learn(config: Config, wanted: str) -> None:
    """Ask SLURM, where a cluster has no name yet."""
    for cluster in clusters(config) if any(o.cluster_backend for o in config.offerings) else ():
        try:
            cluster.keep_name()
        except ReconcileError as error:
            raise ReconcileError(
                f"--cluster {wanted}: the configuration names no cluster, and none can be asked: {error.message}",
                "Without --cluster all clusters of this configuration are meant, and none is asked.",
            ) from None


def require_thawed(config: Config, offering: str = "") -> None:
    """Raise :class:`FrozenError` while everything is frozen, or a cluster of the offering (of any without a name)."""
    concerned = labels(config, [o for o in config.offerings if offering in ("", o.name)])
    frozen = freezer(config).frozen(concerned, datetime.now(UTC))
    if frozen is not None:
        raise FrozenError(f"{frozen.text}; nothing was done", f"To go on: {frozen.lifted_by}")


def moment(text: str, zone: str, now: datetime) -> datetime:
    """A moment from now on: ``2h``, ``3d``, or ISO 8601 in the site's zone."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if span := re.fullmatch(r"([0-9]+)([mhd])", text.strip()):
            return now + timedelta(**{units[span[2]]: int(span[1])})
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ReconcileError(f"--until {text}: no moment", "Write 2026-11-22T06:00, 2h or 3d.") from None
