"""How servers are reached: authorities, proxies, ~/.netrc; over real sockets."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.config import load
from reconciler.errors import ReadError
from reconciler.providers.waldur.portal import WaldurPortal, connected
from tests.conftest import offering
from tests.standin.portal import StandIn
from tests.standin.proxies import proxy, tls_before


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
            portal_of(tmp_path, url).ping()
        ca_bundle = str(tmp_path / "made.pem")
        assert "Cluster A" in portal_of(tmp_path, url, ca_bundle=ca_bundle).ping()
        assert "Cluster A" in portal_of(tmp_path, url, verify_ssl=False).ping()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_bundle)
        assert "Cluster A" in portal_of(tmp_path, url).ping()


def test_proxies(tmp_path: Path, portal: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy("http") as named, proxy("http") as other:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{other.port}")
        portal_of(tmp_path, portal.url).ping()
        assert other.asked and not named.asked
        other.asked.clear()
        top = {"global_proxy": f"127.0.0.1:{named.port}"}
        portal_of(tmp_path, portal.url, top).ping()
        assert named.asked and not other.asked
        named.asked.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        portal_of(tmp_path, portal.url, top).ping()
        assert not named.asked and not other.asked


def test_credentials_of_netrc_do_not_replace_the_token(
    tmp_path: Path, portal: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert "Cluster A" in portal_of(tmp_path, portal.url).ping()
