"""Home directories of a head node in memory: what find, chmod and mkhomedir_helper do there, as reconcile asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BASE, HELPER = "/home", "/usr/sbin/mkhomedir_helper"


class Homes:
    """Owners and modes below /home, by name."""

    def __init__(self, uid: Callable[[str], int]) -> None:
        self.uid = uid
        self.there: dict[str, tuple[int, int]] = {}

    def answer(self, program: str, words: Sequence[str]) -> tuple[int, str]:
        """Run one command."""
        match program, *words:
            case program, name, umask if program == HELPER:
                self.there.setdefault(name, (self.uid(name), 0o777 & ~int(umask, 8)))
                return 0, ""
            case "find", point, "-maxdepth", "1", "-ignore_readdir_race", "-printf", _ if point == f"{BASE}/.":
                rows = [f"1 d {u} {u} {m:o}\0{point}\0{n}\0" for n, (u, m) in self.there.items()]
                return 0, f"0 d 0 0 755\0{point}\0.\0{''.join(rows)}"
            case "find", path, "-maxdepth", "0", "-type", "d", "-uid", uid, "-exec", "chmod", mode, *_:
                name = path.removeprefix(f"{BASE}/")
                if self.there.get(name, (-1, 0))[0] != int(uid):
                    return 0, ""
                self.there[name] = (int(uid), int(mode, 8))
                return 0, "done"
            case "find", *paths, "-maxdepth", "0", "-printf", _:
                return 1, "".join(f"{row} {path}\0" for path in paths if (row := self._row(path)))
        raise AssertionError(f"not understood: {program} {words}")

    def _row(self, path: str) -> str:
        if path in ("/", BASE, f"{BASE}/."):
            return "d 0 0 755"
        if path == HELPER:
            return "f 0 0 755"
        uid, mode = self.there.get(path.removeprefix(f"{BASE}/"), (-1, 0))
        return f"d {uid} {uid} {mode:o}" if uid >= 0 else ""
