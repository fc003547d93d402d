"""The rules of the design, for any desired and any actual state."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.config import Config
from reconciler.desired.accounts import Source
from reconciler.desired.build import build
from reconciler.plan.order import ordered, steps
from reconciler.providers.slurm import kinds
from reconciler.state.diff import Action, Change, diff, values_of
from reconciler.state.facts import Claim, Facts, Resource
from reconciler.state.kinds import KINDS
from reconciler.state.managed import Policy
from reconciler.state.model import Address, Desired, Obj, State
from tests.ideal import overlay
from tests.pure import BACKEND, changes_of, completed, reading
from tests.state.strategies import TRES, cluster, config, facts


def planned(said: Facts, actual: State, settings_: Config, verdict: str = "unknown") -> tuple[Desired, list[Change]]:
    """What a cycle computes between reading and the guards."""
    built = build([Source(settings_.offerings[0], said)], settings_, BACKEND)
    policy = Policy(prune=settings_.reconcile.prune)
    claim = Claim(verdict, "ended", ("p_alpha", "c_north"))
    desired = completed(built, reading(actual, TRES), settings_, lambda names: dict.fromkeys(names, claim), policy)
    return desired, changes_of(desired, actual)


def on_cluster(actual: State, changes: list[Change]) -> State:
    """What SLURM makes of these changes beyond the changes themselves."""
    state = overlay(actual, [c for c in changes if not c.blocked])
    for user in {a.key[1] for a in state if a.kind == "slurm.association"}:
        # the first association makes the user record, with that account as the default
        mine = sorted(a.key[0] for a in state if a.kind == "slurm.association" and a.key[1] == user)
        if kinds.user(user) not in state:
            first = next(
                a for a in (*(c.address for c in changes), *state) if a.kind == "slurm.association" and a.key[1] == user
            )
            state.update(
                overlay({}, [Change(kinds.user(user), Action.CREATE, None, {"default_account": first.key[0]})])
            )
        assert mine
    for address in [a for a in state if a.kind == "slurm.user"]:
        if not any(a.kind == "slurm.association" and a.key[1] == address.key[0] for a in state):
            del state[address]
    return state


VERDICTS = st.sampled_from(("unknown", "terminated", "elsewhere"))
BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        "prune": st.booleans(),
        "fairshare": st.sampled_from((3, "parent")),
        "on_member_removal": st.sampled_from(("cancel_jobs", "drain")),
        "extra_qos": st.sampled_from(("keep", "remove")),
    },
)


@settings(max_examples=120)
@given(facts(), cluster(), VERDICTS, BLOCKS)
def test_a_plan_after_an_apply_is_empty(said: Facts, actual: State, verdict: str, block: dict[str, object]) -> None:
    settings_ = config(**block)
    _, changes = planned(said, actual, settings_, verdict)
    after = on_cluster(actual, list(ordered(changes, actual)))
    _, again = planned(said, after, settings_, verdict)
    assert [c for c in again if not c.blocked] == []
    blocked = {(c.address, c.blocked) for c in changes if c.blocked}
    assert {(c.address, c.blocked) for c in again} <= blocked


@given(facts(), cluster(), VERDICTS, BLOCKS)
def test_applying_twice_is_applying_once(said: Facts, actual: State, verdict: str, block: dict[str, object]) -> None:
    _, changes = planned(said, actual, config(**block), verdict)
    once = overlay(actual, [c for c in changes if not c.blocked])
    assert overlay(once, [c for c in changes if not c.blocked]) == once


@settings(max_examples=120)
@given(facts(), cluster(), VERDICTS, BLOCKS)
def test_what_is_not_ours_is_never_touched(said: Facts, actual: State, verdict: str, block: dict[str, object]) -> None:
    desired, changes = planned(said, actual, config(**block), verdict)
    for change in changes:
        assert change.address.key[-1] not in ("root", "opera") or change.action is not Action.CREATE
        assert change.address.key[0] not in ("root", "staff")
        if change.action is Action.DELETE:
            assert change.address in desired.absent
            # unknown objects only go when the configuration says so
            if verdict == "unknown" and not block.get("prune"):
                assert change.address not in {n.address for n in desired.orphans}
                assert change.address != Address("slurm.account", ("a_ghost",))
                assert change.address.key[-1] != "opera"
        assert not (
            {"grp_submit_jobs", "grp_tres", "max_tres_mins"} & set(change.changed()) and change.before is not None
        )


@given(facts(), cluster(), VERDICTS, BLOCKS)
def test_the_order_serves_every_dependency(said: Facts, actual: State, verdict: str, block: dict[str, object]) -> None:
    """Replayed one by one, no change ever needs something that is not there or removes what is still used."""
    _, changes = planned(said, actual, config(**block), verdict)
    live = [c for c in changes if not c.blocked]
    blocked = {c.address for c in changes if c.blocked}
    state = dict(actual)
    for change in ordered(live, actual):
        name = change.address.key[0]
        if change.action is Action.DELETE and change.address.kind == "slurm.account":
            assert not any(a.kind == "slurm.association" and a.key[0] == name for a in state)
            left = [a for a, o in state.items() if a.kind == "slurm.account" and o.values.get("parent") == name]
            assert all(a in blocked or a not in {c.address for c in live} for a in left)
        elif change.action is Action.DELETE:
            user = state.get(kinds.user(change.address.key[1]))
            others = [
                a
                for a in state
                if a.kind == "slurm.association"
                and a.key[1] == change.address.key[1]
                and a.key[0] not in (name, "root")
            ]
            default = user.values["default_account"] if user else None
            assert default != name or not others, "a default account goes last"
        elif change.action is Action.CREATE and change.address.kind != "slurm.user":
            for need in KINDS[change.address.kind].depends(change.address.key, change.after or {}):
                assert need in state
        state = overlay(state, [change])


@given(facts(), cluster())
def test_the_same_input_gives_the_same_plan(said: Facts, actual: State) -> None:
    settings_ = config()
    first = ordered(planned(said, actual, settings_)[1], actual)
    shuffled = dict(reversed(actual.items()))
    assert ordered(planned(said, shuffled, settings_)[1], shuffled) == first
    assert [c for step in steps(first, actual) for c in step] == list(first)


@given(cluster())
def test_nothing_desired_nothing_done(actual: State) -> None:
    assert diff(Desired(), actual) == []
    assert all(values_of(o) is not o.values for o in actual.values())


def test_what_hangs_on_a_moved_customer_is_ours_in_the_same_plan() -> None:
    """A customer's account that stood elsewhere takes its old projects along: one plan removes them, not the next."""
    entry = {f.name: f.fresh for f in KINDS["slurm.account"].fields}
    parents = {"root": "", "c_north": "root", "c_south": "c_north", "p_gamma": "c_south"}
    actual: State = {kinds.account(n): Obj({**entry, "parent": p}) for n, p in parents.items()}
    actual[kinds.qos("normal")] = Obj({"flags": frozenset()})
    resource = Resource("r0", "R0", "one", "OK", "", "beta", "south", "beta", "beta", "south", "south")
    said = Facts(resources=(resource,), members={"beta": frozenset()})
    settings_ = config()
    _, changes = planned(said, actual, settings_)
    assert Address("slurm.account", ("p_gamma",)) in {c.address for c in changes if c.action is Action.DELETE}
    after = on_cluster(actual, list(ordered(changes, actual)))
    assert [c for c in planned(said, after, settings_)[1] if not c.blocked] == []
