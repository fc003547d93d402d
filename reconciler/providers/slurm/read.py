"""The actual state of a SLURM cluster in five ``sacctmgr`` calls, whatever its size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from reconciler.errors import ReadError
from reconciler.providers.base import Catalog, Reading
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import dialect, kinds, parse
from reconciler.providers.slurm.names import clean_text
from reconciler.providers.slurm.said import command_error
from reconciler.state.model import Obj, State
from reconciler.state.names import fold

_QOS = ("QoS", "sacctmgr add qos, or reconcile.qos in the configuration", "slurm.qos")
_TRES = ("TRES", "AccountingStorageTRES in slurm.conf")


class SlurmReader:
    """Reads one cluster through one runner."""

    def __init__(self, runner: CommandRunner, cluster: str | None) -> None:
        self.runner = runner
        self.cluster = cluster

    def read(self) -> Reading:
        """Everything, checked. Raises :class:`ReadError`; an inconsistent answer is read once more."""
        dialect.refuse_emulator(self.runner)
        try:
            return self._read()
        except InconsistentReadError:
            return self._read()

    def name(self) -> str:
        """What SLURM calls the cluster. Raises :class:`ReadError` where it cannot tell."""
        dialect.refuse_emulator(self.runner)
        text, command = self._show("cluster", ("Cluster",))
        names = [line.strip() for line in text.splitlines()[1:] if line.strip()]
        if len(names) != 1:
            what = f"several clusters ({', '.join(names)})" if names else "no cluster"
            raise ReadError(f"{command}: slurmdbd knows {what}", "Set backend_settings.cluster_name.")
        return fold(names[0])

    def ping(self) -> str:
        """Which clusters slurmdbd knows. Raises :class:`ReadError` where it does not answer, or lacks this one."""
        text, command = self._show("cluster", ("Cluster",))
        names = [line.strip() for line in text.splitlines()[1:] if line.strip()]
        if self.cluster and fold(self.cluster) not in {fold(n) for n in names}:
            raise ReadError(
                f"{command}: slurmdbd has no cluster {self.cluster!r}, but {', '.join(names) or 'none'}",
                "Check backend_settings.cluster_name.",
            )
        return f"slurmdbd answers, clusters: {', '.join(names) or 'none'}"

    def _show(self, what: str, columns: tuple[str, ...] | list[str], *conditions: str) -> tuple[str, str]:
        result = self.runner.run("sacctmgr", "-P", "show", what, *conditions, f"format={','.join(columns)}")
        if result.code != 0:
            raise command_error(result)
        return result.stdout, result.command

    def _read(self) -> Reading:
        where = ("where", f"cluster={self.cluster}") if self.cluster else ()
        cluster, state, numbers = parse.associations(
            *self._show("assoc", parse.ASSOCIATION, "WOPLimits", *where), cluster=self.cluster
        )
        whole = dialect.of(self.runner).coordinators
        columns = parse.USER if whole else parse.USER[:3]
        text, command = self._show("user", columns, *(("withcoord",) if whole else ()), *where)
        users = parse.users(text, command, trust_any=not whole)
        accounts = frozenset(a.key[0] for a in state if a.kind == "slurm.account")
        texts = parse.texts(*self._account_texts(accounts))
        flags = parse.qos(*self._show("qos", parse.QOS))
        tres = parse.tres(*self._show("tres", parse.TRES))
        _consistent(state, accounts, users, command)
        parse.inherit_qos(state)
        for name, (description, organization) in texts.items():
            obj = state[kinds.account(name)]
            values = {
                **obj.values,
                # folded like the desired side, so that what only looks different is no drift
                "description": clean_text(description) if description.isprintable() else description,
                "organization": clean_text(organization) if organization.isprintable() else organization,
            }
            state[kinds.account(name)] = Obj(values, inherited=obj.inherited)
        used: dict[str, set[str]] = defaultdict(set)
        for address in list(state):
            if address.kind == "slurm.association":
                used[address.key[1]].add(address.key[0])
        for name in used:
            state[kinds.user(name)] = Obj({"default_account": users[name].default_account, "name": users[name].name})
        for name, user in users.items():
            # of accounts that are not there as well: whoever had the right has it again once the account is made
            state |= {kinds.coordinator(a, name): Obj({}) for a in user.coordinates}
        for name, flag_set in flags.items():
            state[kinds.qos(name)] = Obj({"flags": flag_set})
        catalogs = {"qos": Catalog(frozenset(flags), *_QOS), "tres": Catalog(tres, *_TRES)}
        return Reading(cluster, state, catalogs, numbers)

    def keeps_case(self) -> bool:
        """Whether slurmdbd keeps the case of users' names (slurmdbd.conf: Parameters). Raises :class:`ReadError`."""
        if not dialect.of(self.runner).settings:
            return False
        return self.runner.known("keeps case", self._parameters) == "preservecaseuser"

    def _parameters(self) -> str:
        result = self.runner.run("sacctmgr", "show", "config")
        if result.code != 0:
            raise command_error(result)
        settings = [line.partition("=") for line in result.stdout.splitlines()]
        found = [value for name, _, value in settings if name.strip() == "Parameters"]
        if not found:
            raise ReadError(f"{result.command}: no Parameters of slurmdbd, so the answer is not whole")
        kept = "preservecaseuser" in {p.strip().lower() for p in found[-1].split(",")}
        return "preservecaseuser" if kept else "folded"

    def _account_texts(self, accounts: frozenset[str]) -> tuple[str, frozenset[str], str]:
        text, command = self._show("account", parse.ACCOUNT)
        return text, accounts, command


class InconsistentReadError(ReadError):
    """Two tables disagree: something changed between two calls, or one answer was cut."""


def _consistent(state: State, accounts: frozenset[str], users: Collection[str], command: str) -> None:
    for address, obj in state.items():
        if address.kind == "slurm.account":
            parent = obj.values.get("parent")
            if parent and parent not in accounts:
                raise InconsistentReadError(
                    f"sacctmgr show assoc: account {address.key[0]!r} hangs below {parent!r}, which is missing",
                    "The answer was cut or changed underway; run again.",
                )
        elif address.kind == "slurm.association":
            account, user = address.key
            if account not in accounts or user not in users:
                raise InconsistentReadError(
                    f"{command}: user {user!r} has an association with {account!r}, but the user or the account "
                    "is missing from its table",
                    "The answer was cut or changed underway; run again.",
                )
