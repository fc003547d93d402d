"""What a source of usage is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.config import Component
from reconciler.state.facts import Resource


@dataclass(frozen=True, slots=True)
class Metered:
    """A resource whose usage is wanted, with the components that the offering accounts."""

    resource: Resource
    components: Mapping[str, Component]
