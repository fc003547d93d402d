"""Times in which nothing is applied: a freeze that somebody set, or a maintenance window of the configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim
from sqlalchemy import delete, select

from reconciler.config import Config, Maintenance, Offering
from reconciler.errors import ReconcileError
from reconciler.store import Store, names, store_of
from reconciler.store.database import rows_of
from reconciler.store.elsewhere import Elsewhere, elsewhere
from reconciler.store.locks import cluster_lock, holder, private
from reconciler.store.names import USAGE
from reconciler.store.tables import FREEZES

FILE = "frozen.json"
ONE_STATE = (
    "One state directory per host is the rule: set reconcile.state_dir in the configuration, or run everything as one "
    "user. Remove the other one where nothing uses it any more."
)


@dataclass(frozen=True)
class Frozen:
    """Why nothing is applied, until when (None: until somebody lifts it), and how to lift it."""

    reason: str
    until: datetime | None
    lifted_by: str

    @property
    def text(self) -> str:
        """In a line."""
        until = f"until {self.until.isoformat(timespec='minutes')}" if self.until else "until somebody lifts it"
        return f"frozen {until}: {self.reason}"


def labels(config: Config, offerings: Iterable[Offering] | None = None) -> set[str]:
    """All names of the clusters of a configuration, or of some of its offerings; SLURM is not asked."""
    return names.labels(config, config.offerings if offerings is None else offerings, store_of(config))


def unbound(config: Config, clusters: Iterable[str]) -> list[Elsewhere]:
    """Other state directories of this host with something of these clusters; no freeze here binds them."""
    locks = {lock for name in clusters for lock in (name, f"{USAGE}{name}")}
    return elsewhere(config.reconcile.state_dir, locks)


class Freezer:
    """Freezes of a store; ``cluster`` empty means all of them."""

    def __init__(self, store: Store, windows: Sequence[Maintenance], zone: str) -> None:
        self.store = store
        self.windows = windows
        self.zone = zone

    @property
    def place(self) -> str:
        """Where freezes are kept."""
        return self.store.place if self.store.shared else str(self.store.state_dir / FILE)

    def freeze(self, cluster: str, until: datetime | None, reason: str, now: datetime) -> None:
        """Stop applying. Raises :class:`ReconcileError` where that cannot be kept."""
        row = {
            "cluster": cluster,
            "until": until.isoformat() if until else "",
            "reason": reason,
            "who": holder().partition(" since ")[0],
            "moment": now.isoformat(),
        }
        if self.store.shared:
            with self.store.writing() as connection:
                self.store.upsert(connection, FREEZES, [row])
        else:
            with self._alone():
                self._keep([*(r for r in self._mended() if r["cluster"] != cluster), row])

    def lift(self, cluster: str) -> bool:
        """Apply again (without a cluster: all of them); whether anything was frozen."""
        with self._alone():
            rows = self._mended()
            left = [r for r in rows if cluster and r["cluster"] != cluster]
            if self.store.shared and rows:
                with self.store.writing() as connection:
                    mine = delete(FREEZES).where(FREEZES.c.cluster == cluster) if cluster else delete(FREEZES)
                    connection.execute(mine)
            elif rows:
                self._keep(left)
        return len(left) < len(rows)

    def _alone(self) -> AbstractContextManager[None]:
        """Nobody else changes the file meanwhile."""
        if self.store.shared or not self.store.state_dir.exists():
            return nullcontext()
        return cluster_lock(self.store.state_dir, "freezes", patience=10)

    def _mended(self) -> list[dict[str, Any]]:
        """What is frozen; a file that cannot be understood is put aside by whoever sets things anew."""
        path = self.store.state_dir / FILE
        try:
            return self._rows()
        except ReconcileError:
            if self.store.shared or not path.is_file():
                raise
            path.replace(path.with_suffix(".broken"))
            return [dict.fromkeys(("cluster", "until", "reason", "who", "moment"), "")]

    def _rows(self) -> list[dict[str, Any]]:
        """What is frozen. Beside SQLite it is a file of its own: an order must outlive a broken database."""
        if self.store.shared:
            with self.store.reading() as connection:
                return rows_of(connection.execute(select(FREEZES)))
        try:
            found = json.loads((self.store.state_dir / FILE).read_text(encoding="utf-8"))
            rows = [{k: str(r[k]) for k in ("cluster", "until", "reason", "who", "moment")} for r in found]
            for row in rows:
                _end(row)
            return rows
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ReconcileError(
                f"{self.store.state_dir / FILE}: it cannot be told whether apply is frozen: {error}",
                "reconcile unfreeze puts the file aside and goes on; reconcile freeze freezes anew.",
            ) from None

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        path = self.store.state_dir / FILE
        try:
            private(path.parent)
            partial = path.with_suffix(".part")
            partial.unlink(missing_ok=True)
            partial.touch(mode=0o600)
            with partial.open("w", encoding="utf-8") as file:
                file.write(json.dumps(rows, indent=2))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            hint = "Set reconcile.state_dir to a directory that this user may write."
            raise ReconcileError(f"{path}: {error.strerror}", hint) from None

    def frozen(self, clusters: Collection[str], now: datetime) -> Frozen | None:
        """Whether one of these names of a cluster is frozen now. Raises :class:`ReconcileError` if nobody can tell."""
        for window in self.windows:
            if (until := ends(window, now, self.zone)) is not None:
                reason = window.reason or "maintenance"
                return Frozen(f"{reason} ({window.cron})", until, "reconcile.maintenance in the configuration")
        for row in [r for r in self._rows() if r["cluster"] in ("", *clusters)]:
            until = _end(row)
            if until is None or now < until:
                reason = f"{row['reason'] or 'no reason given'} (by {row['who']} at {row['moment'][:16]})"
                which = f" --cluster {row['cluster']}" if row["cluster"] else ""
                return Frozen(reason, until, f"reconcile unfreeze{which}")
        return None


def _end(row: dict[str, Any]) -> datetime | None:
    end = datetime.fromisoformat(row["until"]) if row["until"] else None
    if end is not None and end.tzinfo is None:
        raise ValueError(f"until {row['until']}: no time zone")
    return end


def ends(window: Maintenance, now: datetime, zone: str) -> datetime | None:
    """When the maintenance window that holds now ends; None outside of it."""
    length = timedelta(minutes=window.minutes)
    # the last beginning that may still be running; lengths are in real minutes, whatever clocks do
    earliest = (now.astimezone(UTC) - length).astimezone(ZoneInfo(window.timezone or zone))
    begin = next(CronSim(window.cron, earliest)).astimezone(UTC)
    return begin + length if begin <= now else None
