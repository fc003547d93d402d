"""Who may add people to which account, found out of what is there and what should be."""

from __future__ import annotations

from reconciler.providers.slurm import coordinators, kinds
from reconciler.state.managed import Managed
from reconciler.state.model import Desired, Obj, State


def world(*given: tuple[str, str], unsure: bool = False) -> tuple[Desired, Managed, State]:
    """An account of ours with a member, and these coordinators."""
    actual: State = {kinds.account("root"): Obj({"parent": ""}), kinds.account("a"): Obj({"parent": "root"})}
    actual |= {kinds.coordinator(*one): Obj({}) for one in given}
    desired = Desired(objects={kinds.account("a"): Obj({"parent": "root"}), kinds.association("a", "ann"): Obj({})})
    return desired, Managed(managed={"a"}, known_users={"ann", "bob"}, strangers_unsure=unsure), actual


def test_who_may_be_a_service_account_loses_nothing() -> None:
    """Where service accounts could not be read nobody unknown is taken for a stranger."""
    for unsure, gone in ((True, {"bob"}), (False, {"bob", "svc"})):
        desired, scope, actual = world(("a", "ann"), ("a", "bob"), ("a", "svc"), unsure=unsure)
        coordinators.own(desired, scope, actual, take=True)
        assert {a.key[1] for a in desired.absent} == gone
        assert {n.address.key[1] for n in desired.orphans} == {"bob", "svc"} - gone


def test_what_is_given_above_our_accounts_is_left_alone() -> None:
    desired, scope, actual = world(("root", "bob"), ("a", "bob"))
    coordinators.own(desired, scope, actual, take=True)
    assert not desired.absent and not desired.orphans
