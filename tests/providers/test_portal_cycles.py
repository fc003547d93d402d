"""One portal object for many cycles: each is as that of a fresh one, since nothing is remembered between them."""

from __future__ import annotations

import pprint
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.config import Offering
from reconciler.errors import ReconcileError
from reconciler.providers.waldur.client import ReconcileClient
from reconciler.providers.waldur.portal import WaldurPortal, portal_over
from reconciler.state import waldur
from reconciler.state.diff import Action, Change
from reconciler.state.facts import Facts
from reconciler.state.model import State
from reconciler.state.period import Period
from reconciler.state.portal import portal_state
from tests.conftest import offering
from tests.standin.portal import TOKEN, StandIn, uid

NOW = datetime.now(UTC)
THIS = Period.of(NOW, "UTC")
LAST = Period.of(NOW.replace(day=1) - timedelta(days=1), "UTC")
RESOURCE = uid("resource", "climate-a")
QOS = {1: "slow", 2: "normal", 3: "paused"}
Request = tuple[str, str, str, str]


@dataclass
class Cycle:
    """All that a cycle saw and sent."""

    facts: Facts
    held: State
    made: frozenset[str]
    absent: frozenset[str]
    answers: list[State | str]
    staff: bool
    requests: list[Request]
    counted: int


def timeless(value: object) -> str:
    """A value in words without the moments of this very run, which the server notes."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "then", pprint.pformat(value, width=120))


def connected(portal: StandIn) -> WaldurPortal:
    settings = Offering.model_validate(offering(portal.url))
    return portal_over(settings, ReconcileClient(settings.api_url, TOKEN, retries=1, timeout=5))


def usage(plan: str, amount: str, who: dict[str, str], month: Period = THIS) -> dict[str, Any]:
    row = {"resource_uuid": RESOURCE, "type": "cpu", "billing_period": f"{month}-01", "plan": plan}
    return {**row, "uuid": uid("usage", plan, str(month)), "usage": amount, "users": who}


def first(portal: StandIn) -> None:
    """A server of before version 8, which lacks actions and lets no month be named."""
    portal.reset(version="7.0.7", usages=[usage("", "1.00", {"ann": "1.00"})])
    portal.resource("climate-a", backend_id="a_climate-a", backend_metadata={"theirs": 1})
    portal.user("ann", "climate")


def second(portal: StandIn) -> None:
    """A newer one, where others wrote metadata, the person has a new account, and the token is a staff user's."""
    portal.world.update(version="8.1", staff=True)
    portal.edit("climate-a", backend_metadata={"theirs": 2})
    portal.world["offering_users"][0] |= {"uuid": uid("offering_user", "new"), "username": "Ann"}
    portal.push()


def third(portal: StandIn) -> None:
    """Another plan within the month, another role, and metadata that went."""
    portal.world.update(role="manager", staff=False)
    portal.world["usages"].append(usage("second", "0.50", {}))
    portal.edit("climate-a", backend_metadata={}, plan_period="second")


def attempt(answers: list[State | str], do: Callable[[], object]) -> None:
    try:
        do()
    except ReconcileError as error:
        answers.append(str(error))


def cycle(number: int, one: WaldurPortal, portal: StandIn) -> Cycle:
    """Read, write and read again, as a cycle does."""
    portal.forget()
    before = one.requests
    assert one.listening is not None
    assert one.ledger is not None
    facts = one.source.facts(NOW)
    held = {**portal_state([facts]), **one.ledger.usages(THIS), **one.ledger.usages(LAST)}
    address = waldur.resource(RESOURCE)
    now: Any = held[address].values
    after = {**now, "qos": frozenset({QOS[number]}), "fairshare": number, "grp_tres_mins": {"cpu": number}}
    if facts.takes_states:
        after["last_sync"] = "2100-01-01T00:00:00Z"  # never what the server noted in the cycle before
    absent = one.listening.write(Change(address, Action.UPDATE, now, after), held)
    answers: list[State | str] = [one.listening.read([address])]
    writer = one.ledger.writer(facts, held)
    attempt(answers, lambda: writer.set_usage(RESOURCE, LAST, {"cpu": "9.00"}))
    writer.set_usage(RESOURCE, THIS, {"gpu": f"{number}.00"})
    answers.append(writer.usages(THIS, users=False))
    attempt(answers, lambda: writer.set_user_usages(waldur.usage(RESOURCE, str(THIS), "cpu"), {"ann": f"{number}.50"}))
    answers.append(writer.usages(THIS, users=True))
    made = one.source.made(["p_climate", "p_other"], facts)
    staff = one.ledger.staff()
    # lists are read side by side, so that their order says nothing
    sent = sorted(((r["method"], r["path"], r["query"], r["body"]) for r in portal.log()), key=str)
    return Cycle(facts, held, made, absent, answers, staff, sent, one.requests - before)


def test_three_cycles_of_one_object_are_those_of_three_fresh_ones(portal: StandIn) -> None:
    def cycles(object_of: Callable[[], WaldurPortal]) -> list[Cycle]:
        found = []
        for number, change in enumerate((first, second, third), 1):
            change(portal)
            found.append(cycle(number, object_of(), portal))
        return found

    same = connected(portal)
    once, thrice = cycles(lambda: connected(portal)), cycles(lambda: same)
    for one, other in zip(once, thrice, strict=True):
        for what in fields(Cycle):
            assert timeless(getattr(other, what.name)) == timeless(getattr(one, what.name)), what.name
    old, new, moved = thrice
    assert all(len(c.requests) == c.counted for c in thrice)
    assert [c.staff for c in thrice] == [False, True, False]
    assert [c.made for c in thrice] == [{"p_climate"}, {"p_climate"}, frozenset()]
    assert [c.facts.takes_states for c in thrice] == [False, True, True]
    assert any("knows the current month only" in str(a) for a in old.answers), "it learns that months can be named"
    assert not any(isinstance(a, str) for a in (*new.answers, *moved.answers))
    for told, theirs in ((old, '"theirs": 1'), (new, '"theirs": 2'), (moved, "")):
        (sent,) = [body for _, path, _, body in told.requests if path.endswith("/set_backend_metadata/")]
        assert theirs in sent
        assert ("theirs" in sent) == bool(theirs)
    actions = [{p.split("/")[-2] for m, p, _, _ in c.requests if m == "POST" and "user_usage" in p} for c in thrice]
    assert actions[0] == {"set_user_usages", "set_user_usage"}
    assert actions[1:] == [{"set_user_usages"}] * 2, "an action that was absent is tried again"
    (named,) = [body for _, path, _, body in new.requests if path.endswith("/set_user_usages/")]
    assert uid("offering_user", "new") in named
    assert '"Ann"' in named
    (of_plan,) = [path for _, path, _, _ in moved.requests if path.endswith("/set_user_usages/")]
    assert uid("usage", "second", str(THIS)) in of_plan
