"""Names by glob that are never created, changed or removed (``reconcile.guards.protected``)."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from reconciler.state.kinds import Role, role_of
from reconciler.state.model import Address
from reconciler.state.names import fold

_OF_A_USER = frozenset({Role.MEMBER, Role.RIGHT})


def why(address: Address, protected: Iterable[str]) -> str:
    """Why an object is left alone, or nothing."""
    role = role_of(address)
    if role is Role.CATALOG:
        return ""
    # of a membership it is the user that counts: removing one from the root harms no one
    name = address.key[-1] if role in _OF_A_USER else address.key[0]
    if any(fnmatchcase(name, fold(glob)) for glob in protected):
        return f"{name!r} is protected (reconcile.guards.protected)"
    return ""
