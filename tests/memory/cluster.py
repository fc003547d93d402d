"""An accounting database in memory, behind the same argv lists that reach SLURM: sacctmgr's habits, measured on 22.05.

Only what reconcile sends is understood; anything else fails loudly. ``tests/live/test_memory_cluster.py`` runs
the same commands here and on a real SLURM.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.providers.slurm import parse
from reconciler.state.names import fold
from tests.memory import queue
from tests.memory.homes import Homes
from tests.memory.queue import Job

CLUSTER = "testbed"
TRES = ("cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages", "gres/gpu")
_TRES_WORDS = {"grptresmins": "GrpTRESMins", "grptres": "GrpTRES", "maxtresmins": "MaxTRESMins"}
_NUMBER_WORDS = {"grpsubmitjobs": "GrpSubmit", "maxsubmitjobs": "MaxSubmit"}
_TEXT_WORDS = ("description", "organization")
_LOADED = re.compile(r":(\w+)=('[^']*'|[^:]*)")
_LINE = re.compile(r"(Cluster|Parent|Account|User) - '([^']*)'(.*)")
Answer = tuple[int, str]
_NOTHING_ADDED: Answer = (1, " Nothing new added.")
_NOTHING_MODIFIED: Answer = (1, " Nothing modified")
_NOTHING_DELETED: Answer = (1, " Nothing deleted")
_PRINTED = {
    "DefaultQOS": "Def QOS",
    "DefaultAccount": "Def Acct",
    "Coordinators": "Coord Accounts",
}
_CONFIG = "{name:<22} = {value}\n"


class RefusedError(Exception):
    """A command that sacctmgr refuses before anything is done."""


@dataclass(frozen=True)
class Association:
    """The settings of an account's own association, or of a user's."""

    parent: str = ""
    share: str = "1"
    tres: dict[str, dict[str, int]] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    qos: tuple[str, ...] = ()
    default_qos: str = ""

    def cells(self) -> dict[str, str]:
        """The columns of ``show assoc``."""
        listed = {
            word: ",".join(f"{n}={amounts[n]}{'M' * (n == 'mem')}" for n in TRES if n in amounts)
            for word, amounts in self.tres.items()
        }
        own = {
            "ParentName": self.parent,
            "Share": self.share,
            "QOS": ",".join(self.qos),
            "DefaultQOS": self.default_qos,
        }
        return {**own, **listed, **self.numbers}


class MemoryCluster:
    """One cluster: accounts, users, QoS, and the jobs that hold them."""

    def __init__(self) -> None:
        self.accounts = {"root": Association(qos=("normal",))}
        self.members = {("root", "root"): Association()}
        self.defaults = {"root": "root"}
        self.texts = {"root": ("default root account", "root")}  # they outlive their accounts
        self.qos = {"normal": "", "slowdown": "", "paused": ""}
        self.coordinators: dict[str, list[str]] = {}  # by account; they outlive associations
        self.reset: set[str] = set()  # accounts whose counters began anew, and have counted nothing since
        self.spelling: dict[str, str] = {}  # users' names where the case is kept
        self.parameters = ""  # of slurmdbd.conf
        # a cluster that never ran a job cannot be told from a query that fails
        self.jobs: list[Job] = [Job(1, "root", "root", 0, seconds=60, state="COMPLETED")]
        self.strangers: set[str] = set()  # whom the head node does not know
        self._uids = {"root": 0}
        self.homes = Homes(self.uid)
        self._numbers: dict[tuple[str, str], int] = {}
        self._given = 0

    # ------------------------------------------------------------------ jobs

    def uid(self, user: str) -> int:
        """A user's number, which slurmctld knows whatever the head node knows."""
        return self._uids.setdefault(user, 1000 + len(self._uids))

    def begin(self, account: str, user: str, state: str = "RUNNING", *, runaway: bool = False, seconds: int = 0) -> Job:
        """A job of theirs; a ``runaway`` is one that slurmctld knows nothing of."""
        job = Job(len(self.jobs) + 1, account, user, self.uid(user), state=state, seconds=seconds, runaway=runaway)
        job.association = self.number((account, user)) if (account, user) in self.members else 0
        self.jobs.append(job)
        return job

    @property
    def queued(self) -> list[Job]:
        """What slurmctld has."""
        return [j for j in self.jobs if j.queued]

    @property
    def used(self) -> set[str]:
        """Accounts on which something ran."""
        return {j.account for j in self.jobs if j.seconds and j.account != "root"}

    def end(self, jobs: Iterable[Job], state: str = "COMPLETED") -> None:
        """These jobs end."""
        for job in jobs:
            job.state = state

    # ------------------------------------------------------------------ commands

    def answer(self, program: str, arguments: Sequence[str], stdin: str | None) -> Answer:
        """Run one command; its exit code and what it prints."""
        match program, *arguments:
            case "sacctmgr", "show", "config":
                return 0, self._config()
            case "sacctmgr", flags, "show", "config" if flags.startswith("-") and "i" not in flags:
                return 0, self._config()
            case "sacctmgr", flags, "show", what, *conditions if flags.startswith("-") and "i" not in flags:
                return 0, self._show(what, conditions, header="n" not in flags)
            case "sacctmgr", "-i", "load", "/dev/stdin":
                return self._refusable(lambda: self._load(stdin or ""))
            case "sacctmgr", "-i", ("add" | "remove" | "delete") as verb, "coordinator", *words:
                return self._coordinate(verb, dict(_pair(w) for w in words if w != "where"))
            case "sacctmgr", "-i", verb, entity, *words:
                return self._refusable(lambda: self._change(verb, entity, words))
            case "squeue", *words:
                return 0, queue.squeue(self.queued, words, self.strangers)
            case "sacct", *words:
                return 0, queue.sacct(self.jobs, words)
            case "scontrol", "-o", "show", "assoc_mgr", "flags=assoc":
                return 0, "".join(self._counters(name) for name in self.accounts)
            case "scontrol", "-o", "show", "job":
                return 0, "".join(queue.scontrol(j) for j in self.queued)
            case ("sdiag",):
                return 0, "DBD Agent queue size: 0\n"
            case "scontrol", "show", "config":
                return 0, f"Configuration data as of 2026-11-21T12:00:00\n{'ClusterName':<23} = {CLUSTER}\n"
            case "scancel", *words:
                self.end(queue.chosen(self.queued, words, self.strangers), "CANCELLED")
                return 0, ""
            case "getent", "passwd", *names:
                known = [n for n in names if n in self._uids and n not in self.strangers]
                lines = [f"{n}:x:{self.uid(n)}:{self.uid(n)}::/home/{n}:/bin/sh\n" for n in known]
                return 0 if len(known) == len(names) else 2, "".join(lines)
        return self.homes.answer(program, arguments)

    def _config(self) -> str:
        """``sacctmgr show config``, as far as anybody asks."""
        ours = {"SLURM_VERSION": "22.05.8", "TrackWCKey": "No"}
        dbd = {"Parameters": self.parameters or "(null)", "PrivateData": "none"}
        first, second = ("".join(_CONFIG.format(name=n, value=v) for n, v in part.items()) for part in (ours, dbd))
        return f"Configuration data as of 2026-11-21T12:00:00\n{first}\nSlurmDBD configuration:\n{second}"

    def _coordinate(self, verb: str, where: Mapping[str, str]) -> Answer:
        """Coordinators belong to an account's record, whatever associations there are."""
        accounts = _names(where.get("account", where.get("accounts", "")))
        names = _names(where.get("name", where.get("names", "")))
        if bad := [a for a in accounts if a not in self.texts]:
            return 1, f" You specified a non-existent account '{bad[0]}'."
        if bad := [n for n in names if n not in self.defaults]:
            return 1, f" You specified a non-existent user '{bad[0]}'."
        pairs = [(a, n) for a in accounts for n in names]
        if verb == "add":
            for account, name in pairs:
                here = self.coordinators.setdefault(account, [])
                here += [] if name in here else [name]
            return 0, " Adding Coordinator User(s)"
        there = [(a, n) for a, n in pairs if n in self.coordinators.get(a, ())]
        for account, name in there:
            self.coordinators[account].remove(name)
        return (0, " Removed Coordinators (sub accounts not listed)...") if there else (1, " Nothing removed")

    def _coordinated(self, user: str) -> set[str]:
        """Accounts that a user coordinates: those that were named, and all below them."""
        named = {account for account, names in self.coordinators.items() if user in names}
        return named.union(*(self._subtree(account) for account in named if account in self.accounts))

    def _counters(self, name: str) -> str:
        """What slurmctld counts of an account: an hour where it was used."""
        minutes = 60 if name in self.used - self.reset else 0
        return f"ClusterName={CLUSTER} Account={name} UserName= GrpTRES=cpu=N(0) GrpTRESMins=cpu=N({minutes})\n"

    def number(self, association: tuple[str, str]) -> int:
        """The number of a user's association: another one when it is made again."""
        self._numbers = {k: n for k, n in self._numbers.items() if k in self.members}
        if association not in self._numbers:
            self._given += 1
            self._numbers[association] = self._given
        return self._numbers[association]

    @staticmethod
    def _refusable(work: Callable[[], Answer]) -> Answer:
        try:
            return work()
        except RefusedError as error:
            return 1, str(error)

    def _change(self, verb: str, entity: str, words: Sequence[str]) -> Answer:
        split = words.index("set") if "set" in words else len(words)
        where = dict(_pair(w) for w in words[:split] if w != "where")
        settings = dict(_pair(w) for w in words[split + 1 :])
        assert entity == "qos" or where.pop("cluster") == CLUSTER, words
        names = [fold(n) for n in where.pop("name").split(",")]
        match verb, entity:
            case "add", "account":
                return self._add_accounts(names, where)
            case "add", "user":
                return self._add_users(names, _names(where.pop("account")), where)
            case "add", "qos":
                return self._add_qos(names, where)
            case "modify", "account":
                return self._modify_accounts(names, settings)
            case "modify", "user" if "newname" in settings:
                self.spelling[names[0]] = settings.pop("newname")
                return (
                    self._move_defaults(names, fold(settings["defaultaccount"]))
                    if settings
                    else (0, " Modified users...")
                )
            case "modify", "user" if "defaultaccount" in settings:
                return self._move_defaults(names, fold(settings["defaultaccount"]))
            case "modify", "user":
                return self._modify_members(names, _names(where["account"]), settings)
            case "modify", "qos":
                self.qos |= {n: settings["flags"].replace("-1", "") for n in names if n in self.qos}
                return 0, " Modified qos..."
            case "remove", "account":
                return self._remove_accounts(names)
            case "remove", "user":
                return self._remove_members(names, _names(where["account"]))
        raise AssertionError(f"not understood: {verb} {entity} {words}")

    def _set(self, old: Association, settings: dict[str, str]) -> Association:
        """An association with these settings. Raises :class:`RefusedError` for a value that does not exist."""
        new = old
        for word, value in settings.items():
            if word in _TRES_WORDS:
                name = _TRES_WORDS[word]
                new = replace(new, tres={**new.tres, name: _merged(new.tres.get(name, {}), word, value)})
            elif word in _NUMBER_WORDS:
                new = replace(new, numbers={**new.numbers, _NUMBER_WORDS[word]: "" if value == "-1" else value})
            elif word == "fairshare":
                new = replace(new, share="1" if value == "-1" else value)
            elif word in ("qos", "defaultqos"):
                new = self._with_qos(new, word, value)
            elif (word, value) != ("rawusage", "0") and word not in ("parent", *_TEXT_WORDS):
                raise AssertionError(f"not understood: {word}={value}")
        return new

    def _with_qos(self, old: Association, word: str, value: str) -> Association:
        if word == "defaultqos" and value == "-1":
            return replace(old, default_qos="")
        names = _names(value)
        if bad := [n for n in names if n not in self.qos]:
            raise RefusedError(f"sacctmgr: error: You gave a bad qos '{bad[0]}'.\n Unknown option: {word}={value}")
        if word == "defaultqos":
            return replace(old, default_qos=names[0])
        return replace(old, qos=tuple(n for n in self.qos if n in names))

    # ------------------------------------------------------------------ adding

    def _add_accounts(self, names: Iterable[str], settings: dict[str, str]) -> Answer:
        parent = fold(settings.get("parent", "root"))
        made = self._set(Association(parent), settings)
        if parent not in self.accounts:
            return 1, f" Parent account '{parent}' doesn't exist on cluster {CLUSTER}"
        fresh = [n for n in names if n not in self.accounts]
        for name in fresh:
            self._account(name, made, settings)
        return (0, " Adding Account(s)") if fresh else _NOTHING_ADDED

    def _account(self, name: str, made: Association, settings: dict[str, str]) -> None:
        self.accounts[name] = made
        above = name if made.parent == "root" else made.parent
        texts = (settings.get("description", name), settings.get("organization", above))
        self.texts.setdefault(name, (fold(texts[0]), fold(texts[1])))

    def _add_users(self, names: Sequence[str], accounts: Sequence[str], settings: dict[str, str]) -> Answer:
        made = self._set(Association(), settings)
        fresh = [(a, u) for u in names for a in sorted(accounts) if a in self.accounts and (a, u) not in self.members]
        for account, user in fresh:
            self.members[account, user] = made
            self.defaults[user] = self.defaults.get(user) or account
        missing = [a for a in accounts if a not in self.accounts]
        if missing:
            return 1, f" This account '{missing[0]}' doesn't exist."
        return (0, " Adding User(s)") if fresh else _NOTHING_ADDED

    def _add_qos(self, names: Iterable[str], settings: dict[str, str]) -> Answer:
        fresh = [n for n in names if n not in self.qos]
        self.qos |= dict.fromkeys(fresh, settings.get("flags", ""))
        return (0, " Adding QOS(s)") if fresh else _NOTHING_ADDED

    def _load(self, text: str) -> Answer:
        parent = "root"
        accounts: list[tuple[str, Association, dict[str, str]]] = []
        members: list[tuple[tuple[str, str], Association]] = []
        for line in text.splitlines():
            match = _LINE.fullmatch(line)
            assert match, line
            word, name, rest = match[1], fold(match[2]), match[3]
            settings = {k.lower(): v.strip("'") for k, v in _LOADED.findall(rest)}
            if word == "Parent":
                parent = name
            elif word == "Account":
                accounts.append((name, self._set(Association(parent), settings), settings))
            elif word == "User":
                members.append(((parent, name), self._set(Association(), settings)))
        for name, made, settings in accounts:
            if name not in self.accounts:
                self._account(name, made, settings)
        for key, made in members:
            if key not in self.members:
                self.members[key] = made
                self.defaults[key[1]] = self.defaults.get(key[1]) or key[0]
        return 0, "sacctmgr: Done adding cluster"

    # ------------------------------------------------------------------ modifying

    def _modify_accounts(self, names: Iterable[str], settings: dict[str, str]) -> Answer:
        self._set(Association(), settings)
        there = [n for n in names if n in self.accounts]
        texts = [n for n in names if n in self.texts and set(_TEXT_WORDS) & settings.keys()]
        for name in texts:
            old = self.texts[name]
            self.texts[name] = tuple(fold(settings.get(w, o)) for w, o in zip(_TEXT_WORDS, old, strict=True))  # type: ignore[assignment]
        parent = fold(settings.get("parent", ""))
        if parent and parent not in self.accounts:
            return 1, f" Parent Account {parent} doesn't exist."
        others = settings.keys() - {*_TEXT_WORDS}
        touched = there if others else []  # "Nothing modified" where it hangs there is chance on the real one
        if "rawusage" in settings:
            self.reset |= {below for name in touched for below in self._subtree(name)}
        for name in touched:
            self.accounts[name] = self._set(self.accounts[name], settings)
            if parent:
                self._move(name, parent)
        return (0, " Modified account associations...") if touched or texts else _NOTHING_MODIFIED

    def _move(self, name: str, parent: str) -> None:
        """Hang an account elsewhere; below one of its own, that one takes its place first."""
        old = self.accounts[name].parent
        if parent in self._subtree(name):
            self.accounts[parent] = replace(self.accounts[parent], parent=old)
        self.accounts[name] = replace(self.accounts[name], parent=parent)

    def _modify_members(self, users: Iterable[str], accounts: Sequence[str], settings: dict[str, str]) -> Answer:
        self._set(Association(), settings)
        there = [(a, u) for u in users for a in accounts if (a, u) in self.members]
        for key in there:
            self.members[key] = self._set(self.members[key], settings)
        return (0, " Modified user associations...") if there else _NOTHING_MODIFIED

    def _move_defaults(self, users: Iterable[str], account: str) -> Answer:
        there = [u for u in users if u in self.defaults]
        if any((account, u) not in self.members for u in there):
            return 1, f" Can't modify because these users aren't associated with new default account '{account}'..."
        self.defaults |= dict.fromkeys(there, account)
        return (0, " Modified users...") if there else _NOTHING_MODIFIED

    # ------------------------------------------------------------------ removing

    def _subtree(self, top: str) -> set[str]:
        found, queue = {top}, [top]
        while queue:
            above = queue.pop()
            below = [n for n, a in self.accounts.items() if a.parent == above and n not in found]
            found |= set(below)
            queue += below
        return found

    def _remove_accounts(self, names: Iterable[str]) -> Answer:
        gone = {below for n in names if n in self.accounts for below in self._subtree(n)}
        if not gone:
            return _NOTHING_DELETED
        if any(j.account in gone for j in self.queued):
            return 1, " Error with request: Job(s) active, cancel job(s) before remove"
        self.accounts = {n: a for n, a in self.accounts.items() if n not in gone}
        self.members = {k: m for k, m in self.members.items() if k[0] not in gone}
        # users stay, without a default account, also those who have no other
        self.defaults = {u: "" if a in gone else a for u, a in self.defaults.items()}
        return 0, " Deleting account associations..."

    def _remove_members(self, users: Iterable[str], accounts: Sequence[str]) -> Answer:
        gone = {(a, u) for u in users for a in accounts if (a, u) in self.members}
        if not gone:
            return _NOTHING_DELETED
        if gone & {(j.account, j.user) for j in self.queued}:
            return 1, " Error with request: Job(s) active, cancel job(s) before remove"
        for account, user in gone:
            if self.defaults[user] == account and sum(u == user for _, u in self.members) > 1:
                return 1, " Error with request: You can not remove the default account of a user"
        self.members = {k: m for k, m in self.members.items() if k not in gone}
        left = {u for _, u in self.members}
        self.defaults = {u: a for u, a in self.defaults.items() if u in left or u not in {v for _, v in gone}}
        # who has no record any more coordinates nothing
        self.coordinators = {a: [n for n in c if n in self.defaults] for a, c in self.coordinators.items()}
        return 0, " Deleting user associations..."

    # ------------------------------------------------------------------ showing

    def _show(self, what: str, conditions: Sequence[str], *, header: bool = True) -> str:
        rows: list[dict[str, str]] = []
        if what == "assoc":
            for name, account in self.accounts.items():
                rows.append({"Cluster": CLUSTER, "Account": name, **account.cells()})
                rows += [
                    {"Cluster": CLUSTER, "Account": name, "User": u, "ID": str(self.number((name, u))), **m.cells()}
                    for (a, u), m in self.members.items()
                    if a == name
                ]
        elif what == "user":
            rows = [
                {
                    "User": self.spelling.get(u, u),
                    "DefaultAccount": a,
                    "Admin": "Administrator" if u == "root" else "None",
                    "Coordinators": ",".join(sorted(self._coordinated(u))),
                }
                for u, a in self.defaults.items()
            ]
        elif what == "account":
            shown = self.defaults if "withcoord" in conditions else ()
            heads = {u: self._coordinated(u) for u in shown}
            rows = [
                {
                    "Account": n,
                    "Descr": d,
                    "Org": o,
                    "Coordinators": ",".join(sorted(u for u in heads if n in heads[u])),
                }
                for n, (d, o) in self.texts.items()
            ]
        elif what == "cluster":
            rows = [{"Cluster": CLUSTER}]
        elif what == "qos":
            rows = [{"Name": n, "Flags": f} for n, f in self.qos.items()]
        elif what == "tres":
            rows = [dict(zip(parse.TRES, f"{t}/".split("/")[:2], strict=True)) for t in TRES]
        columns = conditions[-1].removeprefix("format=").split(",")
        lines = [[row.get(c, "") for c in columns] for row in rows]
        if header:
            lines.insert(0, [_PRINTED.get(c, c) for c in columns])
        return "".join("|".join(line) + "\n" for line in lines)


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.lower(), value


def _names(text: str) -> list[str]:
    return [fold(n) for n in text.split(",") if n]


def _merged(old: dict[str, int], word: str, value: str) -> dict[str, int]:
    """A TRES list in ``set`` merges; -1 clears."""
    new = dict(old)
    for item in value.split(","):
        name, _, amount = item.partition("=")
        if name not in TRES:
            raise RefusedError(f"sacctmgr: error: no TRES known by type {name}\n Unknown option: {word}={value}")
        new[name] = int(amount)
    return {n: a for n, a in new.items() if a != -1}
