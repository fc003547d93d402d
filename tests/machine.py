"""The state machine of all promises: edits on both sides, faults and deaths at any write, and what must hold after it.

A world says where it runs: in memory (``tests/test_machine.py``) or on a real SLURM and the HTTP stand-in
(``tests/live/test_machine.py``). The judgements here know nothing of how reconcile works.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from reconciler.cli.apply import cycle
from reconciler.cli.interface import BLOCKED, DONE, FAILED, REFUSED, Interface
from reconciler.config import Config
from reconciler.cycle import Cluster
from reconciler.errors import ReconcileError
from reconciler.plan import Mode
from reconciler.state.kinds import KINDS, account, association, on_cluster, user
from reconciler.state.model import Address, State, json_value
from reconciler.store import Journal
from reconciler.store.journal import Entry
from tests.memory.faults import Fault, Faults, Killed

NAMES = ("one", "Two", "three", "four", "five")
PROJECTS = {"alpha": "north", "beta": "north", "gamma": "south"}
PEOPLE = ("ann", "bob", "cyd")  # whom the portal knows
STRANGERS = ("opera", "eve")  # whom only the operator knows
MAX_DELETIONS = 1
DEAD = -9
#: everything but what would take somebody else's accounts along
CONSENT = frozenset(
    {"allow_empty_portal", "min_resources_share", "max_deletions", "max_updates_share", "min_read_share"}
)
#: what may keep an object from being changed although nothing is broken
EXPLAINED = ("accounts below it", "has usage", "would go along", "stays", "an orphan that is in use")
Values = Mapping[Address, Mapping[str, Any]]


def configured(state_dir: Path, url: str = "file:x", **offering: Any) -> Config:
    """One offering on one cluster; usage is told by nobody."""
    return Config.model_validate(
        {
            "offerings": [
                {
                    "name": "O",
                    "waldur_api_url": url,
                    "backend_type": "slurm",
                    "order_processing_backend": "slurm",
                    "membership_sync_backend": "slurm",
                    "reporting_backend": "",
                    "backend_settings": {
                        "cluster_name": "testbed",
                        "customer_prefix": "c_",
                        "project_prefix": "p_",
                        "allocation_prefix": "a_",
                        "qos_paused": "paused",
                        "qos_downscaled": "slowdown",
                        "enable_user_homedir_account_creation": False,
                    },
                    "backend_components": {
                        "cpu": {"accounting_type": "limit", "measured_unit": "h", "label": "x", "unit_factor": 60}
                    },
                    **offering,
                }
            ],
            "reconcile": {
                "state_dir": str(state_dir),
                "guards": {"max_deletions": MAX_DELETIONS, "max_deletions_share": 0},
                "runner": {"parallel": 1},
                "http_retries": 0,
            },
        }
    )


@dataclass
class Allocation:
    """What the portal says of a resource."""

    name: str
    project: str
    state: str = "absent"
    backend_id: str = ""
    order: str = ""  # the type of the one underway
    limit: int = 0
    paused: bool = False
    downscaled: bool = False
    restricted: bool = False

    @property
    def account(self) -> str:
        """Its account on the cluster."""
        return f"a_{self.name.lower()}"

    @property
    def ends(self) -> bool:
        """It has ended, or its customer ordered the end."""
        return self.state in ("absent", "Terminated", "Terminating") or self.order == "Terminate"


class World(Protocol):
    """Where the machine runs."""

    faults: Faults
    config: Config

    def cluster(self) -> Cluster:
        """A head node's next run."""

    def read(self) -> State:
        """The cluster as it is, whatever is broken."""

    def sacctmgr(self, *arguments: str) -> None:
        """The operator's own command; one that is refused is no failure."""

    def allocation(self, name: str) -> Allocation | None:
        """A resource by name."""

    def add(self, name: str, project: str, limit: int, *, ordered: bool) -> None:
        """A resource that a customer ordered, or that is there already and has no account."""

    def edit(self, name: str, **facts: Any) -> None:
        """Change a resource."""

    def order(self, name: str, kind: str, limit: int | None = None) -> None:
        """A customer's order."""

    def members(self, project: str) -> set[str]:
        """People of a project who may have access."""

    def enter(self, person: str, project: str) -> None:
        """A person joins."""

    def leave(self, person: str, project: str) -> None:
        """A person leaves."""

    def restrict(self, person: str, restricted: bool) -> None:
        """An offering user is restricted, or no more."""

    def jobs(self) -> set[tuple[str, str]]:
        """Accounts and users with jobs."""

    def used(self) -> set[str]:
        """Accounts with usage in this month."""

    def work(self, account: str, user: str) -> None:
        """A job begins."""

    def use(self, account: str) -> None:
        """An account was used."""

    def rest(self) -> None:
        """All jobs end."""

    def close(self) -> None:
        """The end."""


BY_HAND = st.sampled_from(
    (
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
)
TARGETS = st.sampled_from(
    (
        *[()] * 8,
        ("slurm.account[*]",),
        ("slurm.account[a_one]", "slurm.association[a_one,*]"),
        ("slurm.association[*]",),
        ("slurm.user[*]",),
        ("waldur.order[*]",),
        ("waldur.resource[*]",),
    )
)

_NAME, _PROJECT = st.sampled_from(NAMES), st.sampled_from(sorted(PROJECTS))
MOVES = st.one_of(
    st.tuples(st.just("add"), _NAME, _PROJECT, st.integers(1, 5), st.booleans()),
    st.tuples(st.just("flag"), _NAME, st.sampled_from(("paused", "downscaled", "restrict")), st.booleans()),
    st.tuples(st.just("order_other_limits"), _NAME, st.integers(0, 9)),
    st.tuples(st.just("order_the_end"), _NAME),
    st.tuples(st.just("order_it_back"), _NAME),
    st.tuples(st.just("end_without_an_order"), st.sets(_NAME, min_size=1)),
    st.tuples(st.just("enter"), st.sampled_from(PEOPLE), _PROJECT),
    st.tuples(st.just("leave"), st.sets(st.sampled_from(PEOPLE), min_size=1), _PROJECT),
    st.tuples(st.just("by_hand"), BY_HAND),
    st.tuples(st.just("work"), _NAME, st.sampled_from(PEOPLE)),
    st.tuples(st.just("use"), _NAME),
    st.tuples(st.just("use"), st.just("ghost")),
    st.tuples(st.just("work"), st.just("ghost"), st.just("eve")),
)


def own(state: State) -> dict[Address, dict[str, Any]]:
    """What objects have of their own, as the journal keeps it: nothing that is only inherited, and no QoS."""
    found: dict[Address, dict[str, Any]] = {}
    for address, obj in state.items():
        if address.kind != "slurm.qos":
            fresh = {f.name: f.fresh for f in KINDS[address.kind].fields}
            values = {n: fresh[n] if n in obj.inherited else v for n, v in obj.values.items()}
            found[address] = {n: json_value(v) for n, v in values.items()}  # type: ignore[arg-type]
    return found


#: how a site may want it
CHOICES = st.fixed_dictionaries(
    {
        "prune": st.booleans(),
        "on_member_removal": st.sampled_from(("cancel_jobs", "drain")),
        "on_terminate": st.sampled_from(("cancel_jobs", "wait", "refuse")),
    }
)


class Machine(RuleBasedStateMachine):
    """Both sides move, runs fail and die, and after each of them the promises are looked at."""

    world: World

    def make(self) -> World:
        """Where to run."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make()
        self.ever: dict[str, Allocation] = {}
        self.told_out = ""
        self.replayed: dict[Address, dict[str, Any]] = own(self.world.read())
        self.seen_entries = 0

    def teardown(self) -> None:
        self.world.close()

    @initialize(limit=st.integers(1, 5), ordered=st.booleans(), choices=CHOICES)
    def begin(self, limit: int, ordered: bool, choices: Mapping[str, Any]) -> None:
        """Somebody has something already, and an operator too."""
        block = self.world.config.reconcile.model_copy(update=choices)
        self.world.config = self.world.config.model_copy(update={"reconcile": block})
        self.add("one", "alpha", limit, ordered)
        self.add("Two", "alpha", 1, not ordered)
        for person in PEOPLE[:2]:
            self.enter(person, "alpha")
        self.by_hand("add account name=staff cluster=testbed parent=root")
        self.by_hand("add user name=opera account=staff cluster=testbed")
        self.run_once()
        # what is nobody's among what is ours
        self.by_hand("add account name=lab cluster=testbed parent=a_two")
        self.by_hand("add account name=a_ghost cluster=testbed parent=p_alpha")
        self.by_hand("add user name=eve account=a_one,a_ghost,lab cluster=testbed")
        self.converge()

    # ------------------------------------------------------------------ the portal moves

    def _here(self, name: str) -> Allocation | None:
        """A resource on which nothing is underway."""
        found = self.world.allocation(name)
        return found if found is not None and not found.order else None

    @rule(name=_NAME, project=_PROJECT, limit=st.integers(0, 5), ordered=st.booleans())
    def add(self, name: str, project: str, limit: int, ordered: bool) -> None:
        if self.world.allocation(name) is None:
            self.world.add(name, project, limit, ordered=ordered)
            self.ever[name] = Allocation(name, project)

    @rule(name=_NAME, flag=st.sampled_from(("paused", "downscaled", "restrict")), on=st.booleans())
    def flag(self, name: str, flag: str, on: bool) -> None:
        if self.world.allocation(name) is not None:
            self.world.edit(name, **{"restrict_member_access" if flag == "restrict" else flag: on})

    @rule(name=_NAME, limit=st.integers(0, 9))
    def order_other_limits(self, name: str, limit: int) -> None:
        found = self._here(name)
        if found is not None and found.state == "OK":
            self.world.order(name, "Update", limit)

    @rule(name=_NAME)
    def order_the_end(self, name: str) -> None:
        found = self._here(name)
        if found is not None and found.state in ("OK", "Erred"):
            self.world.order(name, "Terminate")

    @rule(name=_NAME)
    def order_it_back(self, name: str) -> None:
        found = self._here(name)
        if found is not None and found.state == "Terminated":
            self.world.order(name, "Restore")

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1))
    def end_without_an_order(self, names: set[str]) -> None:
        for name in sorted(names):
            found = self._here(name)
            if found is not None and found.state in ("OK", "Erred"):
                self.world.edit(name, state="Terminated")

    @rule(person=st.sampled_from(PEOPLE), project=_PROJECT)
    def enter(self, person: str, project: str) -> None:
        self.world.enter(person, project)

    @rule(people=st.sets(st.sampled_from(PEOPLE), min_size=1), project=_PROJECT)
    def leave(self, people: set[str], project: str) -> None:
        for person in sorted(people):
            self.world.leave(person, project)

    @rule(person=st.sampled_from(PEOPLE), restricted=st.booleans())
    def restrict(self, person: str, restricted: bool) -> None:
        self.world.restrict(person, restricted)

    # ------------------------------------------------------------------ the cluster moves

    @rule(command=BY_HAND)
    def by_hand(self, command: str) -> None:
        before = own(self.world.read())
        self.world.sacctmgr("-i", *command.split())
        after = own(self.world.read())
        self._adopt(after, {a for a in before.keys() | after.keys() if before.get(a) != after.get(a)})

    @rule(place=st.sampled_from(NAMES), person=st.sampled_from((*PEOPLE, *STRANGERS)))
    def work(self, place: str, person: str) -> None:
        key = (f"a_{place.lower()}", person)
        if association(*key) in self.world.read():
            self.world.work(*key)

    @rule(place=st.sampled_from(NAMES))
    def use(self, place: str) -> None:
        self.world.use(f"a_{place.lower()}")

    # ------------------------------------------------------------------ the head node moves

    @rule()
    def forget(self) -> None:
        """The database is deleted: it was memory, never truth."""
        for path in self.world.config.reconcile.state_dir.glob("reconcile.sqlite3*"):
            path.unlink()
        self.seen_entries = 0

    # ------------------------------------------------------------------ runs

    @rule(
        moves=st.lists(MOVES, min_size=1, max_size=5),
        fault=st.sampled_from((None, *Fault)),
        at=st.integers(0, 8),
        only=TARGETS,
        allowed=st.sampled_from((frozenset(), CONSENT)),
    )
    def much_at_once(
        self,
        moves: list[tuple[Any, ...]],
        fault: Fault | None,
        at: int,
        only: tuple[str, ...],
        allowed: frozenset[str],
    ) -> None:
        """Several things happen between two cycles, and then one goes wrong."""
        for what, *details in moves:
            getattr(self, what)(*details)
        self.run_once(fault, at, only, allowed)

    @rule(
        fault=st.sampled_from((None, *Fault)),
        at=st.integers(0, 3),
        only=TARGETS,
        allowed=st.sampled_from((frozenset(), CONSENT)),
    )
    def apply(self, fault: Fault | None, at: int, only: tuple[str, ...], allowed: frozenset[str]) -> None:
        self.run_once(fault, at, only, allowed)

    @rule(
        which=st.integers(0, 9),
        who=st.integers(0, 9),
        how=st.sampled_from(("jobs", "used", "both")),
        what=st.sampled_from(("ends", "ends", "leaves")),
    )
    def goes_while_in_use(self, which: int, who: int, how: str, what: str) -> None:
        """Where a guard matters: jobs or usage on what would go, and a cycle with every consent and without a fault."""
        self.run_once(allowed=CONSENT)
        here = sorted(a.key for a in self.world.read() if a.kind == "slurm.association" and a.key[0].startswith("a_"))
        if not here:
            return
        places = sorted({place for place, _ in here})
        place = places[which % len(places)]
        people = [person for there, person in here if there == place]
        person = people[who % len(people)]
        if how != "used":
            self.world.work(place, person)
        if how != "jobs":
            self.world.use(place)
        name = next((n for n in self.ever if f"a_{n.lower()}" == place), "")
        found = self._here(name)
        if found is not None and what == "ends":
            self.end_without_an_order({name})
        elif found is not None:
            self.leave({person}, found.project)
        self.run_once(allowed=CONSENT)

    @rule()
    def converge(self) -> None:
        """One cycle without a fault, with a person's consent where that is asked for, and nothing is left."""
        self.world.rest()
        code = self.run_once()
        if code == REFUSED:
            code = self.run_once(allowed=CONSENT)
        assert code in (DONE, BLOCKED), self.told_out
        cluster = self.world.cluster()
        plan = cluster.plan(allowed=CONSENT).plan
        cluster.store.dispose()
        assert not plan.changes, (plan.changes, self.told_out)
        assert not plan.refusals, plan.refusals
        for change in plan.blocked:
            assert any(words in change.blocked for words in EXPLAINED), change
        self._as_told({c.address for c in plan.blocked})

    def run_once(
        self,
        fault: Fault | None = None,
        at: int = 0,
        targets: Iterable[str] = (),
        allowed: frozenset[str] = frozenset(),
    ) -> int:
        """One ``reconcile apply --auto-approve``; its exit code."""
        before = own(self.world.read())
        jobs, used = self.world.jobs(), self.world.used()
        ends = {n: a for n in self.ever if (a := self.world.allocation(n)) is not None and a.ends}
        ordered = {n for n, a in ends.items() if a.order == "Terminate"}
        cluster = self.world.cluster()
        alive = cluster.store.writing

        def die() -> None:
            def gone() -> Any:
                raise ReconcileError("this process is gone")

            cluster.store.writing = gone  # type: ignore[method-assign]

        self.world.faults.on_kill = die
        self.world.faults.arm(fault, at)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), cluster.locked():
                interface = Interface(json_output=True, no_color=True)
                code = cycle(
                    cluster,
                    interface,
                    allowed,
                    targets=tuple(targets),
                    offering="",
                    mode=Mode.ALL,
                    ask=False,
                    verbose=False,
                )
        except ReconcileError as error:
            out.write(str(error))
            code = FAILED
        except Killed:
            code = DEAD
        finally:
            self.world.faults.arm(None)
            cluster.store.writing = alive  # type: ignore[method-assign]
        self.told_out = out.getvalue()
        after = own(self.world.read())
        entries = [e for e in self._entries(cluster) if on_cluster(Address.parse(e.address))]
        cluster.store.dispose()
        if code == REFUSED:
            assert before == after
            assert not entries
        if code in (DONE, BLOCKED, FAILED):
            assert all(e.outcome for e in entries), entries
        moved = {a for a in before.keys() | after.keys() if before.get(a) != after.get(a)}
        self._unmanaged_untouched(before, after, moved, {a.account for a in ends.values()})
        self._guarded(before, after, ends, ordered, jobs, used, allowed)
        self._journalled(moved, entries)
        self._replay(entries, after)
        return code

    def _entries(self, cluster: Cluster) -> list[Entry]:
        """What the journal holds since the last look."""
        found = Journal(cluster.store, cluster.label).entries()
        new, self.seen_entries = found[self.seen_entries :], len(found)
        return new

    # ------------------------------------------------------------------ promises

    def _managed(self, address: Address) -> bool:
        accounts = {a.account for a in self.ever.values()}
        accounts |= {f"p_{a.project}" for a in self.ever.values()}
        accounts |= {f"c_{PROJECTS[a.project]}" for a in self.ever.values()}
        if address.kind == "slurm.user":
            return address.key[0] in PEOPLE
        return address.key[0] in accounts and (address.kind == "slurm.account" or address.key[1] in PEOPLE)

    def _pruned(self, address: Address) -> bool:
        """Whether the site wants it gone when nobody names it: what is called as ours, and strangers on it."""
        named = address.kind != "slurm.user" and address.key[0].startswith(("a_", "p_", "c_"))
        return self.world.config.reconcile.prune and named

    def _unmanaged_untouched(self, before: Values, after: Values, moved: set[Address], ended: set[str]) -> None:
        # a stranger's access goes with an account that ended, also where usage, jobs or a death still keep that
        lost = {a for a in before.keys() - after.keys() if a.kind == "slurm.association" and a.key[0] in ended}
        losing = {a.key[1] for a in before if a.kind == "slurm.association" and a.key[0] in ended}
        losing |= {a.key[1] for a in before if a.kind == "slurm.association" and self._pruned(a)}
        for address in sorted(moved):
            if self._managed(address) or (self._pruned(address) and address not in after):
                continue
            # of an ended account that jobs keep, nobody may begin more of them
            drained = {**before.get(address, {}), "max_submit_jobs": 0}
            if address.kind == "slurm.association" and address.key[0] in ended and after.get(address) == drained:
                continue
            assert address in lost or (address.kind == "slurm.user" and address.key[0] in losing), (
                address,
                before.get(address),
                after.get(address),
            )
        assert before[account("root")] == after[account("root")]

    def _guarded(
        self,
        before: Values,
        after: Values,
        ends: Mapping[str, Allocation],
        ordered: set[str],
        jobs: set[tuple[str, str]],
        used: set[str],
        allowed: frozenset[str],
    ) -> None:
        """Nothing goes that lives, and not too much of the rest without consent."""
        live = [a for n in self.ever if n not in ends and (a := self.world.allocation(n)) is not None]
        needed = {a.account for a in live if a.backend_id}
        needed |= {x for a in live if a.backend_id for x in (f"p_{a.project}", f"c_{PROJECTS[a.project]}")}
        by_order = {x for n in ordered for x in (ends[n].account, f"p_{ends[n].project}")}
        by_order |= {f"c_{PROJECTS[ends[n].project]}" for n in ordered}
        gone = {a.key[0] for a in before.keys() - after.keys() if a.kind == "slurm.account"}
        assert not gone & needed, (gone, needed)
        unasked = gone - by_order
        busy = {place for place, _ in jobs}
        assert not unasked & busy, (unasked, jobs)
        assert not unasked & used, (unasked, used)
        if self.world.config.reconcile.on_member_removal == "drain":
            # nobody's job is cancelled but for a customer who ordered the end
            assert {place for place, _ in jobs - self.world.jobs()} <= by_order, (jobs, self.world.jobs())
        lost = {
            a.key
            for a in before.keys() - after.keys()
            if a.kind == "slurm.association" and a.key[0] not in gone | by_order
        }
        if "max_deletions" not in allowed:
            assert len(unasked) <= MAX_DELETIONS, unasked
            # an account that is to go, and is held by its usage or jobs, has lost its members with consent
            ended = {a.account for a in ends.values()}
            assert len([k for k in lost if k[0] not in ended]) <= MAX_DELETIONS, lost
        for one in live:
            entitled = set() if one.restricted else self.world.members(one.project)
            assert not {u for a, u in lost if a == one.account} & entitled, (lost, one)

    def _journalled(self, moved: set[Address], entries: list[Entry]) -> None:
        """Nothing changes that was not written down before."""
        written = {Address.parse(e.address) for e in entries}
        people = {a.key[1] for a in written if a.kind == "slurm.association"}
        for address in moved - written:
            # a default account comes and goes with associations
            assert address.kind == "slurm.user" and address.key[0] in people, (address, entries)

    def _adopt(self, actual: Values, addresses: Iterable[Address]) -> None:
        for address in addresses:
            if address in actual:
                self.replayed[address] = dict(actual[address])
            else:
                self.replayed.pop(address, None)

    def _replay(self, entries: list[Entry], actual: Values) -> None:
        """The actions that are said to be done, one after the other, lead from what was to what is."""
        touched = [Address.parse(e.address) for e in entries]
        # who gets a first association gets a default account, which nobody said
        self._adopt(actual, {user(a.key[1]) for a in touched if a.kind == "slurm.association"})
        for address, entry in zip(touched, entries, strict=True):
            if entry.outcome != "done":
                self._adopt(actual, {address})
            elif entry.action == "delete":
                self.replayed.pop(address, None)
            else:
                fields = KINDS[address.kind].fields
                old = self.replayed.get(address, {f.name: json_value(f.fresh) for f in fields})
                said = {n: v for n, v in (entry.after or {}).items() if (entry.before or {}).get(n, ...) != v}
                self.replayed[address] = {**old, **said}
        people = {a.key[1] for a in self.replayed if a.kind == "slurm.association"}
        for address in [a for a in self.replayed if a.kind == "slurm.user" and a.key[0] not in people]:
            del self.replayed[address]
        wrong = {a for a in self.replayed.keys() | actual.keys() if self.replayed.get(a) != actual.get(a)}
        assert not wrong, [(str(a), self.replayed.get(a), actual.get(a)) for a in sorted(wrong)]

    def _as_told(self, blocked: set[Address]) -> None:
        """The cluster is what the portal says: found without reconcile."""
        actual = own(self.world.read())
        for name in self.ever:
            one = self.world.allocation(name)
            assert one is not None
            place = actual.get(account(one.account))
            if one.state == "OK" and one.backend_id and not one.order:
                assert place is not None, one
                assert place["parent"] == f"p_{one.project}"
                assert place["grp_tres_mins"].get("cpu") == one.limit * 60
                first = "paused" if one.paused else "slowdown" if one.downscaled else "normal"
                assert first in place["qos"] or (first == "normal" and not {"paused", "slowdown"} & {*place["qos"]})
                if one.paused:
                    assert place["qos"] == ["paused"]
                here = {a.key[1] for a in actual if a.kind == "slurm.association" and a.key[0] == one.account}
                wanted = set() if one.restricted else self.world.members(one.project)
                assert here & {*PEOPLE} == wanted, (one, here, wanted)
            elif one.state == "Terminated":
                assert place is None or account(one.account) in blocked, one
