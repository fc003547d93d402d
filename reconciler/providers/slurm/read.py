"""The actual state of a SLURM cluster in five ``sacctmgr`` calls, whatever its size."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner, Result, emulated
from reconciler.providers.slurm import parse
from reconciler.state import kinds
from reconciler.state.model import Obj, State
from reconciler.state.naming import clean_text, fold


@dataclass(frozen=True)
class Reading:
    """One complete reading of a cluster."""

    cluster: str
    state: State
    tres: frozenset[str]


class SlurmReader:
    """Reads one cluster through one runner."""

    def __init__(self, runner: CommandRunner, cluster: str | None) -> None:
        self.runner = runner
        self.cluster = cluster

    def read(self) -> Reading:
        """Everything, checked. Raises :class:`ReadError`; an inconsistent answer is read once more."""
        refuse_emulator(self.runner)
        try:
            return self._read()
        except InconsistentReadError:
            return self._read()

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
        cluster, state = parse.associations(
            *self._show("assoc", parse.ASSOCIATION, "WOPLimits", *where), cluster=self.cluster
        )
        text, command = self._show("user", parse.USER, *where)
        defaults = parse.users(text, command, trust_any=self.runner.settings.emulator)
        accounts = frozenset(a.key[0] for a in state if a.kind == "slurm.account")
        texts = parse.texts(*self._account_texts(accounts))
        flags = parse.qos(*self._show("qos", parse.QOS))
        tres = parse.tres(*self._show("tres", parse.TRES))
        _consistent(state, accounts, defaults, command)
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
            state[kinds.user(name)] = Obj({"default_account": defaults[name]})
        for name, flag_set in flags.items():
            state[kinds.qos(name)] = Obj({"flags": flag_set})
        return Reading(cluster, state, tres)

    def _account_texts(self, accounts: frozenset[str]) -> tuple[str, frozenset[str], str]:
        text, command = self._show("account", parse.ACCOUNT)
        return text, accounts, command


class InconsistentReadError(ReadError):
    """Two tables disagree: something changed between two calls, or one answer was cut."""


def _consistent(state: State, accounts: frozenset[str], defaults: dict[str, str], command: str) -> None:
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
            if account not in accounts or user not in defaults:
                raise InconsistentReadError(
                    f"{command}: user {user!r} has an association with {account!r}, but the user or the account "
                    "is missing from its table",
                    "The answer was cut or changed underway; run again.",
                )


def command_error(result: Result) -> CommandError:
    """A failed read as an error that says what SLURM said, and what usually is behind it."""
    said = result.said or "it said nothing"
    return CommandError(f"{result.command}: exit code {result.code}: {said}", advice(said))


def advice(said: str) -> str:
    """What usually is behind what SLURM said."""
    for sign, hint in (
        ("Connection refused", "slurmdbd is not running or not reachable (AccountingStorageHost)."),
        ("failed to open persistent connection", "slurmdbd is not running or not reachable."),
        ("Unable to connect to database", "slurmdbd runs, its database does not."),
        ("Munge", "munged is not running on this host."),
        ("sudo:", "sudo has to allow the command without a password: see docs/security.md for the lines."),
        ("permission denied", "The caller lacks rights in SLURM: run as root, SlurmUser or an Operator."),
    ):
        if sign.lower() in said.lower():
            return hint
    return ""


def refuse_emulator(runner: CommandRunner) -> None:
    """Stop a production install that would take an emulator for its cluster."""
    if runner.settings.emulator or not emulated(runner):
        return
    raise ReadError(
        "sacctmgr found here is the one of the slurm-emulator package, not SLURM",
        "Set backend_settings.slurm_bin_path to SLURM's own directory; for trying things out set "
        "reconcile.runner.emulator: true.",
    )
