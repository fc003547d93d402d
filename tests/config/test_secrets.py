"""Secrets from elsewhere, files that others read, TLS and proxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.config import load
from tests.config.documents import errors, written
from tests.conftest import offering


def test_secrets_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document: dict[str, Any] = {"offerings": [offering("http://x")]}
    document["offerings"][0]["waldur_api_token"] = "${TOKEN_OF_MINE}"
    path = written(tmp_path, yaml.safe_dump(document))
    assert "environment variable TOKEN_OF_MINE is not set" in errors(tmp_path, yaml.safe_dump(document))
    monkeypatch.setenv("TOKEN_OF_MINE", "abc")
    assert load(path).offerings[0].waldur_api_token.get_secret_value() == "abc"
    del document["offerings"][0]["waldur_api_token"]
    document["offerings"][0]["waldur_api_token_file"] = str(tmp_path / "token")
    assert f"waldur_api_token_file: {tmp_path / 'token'}: cannot be read" in errors(tmp_path, yaml.safe_dump(document))
    (tmp_path / "token").write_text("s3cr3t\n")
    loaded = load(written(tmp_path, yaml.safe_dump(document)))
    assert loaded.offerings[0].waldur_api_token.get_secret_value() == "s3cr3t"
    assert "s3cr3t" not in repr(loaded)
    assert "s3cr3t" not in loaded.model_dump_json()


def one_offering(tmp_path: Path, top: dict[str, Any] | None = None, **more: Any) -> Path:
    path = written(tmp_path, yaml.safe_dump({"offerings": [offering("https://x", **more)], **(top or {})}))
    path.chmod(0o600)
    return path


def test_systemd_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "waldur-token").write_text("of-systemd\n")
    (tmp_path / "waldur-token").write_text("of-the-directory\n")
    monkeypatch.chdir(tmp_path)
    document: dict[str, Any] = {"offerings": [offering("https://x", waldur_api_token_file="waldur-token")]}
    del document["offerings"][0]["waldur_api_token"]
    path = written(tmp_path, yaml.safe_dump(document))

    def token() -> str:
        return load(path).offerings[0].waldur_api_token.get_secret_value()

    assert token() == "of-the-directory"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert token() == "of-systemd"
    document["offerings"][0]["waldur_api_token_file"] = str(tmp_path / "waldur-token")
    path.write_text(yaml.safe_dump(document))
    assert token() == "of-the-directory"  # an absolute name is that file
    (tmp_path / "waldur-token").write_text(" \n")
    assert "the file is empty" in errors(tmp_path, path.read_text())


@pytest.mark.parametrize("key", ["socks_proxy", "store", "global_proxy"])
def test_addresses_with_passwords_from_files(tmp_path: Path, key: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("postgresql://u:pa55@x/y" if key == "store" else "http://u:pa55@x:1")
    document: dict[str, Any] = {"offerings": [offering("https://x")], "reconcile": {}}
    where = {"store": document["reconcile"], "socks_proxy": document["offerings"][0]["backend_settings"]}
    where.get(key, document)[f"{key}_file"] = str(secret)
    config = load(written(tmp_path, yaml.safe_dump(document)))
    found = {
        "store": config.reconcile.store,
        "socks_proxy": config.offerings[0].backend_settings.socks_proxy,
        "global_proxy": config.global_proxy,
    }[key]
    assert found is not None and "pa55" in found.get_secret_value()
    assert "pa55" not in repr(config) + config.model_dump_json()


@pytest.mark.parametrize(
    ("mode", "more", "warned"),
    [
        (0o600, {}, False),
        (0o640, {}, True),
        (0o604, {}, True),
        (0o644, {"waldur_api_token": "${TOKEN_OF_MINE}"}, False),
        (0o644, {"waldur_api_token": "${TOKEN_OF_MINE}", "backend_settings": {"socks_proxy": "http://u:p@x:1"}}, True),
        (0o644, {"waldur_api_token": "${TOKEN_OF_MINE}", "backend_settings": {"socks_proxy": "http://x:1"}}, False),
    ],
)
def test_a_file_that_others_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, more: dict[str, Any], warned: bool
) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "abc")
    path = one_offering(tmp_path, **more)
    path.chmod(mode)
    assert any(f"chmod 600 {path}" in w for w in load(path).warnings) == warned


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("https://waldur.example.org/api/", False),
        ("http://waldur.example.org/api/", True),
        ("http://10.0.0.1/api/", True),
        ("http://localhost:8000/api/", False),
        ("http://127.3.2.1/api/", False),
        ("http://[::1]:8000/api/", False),
        ("http://localhost.example.org/api/", True),
    ],
)
def test_plain_http_over_a_network(tmp_path: Path, url: str, warned: bool) -> None:
    config = load(one_offering(tmp_path, waldur_api_url=url))
    assert any("waldur_api_url is plain http" in w for w in config.warnings) == warned


def test_authorities(tmp_path: Path) -> None:
    for wrong, says in (
        ("ca.pem", "absolute path"),
        ("/nosuch/ca.pem", "absolute path"),
        ("/dev/null", "no certificate"),
    ):
        document = {"offerings": [offering("https://x", ca_bundle=wrong)]}
        assert says in errors(tmp_path, yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("given", "taken"), [("", ""), ("proxy:3128", "http://proxy:3128"), ("socks5://x:1", "socks5://x:1")]
)
def test_the_global_proxy(tmp_path: Path, given: str, taken: str) -> None:
    config = load(one_offering(tmp_path, {"global_proxy": given}))
    assert config.global_proxy.get_secret_value() == taken
    assert not [w for w in config.warnings if "global_proxy" in w]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/etc/waldur/token", True),
        ("secrets/waldur.token", True),
        ("./token", True),
        ("waldur-token", True),
        ("/nowhere/5f2b/api-token-2026", True),
        ("9e1132b9616ebfe943ddf632ca32bbb7e1109a32", False),
        ("s3cret-of-the-site", False),
        ("/9j/4AAQSkZJRgABAQAAAQABAAD2wBDAAgGBgcGBQgHBwcJCQgKDBQN", False),
        ("Zm9v/YmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9v/cXV4", False),
        ("two words", False),
        ("https://KEY@sentry.example.org/1", False),
    ],
)
def test_a_missing_token_file_is_named_unless_it_may_be_the_token(tmp_path: Path, name: str, shown: bool) -> None:
    document: dict[str, Any] = {"offerings": [offering("http://x")]}
    del document["offerings"][0]["waldur_api_token"]
    document["offerings"][0]["waldur_api_token_file"] = name
    text = errors(tmp_path, yaml.safe_dump(document))
    assert "waldur_api_token_file: " in text and "cannot be read: No such file" in text
    assert (name.removeprefix("./") in text) is shown
