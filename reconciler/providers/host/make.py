"""Making a home directory ourselves, with descriptors all the way: nothing that existed before is touched.

Until it has its name the new directory belongs to root with mode 0700, so nobody can interfere with what
is put into it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reconciler.providers.host.passwd import Account
from reconciler.providers.host.trust import open_trusted

SKELETON = Path("/etc/skel")
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 1 << 20


def make(base: int, name: str, account: Account, mode: int) -> None:
    """Make the home ``name`` in the trusted directory ``base``, with the skeleton in it. Raises ``OSError``."""
    with ExitStack() as stack:
        skeleton = None
        if SKELETON.exists():
            # the walk gives a descriptor to go on from; reading a directory needs one of its own
            walked = open_trusted(str(SKELETON))
            stack.callback(os.close, walked)
            skeleton = stack.enter_context(_opened(".", _LIST, walked))
        # under another name until it is whole, so that an interrupted creation is not taken for a home
        unfinished = f".{name}.{secrets.token_hex(4)}.unfinished"
        os.mkdir(unfinished, 0o700, dir_fd=base)
        home = stack.enter_context(_opened(unfinished, _LIST, base))
        if skeleton is not None:
            _copy(skeleton, home, account, mode)
        _finish(home, account, mode)
        _place(base, unfinished, name)


def _place(base: int, unfinished: str, name: str) -> None:
    try:
        os.stat(name, dir_fd=base, follow_symlinks=False)
    except FileNotFoundError:
        # the base is root's alone, so nobody else puts anything there in between
        os.rename(unfinished, name, src_dir_fd=base, dst_dir_fd=base)
        return
    raise FileExistsError(f"somebody made it meanwhile; {unfinished} beside it is ours and can go")


def _copy(source: int, into: int, account: Account, mode: int) -> None:
    """Files, directories and symlinks; a device or a pipe has no business in a home."""
    with os.scandir(source) as entries:
        names = sorted(e.name for e in entries)
    for name in names:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        # without setuid and its like, and with no more rights than the home has itself
        allowed = stat.S_IMODE(found.st_mode) & (mode & 0o777)
        if stat.S_ISDIR(found.st_mode):
            os.mkdir(name, 0o700, dir_fd=into)
            with _opened(name, _LIST, source) as inner, _opened(name, _LIST, into) as new:
                _copy(inner, new, account, mode)
                _finish(new, account, allowed)
        elif stat.S_ISREG(found.st_mode):
            with _opened(name, _OLD, source) as old, _opened(name, _NEW, into) as new:
                while block := os.read(old, _BLOCK):
                    written = 0
                    while written < len(block):
                        written += os.write(new, block[written:])
                _finish(new, account, allowed)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=into)
            # by name, in a directory that is still root's alone
            os.chown(name, account.uid, account.gid, dir_fd=into, follow_symlinks=False)


def _finish(descriptor: int, account: Account, mode: int) -> None:
    os.fchown(descriptor, account.uid, account.gid)
    os.fchmod(descriptor, mode)


@contextmanager
def _opened(name: str, flags: int, directory: int) -> Iterator[int]:
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
