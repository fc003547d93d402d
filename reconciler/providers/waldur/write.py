"""Changes of the portal's objects as requests, each safe to send again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from waldur_client import Endpoints

from reconciler.providers.waldur.client import ReconcileClient
from reconciler.providers.waldur.errors import AbsentError
from reconciler.state import waldur
from reconciler.state.diff import Action, Change
from reconciler.state.facts import DONE, ERROR_CREATING, EXECUTING, OK, ORDER_ERRED, PENDING_PROVIDER, REQUESTED
from reconciler.state.kinds import KINDS
from reconciler.state.values import Value

BACKEND_RESOURCES = "backend-resources"


Fields = frozenset[str]
_ALL: Fields = frozenset()


def write(client: ReconcileClient, change: Change, metadata: Mapping[str, Any]) -> Fields:
    """Make one change; the answer names fields that this server has no place for, which is no failure.

    ``metadata`` is what the resource's backend metadata holds beside ours. Raises :class:`WaldurError` with
    the first request that was refused; those before it stay done.
    """
    return _WRITERS[change.address.kind](client, change, metadata) or _ALL


def _order(client: ReconcileClient, change: Change, metadata: Mapping[str, Any]) -> None:
    """One step of an order's life: approved by the provider, then done or erred."""
    uuid = change.address.key[0]
    after = change.after or {}
    match (change.before or {}).get("state"), after.get("state"):
        case (state, str(wanted)) if state == PENDING_PROVIDER and wanted == EXECUTING:
            client.marketplace_order_approve_by_provider(uuid)
        case (_, str(wanted)) if wanted == DONE:
            client.marketplace_order_set_state_done(uuid)
        case (_, str(wanted)) if wanted == ORDER_ERRED:
            # both keys: servers before 8 answer 500 when one is missing
            client.marketplace_order_set_state_erred(uuid, str(after.get("error_message") or ""), "")


def _resource(client: ReconcileClient, change: Change, metadata: Mapping[str, Any]) -> Fields:
    uuid = change.address.key[0]
    after, changed = change.after or {}, set(change.changed())
    if "backend_id" in changed:
        client.marketplace_provider_resource_set_backend_id(uuid, str(after["backend_id"]))
    state: tuple[str, dict[str, Any] | None] = ("set_state_ok", None)
    if after.get("state") != OK:
        state = ("set_as_erred", {"error_message": after.get("error_message") or "", "error_traceback": ""})
    absent: Fields = frozenset()
    told = {"backend_metadata": {**metadata, **_metadata(after, changed)}}
    for fields, (action, body) in (
        (frozenset(waldur.METADATA), ("set_backend_metadata", told)),
        (frozenset({"limits"}), ("set_limits", {"limits": _limits(after.get("limits"))})),
        (frozenset({"state", "error_message"}), state),
        (frozenset({"last_sync"}), ("refresh_last_sync", None)),
    ):
        if changed & fields:
            try:
                client.action(Endpoints.MarketplaceProviderResources, uuid, action, body)
            except AbsentError:
                absent |= fields & changed
    return absent


def _metadata(after: Mapping[str, Value], changed: set[str]) -> dict[str, Any]:
    fields = KINDS["waldur.resource"].by_name
    return {key: fields[name].compare.tell(after.get(name)) for name, key in waldur.told_with(changed).items()}


def _limits(text: Value) -> dict[str, float | int]:
    found: dict[str, float | int] = {}
    for part in str(text or "").split(","):
        name, _, amount = part.partition("=")
        if amount:
            found[name] = float(amount) if "." in amount else int(amount)
    return found


def _offering_user(client: ReconcileClient, change: Change, metadata: Mapping[str, Any]) -> None:
    uuid = change.address.key[0]
    before, after = change.before or {}, change.after or {}
    endpoint = Endpoints.MarketplaceOfferingUsers
    if before.get("state") in (REQUESTED, ERROR_CREATING) and after.get("state") != before.get("state"):
        client.action(endpoint, uuid, "begin_creating")
    if "username" in change.changed():
        # Waldur puts the state to OK with it
        client._patch_resource(endpoint, uuid, {"username": after["username"]})  # the base's own way to patch
    elif after.get("state") == ERROR_CREATING:
        client.action(endpoint, uuid, "set_error_creating")


def _component(client: ReconcileClient, change: Change, metadata: Mapping[str, Any]) -> None:
    offering, name = change.address.key
    endpoint = Endpoints.MarketplaceProviderOffering
    if change.action is Action.DELETE:
        body = {"uuid": metadata["uuid"]}
        client.action(endpoint, offering, "remove_offering_component", body, valid=(200, 204))
        return
    said = {k: _plain(k, v) for k, v in (change.after or {}).items()}
    # a blank that was blank before is left out: an empty limit_period is no valid choice
    body = {"type": name, **{k: v for k, v in said.items() if v not in (None, "") or k in change.changed()}}
    if change.action is Action.CREATE:
        body = {k: v for k, v in body.items() if v is not None}
        client.action(endpoint, offering, "create_offering_component", body, valid=(201,))
    else:
        client.action(endpoint, offering, "update_offering_component", {**body, "uuid": metadata["uuid"]})


_NUMBERS = frozenset({"limit_amount", "min_value", "max_value", "max_available_limit", "default_limit"})
_SWITCHES = frozenset({"is_boolean", "is_prepaid"})


def _plain(field: str, value: Value) -> object:
    if field in _NUMBERS:
        return float(value) if isinstance(value, str) and value else None
    if field in _SWITCHES:
        return value == "true"
    return value


def _backend_resource(client: ReconcileClient, change: Change, metadata: Mapping[str, Any]) -> None:
    offering, account = change.address.key
    after = change.after or {}
    body = {
        "name": after["name"],
        "project": after["project"],
        "offering": offering,
        "backend_id": account,
        "backend_metadata": {"limits": _limits(after.get("limits"))},
    }
    client._post(client._build_url(BACKEND_RESOURCES), valid_states=[201], json=body)


_WRITERS: dict[str, Callable[[ReconcileClient, Change, Mapping[str, Any]], Fields | None]] = {
    "waldur.order": _order,
    "waldur.resource": _resource,
    "waldur.offering_user": _offering_user,
    "waldur.component": _component,
    "waldur.backend_resource": _backend_resource,
}
