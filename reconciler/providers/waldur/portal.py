"""A portal over HTTP as the configuration describes it."""

from __future__ import annotations

from reconciler.config import Config, Offering
from reconciler.providers.http import access_of
from reconciler.providers.waldur.client import ReconcileClient
from reconciler.providers.waldur.objects import Objects
from reconciler.providers.waldur.questions import Questions
from reconciler.providers.waldur.read import Reading


class WaldurPortal(Reading, Questions, Objects):
    """The portal of one offering: what it says, what it knows of accounts, and what it is told."""


def connected(offering: Offering, config: Config) -> WaldurPortal:
    """The portal of an offering; nothing is asked yet."""
    client = ReconcileClient(
        offering.api_url,
        offering.waldur_api_token.get_secret_value(),
        access=access_of(offering, config),
        timeout=config.reconcile.http_timeout,
        retries=config.reconcile.http_retries,
    )
    return WaldurPortal(offering, client)
