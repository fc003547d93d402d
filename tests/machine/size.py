"""How many worlds the machine is run on: the same ones each time, or as many others as somebody asks for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: the same worlds each time; so many others with RECONCILE_MACHINE_EXAMPLES=500
EXAMPLES = int(os.environ.get("RECONCILE_MACHINE_EXAMPLES", "0"))


def worlds(usual: int) -> settings:
    """So many of twenty steps each, where nobody asks for another number."""
    return settings(
        max_examples=EXAMPLES or usual,
        stateful_step_count=20,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
