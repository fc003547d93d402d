"""A portal over HTTP, put together from its parts as the configuration describes it."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.config import Config, Offering
from reconciler.providers.http import access_of
from reconciler.providers.portal import Portal
from reconciler.providers.waldur.claims import Claims
from reconciler.providers.waldur.client import ReconcileClient
from reconciler.providers.waldur.components import Components
from reconciler.providers.waldur.imports import Imports
from reconciler.providers.waldur.ledger import WaldurLedger
from reconciler.providers.waldur.lists import Lists
from reconciler.providers.waldur.members import Members
from reconciler.providers.waldur.objects import Objects
from reconciler.providers.waldur.orders import Orders
from reconciler.providers.waldur.people import People
from reconciler.providers.waldur.policies import Policies
from reconciler.providers.waldur.projects import Projects
from reconciler.providers.waldur.read import Reading
from reconciler.providers.waldur.source import WaldurSource
from reconciler.providers.waldur.token import Token
from reconciler.providers.waldur.usages import Usages


@dataclass(frozen=True, kw_only=True)
class WaldurPortal(Portal):
    """The portal of one offering, with what only Waldur has: components, and lists that ``doctor`` looks at."""

    client: ReconcileClient
    components: Components
    members: Members
    orders: Orders


def portal_over(offering: Offering, client: ReconcileClient) -> WaldurPortal:
    """The portal of an offering; all its parts share the client."""
    lists = Lists(offering, client)
    orders, people, members, token = Orders(lists), People(lists), Members(lists), Token(lists)
    components, imports, usages = Components(lists), Imports(lists), Usages(lists)
    reading = Reading(lists, orders, people, members)
    return WaldurPortal(
        source=WaldurSource(reading, Claims(lists), Projects(lists), orders, token),
        listening=Objects(lists, components, imports, usages),
        ledger=WaldurLedger(lists, reading, usages, people, token),
        importer=imports,
        policies=Policies(lists),
        counted=lambda: client.requests_made,
        client=client,
        components=components,
        members=members,
        orders=orders,
    )


def connected(offering: Offering, config: Config) -> WaldurPortal:
    """The portal of an offering; nothing is asked yet."""
    client = ReconcileClient(
        offering.api_url,
        offering.waldur_api_token.get_secret_value(),
        access=access_of(offering, config),
        timeout=config.reconcile.http_timeout,
        retries=config.reconcile.http_retries,
    )
    return portal_over(offering, client)
