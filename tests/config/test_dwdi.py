"""Offerings whose usage DWDI knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reconciler.config import load
from tests.config.documents import DWDI_PLUGIN_0_1_0, SECRET_LINE, errors, written
from tests.conftest import ROOT, offering


def test_the_dwdi_plugins_file_loads_unchanged(tmp_path: Path) -> None:
    config = load(written(tmp_path, DWDI_PLUGIN_0_1_0))
    one = config.offerings[0]
    assert (one.reporting, one.order_backend, one.membership_backend) == ("cscs-dwdi", "", "")
    settings = one.backend_settings
    assert settings.cscs_dwdi_api_url == "https://dwdi-api.cscs.ch"
    assert settings.cscs_dwdi_client_secret.get_secret_value() == "your-oidc-client-secret"
    assert settings.cscs_dwdi_api_flavour is None
    assert "your-oidc-client-secret" not in repr(config) + config.model_dump_json()
    assert not [w for w in config.warnings if "not used" in w]


def test_what_dwdi_is_used_with_unless_set(tmp_path: Path) -> None:
    text = DWDI_PLUGIN_0_1_0.replace('      cscs_dwdi_oidc_scope: "cscs-dwdi:read"\n', "      socks_proxy:\n")
    settings = load(written(tmp_path, text)).offerings[0].backend_settings
    assert settings.cscs_dwdi_oidc_scope == "openid"
    assert (settings.cscs_dwdi_cluster, settings.socks_proxy.get_secret_value()) == ("", "")


@pytest.mark.parametrize("key", ["api_url", "client_id", "client_secret", "oidc_token_url"])
@pytest.mark.parametrize("gone", ["left out", "empty", "null"])
@pytest.mark.parametrize("by", ["reporting_backend", "backend_type"])
def test_dwdi_needs_its_settings(tmp_path: Path, key: str, gone: str, by: str) -> None:
    document = yaml.safe_load(DWDI_PLUGIN_0_1_0.replace("reporting_backend", by).replace('"cscs-dwdi"', "CSCS-DWDI"))
    settings = document["offerings"][0]["backend_settings"]
    settings[f"cscs_dwdi_{key}"] = "" if gone == "empty" else None
    if gone == "left out":
        del settings[f"cscs_dwdi_{key}"]
    text = errors(tmp_path, yaml.safe_dump(document))
    assert f"backend_settings.cscs_dwdi_{key}: missing, and required" in text
    assert "1 problem in" in text


def test_dwdi_storage_needs_more_and_slurm_needs_nothing_of_it(tmp_path: Path) -> None:
    text = errors(tmp_path, DWDI_PLUGIN_0_1_0.replace('"cscs-dwdi"', "cscs-dwdi-storage"))
    assert "waldur-site-agent-config.yaml:7: offerings.0.backend_settings.storage_filesystem: missing" in text
    assert "2 problems" in text
    assert "storage_data_type" in text
    load(written(tmp_path, yaml.safe_dump({"offerings": [offering("http://x", reporting_backend="slurm")]})))


def test_the_dwdi_secret_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cr3t\n")
    line = f"      cscs_dwdi_client_secret_file: {tmp_path / 'secret'}\n"
    config = load(written(tmp_path, DWDI_PLUGIN_0_1_0.replace(SECRET_LINE, line)))
    assert config.offerings[0].backend_settings.cscs_dwdi_client_secret.get_secret_value() == "s3cr3t"
    both = errors(tmp_path, DWDI_PLUGIN_0_1_0.replace(SECRET_LINE, SECRET_LINE + line))
    assert "give cscs_dwdi_client_secret or cscs_dwdi_client_secret_file, not both" in both
    assert "your-oidc-client-secret" not in both


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("socks_proxy: socks4://u:pa55@x:1", "socks4 proxies are not supported; use socks5://"),
        ("socks_proxy: SOCKS4A://u:pa55@x:1", "socks4a proxies are not supported"),
        ("socks_proxy: pa55@x:1080", "must start with socks5://, socks5h://, http:// or https://"),
        ("cscs_dwdi_api_flavour: old", "'legacy' or 'current'"),
        ("cscs_dwdi_cluter: daint", "did you mean 'cscs_dwdi_cluster'?"),
        ("cscs_dwdi_client_secret: [pa55]", "cscs_dwdi_client_secret"),
        ("cscs_dwdi_client_secret: 1230055", "cscs_dwdi_client_secret"),
        ("cscs_dwdi_api_url: u:pa55@dwdi", "must start with http:// or https://"),
        ("cscs_dwdi_oidc_token_url: ftp://u:pa55@x", "must start with http:// or https://"),
    ],
)
def test_what_is_wrong_with_dwdi_is_refused(tmp_path: Path, line: str, says: str) -> None:
    kept = [k for k in DWDI_PLUGIN_0_1_0.splitlines() if not k.strip().startswith(line.partition(" ")[0])]
    text = errors(tmp_path, "\n".join([*kept[:7], f"      {line}", *kept[7:]]))
    assert says in text
    assert "1 problem in" in text
    assert "config.yaml:8:" in text
    for private in ("pa55", "1230055", "your-oidc-client-secret"):
        assert private not in text


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "http", "https"])
def test_proxies_that_are_taken(tmp_path: Path, scheme: str) -> None:
    text = DWDI_PLUGIN_0_1_0.replace(SECRET_LINE, f"{SECRET_LINE}      socks_proxy: {scheme}://u:pa55@x:1080\n")
    config = load(written(tmp_path, text))
    assert config.offerings[0].backend_settings.socks_proxy.get_secret_value() == f"{scheme}://u:pa55@x:1080"
    assert "pa55" not in repr(config) + config.model_dump_json()


def test_the_documented_dwdi_offering_loads(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "dwdi.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    for name in ("token", "dwdi-secret"):
        (tmp_path / name).write_text("secret-token\n")
        text = text.replace(f"/etc/waldur/{name}", str(tmp_path / name))
    config = load(written(tmp_path, text))
    assert config.warnings == ()
    one = config.offerings[0]
    assert (one.order_backend, one.membership_backend, one.reporting) == ("slurm", "slurm", "cscs-dwdi-compute")
    assert one.backend_components["node"].unit_factor_reporting == 1
