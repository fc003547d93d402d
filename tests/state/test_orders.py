"""Orders in random worlds: a pure cycle over an ideal cluster and a portal that does what the real one does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.config import Config
from reconciler.desired.accounts import Source, Standing
from reconciler.desired.build import build
from reconciler.desired.orders import with_orders
from reconciler.desired.portal import Plans, report
from reconciler.guards.dependents import propagate
from reconciler.guards.jobs import Ending
from reconciler.plan.order import ordered
from reconciler.plan.select import Mode, of_mode
from reconciler.providers.slurm import defaults, kinds
from reconciler.state import kinds as declared
from reconciler.state import waldur
from reconciler.state.diff import Action, Change, diff, values_of
from reconciler.state.facts import Claim, Facts, Order, Resource
from reconciler.state.kinds import KINDS
from reconciler.state.model import State
from reconciler.state.portal import portal_state, resource_values
from reconciler.state.values import json_value
from tests.pure import BACKEND, completed, reading, screen
from tests.state.strategies import QOS, TRES, cluster, config, facts
from tests.state.test_properties import on_cluster

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TYPES = ("Create", "Update", "Terminate", "Restore")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Facts, State]:
    """A portal with orders underway, and a cluster."""
    said = draw(facts())
    orders = []
    resources = []
    for resource in said.resources:
        resources.append(replace(resource, limits_unsure=False, last_sync=draw(st.sampled_from((None, "", "2020")))))
        if draw(st.booleans()):
            kind = draw(st.sampled_from(TYPES))
            state = draw(st.sampled_from(("pending-provider", "executing")))
            amount = draw(st.sampled_from(({}, {"cpu": 5}, {"cpu": -1}, {"gres/gpu": 2, "cpu": 1})))
            orders.append(Order(f"o{resource.uuid}", kind, state, resource.uuid, amount))
    told = replace(said, resources=tuple(resources), orders=tuple(orders), writable=True, takes_states=True)
    actual = draw(cluster())
    # a cluster may lack the QoS of an offering, which the site has to mend
    if draw(st.booleans()):
        missing = draw(st.sampled_from(QOS))
        actual = {
            a: replace(o, values={**o.values, "qos": o.values["qos"] - {missing}}) if "qos" in o.values else o  # type: ignore[operator]
            for a, o in actual.items()
            if a != kinds.qos(missing)
        }
    return told, actual


def cycle(said: Facts, actual: State, settings_: Config, ended: frozenset[str]) -> list[Change]:
    """What a cycle plans; ``ended``: accounts of resources that are Terminated in the portal."""
    source = Source(settings_.offerings[0], with_orders(said, processed=True))
    built = build([source], settings_, BACKEND, Standing.of(actual, {}))
    desired = completed(
        built,
        reading(actual, TRES),
        settings_,
        lambda levels: {n: Claim("terminated" if n in ended else "unknown", "ended", (), "O") for n in levels},
    )
    ending = Ending(frozenset(built.managed.leaving))
    screened = screen(diff(desired, actual), actual, None, settings_.reconcile.guards, ending)
    changes = propagate(screened.changes, actual, defaults.settle)
    wanted = report(built, Plans(desired, actual, changes, screened.busy), settings_, NOW, BACKEND)
    return [*changes, *diff(wanted, portal_state([source.facts]))]


def told(said: Facts, changes: list[Change]) -> tuple[Facts, frozenset[str]]:
    """The portal after these changes, as the recorded server behaves, and accounts whose resources ended."""
    resources = {r.uuid: r for r in said.resources}
    orders = {o.uuid: o for o in said.orders}
    ended = set()
    for change in changes:
        if change.blocked:
            continue
        after: dict[str, Any] = dict(change.after or {})
        uuid = change.address.key[0]
        if change.address.kind == "waldur.resource":
            metadata = {"qos": ",".join(sorted(after["qos"])), "fairshare": after["fairshare"]}
            metadata["limits"] = json_value(after["grp_tres_mins"])
            resources[uuid] = replace(
                resources[uuid],
                backend_id=after["backend_id"],
                state=after["state"],
                error_message=after["error_message"],
                metadata=metadata,
                last_sync=after["last_sync"],
            )
        elif change.address.kind == "waldur.order":
            order = orders[uuid]
            resource = resources[order.resource_uuid]
            state = after["state"]
            orders[uuid] = replace(order, state=state)
            if state == "executing":
                continue
            del orders[uuid]
            if state == "done" and order.type == "Terminate":
                ended.add(resource.backend_id.lower())
                del resources[resource.uuid]
            else:
                limits = {**resource.limits, **order.limits} if state == "done" else resource.limits
                kept = state == "done" or order.type == "Terminate"
                resources[resource.uuid] = replace(resource, state="OK" if kept else "Erred", limits=limits)
    return replace(said, resources=tuple(resources.values()), orders=tuple(orders.values())), frozenset(ended)


def live(changes: list[Change]) -> list[Change]:
    return [c for c in changes if not c.blocked]


@settings(max_examples=150)
@given(worlds())
def test_orders_converge_and_then_nothing_is_left(world: tuple[Facts, State]) -> None:
    said, actual = world
    settings_ = config()
    ended: frozenset[str] = frozenset()
    # the portal's view of a failed update comes back as drift once; after that nothing moves
    for _ in range(3):
        changes = cycle(said, actual, settings_, ended)
        cluster_changes = [c for c in changes if declared.on_cluster(c.address)]
        actual = on_cluster(actual, list(ordered(cluster_changes, actual)))
        said, gone = told(said, live(changes))
        ended |= gone
    assert live(cycle(said, actual, settings_, ended)) == []
    assert all(o.state == "executing" or o.state == "pending-provider" for o in said.orders)


@settings(max_examples=150)
@given(worlds())
def test_an_order_ends_only_with_what_it_needs(world: tuple[Facts, State]) -> None:
    said, actual = world
    changes = cycle(said, actual, config(), frozenset())
    by_address = {c.address: c for c in live(changes)}
    after = on_cluster(actual, list(ordered([c for c in live(changes) if declared.on_cluster(c.address)], actual)))
    orders = {o.uuid: o for o in said.orders}
    resources: dict[str, Resource] = {r.uuid: r for r in said.resources}
    for address, change in by_address.items():
        if address.kind != "waldur.order" or (change.after or {})["state"] != "done":
            continue
        order = orders[address.key[0]]
        assert change.needs.isdisjoint({c.address for c in changes if c.blocked})
        resource = resources[order.resource_uuid]
        told_ = by_address.get(waldur.resource(resource.uuid))
        name = str((told_.after or {})["backend_id"] if told_ else resource.backend_id).lower()
        if order.type == "Terminate":
            if resource.backend_id:
                assert kinds.account(name) not in after
        else:
            assert name, "an account is known to the portal before its order is done"
            assert kinds.account(name) in after


@given(worlds())
def test_no_account_is_shared_and_none_is_taken_from_its_owner(world: tuple[Facts, State]) -> None:
    said, actual = world
    changes = cycle(said, actual, config(), frozenset())
    names = [
        str((c.after or {})["backend_id"]).lower()
        for c in live(changes)
        if c.address.kind == "waldur.resource" and "backend_id" in c.changed()
    ]
    owned = [r.backend_id.lower() for r in said.resources if r.backend_id]
    assert len(set(names)) == len(names)
    assert set(names).isdisjoint(owned)


@given(worlds())
def test_modes_divide_the_plan(world: tuple[Facts, State]) -> None:
    said, actual = world
    state = {**actual, **portal_state([said])}
    changes = ordered(live(cycle(said, actual, config(), frozenset())), state)
    parts = {mode: of_mode(changes, mode) for mode in (Mode.ORDERS, Mode.MEMBERSHIP)}
    assert {c.address for part in parts.values() for c in part} == {c.address for c in changes}
    assert not any(c.address.kind == "waldur.order" for c in parts[Mode.MEMBERSHIP])
    # nothing that waits for an approval is left to the other mode
    assert not any(a.kind == "waldur.order" for c in parts[Mode.MEMBERSHIP] for a in c.needs)
    planned = {c.address for c in changes}
    made = {c.address for c in changes if c.action is Action.CREATE}
    for part in parts.values():
        here = {c.address for c in part}
        for change in part:
            needs = change.needs & planned
            if change.action is not Action.DELETE:
                # what is there already and only changes is not waited for
                needs |= set(KINDS[change.address.kind].depends(change.address.key, change.after or {})) & made
            # each part has all it needs, so it can be applied alone
            assert needs <= here


@given(worlds())
def test_what_the_portal_has_is_read_as_it_was_written(world: tuple[Facts, State]) -> None:
    said, actual = world
    changes = cycle(said, actual, config(), frozenset())
    after, _ = told(replace(said, orders=()), [c for c in live(changes) if c.address.kind == "waldur.resource"])
    for change in live(changes):
        if change.address.kind == "waldur.resource":
            now = resource_values(next(r for r in after.resources if r.uuid == change.address.key[0]))
            assert {n: now[n] for n in change.changed()} == {n: (change.after or {})[n] for n in change.changed()}
    assert all(values_of(o) for o in portal_state([said]).values())
