"""Which rule says how much an allocation may use."""

from __future__ import annotations

from reconciler.state.facts import Resource


def limited(owner: str, resource: Resource) -> bool:
    """Whether the portal says a resource's limits, by ``reconcile.limits_owner``.

    Where the cluster owns them it does so once the account is there, and no order is underway.
    """
    return owner != "cluster" or resource.order is not None or not resource.backend_id
