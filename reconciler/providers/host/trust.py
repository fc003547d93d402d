"""Paths that only root can change: reached component by component, so that nobody can plant a symlink.

A home is only made or changed below a base directory where every component, and every symlink on the way,
belongs to root and nobody else can replace its entries.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from contextlib import ExitStack

_WALK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_STEPS = 200  # links that lead in circles end here


class Untrusted(Exception):  # noqa: N818  # a finding, told as a sentence
    """Why a path is not trusted, as a sentence."""


def open_trusted(path: str) -> int:
    """A descriptor of the directory, to be used as ``dir_fd``; the caller closes it.

    Raises :class:`Untrusted` when it is missing or when others than root could have led us elsewhere.
    """
    with ExitStack() as opened:
        current = _root(opened)
        left = deque(path.split("/"))
        for _ in range(_STEPS):
            if not left:
                return os.dup(current)
            name = left.popleft()
            if name in ("", "."):
                continue
            shown = f"{name} in {path}"
            try:
                following = os.open(name, _WALK, dir_fd=current)
            except OSError as error:
                raise Untrusted(f"{shown}: {error.strerror}") from None
            opened.callback(os.close, following)
            found = os.fstat(following)
            if problem := untrusted(found.st_uid, found.st_mode):
                raise Untrusted(f"{shown} {problem}")
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink("", dir_fd=following)
                current = _root(opened) if target.startswith("/") else current
                left.extendleft(reversed(target.split("/")))
            else:
                current = following
        raise Untrusted(f"{path}: too many symlinks")


def _root(opened: ExitStack) -> int:
    root = os.open("/", _WALK | os.O_DIRECTORY)
    opened.callback(os.close, root)
    found = os.fstat(root)
    if problem := untrusted(found.st_uid, found.st_mode):
        raise Untrusted(f"/ {problem}")
    return root


def untrusted(uid: int, mode: int) -> str:
    """Why entries below a directory, or a symlink, could be somebody else's doing; empty when they cannot."""
    if uid != 0:
        return f"belongs to uid {uid}, not to root"
    if stat.S_ISLNK(mode):
        return ""
    if not stat.S_ISDIR(mode):
        return "is no directory"
    if mode & 0o022 and not mode & stat.S_ISVTX:
        return f"can be written by others than root (mode {stat.S_IMODE(mode):04o})"
    return ""
