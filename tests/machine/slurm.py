"""SLURM as the machine has to know it: sacctmgr's commands, and limits and QoS of an account that is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.providers.slurm.kinds import SHAPE
from tests.machine.product import Product
from tests.machine.world import Allocation, component_of

HANDS = (
    "add account name=staff cluster=testbed parent=root fairshare=5",
    "remove account where name=lab,a_ghost cluster=testbed",
    "add account name=a_ghost cluster=testbed parent=p_alpha",
    "add account name=wing cluster=testbed parent=p_alpha",
    "add user name=opera,ann account=staff cluster=testbed",
    "add user name=eve account=a_one cluster=testbed",
    "add user name=eve,opera account=a_two,lab cluster=testbed",
    "add user name=eve account=a_ghost,p_beta cluster=testbed",
    "add user name=ann,cyd account=a_two,a_three cluster=testbed",
    "add user name=bob account=a_one cluster=testbed MaxSubmitJobs=0",
    "add account name=a_two cluster=testbed parent=root",
    "modify account where name=a_one cluster=testbed set GrpTRESMins=cpu=7,node=9",
    "modify account where name=a_one cluster=testbed set GrpTRESMins=cpu=-1,gres/gpu=5",
    "modify account where name=a_two,g_six cluster=testbed set GrpTRESMins=cpu=-1,node=-1,billing=1000,mem=3",
    "modify account where name=staff cluster=testbed set GrpTRESMins=gres/gpu=60,mem=7 qos=urgent",
    "modify account where name=p_alpha cluster=testbed set GrpTRESMins=billing=9 qos=urgent,normal",
    "modify account where name=a_one,g_six cluster=testbed set qos=urgent,normal",
    "modify user where name=ann,bob account=a_one,g_six cluster=testbed set MaxTRESMins=gres/gpu=5 qos=urgent",
    "add user name=eve,ann account=g_six cluster=testbed",
    "add coordinator account=a_one,p_alpha names=ann,eve",
    "add coordinator account=staff,g_six names=opera",
    "remove coordinator account=a_one names=ann,bob",
    "remove account where name=g_six cluster=testbed",
    "modify account where name=a_one,a_three cluster=testbed set qos=slowdown,paused",
    "modify account where name=p_alpha cluster=testbed set qos=paused fairshare=9",
    "modify account where name=a_one cluster=testbed set parent=root",
    "modify account where name=a_two cluster=testbed set parent=staff",
    "modify account where name=staff cluster=testbed set parent=a_one",
    "modify account where name=p_alpha cluster=testbed set parent=c_south",
    "modify account where name=c_north cluster=testbed set description=drifted organization=drifted",
    "modify user where name=ann account=a_one cluster=testbed set MaxTRESMins=cpu=5 qos=paused",
    "modify user where name=ann cluster=testbed set DefaultAccount=staff",
    "modify user where name=eve cluster=testbed set DefaultAccount=a_one",
    "remove user where name=ann account=a_one cluster=testbed",
    "remove user where name=bob,cyd account=a_two cluster=testbed",
    "remove account where name=a_one cluster=testbed",
    "remove account where name=p_alpha cluster=testbed",
    "remove account where name=c_north cluster=testbed",
    "remove account where name=staff cluster=testbed",
)
TARGETS: tuple[tuple[str, ...], ...] = (
    *[()] * 8,
    ("slurm.account[*]",),
    ("slurm.account[a_one]", "slurm.association[a_one,*]"),
    ("slurm.association[*]",),
    ("slurm.user[*]",),
    ("waldur.order[*]",),
    ("waldur.resource[*]",),
)


def as_sold(one: Allocation, place: Mapping[str, Any]) -> None:
    """Its GrpTRESMins and its QoS are those of its limit and flags."""
    component, factor = component_of(one.name)
    # what is no amount changes nothing else
    assert one.limit is None or place["grp_tres_mins"] == {component: one.limit * factor}, (one, place)
    first = "paused" if one.paused else "slowdown" if one.downscaled else "normal"
    assert first in place["qos"] or (first == "normal" and not {"paused", "slowdown"} & {*place["qos"]})
    if one.paused:
        assert place["qos"] == ["paused"]


SLURM = Product(
    shape=SHAPE,
    found=(
        "add qos name=urgent",
        "add account name=staff cluster=testbed parent=root",
        "add user name=opera account=staff cluster=testbed",
    ),
    strangers=(
        "add account name=lab cluster=testbed parent=a_two",
        "add account name=a_ghost cluster=testbed parent=p_alpha",
        "add user name=eve account=a_one,a_ghost,lab cluster=testbed",
        "add coordinator account=a_one names=eve,ann",
    ),
    hands=HANDS,
    targets=TARGETS,
    as_sold=as_sold,
)
