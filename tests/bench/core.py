"""The pure core on 100,000 associations: ``python -m tests.bench.core [ACCOUNTS]``.

Prints CPU seconds for parsing sacctmgr's text, building the desired state, comparing, and ordering a plan, once with
nothing to do and once with everything to create, and the peak memory of the process.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from reconciler.config import Config
from reconciler.cycle.cluster import without_collector
from reconciler.desired.accounts import Source
from reconciler.desired.build import build
from reconciler.desired.built import Built
from reconciler.plan.order import ordered
from reconciler.providers.slurm import kinds, parse
from reconciler.state.diff import Change
from reconciler.state.facts import Facts, OfferingUser, Resource
from reconciler.state.model import Obj, State
from tests.pure import BACKEND, changes_of, completed, reading
from tests.state.strategies import config

USERS_EACH = 10
T = TypeVar("T")


def timed(title: str, work: Callable[[], T], total: list[float]) -> T:
    began = time.process_time()
    result = work()
    seconds = time.process_time() - began
    total.append(seconds)
    print(f"  {title:<28} {seconds:6.2f} s CPU")
    return result


def facts(accounts: int) -> Facts:
    """One resource per account, ten to a project, with ten members each."""
    resources = tuple(
        Resource(
            uuid=f"{n:032x}",
            name=f"Resource {n}",
            slug=f"r{n}",
            state="OK",
            backend_id=f"a_r{n}",
            project_uuid=f"p{n // 10}",
            project_name=f"P {n // 10}",
            project_slug=f"p{n // 10}",
            customer_uuid=f"c{n // 100}",
            customer_name=f"C {n // 100}",
            customer_slug=f"c{n // 100}",
            limits={"cpu": n, "gres/gpu": 1},
            team=str(n),
        )
        for n in range(accounts)
    )
    users = tuple(OfferingUser(f"u{n}", f"user{n}", state="OK") for n in range(accounts * USERS_EACH // 2))
    members = {str(n): frozenset(f"u{(n * 5 + k) % len(users)}" for k in range(USERS_EACH)) for n in range(accounts)}
    return Facts(resources, users, members)


def texts(said: Facts) -> tuple[str, str, str]:
    """What sacctmgr prints for a cluster that is as it should be: associations, users, accounts."""
    rows = ["|".join(parse.ASSOCIATION), "t|root||||1||||||normal||1", "t|root|root|||1||||||||2"]
    accounts = ["Account|Org|Descr", "root|root|root"]
    for level, parent in (("c", "root"), ("p", "c")):
        for n in range(len(said.resources) // (100 if level == "c" else 10) or 1):
            above = parent if level == "c" else f"c_c{n // 10}"
            rows.append(f"t|{level}_{level}{n}|||{above}|1||||||||3")
            accounts.append(f"{level}_{level}{n}|{level}_{level}{n}|{level} {n}")
    users = {"root": "root"}
    for n, one in enumerate(said.resources):
        rows.append(f"t|a_r{n}|||p_p{n // 10}|1|cpu={60 * n},gres/gpu=7|||||normal||4")
        accounts.append(f"a_r{n}|p_p{n // 10}|resource {n}")
        for member in sorted(said.members[one.team]):
            rows.append(f"t|a_r{n}|user{member[1:]}|||1||||||||5")
            users.setdefault(f"user{member[1:]}", f"a_r{n}")
    listed = [
        "User|Def Acct|Admin|Coord Accounts",
        *(f"{u}|{d}|{'Administrator' if u == 'root' else 'None'}|" for u, d in users.items()),
    ]
    return tuple("\n".join(lines) + "\n" for lines in (rows, listed, accounts))  # type: ignore[return-value]


def read(association: str, user: str, account: str) -> State:
    """The reader's work without its processes."""
    _, state, _ = parse.associations(association, "assoc")
    defaults = parse.users(user, "user")
    known = frozenset(a.key[0] for a in state if a.kind == "slurm.account")
    described = parse.texts(account, known, "account")
    parse.inherit_qos(state)
    for name, (description, organization) in described.items():
        obj = state[kinds.account(name)]
        values = {**obj.values, "description": description, "organization": organization}
        state[kinds.account(name)] = Obj(values, inherited=obj.inherited)
    for name, default in defaults.items():
        state[kinds.user(name)] = Obj({"default_account": default.default_account, "name": default.name})
    for name in ("normal", "paused", "slowdown"):
        state[kinds.qos(name)] = Obj({"flags": frozenset()})
    return state


def compare(built: Built, actual: State, settings: Config) -> list[Change]:
    desired = completed(built, reading(actual), settings, lambda levels: {}, made=False)
    return changes_of(desired, actual)


def cycle(title: str, said: Facts, text: tuple[str, str, str], settings: Config) -> int:
    print(f"{title}:")
    total: list[float] = []
    actual = timed("parse", lambda: read(*text), total)
    source = Source(settings.offerings[0], said)
    built = timed("build", lambda: build([source], settings, BACKEND), total)
    changes = timed("ownership and diff", lambda: compare(built, actual, settings), total)
    plan = timed("plan", lambda: ordered(changes, actual), total)
    print(f"  {'together':<28} {sum(total):6.2f} s CPU, {len(plan)} changes")
    return len(plan)


def main(arguments: list[str]) -> None:
    accounts = int(arguments[0]) if arguments else 10_000
    said = facts(accounts)
    settings = config()
    print(f"{accounts} accounts, {accounts * USERS_EACH} associations")
    with without_collector():  # as a cycle does
        assert cycle("nothing to do", said, texts(said), settings) == 0
    empty = texts(Facts())
    with without_collector():
        cycle("everything to create", said, empty, settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process, both cycles and their input: {peak:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
