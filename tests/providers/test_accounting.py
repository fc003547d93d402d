"""What sacct says, well or badly, through programs that stand in for it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from reconciler.config import Component, Runner
from reconciler.errors import ReadError
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.dialect import introduced
from reconciler.providers.slurm.usage import COLUMNS, SacctSource
from reconciler.providers.usage import Metered
from reconciler.state.facts import Resource
from reconciler.state.usage import Accounted
from tests.fakes import answer, log, program, slow
from tests.providers.dwdi import NOVEMBER

COMPONENTS = {
    "cpu": Component(measured_unit="h", unit_factor=Decimal(60)),
    "mem": Component(measured_unit="h", unit_factor=Decimal(60), unit_factor_reporting=Decimal(61440)),
}
HEADER = "|".join(COLUMNS)
GOOD = "7|a_one|alice|billing=4,cpu=4,mem=1024M,node=1|3600|1793494800|1793498400|COMPLETED"


def resource(account: str) -> Resource:
    return Resource(f"uuid-{account}", account, "", "OK", account, "p", "c")


class Sacct:
    """A program that says what a test wants, and keeps how it was called."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.says(HEADER)

    def says(self, *lines: str, end: str = "\n", code: int = 0, errors: str = "", sleep: float = 0) -> None:
        (self.directory / "out").write_text("\n".join(lines) + end)
        (self.directory / "err").write_text(errors)
        told = f"cat {self.directory}/out; cat {self.directory}/err >&2"
        calls = log(self.directory / "log", "$TZ $SLURM_TIME_FORMAT $*")
        program(self.directory, "sacct", calls, told, slow(sleep), f"exit {code}")

    @property
    def calls(self) -> list[str]:
        return (self.directory / "log").read_text().splitlines()

    def read(self, *accounts: str, timeout: int = 20, zone: str = "Europe/Tallinn") -> Accounted:
        runner = introduced(CommandRunner(Runner(slurm_bin_path=str(self.directory), timeout=timeout)))
        metered = [Metered(resource(a), COMPONENTS) for a in accounts or ("a_one", "a_two")]
        return SacctSource(runner, "daint", zone).read(NOVEMBER, metered)


@pytest.fixture
def sacct(tmp_path: Path) -> Sacct:
    return Sacct(tmp_path)


def test_one_call_for_all_accounts_in_the_site_s_zone(sacct: Sacct) -> None:
    sacct.says(HEADER, GOOD)
    found = sacct.read(*(f"a_{n}" for n in range(500)))
    assert sacct.calls == [
        "Europe/Tallinn %s -aXDTP -M daint -S 2026-11-01T00:00:00 -E 2026-12-01T00:00:00 -o " + ",".join(COLUMNS)
    ]
    assert len(found.used) == 500


def test_reported_in_another_unit_than_limited(sacct: Sacct) -> None:
    sacct.says(HEADER, GOOD)
    assert sacct.read().used["uuid-a_one"].total == {"cpu": Fraction(4), "mem": Fraction(1, 1)}


def test_accounts_without_jobs_used_nothing(sacct: Sacct) -> None:
    assert sacct.read().used["uuid-a_two"].total == {"cpu": 0, "mem": 0}


def test_accounts_in_any_case(sacct: Sacct) -> None:
    sacct.says(HEADER, GOOD.replace("a_one", "A_One"))
    assert sacct.read("A_ONE").used["uuid-A_ONE"].total["cpu"] == 4


@pytest.mark.parametrize(
    "row",
    [
        "7|a_one|alice|cpu=4|3600|1793494800",  # cut
        "7|a_one|alice|cpu=4|3600|1793494800|1793498400|COMPLETED|more",
        GOOD.replace("|3600|", "|an hour|"),
        GOOD.replace("|3600|", "|-5|"),
        GOOD.replace("|3600|", "|99999999|"),  # longer than the month
        GOOD.replace("cpu=4", "cpu=four"),
        GOOD.replace("billing=4,cpu=4,mem=1024M,node=1", ""),
        GOOD.replace("1024M", "1Q"),
        GOOD.replace("1024M", "16?"),  # SLURM has no letter left from 1024 PiB on
        GOOD.replace("|1793494800|", "|Unknown|"),
        GOOD.replace("7|", "seven|", 1),
    ],
)
def test_a_malformed_row_spoils_only_its_account(sacct: Sacct, row: str) -> None:
    sacct.says(HEADER, row, GOOD.replace("7|a_one", "8|a_two"))
    found = sacct.read()
    assert found.used["uuid-a_one"].incomplete == f"1 of its records cannot be understood, like {row!r}"
    assert found.used["uuid-a_two"].total["cpu"] == 4
    assert found.used["uuid-a_two"].incomplete == ""
    assert found.bad_count == 1
    assert found.bad == (row,)


def test_rows_of_nobody_are_counted_and_quoted(sacct: Sacct) -> None:
    unbegun = GOOD.replace("a_one", "").replace("|3600|", "|0|")
    sacct.says(HEADER, "slurm_load: something odd", GOOD.replace("a_one", ""), unbegun, GOOD)
    found = sacct.read()
    assert found.bad_count == 2
    assert not any(u.incomplete for u in found.used.values())


def test_what_waits_or_belongs_to_others_is_passed_over(sacct: Sacct) -> None:
    waiting = "9|a_one|alice||0|Unknown|Unknown|PENDING"
    sacct.says(HEADER, waiting, GOOD.replace("a_one", "somebody"))
    found = sacct.read()
    assert found.bad_count == 0
    assert found.used["uuid-a_one"].total["cpu"] == 0


def test_iso_times_where_sudo_drops_the_format(sacct: Sacct) -> None:
    rows = [GOOD.replace("1793494800", s) for s in ("2026-11-01T01:00:00", "2026-11-01T09:00:00")]
    sacct.says(HEADER, *rows, rows[0])
    assert sacct.read().used["uuid-a_one"].total["cpu"] == 8


def test_a_million_rows_come_in_pieces(sacct: Sacct) -> None:
    rows = [GOOD.replace("7|", f"{n}|", 1) for n in range(1, 50_001)]
    sacct.says(HEADER, *rows)
    assert sacct.read().used["uuid-a_one"].total["cpu"] == 200_000


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"code": 1, "errors": "sacct: error: Connection refused"}, "Connection refused"),
        ({"end": ""}, "ends within a line"),
        ({"errors": "sacct: error: slurmdbd: Unknown error 1064"}, "Unknown error 1064"),
    ],
)
def test_a_failed_call_is_no_usage(sacct: Sacct, says: dict[str, object], message: str) -> None:
    sacct.says(HEADER, GOOD, **says)  # type: ignore[arg-type]
    with pytest.raises(ReadError, match=message):
        sacct.read()


@pytest.mark.parametrize("first", ["", "sacct: something else", "JobIDRaw|Account|User"])
def test_what_is_no_output_of_sacct(sacct: Sacct, first: str) -> None:
    sacct.says(first, GOOD)
    with pytest.raises(ReadError, match="expected the header"):
        sacct.read()


def test_no_job_of_anybody_is_said(sacct: Sacct) -> None:
    assert "an idle cluster, or a query that failed" in sacct.read().notes[0]
    sacct.says(HEADER, GOOD)
    assert sacct.read().notes == ()


@pytest.mark.parametrize(("start", "end"), [(1793483999, 1793498400), (1793494800, 1796076001)])
def test_another_midnight_than_the_site_s_is_noticed(sacct: Sacct, start: int, end: int) -> None:
    # November in Tallinn begins at 1793484000 and ends at 1796076000
    sacct.says(HEADER, GOOD.replace("1793494800|1793498400", f"{start}|{end}"))
    with pytest.raises(ReadError, match="another midnight"):
        sacct.read()


def test_a_job_that_is_suspended_now(sacct: Sacct, tmp_path: Path) -> None:
    """With -T sacct lets the clock of a suspended job run on; scontrol knows since when it stands still."""
    row = GOOD.replace("COMPLETED", "SUSPENDED")  # 3600 s, the last 600 of them suspended
    suspended = "JobId=7 JobName=x UserId=a(1) JobState=SUSPENDED Reason=None SuspendTime=1793497800 End"
    program(tmp_path, "scontrol", answer(suspended))
    sacct.says(HEADER, row)
    assert sacct.read().used["uuid-a_one"].total["cpu"] == Fraction(4 * 3000, 3600)
    program(tmp_path, "scontrol", answer("JobId=7 JobName=x JobState=RUNNING SuspendTime=None End"))
    assert "was suspended a moment ago" in sacct.read().used["uuid-a_one"].incomplete


def test_silence_ends_at_the_time_limit(sacct: Sacct) -> None:
    sacct.says(HEADER, GOOD, sleep=30)
    with pytest.raises(ReadError, match="no answer after 1 s"):
        sacct.read(timeout=1)


def test_through_docker_and_ssh_the_zone_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("docker", "ssh"):
        program(tmp_path, name, log(tmp_path / f"{name}.log"), answer(HEADER))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for settings in (Runner(container="slurm", sudo=True), Runner(ssh_host="head", sudo=True)):
        SacctSource(introduced(CommandRunner(settings)), None, "Europe/Tallinn").read(NOVEMBER, [])
    assert "env TZ=Europe/Tallinn SLURM_TIME_FORMAT=%s sudo -n sacct -aXDTP" in (tmp_path / "docker.log").read_text()
    assert "env TZ=Europe/Tallinn SLURM_TIME_FORMAT=%s sudo -n sacct" in (tmp_path / "ssh.log").read_text()
