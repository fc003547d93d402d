"""The head node's kinds of objects: home directories."""

from __future__ import annotations

from reconciler.state import compare
from reconciler.state.kinds import Field, Kind, Role, Stage, declare
from reconciler.state.model import Address

HOMEDIR = Kind(
    "host.homedir",
    ("user",),
    0,
    Role.HOST,
    (
        Field("path", compare.TEXT, "where it is"),
        Field("owner", compare.TEXT, "user name, or 'uid N' where it is somebody else's"),
        Field("mode", compare.TEXT, "permissions, in octal"),
    ),
    stage=Stage.HOST,
)
declare(HOMEDIR)


def homedir(user: str) -> Address:
    """The address of a user's home directory."""
    return HOMEDIR.at(user)
