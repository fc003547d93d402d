"""DWDI over real HTTP: tokens, faults, retries, proxies. An answer that is none is an error and never a zero."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from reconciler.errors import ConfigError, ReadError
from tests.providers.dwdi import NOVEMBER, Reader, exactly
from tests.standin.proxies import proxy, tls_before
from tests.standin.warehouse import CLIENT, SECRET, Warehouse

MONTH = "/compute/usage-month"
TOKEN = "/realms/"


class Clock:
    """Seconds that pass when a test says so, for the client and for the server."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.now = 1000.0
        self.warehouse = warehouse

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.warehouse.advance(seconds)


@pytest.fixture
def used(warehouse: Warehouse) -> Warehouse:
    warehouse.hours("g207", "amy", "1500.75")
    return warehouse


def failure(reader: Reader) -> str:
    """The error of a read; nothing secret is in it."""
    with pytest.raises(ReadError) as error:
        reader.one("g207")
    assert error.value.hint, "it says what to do"
    return str(error.value)


@pytest.fixture(autouse=True)
def nothing_secret(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> Any:
    """No log line of any library holds a token or the secret."""
    caplog.set_level(logging.DEBUG)
    before = requests.get(f"{warehouse.base}/control/tokens", timeout=30).json()
    assert before == []
    yield
    for private in (SECRET, *warehouse.tokens()):
        assert private not in caplog.text


# ---------------------------------------------------------------------- tokens


def test_one_token_serves_a_cycle(used: Warehouse) -> None:
    reader = Reader(used, clock=(clock := Clock(used)))
    for period in (NOVEMBER.previous, NOVEMBER):
        reader.read("g207", period=period)
        clock.advance(100)
    reader.source.ping()
    assert used.issued() == 1
    assert [e["token"] for e in used.log()] == [False, True, True, True]


@pytest.mark.parametrize(
    ("lifetime", "lasts"), [(300, 270), (60, 54), (3600, 3570), (10, 9), (None, 270), ("300", 270)]
)
def test_a_token_is_renewed_shortly_before_it_expires(used: Warehouse, lifetime: Any, lasts: int) -> None:
    used.set(expires_in=lifetime)
    reader = Reader(used, clock=(clock := Clock(used)))
    reader.one("g207")
    clock.advance(lasts - 0.5)
    reader.one("g207")
    assert used.issued() == 1
    clock.advance(0.5)
    reader.one("g207")
    assert used.issued() == 2
    assert len([e for e in used.log() if e["token"]]) == 3, "no request with a token that had expired"


@pytest.mark.parametrize("lifetime", ["soon", -5, 0, True])
def test_a_lifetime_that_makes_no_sense_is_keycloaks_default(used: Warehouse, lifetime: Any) -> None:
    used.set(token_extra={"expires_in": lifetime}, expires_in=3000)
    reader = Reader(used, clock=(clock := Clock(used)))
    reader.one("g207")
    clock.advance(269)
    reader.one("g207")
    assert used.issued() == 1
    clock.advance(1)
    reader.one("g207")
    assert used.issued() == 2


def test_a_token_revoked_early_is_renewed_once(used: Warehouse) -> None:
    reader = Reader(used)
    reader.one("g207")
    used.faults({"path": MONTH, "revoke": True})
    assert reader.one("g207").total == exactly(node_hours="1500.75")
    assert used.issued() == 2
    assert len(used.asked()) == 3


def test_a_second_refusal_ends_it(used: Warehouse) -> None:
    used.faults({"path": MONTH, "revoke": True, "times": 9})
    text = failure(Reader(used, retries=3))
    assert "HTTP 401" in text
    assert "validate" not in text, "the answer of a refusal may hold the token"
    assert len(used.asked()) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"cscs_dwdi_client_secret": "wr0ng-secret"}, "HTTP 401 (unauthorized_client), no token for client 'site'"),
        ({"cscs_dwdi_client_id": "nobody"}, "no token for client 'nobody'"),
        ({"cscs_dwdi_oidc_scope": "everything"}, "HTTP 400 (invalid_scope)"),
    ],
)
def test_refused_credentials_say_which_settings_to_check(used: Warehouse, settings: Any, says: str) -> None:
    text = failure(Reader(used, retries=3, **settings))
    assert says in text
    assert f"POST {used.token_url}" in text
    assert "check cscs_dwdi" in text.lower()
    assert "wr0ng-secret" not in text
    assert SECRET not in text
    assert "Invalid" not in text, "error_description repeats what was sent"
    assert len(used.log()) == 1, "no second try, and nothing is asked without a token"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"status": 403, "body": '{"error": "access_denied"}'}, "HTTP 403 (access_denied)"),
        ({"status": 403, "body": f'{{"error": "{SECRET}"}}'}, "HTTP 403, no token"),
        ({"status": 404, "body": "<html>"}, "HTTP 404, no token"),
        ({"status": 500}, "HTTP 500, no token"),
        ({"status": 302, "headers": {"Location": "/control/log"}}, "HTTP 302, no token"),
        ({"body": "<html>Log in</html>"}, "holds no bearer token"),
        ({"body": '{"token": "t0p"}'}, "holds no bearer token"),
        ({"body": '{"access_token": null}'}, "holds no bearer token"),
        ({"body": '{"access_token": "t0p\\r\\nX: y"}'}, "holds no bearer token"),
        ({"body": '{"access_token": "t0p", "token_type": "MAC"}'}, "holds no bearer token"),
        ({"body": "[]"}, "holds no bearer token"),
    ],
    ids=str,
)
def test_a_token_server_in_trouble(used: Warehouse, broken: dict[str, Any], says: str) -> None:
    used.faults({"path": TOKEN, **broken})
    text = failure(Reader(used))
    assert says in text
    assert "t0p" not in text
    assert len(used.log()) == 1


def test_the_scope_is_openid_unless_set(used: Warehouse) -> None:
    used.set(needed_scope="cscs-dwdi:read")
    text = failure(Reader(used, cscs_dwdi_oidc_scope=""))
    assert "HTTP 403" in text
    assert "cscs_dwdi_oidc_scope" in text
    assert "permissions" not in text
    assert Reader(used, cscs_dwdi_oidc_scope="cscs-dwdi:read").one("g207").incomplete == ""


def test_credentials_of_netrc_are_not_sent(used: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login evil password evil\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert Reader(used).one("g207").incomplete == ""


# ---------------------------------------------------------------------- answers that are none

WHOLES = [
    ({"replace": [['"compute"', '"results"']]}, "the answer has no list 'compute' (found 'results')"),
    ({"body": "{}"}, "the answer has no list 'compute' (found nothing)"),
    ({"body": '{"compute": null}'}, "the answer has no list 'compute'"),
    ({"body": '{"compute": {}}'}, "the answer has no list 'compute'"),
    ({"body": "[]"}, "the answer has no list 'compute' (found no object)"),
    ({"body": "null"}, "the answer has no list 'compute'"),
    ({"body": '{"detail": "maintenance"}'}, "the answer has no list 'compute' (found 'detail')"),
    ({"body": "<html>Maintenance</html>", "type": "text/html"}, "an HTML page instead of an answer"),
    ({"body": ""}, "no JSON"),
    ({"cut": 60}, "no JSON"),
    ({"replace": [["1500.75", "NaN"]]}, "NaN is no number"),
    ({"replace": [["1500.75", "Infinity"]]}, "Infinity is no number"),
    ({"body": "[" * 100_000}, "no JSON"),
    ({"body": '{"compute": [], "x": ' + "9" * 5000 + "}"}, "no JSON"),
    ({"announce_more": 20}, "no whole answer"),
    ({"status": 404}, "HTTP 404"),
    ({"status": 422, "body": '{"detail": "from is after to"}'}, "HTTP 422: 'from is after to'"),
    ({"status": 500, "body": "<html>"}, "HTTP 500"),
    ({"status": 502, "body": "<html>Bad gateway</html>"}, "HTTP 502"),
    ({"status": 302, "headers": {"Location": "/"}}, "HTTP 302"),
    ({"reset": True}, "no whole answer"),
]


@pytest.mark.parametrize(("broken", "says"), WHOLES, ids=[f"{b}"[:50] for b, _ in WHOLES])
def test_an_answer_that_is_none_is_an_error_naming_the_endpoint(
    used: Warehouse, broken: dict[str, Any], says: str
) -> None:
    used.faults({"path": MONTH, **broken})
    text = failure(Reader(used))
    assert says in text
    assert f"GET {used.url}/compute/usage-month/account" in text
    assert Reader(used).one("g207").total == exactly(node_hours="1500.75"), "and the next read is well"


def test_the_token_is_not_repeated_by_an_error_that_does(used: Warehouse) -> None:
    reader = Reader(used)
    reader.one("g207")
    (token,) = used.tokens()
    used.faults({"path": MONTH, "status": 422, "body": f'{{"detail": "bad {token} {SECRET}"}}'})
    text = failure(reader)
    assert token not in text
    assert SECRET not in text
    assert "HTTP 422: 'bad … …'" in text


# ---------------------------------------------------------------------- tries


@pytest.mark.parametrize(
    "broken",
    [
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"status": 429},
        {"status": 502, "body": "<html>"},
        {"status": 503},
        {"status": 504},
        {"reset": True},
        {"announce_more": 20},
    ],
    ids=str,
)
@pytest.mark.parametrize("where", [MONTH, TOKEN])
def test_what_passes_is_tried_again(used: Warehouse, broken: dict[str, Any], where: str) -> None:
    used.faults({"path": where, **broken})
    reader = Reader(used, retries=1)
    assert reader.one("g207").total == exactly(node_hours="1500.75")
    assert len(used.log()) == 3
    assert reader.source.requests == 3


def test_a_server_says_when_to_come_again(used: Warehouse) -> None:
    used.faults({"path": MONTH, "status": 429, "headers": {"Retry-After": "1"}})
    before = time.monotonic()
    Reader(used, retries=1).one("g207")
    assert 1 <= time.monotonic() - before < 5


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500])
def test_what_does_not_pass_is_not_tried_again(used: Warehouse, status: int) -> None:
    used.faults({"path": MONTH, "status": status, "times": 9})
    assert f"HTTP {status}" in failure(Reader(used, retries=3))
    assert len(used.asked()) == 1


@pytest.mark.parametrize("broken", [{"status": 503}, {"reset": True}, {"announce_more": 9}], ids=str)
def test_tries_end_with_the_budget(used: Warehouse, broken: dict[str, Any]) -> None:
    used.faults({"path": MONTH, **broken, "times": 99})
    reader = Reader(used, retries=1)
    failure(reader)
    assert len(used.asked()) == 2
    assert reader.source.requests == 3


@pytest.mark.parametrize("slow", ["slow_header", "slow_body"])
def test_a_slow_server_is_not_waited_for(used: Warehouse, slow: str) -> None:
    used.faults({"path": MONTH, slow: 3})
    before = time.monotonic()
    text = failure(Reader(used, timeout=1))
    assert time.monotonic() - before < 2.5
    assert "timed out" in text.lower()


def test_a_slow_body_is_tried_again(used: Warehouse) -> None:
    used.faults({"path": MONTH, "slow_body": 3})
    assert Reader(used, timeout=1, retries=1).one("g207").incomplete == ""


def test_nobody_listens(warehouse: Warehouse) -> None:
    text = failure(Reader(warehouse, cscs_dwdi_oidc_token_url="http://a:pa55@127.0.0.1:9/token?x=pa55"))
    assert "POST http://127.0.0.1:9/token: no whole answer" in text
    assert "pa55" not in text


@pytest.mark.parametrize("end", ["", "/"])
def test_the_base_address_with_and_without_a_slash(used: Warehouse, end: str) -> None:
    assert Reader(used, cscs_dwdi_api_url=used.url + end).one("g207").total == exactly(node_hours="1500.75")


# ---------------------------------------------------------------------- proxies


@pytest.mark.parametrize(
    ("kind", "scheme", "how"), [("socks5", "socks5", "address"), ("socks5", "socks5h", "name"), ("http", "http", "GET")]
)
def test_everything_goes_through_the_proxy(used: Warehouse, kind: str, scheme: str, how: str) -> None:
    port = used.base.rpartition(":")[2]
    with proxy(kind) as between:
        names: dict[str, Any] = {
            "cscs_dwdi_api_url": used.url.replace("127.0.0.1", "localhost"),
            "cscs_dwdi_oidc_token_url": used.token_url.replace("127.0.0.1", "localhost"),
        }
        reader = Reader(used, socks_proxy=f"{scheme}://127.0.0.1:{between.port}", **names)
        assert reader.one("g207").total == exactly(node_hours="1500.75")
    hows, hosts = {h for h, _ in between.asked}, {host for _, host in between.asked}
    assert hows == ({"POST", "GET"} if kind == "http" else {how})
    assert hosts == {f"{'127.0.0.1' if how == 'address' else 'localhost'}:{port}"}
    assert len(used.log()) == 2


def test_the_configured_proxy_wins_over_the_environment(used: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with proxy("http") as between:
        Reader(used, socks_proxy=f"http://127.0.0.1:{between.port}").one("g207")
    assert len(between.asked) == 2


def test_a_proxy_that_is_not_there(used: Warehouse) -> None:
    text = failure(Reader(used, socks_proxy="socks5h://me:pa55@127.0.0.1:9"))
    assert "socks_proxy" in text
    assert "pa55" not in text
    assert used.log() == []


def test_without_pysocks_the_extra_is_named(used: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    with pytest.raises(ConfigError, match=r"waldur-reconcile\[dwdi\]"):
        Reader(used, socks_proxy="socks5://127.0.0.1:9")
    Reader(used, socks_proxy="http://127.0.0.1:9")


# ---------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, which nobody signed but itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(["openssl", *words.split(), "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_certificate_is_checked_unless_the_offering_says_not_to(
    used: Warehouse, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls_before(int(used.base.rpartition(":")[2]), certificate) as port:
        safe = f"https://localhost:{port}"
        urls: dict[str, Any] = {
            "cscs_dwdi_api_url": used.url.replace(used.base, safe),
            "cscs_dwdi_oidc_token_url": used.token_url.replace(used.base, safe),
        }
        text = failure(Reader(used, **urls))
        assert "self-signed certificate" in text.replace("self signed", "self-signed")
        assert "verify_ssl" in text
        assert used.log() == []
        assert Reader(used, verify_ssl=False, **urls).one("g207").total == exactly(node_hours="1500.75")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
        assert Reader(used, **urls).one("g207").total == exactly(node_hours="1500.75")


# ---------------------------------------------------------------------- the stand-in itself


def post(warehouse: Warehouse, **form: str) -> requests.Response:
    auth = (CLIENT, SECRET) if form.pop("basic", "") else None
    return requests.post(warehouse.token_url, data=form, auth=auth, timeout=30)


def test_the_stand_ins_habits(warehouse: Warehouse) -> None:
    assert post(warehouse, grant_type="password").json()["error"] == "unsupported_grant_type"
    assert post(warehouse, grant_type="client_credentials", client_id=CLIENT).status_code == 401
    answer = post(warehouse, grant_type="client_credentials", basic="yes").json()
    assert (answer["expires_in"], answer["token_type"], answer["refresh_expires_in"]) == (300, "Bearer", 0)
    header = {"Authorization": f"Bearer {answer['access_token']}"}

    def get(path: str, **parameters: Any) -> requests.Response:
        return requests.get(f"{warehouse.url}/{path}", parameters, headers=header, timeout=30)

    month = {"from": "2026-11", "to": "2026-11"}
    warehouse.hours("g207", "amy", "1", unknown="x")
    assert get("compute/usage-month/account", **month, unknown="x").json()["compute"][0]["totalNodeHours"] == 1
    assert get("compute/usage-month/account", **month, cluster="Daint").json() == {"compute": []}
    assert get("compute/usage-month/account", **{**month, "to": "2026-10"}).status_code == 422
    assert get("compute/usage-month/account", **{**month, "to": "2026-13"}).status_code == 422
    (day,) = get("compute/usage-day/account", **{"from": "2026-11-01", "to": "2026-11-01"}).json()["compute"]
    assert day["users"] == [{"username": "amy", "nodeHours": 1, "usageDate": "2026-11-01", "cluster": "daint"}]
    warehouse.advance(300)
    assert get("compute/usage-month/account", **month).status_code == 401
    assert all("token" in e and answer["access_token"] not in str(e) for e in warehouse.log())
