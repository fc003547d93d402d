"""``reconcile freeze`` and ``unfreeze``: stop applying, and go on. Plans are made all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from reconciler.cli import options
from reconciler.config import Config
from reconciler.errors import ReconcileError
from reconciler.freezing import Freezer
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
    known = {fold(o.backend_settings.cluster_name or "default") for o in config.offerings} | {"dwdi"}
    if cluster and fold(cluster) not in known:
        raise ReconcileError(f"--cluster {cluster}: not in the configuration", f"Clusters: {', '.join(sorted(known))}.")
    freezer(config).freeze(fold(cluster), end, reason, now)
    where = f"cluster {fold(cluster)}" if cluster else "all clusters of this configuration"
    shown = f"until {end.isoformat(timespec='minutes')}" if end else "until: reconcile unfreeze"
    options.output().print(f"Frozen, {where}: nothing is applied {shown}.")


def unfreeze(config_path: options.ConfigOption = None, cluster: ClusterOption = "") -> None:
    """Apply again."""
    config = options.configuration(config_path)
    lifted = freezer(config).lift(fold(cluster))
    options.output().print("Apply goes on." if lifted else "Nothing was frozen.")


def require_thawed(config: Config) -> None:
    """Raise :class:`ReconcileError` while everything is frozen."""
    frozen = freezer(config).frozen("", datetime.now(UTC))
    if frozen is not None:
        raise ReconcileError(f"{frozen.text}; nothing was done", f"To go on: {frozen.lifted_by}")


def moment(text: str, zone: str, now: datetime) -> datetime:
    """A moment from now on: ``2h``, ``3d``, or ISO 8601 in the site's zone."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdigit() and text[-1] in units:
        return now + timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ReconcileError(f"--until {text}: no moment", "Write 2026-11-22T06:00, 2h or 3d.") from None
    return (when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
