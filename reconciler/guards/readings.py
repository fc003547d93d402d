"""A portal that has nothing, or far less than before, is doubted: the whole plan is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.config import Guards
from reconciler.plan.model import Refusal


@dataclass(frozen=True)
class Read:
    """How much was read. ``managed``: allocation accounts on the cluster.

    ``silent``: offerings without any resource, with the number of unknown accounts that look like theirs;
    ``shrunken``: by offering, the resources that it has now and had at the last good read.
    """

    resources: int
    managed: int
    silent: Mapping[str, int] = field(default_factory=dict)
    shrunken: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def refusals(read: Read, guards: Guards) -> Iterator[Refusal]:
    """Why nothing of a plan is applied."""
    resources, managed = read.resources, read.managed
    if resources == 0 and managed and not guards.allow_empty_portal:
        text = f"Waldur has no resources at all, the cluster has {managed} accounts under management"
        yield Refusal("allow_empty_portal", text)
    for offering, count in sorted(read.silent.items()):
        if resources and count and not guards.allow_empty_portal:
            text = (
                f"Waldur has no resources at all for offering {offering!r}, the cluster has {count} accounts like its"
            )
            yield Refusal("allow_empty_portal", text)
    if resources and managed and resources < guards.min_resources_share * managed:
        text = (
            f"Waldur has {resources} resources, below {guards.min_resources_share:g} of the {managed} accounts "
            "that the cluster has under management"
        )
        yield Refusal("min_resources_share", text)
    for offering, (now, before) in sorted(read.shrunken.items()):
        if now < guards.min_read_share * before:
            text = (
                f"Waldur has {now} resources for offering {offering!r}, below {guards.min_read_share:g} of the "
                f"{before} that it had at the last good read and that have not ended since"
            )
            yield Refusal("min_read_share", text)
