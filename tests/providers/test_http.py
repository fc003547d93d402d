"""How servers are reached: authorities, proxies, ~/.netrc; over real sockets."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.config import load
from reconciler.errors import ReadError
from reconciler.providers.waldur.portal import WaldurPortal, connected
from tests.conftest import offering
from tests.providers.dwdi import Reader
from tests.standin.portal import StandIn, uid
from tests.standin.proxies import proxy, tls_before
from tests.standin.warehouse import Warehouse


def portal_of(tmp_path: Path, url: str, top: dict[str, Any] | None = None, **more: Any) -> WaldurPortal:
    path = tmp_path / "config.yaml"
    document = {"offerings": [offering(url, **more)], "reconcile": {"http_retries": 0}, **(top or {})}
    path.write_text(yaml.safe_dump(document))
    config = load(path)
    return connected(config.offerings[0], config)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key, made = tmp_path / "key.pem", tmp_path / "made.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", made], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + made.read_text())
    return both


def test_authorities(tmp_path: Path, portal: StandIn, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_before(int(portal.base.rpartition(":")[2]), certificate) as port:
        url = f"https://127.0.0.1:{port}/api/"
        with pytest.raises(ReadError, match="ca_bundle"):
            portal_of(tmp_path, url).source.ping()
        ca_bundle = str(tmp_path / "made.pem")
        assert "Cluster A" in portal_of(tmp_path, url, ca_bundle=ca_bundle).source.ping()
        assert "Cluster A" in portal_of(tmp_path, url, verify_ssl=False).source.ping()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_bundle)
        assert "Cluster A" in portal_of(tmp_path, url).source.ping()


def test_proxies(tmp_path: Path, portal: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy("http") as named, proxy("http") as other:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{other.port}")
        portal_of(tmp_path, portal.url).source.ping()
        assert other.asked and not named.asked
        other.asked.clear()
        top = {"global_proxy": f"127.0.0.1:{named.port}"}
        portal_of(tmp_path, portal.url, top).source.ping()
        assert named.asked and not other.asked
        named.asked.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        portal_of(tmp_path, portal.url, top).source.ping()
        assert not named.asked and not other.asked


def test_credentials_of_netrc_do_not_replace_the_token(
    tmp_path: Path, portal: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert "Cluster A" in portal_of(tmp_path, portal.url).source.ping()


# ---------------------------------------------------------------------- waiting


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the HTTP library would have slept."""
    seconds: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", seconds.append)
    return seconds


def day(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


#: what a server may say, and between which seconds lies the longest pause
SAID = {
    "30,120": (0, 31),
    "1.5": (1.5, 1.5),
    ".25": (0.25, 0.25),
    "-5": (0, 31),
    "soon": (0, 31),
    "": (0, 31),
    "inf": (0, 31),
    "1e3": (0, 31),
    "٣": (0, 31),
    "9" * 5000: (60, 60),
    "7": (7, 7),
    "3600": (60, 60),
    "0": (0, 31),
    "Sun, 06 Nov 1994 08:49:37 GMT": (0, 31),
    "Sunday, 06-Nov-94 08:49:37 GMT": (0, 31),
    "Sun Nov  6 08:49:37 1994": (0, 31),
    "Mon, 99 Foo 99999999999999 99:99:99 +9999": (0, 60),
    "in an hour": (60, 60),
    "in 20 s": (10, 20),
}


@pytest.mark.parametrize("said", SAID, ids=lambda s: s[:30])
def test_whatever_a_server_says_of_waiting_the_request_is_sent_again(
    tmp_path: Path, portal: StandIn, warehouse: Warehouse, slept: list[float], said: str
) -> None:
    """Words that are none mean our own back-off, and no pause is negative or longer than the cap."""
    words = {"in an hour": day(3600), "in 20 s": day(20)}.get(said, said).encode().decode("latin-1")
    fault = {"path": ".", "status": 429, "times": 2, "headers": {"Retry-After": words}}
    portal.faults(fault)
    top = {"reconcile": {"http_retries": 3}}
    assert "Cluster A" in portal_of(tmp_path, portal.url, top).source.ping()
    of_waldur = list(slept)
    warehouse.hours("g207", "amy", "1500.75")
    warehouse.faults(fault)
    slept.clear()
    assert Reader(warehouse, retries=3).one("g207").incomplete == ""
    shortest, longest = SAID[said]
    for pauses in (of_waldur, slept):
        assert all(0 <= s <= longest for s in pauses)
        assert max(pauses, default=0) >= shortest


def test_a_write_is_sent_again_in_spite_of_words_that_are_none(
    tmp_path: Path, portal: StandIn, slept: list[float]
) -> None:
    """What changes something is sent again after 429 as well: nothing was done then."""
    portal.resource("climate-a", state="Creating", limits={"cpu": 9})
    portal.faults({"path": "set_backend_id", "status": 429, "times": 1, "headers": {"Retry-After": "30,120"}})
    one = portal_of(tmp_path, portal.url, {"reconcile": {"http_retries": 1}})
    one.client.marketplace_provider_resource_set_backend_id(uid("resource", "climate-a"), "a_climate-a")
    assert [r["method"] for r in portal.log()] == ["POST", "POST"]
    assert not slept or min(slept) >= 0
