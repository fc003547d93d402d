"""``reconcile freeze`` and ``unfreeze``: stop applying, and go on. Plans are made all the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from reconciler.cli import options
from reconciler.config import Config
from reconciler.errors import FrozenError, ReconcileError
from reconciler.freezing import Freezer, labels
from reconciler.state.naming import fold
from reconciler.store import store_of

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

    Example: reconcile freeze --until 2h --reason "slurmdbd upgrade"
    """
    config = options.configuration(config_path)
    now = datetime.now(UTC)
    end = moment(until, config.timezone, now) if until else None
    if end is not None and end <= now:
        raise ReconcileError(f"--until {until}: that moment is over")
    named = known(config, cluster)
    freezer(config).freeze(named, end, reason, now)
    where = f"cluster {named}" if named else "all clusters of this configuration"
    shown = f"until {end.isoformat(timespec='minutes')}" if end else "until: reconcile unfreeze"
    options.output().print(f"Frozen, {where}: nothing is applied {shown}.")
    store = store_of(config)
    for label in [named] if named else sorted(_slurm(config)):
        if store.held(label):
            options.output().print(f"An apply on {label} is under way: it ends what it planned.")


def unfreeze(config_path: options.ConfigOption = None, cluster: ClusterOption = "") -> None:
    """Apply again."""
    config = options.configuration(config_path)
    named = known(config, cluster)
    lifted = freezer(config).lift(named)
    options.output().print("Apply goes on." if lifted else "Nothing was frozen by reconcile freeze.")
    still = freezer(config).frozen((named,), datetime.now(UTC))
    if still is not None:
        raise FrozenError(f"it is {still.text}", f"To go on: {still.lifted_by}")


def _slurm(config: Config) -> set[str]:
    return labels(o for o in config.offerings if o.uses_slurm)


def known(config: Config, cluster: str) -> str:
    """A cluster's name as freezes keep it. Raises :class:`ReconcileError` for one that the configuration lacks.

    Where the configuration leaves the name to SLURM, any name may be right.
    """
    names = _slurm(config) | {"dwdi"}
    if cluster and fold(cluster) not in names and "default" not in names:
        raise ReconcileError(f"--cluster {cluster}: not in the configuration", f"Clusters: {', '.join(sorted(names))}.")
    return fold(cluster)


def require_thawed(config: Config, offering: str = "") -> None:
    """Raise :class:`FrozenError` while everything is frozen, or a cluster of the offering (of any without a name)."""
    names = labels(o for o in config.offerings if offering in ("", o.name))
    frozen = freezer(config).frozen(names, datetime.now(UTC))
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
