"""Random worlds for hypothesis: what a portal says and what is on a cluster."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reconciler.config import Config
from reconciler.providers.slurm import kinds
from reconciler.state import compare
from reconciler.state.facts import Facts, OfferingUser, Resource
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Obj, State

PROJECTS = ("alpha", "beta", "Gamma")
CUSTOMERS = ("north", "south")
USERS = ("ann", "Bob", "cyd", "dee", "eve")
QOS = ("normal", "slowdown", "paused", "high")
TRES = ("cpu", "mem", "gres/gpu", "node")


def config(**block: Any) -> Config:
    """A configuration of one offering; keywords go into ``reconcile:``."""
    limit = {"accounting_type": "limit", "measured_unit": "h", "label": "x"}
    return Config.model_validate(
        {
            "offerings": [
                {
                    "name": "O",
                    "waldur_api_url": "file:x",
                    "backend_type": "slurm",
                    "backend_settings": {
                        "customer_prefix": "c_",
                        "project_prefix": "p_",
                        "allocation_prefix": "a_",
                        "qos_paused": "paused",
                        "qos_downscaled": "slowdown",
                    },
                    "backend_components": {
                        "cpu": {**limit, "unit_factor": 60},
                        "gres/gpu": {**limit, "unit_factor": 7},
                    },
                }
            ],
            "reconcile": {"state_dir": "/nonexistent", **block},
        }
    )


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Up to four resources in up to three projects, with any members."""
    owner = {p: draw(st.sampled_from(CUSTOMERS)) for p in PROJECTS}
    resources = []
    for number in range(draw(st.integers(0, 4))):
        project = draw(st.sampled_from(PROJECTS))
        resources.append(
            Resource(
                uuid=f"r{number}",
                name=draw(st.sampled_from(("R", "Long  name", "É x"))) + str(number),
                slug=draw(st.sampled_from(("one", "Two", "three", "four"))),
                state=draw(st.sampled_from(("OK", "Updating", "Creating", "Terminating"))),
                backend_id=draw(st.sampled_from(("", "", "a_legacy", "A_One"))),
                project_uuid=project,
                project_name=project,
                project_slug=project,
                customer_uuid=owner[project],
                customer_name=owner[project],
                customer_slug=owner[project],
                limits={
                    k: draw(st.integers(0, 3))
                    for k in draw(st.lists(st.sampled_from(("cpu", "gres/gpu")), unique=True, max_size=2))
                },
                paused=draw(st.booleans()),
                downscaled=draw(st.booleans()),
                restrict_member_access=draw(st.booleans()),
            )
        )
    users = tuple(
        OfferingUser(u.lower(), draw(st.sampled_from((u, u, ""))), draw(st.booleans()), "OK") for u in USERS[:4]
    )
    members = {p: frozenset(u.lower() for u in draw(st.sets(st.sampled_from(USERS)))) for p in PROJECTS}
    return Facts(tuple(resources), users, members)


ACCOUNTS = ("c_north", "c_south", "p_alpha", "p_beta", "p_gamma", "a_one", "a_two", "a_ghost", "a_legacy", "staff")


@st.composite
def cluster(draw: st.DrawFn) -> State:
    """A consistent account tree: parents exist, users have accounts, defaults are among them."""
    state: State = {q: Obj({"flags": frozenset()}) for q in map(kinds.qos, QOS)}
    state[kinds.account("root")] = _object(draw, "slurm.account", parent="")
    placed = ["root"]
    for name in draw(st.lists(st.sampled_from(ACCOUNTS), unique=True)):
        state[kinds.account(name)] = _object(draw, "slurm.account", parent=draw(st.sampled_from(placed)))
        placed.append(name)
    for user in ("ann", "bob", "cyd", "eve", "opera"):
        mine = draw(st.lists(st.sampled_from(placed), unique=True, max_size=3))
        for account in mine:
            state[kinds.association(account, user)] = _object(draw, "slurm.association")
        if mine:
            state[kinds.user(user)] = Obj({"default_account": draw(st.sampled_from(mine))})
    return state


def _object(draw: st.DrawFn, kind: str, **values: Any) -> Obj:
    found: dict[str, Any] = {}
    for field in KINDS[kind].fields:
        if field.name in values:
            found[field.name] = values[field.name]
        elif field.compare is compare.NUMBERS:
            found[field.name] = draw(st.dictionaries(st.sampled_from(TRES), st.integers(0, 200), max_size=2))
        elif field.compare is compare.SET:
            found[field.name] = frozenset(draw(st.sets(st.sampled_from(QOS), max_size=2)))
        elif field.compare is compare.NUMBER:
            found[field.name] = draw(st.sampled_from((None, 0, 5)))
        elif field.compare is compare.SHARE:
            found[field.name] = draw(st.sampled_from((1, 5, "parent")))
        else:
            found[field.name] = draw(st.sampled_from(("", "r0", "north")))
    found["default_qos"] = ""
    return Obj(found)


def addresses(state: State, kind: str) -> set[Address]:
    return {a for a in state if a.kind == kind}
