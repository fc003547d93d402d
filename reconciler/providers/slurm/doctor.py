"""One cluster: its commands, its daemons, and what the caller may do there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.config import Config, Offering
from reconciler.errors import CommandError, ReconcileError
from reconciler.providers.base import Reading
from reconciler.providers.finding import Finding, Level, asked
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import counters, dialect, ends, jobs, kinds, periodic
from reconciler.providers.slurm.said import advice
from reconciler.state.names import fold

if TYPE_CHECKING:
    from reconciler.providers.slurm.cluster import SlurmCluster

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?\S*")
_SETTING = re.compile(r"^(\w+)\s*= *(.*?)\s*$", re.MULTILINE)
_SOCKET = re.compile(r"\bsocket=([^,\s]+)")
_ENOUGH = ("Administrator", "Operator")


def findings(cluster: SlurmCluster, label: str, offerings: Sequence[Offering], config: Config) -> Iterator[Finding]:
    """All of it; where there is no SLURM no more than that."""
    subject, runner = f"cluster {label}", cluster.runner
    try:
        dialect.refuse_emulator(runner)
    except ReconcileError as error:
        yield Finding(subject, "binaries", Level.ERROR, error.message, error.hint)
        return
    yield from _binaries(subject, runner)
    daemon = asked(subject, "slurmdbd", cluster.reader.ping)
    yield daemon
    controller = asked(subject, "slurmctld", lambda: _controller(cluster))
    yield controller
    if dialect.of(runner).daemons:
        settings = _settings(runner) if controller.ok else {}
        yield _munge(subject, runner, settings)
        if daemon.ok:
            yield _rights(subject, runner, settings.get("SlurmUser", "").partition("(")[0])
        if controller.ok:
            yield from _periods(offerings, settings)
        if daemon.ok and controller.ok:
            yield _runaway(subject, cluster, config)
    if daemon.ok:
        yield from _view(subject, cluster, offerings, config)


def _runaway(subject: str, cluster: SlurmCluster, config: Config) -> Finding:
    """Jobs whose end slurmdbd was never told: they are billed up to now, in every month."""
    check = "runaway jobs"
    try:
        found = ends.Jobs(cluster.runner, cluster.reader.cluster, config.timezone).runaway()
    except ReconcileError as error:  # no sign of any; daemons that do not answer are found above
        return Finding(subject, check, Level.OK, f"not looked for: {error.message}")
    if not found:
        return Finding(subject, check, Level.OK, "none: what runs for slurmdbd is known to slurmctld")
    shown = "; ".join(f"{account}: {ends.listed(n)} of {user}" for (account, user), n in sorted(found.items()))
    text = f"slurmctld does not know what runs for slurmdbd, so usage of these accounts is not reported: {shown}"
    return Finding(subject, check, Level.WARNING, text, f"{ends.MEND}.")


def _periods(offerings: Sequence[Offering], settings: Mapping[str, str]) -> Iterator[Finding]:
    """Whether slurmctld keeps what is used as long as periodic limits are for; policies of Waldur show in the plan."""
    by_itself = counters.forgetting(settings)
    for offering in offerings:
        about = offering.backend_settings.periodic_limits
        if not about.enabled:
            continue
        sold = {c.limit_period for c in offering.backend_components.values() if c.limit_period}
        kind = sold.pop() if len(sold) == 1 else about.period
        found = periodic.forgotten(kind, about.limit_type, by_itself, reset=about.raw_usage_reset)
        text = "; ".join(found) or "slurmctld keeps what is used until it is reset"
        hint = "See docs/periodic.md." if found else ""
        level = Level.WARNING if found else Level.OK
        yield Finding(f"offering {offering.name}", "periodic limits", level, text, hint)


def _binaries(subject: str, runner: CommandRunner) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    spoken = dialect.of(runner)
    for program in spoken.programs:
        try:
            result = runner.run(program, "--version")
        except CommandError as error:
            yield Finding(subject, "binaries", Level.ERROR, error.message, error.hint)
            continue
        found = _VERSION.search(result.stdout)
        if not spoken.versions:
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


def _controller(cluster: SlurmCluster) -> str:
    """What ``scontrol ping`` says. Raises :class:`CommandError` unless one slurmctld is up."""
    where = jobs.where(cluster.runner, cluster.reader.cluster) if cluster.reader.cluster else ()
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


def _view(subject: str, cluster: SlurmCluster, offerings: Sequence[Offering], config: Config) -> Iterator[Finding]:
    """Read everything, as a cycle does: a view that is filtered or cut shows there."""
    try:
        reading = cluster.read()
    except ReconcileError as error:
        yield Finding(subject, "view", Level.ERROR, error.message, error.hint)
        return
    counted = {kind: sum(a.kind == f"slurm.{kind}" for a in reading.state) for kind in ("account", "user", "qos")}
    text = f"whole: {counted['account']} accounts, {counted['user']} users, {counted['qos']} QoS"
    yield Finding(subject, "view", Level.OK, f"{text}; TRES: {', '.join(sorted(reading.catalogs['tres'].names))}")
    for offering in offerings:
        if lacking := _lacking(offering, config, reading):
            hint = "Make them (sacctmgr add; QoS also by reconcile.qos; TRES by AccountingStorageTRES of slurm.conf)."
            yield Finding(f"offering {offering.name}", "names", Level.ERROR, f"the cluster has no {lacking}", hint)
        else:
            yield Finding(f"offering {offering.name}", "names", Level.OK, "its accounts, QoS and TRES are there")


def _lacking(offering: Offering, config: Config, reading: Reading) -> str:
    settings = offering.backend_settings
    accounts = {settings.hierarchy_root}
    if settings.default_account_policy == "common":
        accounts.add(settings.default_account)
    qos = {settings.qos_default, settings.qos_downscaled or "", settings.qos_paused or ""} - {""}
    ours = {fold(q) for q in config.reconcile.qos}
    tres = {t for n, c in offering.backend_components.items() for t in c.factors(n)}
    missing = [f"account {a!r}" for a in sorted(accounts) if kinds.account(fold(a)) not in reading.state]
    missing += [f"QoS {q!r}" for q in sorted(qos) if fold(q) not in ours and kinds.qos(fold(q)) not in reading.state]
    if offering.owns_accounts:
        missing += [f"TRES {t!r}" for t in sorted(tres) if t not in reading.catalogs["tres"].names]
    return ", ".join(missing)
