"""No secret is shown or kept: a marker in each, every command, everything that goes wrong; then all is searched."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.cli import options
from reconciler.cli.main import _unexpected
from reconciler.config import Veil, load
from reconciler.errors import ConfigError
from tests.conftest import Program, offering
from tests.emulator import BIN, Emulator
from tests.fakes import answer, in_front, program
from tests.standin.portal import StandIn
from tests.standin.proxies import Proxy, proxy
from tests.standin.warehouse import CLIENT, Warehouse

NAMES = ("token", "client", "socks", "oidc", "store", "proxy", "url", "sentry")
MARKERS = {name: f"mArKeR0f{name}0123456789abcdef" for name in NAMES}
MARKERS["client"] = "s3cret-of-the-site"  # the stand-in's own
MONTH = f"{datetime.now(UTC):%Y-%m}"
COMPONENTS = {"node_hours": {"measured_unit": "node-hours", "accounting_type": "limit", "unit_factor": 1, "label": "N"}}
COMMANDS = (
    ("plan",),
    ("plan", "--json"),
    ("plan", "--verbose", "--out", "saved.plan"),
    ("apply", "--auto-approve"),
    ("apply", "--auto-approve", "--json"),
    ("apply", "saved.plan"),
    ("diagnose", "a_climate-a"),
    ("components", "plan"),
    ("components", "push", "--auto-approve"),
    ("import",),
    ("import", "--write", "--auto-approve"),
    ("usage", "report", "--auto-approve"),
    ("usage", "show"),
    ("usage", "verify"),
    ("usage", "backfill", "--start", MONTH, "--end", MONTH, "--auto-approve"),
    ("history",),
    ("history", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("config", "check"),
    ("config", "check", "--online", "--json"),
)
WRITES = "set_|approve_by|refresh_|offering_component|backend-resources/$"
HTML = "<html><body><h1>Server Error</h1><pre>Request: <<HEADERS>></pre></body></html>"
FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "401": {"status": 401, "body": '{"detail": "Invalid token.", "you_sent": <<HEADERS>>}'},
    "403": {"status": 403, "body": '{"detail": "Not with these: <<HEADERS>>"}'},
    "500": {"status": 500, "body": HTML},
    "half-json": {"status": 200, "body": '[{"uuid": "1", "name": <<HEADERS>>'},
    "rows": {"status": 200, "body": "[<<HEADERS>>]", "headers": {"X-Result-Count": "1"}},
    "object": {"status": 200, "body": "<<HEADERS>>"},
    "writes-500": {"path": WRITES, "status": 500, "body": HTML},
    "writes-400": {"path": WRITES, "status": 400, "body": '{"limits": [<<HEADERS>>]}'},
    "writes-json": {"path": WRITES, "status": 200, "body": "[<<HEADERS>>"},
}


def forms(secret: str) -> set[bytes]:
    return {secret.encode(), base64.b64encode(f"u:{secret}".encode())}


def searched(where: str, data: bytes) -> None:
    for name, secret in MARKERS.items():
        for form in forms(secret):
            at = data.find(form)
            assert at < 0, f"the secret {name} is in {where}: …{data[max(0, at - 150) : at + 60]!r}"


class Site:
    """A site whose every secret is marked, and all that it leaves behind."""

    def __init__(self, program: Program, kept: Path, socks: Proxy, http: Proxy) -> None:
        self.program = program
        self.kept = kept
        self.socks, self.http = socks, http

    def run_all(self, *commands: tuple[str, ...]) -> list[int]:
        codes = []
        for command in commands or COMMANDS:
            arguments = [str(self.kept / a) if a == "saved.plan" else a for a in command]
            ran = self.program(*arguments)
            searched(" ".join(command), ran.both.encode())
            codes.append(ran.code)
        left = [p for p in self.kept.rglob("*") if p.is_file()]
        for path in left:
            searched(str(path), path.read_bytes())
        return codes


@pytest.fixture
def site(tmp_path: Path, portal: StandIn, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("RECONCILE_DEBUG", "1")
    emulator = Emulator(tmp_path)
    program = Program(tmp_path, emulator.environment)
    kept = tmp_path / "kept"
    (kept / "state").mkdir(parents=True)
    token_file = tmp_path / "token"
    token_file.write_text(MARKERS["token"] + "\n")
    with ExitStack() as stack:
        socks, http = stack.enter_context(proxy("socks5")), stack.enter_context(proxy("http"))
        about = offering(
            portal.url,
            order_processing_backend="slurm",
            membership_sync_backend="slurm",
            reporting_backend="cscs-dwdi-compute",
            backend_components=COMPONENTS,
            oidc_client_secret=MARKERS["oidc"],
            waldur_api_token_file=str(token_file),
            backend_settings={
                "ldap": {"bind_password": MARKERS["url"]},  # of a part that is not used
                "cscs_dwdi_api_url": warehouse.url,
                "cscs_dwdi_client_id": CLIENT,
                "cscs_dwdi_client_secret": MARKERS["client"],
                "cscs_dwdi_oidc_token_url": warehouse.token_url,
                "socks_proxy": f"socks5h://u:{MARKERS['socks']}@127.0.0.1:{socks.port}",
            },
        )
        del about["waldur_api_token"]
        program.document["offerings"] = [about]
        program.document["global_proxy"] = f"http://u:{MARKERS['proxy']}@127.0.0.1:{http.port}"
        program.document["sentry_dsn"] = f"https://{MARKERS['sentry']}@sentry.example.org/1"
        program.document["reporting_periods"] = 1
        program.document["reconcile"] = {
            "state_dir": str(kept / "state"),
            "qos": {"paused": {}, "slowdown": {}},
            "runner": {"emulator": True, "slurm_bin_path": str(BIN)},
            "http_retries": 0,
        }
        portal.world["token"] = MARKERS["token"]
        portal.world["offering"]["components"] = [{"uuid": "c" * 32, "type": "node_hours", "billing_type": "limit"}]
        portal.resource("climate-a", backend_id="a_climate-a", offering_backend_id="daint", limits={"node_hours": 9})
        portal.resource("climate-b", state="Creating", offering_backend_id="daint", limits={"node_hours": 9})
        portal.order("climate-b", "Create", "pending-provider")
        portal.user("ann", "climate")
        warehouse.hours("a_climate-a", "ann", "2.5", date=f"{MONTH}-01", cluster="daint")
        yield Site(program, kept, socks, http)


#: what a cycle, a report and doctor run on a head node
CLUSTER_PROGRAMS = ("sacctmgr", "sacct", "squeue", "scancel", "scontrol", "sshare", "munge", "id", "getent")


def test_commands_of_the_cluster_get_no_secret_to_repeat(site: Site, tmp_path: Path) -> None:
    """Each of them fails and shows all that it knows: its arguments and its environment."""
    directory = tmp_path / "talkative"
    for name in CLUSTER_PROGRAMS:
        program(directory, name, 'echo "$0: error: $* $(env | tr "\\n" " ")" >&2', "exit 1")
    run = site.program
    run.environment = {"PORTAL_TOKEN": MARKERS["token"], "PATH": in_front(directory)}
    about = run.document["offerings"][0]
    del about["waldur_api_token_file"]
    about.update(waldur_api_token="${PORTAL_TOKEN}", reporting_backend="slurm")
    run.document["reconcile"]["runner"] = {}
    said = run("plan").both
    assert "sacctmgr: error" in said and f"PATH={directory}" in said, "the command shows its environment"
    site.run_all()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_waldur_repeats_is_shown_and_kept_nowhere(site: Site, portal: StandIn, fault: str) -> None:
    if FAULTS[fault]:
        portal.faults({"path": ".", "times": 9999, **FAULTS[fault]})
    codes = site.run_all()
    by_command = dict(zip(COMMANDS, codes, strict=True))
    everywhere = "path" not in FAULTS[fault] and fault != "none"
    assert by_command["plan",] == (1 if everywhere else 0), by_command
    assert site.http.asked, "Waldur was not asked through the proxy, so its password was never used"
    assert everywhere or site.socks.asked, "DWDI was not asked through its proxy"
    assert everywhere or list(site.kept.rglob("*.sqlite3")), "there is no journal to search"


def test_what_dwdi_repeats_is_shown_and_kept_nowhere(site: Site, warehouse: Warehouse) -> None:
    commands = (("usage", "report", "--auto-approve"), ("usage", "show"), ("doctor",), ("config", "check", "--online"))
    assert 0 in site.run_all(*commands)
    for token in warehouse.tokens():
        for path in site.kept.rglob("*"):
            assert not path.is_file() or token.encode() not in path.read_bytes()
    about = site.program.document["offerings"][0]["backend_settings"]
    about["cscs_dwdi_client_secret"] = MARKERS["oidc"]
    assert set(site.run_all(*commands)) != {0}
    about["cscs_dwdi_client_secret"] = MARKERS["client"]
    for body in ("<<HEADERS>>", '{"accounts": [<<HEADERS>>]}', '{"detail": <<HEADERS>>}', "<p><<HEADERS>></p>"):
        for status in (200, 400, 403, 500):
            warehouse.faults({"path": "/compute/", "times": 99, "status": status, "body": body})
            for command in (("usage", "report", "--auto-approve"), ("doctor",)):
                ran = site.program(*command)
                for token in warehouse.tokens():
                    assert token not in ran.both, ran.both
    site.run_all(("history", "--json"))


EVERYTHING = " and ".join(MARKERS[n] for n in ("client", "socks", "oidc", "proxy", "sentry", "token", "url"))


def test_waldur_repeats_secrets_of_other_parts(site: Site, portal: StandIn) -> None:
    """In names, which reach plans, notes, the cluster and the journal, and in errors."""
    for row in portal.world["resources"]:
        row["name"] = f"{row['name']} {EVERYTHING}"
    portal.world["resources"][0]["limits"] = {"node_hours": EVERYTHING}
    portal.push()
    assert "and …" in site.program("plan").both, "what Waldur says is shown without the secrets"
    site.run_all()
    for status in (200, 403, 500):
        for body in (json.dumps({"detail": EVERYTHING}), json.dumps([{"uuid": EVERYTHING}]), f"<p>{EVERYTHING}</p>"):
            portal.faults({"path": ".", "times": 9999, "status": status, "body": body})
            site.run_all(("plan",), ("usage", "report", "--auto-approve"), ("doctor",), ("history", "--json"))
    link = {"X-Result-Count": "2", "Link": f'<{portal.url}x?page=2&{MARKERS["client"]}=1>; rel="next"'}
    portal.faults(
        {"path": f"page=2|{MARKERS['client']}", "times": 9999, "status": 500, "body": "x"},
        {"path": ".", "times": 9999, "status": 200, "body": '[{"uuid": "1"}]', "headers": link},
    )
    site.run_all(("plan",), ("doctor",))


def test_dwdi_repeats_secrets_of_other_parts(site: Site, warehouse: Warehouse) -> None:
    warehouse.hours("a_climate-a", MARKERS["token"], "2.5", date=f"{MONTH}-01", cluster="daint")
    commands = (("usage", "show"), ("usage", "verify"), ("usage", "report", "--auto-approve"), ("plan",), ("doctor",))
    assert "…" in site.program("usage", "report", "--auto-approve").both
    site.run_all(*commands)
    for status in (200, 400, 500):
        for body in (json.dumps({"detail": EVERYTHING}), json.dumps({"accounts": [EVERYTHING]}), EVERYTHING):
            warehouse.faults({"path": "/", "times": 99, "status": status, "body": body})
            site.run_all(*commands, ("history", "--json"))


def test_commands_of_the_cluster_repeat_secrets_of_other_parts(site: Site, tmp_path: Path) -> None:
    directory = tmp_path / "knowing"
    for name in CLUSTER_PROGRAMS:
        program(directory, name, answer(EVERYTHING), f"{answer(f'error: {EVERYTHING}')} >&2", "exit $CODE")
    site.program.environment = {"PATH": in_front(directory)}
    site.program.document["offerings"][0]["reporting_backend"] = "slurm"
    site.program.document["reconcile"]["runner"] = {}
    for code in ("0", "1"):
        site.program.environment["CODE"] = code
        said = site.program("plan").both
        assert "… and …" in said
        site.run_all()


def test_nobody_answers(site: Site) -> None:
    about = site.program.document["offerings"][0]
    site.program.document["global_proxy"] = f"http://u:{MARKERS['proxy']}@127.0.0.1:1"
    about["backend_settings"]["socks_proxy"] = f"socks5://u:{MARKERS['socks']}@127.0.0.1:1"
    site.run_all()
    del site.program.document["global_proxy"]
    about["waldur_api_url"] = f"http://u:{MARKERS['url']}@127.0.0.1:1/api/"
    site.run_all()
    about["waldur_api_url"] = "http://127.0.0.1:1/api/"
    site.program.environment["HTTP_PROXY"] = f"http://u:{MARKERS['proxy']}@127.0.0.1:port"
    site.run_all(("plan",), ("doctor",))
    del site.program.environment["HTTP_PROXY"]


@pytest.mark.parametrize("place", ["127.0.0.1:1/x", "127.0.0.1:port/x", "127.0.0.1:1/x?password={0}", "[::1/x"])
def test_a_store_that_cannot_be_reached(site: Site, place: str) -> None:
    address = f"postgresql://u:{MARKERS['store']}@{place.format(MARKERS['store'])}"
    site.program.document["reconcile"]["store"] = address
    codes = site.run_all(("plan",), ("apply", "--auto-approve"), ("history",), ("doctor",), ("config", "check"))
    assert 1 in codes


WRONG = {
    "proxy": {"global_proxy": "http://u:{proxy}@127.0.0.1:port"},
    "no scheme": {"global_proxy": "ftp://u:{proxy}@x"},
    "store": {"reconcile": {"store": ["postgresql://u:{store}@x/x"], "prune": "perhaps"}},
}


@pytest.mark.parametrize("key", WRONG)
def test_what_is_wrong_is_not_quoted(site: Site, key: str) -> None:
    text = json.dumps(WRONG[key])
    for name, secret in MARKERS.items():
        text = text.replace("{" + name + "}", secret)
    site.program.document |= json.loads(text)
    assert set(site.run_all(("plan",), ("config", "check"), ("config", "check", "--json"), ("doctor", "--json"))) == {1}


@pytest.mark.parametrize(
    "line",
    [
        "waldur_api_token: *{0}",
        "waldur_api_token: !{0} x",
        "waldur_api_token_file: {0}",
        "waldur_api_token: '{0} and more'",
        "waldur_api_token: 'ü{0}'",
        "waldur_api_token: [{0}]",
        'waldur_api_token: "{0}',
    ],
)
def test_a_token_that_was_written_wrongly_is_not_quoted(tmp_path: Path, line: str) -> None:
    about = offering("http://127.0.0.1:1")
    del about["waldur_api_token"]
    text = yaml.safe_dump({"offerings": [about]}) + "  " + line.format(MARKERS["token"]) + "\n"
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(path)
    searched("the message", str(error.value).encode())
    assert "config.yaml:" in str(error.value)


def test_however_a_secret_is_written_it_is_taken_out() -> None:
    secret = 'a"b<c&d/é-0123456789'
    veil = Veil(secret)
    for text in (
        secret,
        json.dumps({"x": secret}),
        "a%22b%3Cc%26d%2F%C3%A9-0123456789",
        "a&quot;b&lt;c&amp;d/é-0123456789",
    ):
        assert "0123456789" not in veil.text(f"before {text} after")
        assert b"0123456789" not in veil.body(f"before {text} after".encode())
    veil = Veil()
    veil.hide_address("http://us%40er:pass%2Fword-long-enough@proxy:3128")
    basic = base64.b64encode(b"us@er:pass/word-long-enough").decode()
    assert veil.text(f"{basic} pass/word-long-enough pass%2Fword-long-enough") == "… … …"


def test_a_traceback_for_the_developers_repeats_no_secret(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.program.write()
    options.configuration(site.program.path)
    for debug in ("", "1"):
        monkeypatch.setenv("RECONCILE_DEBUG", debug)
        secrets = [m for name, m in MARKERS.items() if name in ("token", "client", "socks", "proxy")]
        try:
            raise RuntimeError(f"a library says {secrets}")
        except RuntimeError as error:
            assert _unexpected(error) == 1
        said = capsys.readouterr().err
        assert "RuntimeError: a library says" in said and ("Traceback" in said or not debug)
        searched("the traceback", said.encode())


def test_a_short_secret_does_not_eat_data() -> None:
    """A token `climate` in a trial must not turn the project of that name into something else."""
    assert Veil("climate").body(b'{"slug": "climate"}') == b'{"slug": "climate"}'
    assert Veil("climate").text("Token climate") == "Token …"
