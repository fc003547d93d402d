"""One cluster: its commands, its daemons, and what the caller may do there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reconciler.cycle import Cluster
from reconciler.doctor.finding import Finding, Level, asked
from reconciler.errors import CommandError, ReconcileError
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.read import Reading, advice, refuse_emulator
from reconciler.state import kinds
from reconciler.state.naming import fold

_PROGRAMS = ("sacctmgr", "sacct", "squeue", "scancel", "scontrol")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?\S*")
_SETTING = re.compile(r"^(\w+)\s*= *(.*?)\s*$", re.MULTILINE)
_SOCKET = re.compile(r"\bsocket=([^,\s]+)")
_ENOUGH = ("Administrator", "Operator")


def findings(cluster: Cluster) -> Iterator[Finding]:
    """All of it; where there is no SLURM no more than that."""
    subject, runner = f"cluster {cluster.label}", cluster.runner
    try:
        refuse_emulator(runner)
    except ReconcileError as error:
        yield Finding(subject, "binaries", Level.ERROR, error.message, error.hint)
        return
    yield from _binaries(subject, runner)
    daemon = asked(subject, "slurmdbd", cluster.reader.ping)
    yield daemon
    controller = asked(subject, "slurmctld", lambda: _controller(cluster))
    yield controller
    if not runner.settings.emulator:
        settings = _settings(runner) if controller.ok else {}
        yield _munge(subject, runner, settings)
        if daemon.ok:
            yield _rights(subject, runner, settings.get("SlurmUser", "").partition("(")[0])
    if daemon.ok:
        yield from _view(subject, cluster)


def _binaries(subject: str, runner: CommandRunner) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    simulated = runner.settings.emulator  # it has no squeue
    for program in (p for p in _PROGRAMS if not (simulated and p == "squeue")):
        try:
            result = runner.run(program, "--version")
        except CommandError as error:
            yield Finding(subject, "binaries", Level.ERROR, error.message, error.hint)
            continue
        found = _VERSION.search(result.stdout)
        if simulated:
            versions.setdefault("simulated", []).append(program)
        elif result.code != 0 or found is None:
            hint = advice(result.said) or "Is it installed, and slurm.conf there?"
            text = f"{result.command}: exit code {result.code}: {result.said or 'it said nothing'}"
            yield Finding(subject, "binaries", Level.ERROR, text, hint)
        else:
            versions.setdefault(found[0], []).append(program)
    if len(versions) > 1:
        text = "; ".join(f"{version}: {', '.join(names)}" for version, names in versions.items())
        hint = "All of one installation, please: set backend_settings.slurm_bin_path."
        yield Finding(subject, "binaries", Level.WARNING, f"of several versions: {text}", hint)
    for version, names in versions.items() if len(versions) == 1 else ():
        yield Finding(subject, "binaries", Level.OK, f"{', '.join(names)}: SLURM {version}")


def _controller(cluster: Cluster) -> str:
    """What ``scontrol ping`` says. Raises :class:`CommandError` unless one slurmctld is up."""
    where = ("-M", cluster.reader.cluster) if cluster.reader.cluster else ()
    result = cluster.runner.run("scontrol", *where, "ping")
    said = result.said
    if " UP" not in said or (result.code != 0 and " DOWN" not in said):
        hint = advice(said) or "slurmctld is down or cannot be reached: running jobs cannot be seen, nor cancelled."
        raise CommandError(f"{result.command}: exit code {result.code}: {said or 'it said nothing'}", hint)
    return said


def _settings(runner: CommandRunner) -> Mapping[str, str]:
    try:
        return dict(_SETTING.findall(runner.run("scontrol", "show", "config").stdout))
    except CommandError:
        return {}


def _munge(subject: str, runner: CommandRunner, settings: Mapping[str, str]) -> Finding:
    kind = settings.get("AuthType", "")
    if kind and kind != "auth/munge":
        return Finding(subject, "munge", Level.OK, f"not needed: SLURM uses {kind}")
    hint = "Start munged (systemctl start munge); its key must be the cluster's, and the clocks must agree."
    socket = _SOCKET.search(settings.get("AuthInfo", ""))  # slurm.conf(5): a munged of SLURM's own
    where = ("-S", socket[1]) if socket else ()
    try:
        made = runner.run("munge", "-n", *where)
        result = made if made.code != 0 else runner.run("unmunge", *where, stdin=made.stdout)
    except CommandError as error:
        level = Level.ERROR if kind else Level.WARNING
        return Finding(subject, "munge", level, error.message, "Is munge installed on this host?")
    if result.code != 0:
        return Finding(subject, "munge", Level.ERROR, f"{result.command}: {result.stderr.strip()}", hint)
    return Finding(subject, "munge", Level.OK, "makes credentials and reads them")


def _rights(subject: str, runner: CommandRunner, slurm_user: str) -> Finding:
    check = "rights"
    if runner.settings.sudo:
        return Finding(subject, check, Level.OK, "root, through sudo")
    try:
        name = runner.run("id", "-un").stdout.strip()
        if name == "root" or (name and name == slurm_user):
            return Finding(subject, check, Level.OK, f"{name}{'' if name == 'root' else ', which is SlurmUser'}")
        shown = runner.run("sacctmgr", "-nP", "show", "user", "where", f"name={name}", "format=User,AdminLevel")
    except CommandError as error:
        return Finding(subject, check, Level.ERROR, error.message, error.hint)
    level = next((row.partition("|")[2].strip() for row in shown.stdout.splitlines() if "|" in row), "")
    if level in _ENOUGH:
        return Finding(subject, check, Level.OK, f"user {name} with AdminLevel {level}")
    text = f"user {name} has AdminLevel {level or 'None'}: it sees a part and may change nothing"
    hint = (
        f"sacctmgr add user {name} account=root adminlevel=Operator (or modify user {name} set …), or "
        "reconcile.runner.sudo: true, see docs/security.md"
    )
    return Finding(subject, check, Level.ERROR, text, hint)


def _view(subject: str, cluster: Cluster) -> Iterator[Finding]:
    """Read everything, as a cycle does: a view that is filtered or cut shows there."""
    try:
        reading = cluster.reader.read()
    except ReconcileError as error:
        yield Finding(subject, "view", Level.ERROR, error.message, error.hint)
        return
    counted = {kind: sum(a.kind == f"slurm.{kind}" for a in reading.state) for kind in ("account", "user", "qos")}
    text = f"whole: {counted['account']} accounts, {counted['user']} users, {counted['qos']} QoS"
    yield Finding(subject, "view", Level.OK, f"{text}; TRES: {', '.join(sorted(reading.tres))}")
    for offering in cluster.offerings:
        if lacking := _lacking(cluster, offering.name, reading):
            hint = "Make them (sacctmgr add; QoS also by reconcile.qos; TRES by AccountingStorageTRES of slurm.conf)."
            yield Finding(f"offering {offering.name}", "names", Level.ERROR, f"the cluster has no {lacking}", hint)
        else:
            yield Finding(f"offering {offering.name}", "names", Level.OK, "its accounts, QoS and TRES are there")


def _lacking(cluster: Cluster, name: str, reading: Reading) -> str:
    offering = next(o for o in cluster.offerings if o.name == name)
    settings = offering.backend_settings
    accounts = {settings.hierarchy_root}
    if settings.default_account_policy == "common":
        accounts.add(settings.default_account)
    qos = {settings.qos_default, settings.qos_downscaled or "", settings.qos_paused or ""} - {""}
    ours = {fold(q) for q in cluster.config.reconcile.qos}
    tres = {t for n, c in offering.backend_components.items() for t in c.factors(n)}
    missing = [f"account {a!r}" for a in sorted(accounts) if kinds.account(fold(a)) not in reading.state]
    missing += [f"QoS {q!r}" for q in sorted(qos) if fold(q) not in ours and kinds.qos(fold(q)) not in reading.state]
    if offering.order_backend == "slurm":
        missing += [f"TRES {t!r}" for t in sorted(tres) if t not in reading.tres]
    return ", ".join(missing)
