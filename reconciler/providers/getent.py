"""Whom the host knows on which a cluster's commands run: ``getent passwd`` of many names."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.errors import CommandError
from reconciler.providers.runner import CommandRunner
from reconciler.state.names import fold


def known_users(runner: CommandRunner, names: Sequence[str]) -> frozenset[str]:
    """Which of these names it has, in calls of many names. Raises :class:`CommandError`."""
    found: set[str] = set()
    for start in range(0, len(names), 1000):
        result = runner.run("getent", "passwd", *names[start : start + 1000])
        # 2: one or more of the names were not found
        if result.code not in (0, 2):
            raise CommandError(f"getent passwd: exit code {result.code}: {result.said}")
        found |= {fold(line.split(":", 1)[0]) for line in result.stdout.splitlines()}
    return frozenset(found)
