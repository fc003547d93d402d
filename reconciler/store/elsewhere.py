"""Other state directories of this host: an order in one does not bind who uses another."""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.config import block
from reconciler.store.locks import lock_file

#: where users of this host are listed, without those of a directory service, which may be thousands
PASSWD = Path("/etc/passwd")


@dataclass(frozen=True)
class Elsewhere:
    """Another state directory, its owner, and whether one could look into it."""

    path: Path
    owner: str
    seen: bool

    @property
    def text(self) -> str:
        """In a line."""
        what = "holds locks or freezes of the same cluster" if self.seen else "exists, and cannot be looked into"
        return f"{self.path} (of {self.owner}) {what}"


def elsewhere(mine: Path, names: Collection[str]) -> list[Elsewhere]:
    """The usual places besides ``mine`` that hold something of locks of these names, or may."""
    found = []
    done = {_real(mine)}
    for place in (*block.usual_state_dirs(), *_homes()):
        real = _real(place)
        if real in done:
            continue
        done.add(real)
        with suppress(OSError):  # there is none, or nobody may know
            owner = _name(place.stat().st_uid)
            seen = os.access(place, os.R_OK | os.X_OK)
            holds = (place / "frozen.json").exists() or any(lock_file(place, name).exists() for name in names)
            if holds or not seen:
                found.append(Elsewhere(place, owner, seen))
    return found


def _homes() -> Iterator[Path]:
    """The places of this host's users, for root, who may look into them."""
    if os.geteuid() != 0:
        return
    with suppress(OSError):
        for line in PASSWD.read_text(encoding="utf-8", errors="replace").splitlines():
            parts = line.split(":")
            if len(parts) == 7 and len(parts[5]) > 1:
                yield Path(parts[5]) / block.USER_STATE


def _real(path: Path) -> Path:
    with suppress(OSError, RuntimeError):
        return path.resolve()
    return path


def _name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"user id {uid}"
