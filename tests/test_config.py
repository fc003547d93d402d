"""The configuration file: what the agents wrote loads, what is wrong is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from reconciler.config import load
from reconciler.errors import ConfigError
from tests.conftest import Program, offering

SITE_AGENT_0_5_6 = """\
sentry_dsn: ""
timezone: Europe/Tallinn
offerings:
  - name: "Example SLURM Offering"
    waldur_api_url: "http://localhost:8081/api/"
    waldur_api_token: "secret-token"
    waldur_offering_uuid: "5a3f6973-5556-42c8-bbc2-a3abbefeeb7f"
    mqtt_enabled: true
    websocket_use_tls: true
    backend_type: "slurm"
    backend_settings:
      default_account: "root"
      customer_prefix: "hpc_"
      project_prefix: "hpc_"
      allocation_prefix: "hpc_"
      qos_downscaled: "limited"
      qos_paused: "paused"
      qos_default: "normal"
      enable_user_homedir_account_creation: true
      homedir_umask: "0700"
    backend_components:
      cpu:
        measured_unit: "k-Hours"
        unit_factor: 60000
        accounting_type: "usage"
        label: "CPU"
      mem:
        limit: 10
        measured_unit: 'gb-Hours'
        unit_factor: 61440
        accounting_type: usage
        label: RAM
  - name: "Example MOAB Offering"
    waldur_api_url: "http://localhost:8081/api/"
    waldur_api_token: "secret-token"
    waldur_offering_uuid: "6aa5d741cbf64801ad996cb19ed4ea28"
    backend_type: "moab"
    backend_settings:
      default_account: root
      customer_prefix: "c_"
      project_prefix: "p_"
      allocation_prefix: "a_"
      enable_user_homedir_account_creation: true
    backend_components:
      deposit:
        measured_unit: 'EUR'
        accounting_type: limit
        label: Deposit (EUR)
"""

# every key of today's agents, and those that only their documents know
EVERY_KEY = """\
sentry_dsn: x
timezone: UTC
elastic_apm_server_url: x
global_proxy: x
log_level: INFO
reporting_periods: 2
expose_backend_error_details: true
log_shipping: {enabled: false}
event_processing: {enabled: true}
observable_object_types: [RESOURCE_PERIODIC_LIMITS_UPDATE]
offerings:
  - name: New
    waldur_api_url: https://waldur.example.com
    waldur_api_token: secret-token
    waldur_offering_uuid: 5a3f6973555642c8bbc2a3abbefeeb7f
    order_processing_backend: slurm
    membership_sync_backend: slurm
    reporting_backend: cscs-dwdi-compute
    username_management_backend: base
    stomp_enabled: true
    stomp_membership_sync_enabled: false
    stomp_ws_host: x
    stomp_ws_port: 443
    stomp_ws_path: /x
    websocket_use_tls: true
    oidc_token_url: https://x
    oidc_client_id: x
    oidc_client_secret: x
    resource_import_enabled: true
    username_reconciliation_enabled: true
    verify_ssl: false
    omit_anomalous_usage_components: true
    backend_settings:
      account_prefix: waldur_
      cpu_unit_factor: 60000
      mem_unit_factor: 61440
      gpu_unit_factor: 60
      cluster_name: c1
      slurm_bin_path: /opt/slurm/bin
      root_account: top
      default_account: root
      default_partition: main
      enforce_offering_partitions: true
      default_account_policy: none
      qos_management: {enabled: true}
      qos_enforcement_enabled: true
      enforce_offering_qos: true
      soft_delete: true
      check_backend_id_uniqueness: true
      check_all_offerings: true
      backend_id_max_retries: 50
      homedir_base_path: /home
      default_homedir_umask: "0077"
      homedir_quota: {}
      project_directory: {}
      ldap: {}
      execution_mode: cli
      rest_api: {}
      periodic_limits: {enabled: true, qos_levels: {default: normal}}
      cscs_dwdi_api_url: https://dwdi
      cscs_dwdi_client_id: x
      cscs_dwdi_client_secret: x
      cscs_dwdi_oidc_token_url: https://x
      cscs_dwdi_oidc_scope: x
      cscs_dwdi_cluster: x
      cscs_dwdi_api_flavour: current
      storage_filesystem: x
      storage_data_type: x
      storage_tenant: x
      storage_path_mapping: {}
      socks_proxy: socks5://x:1080
    backend_components:
      node:
        unit: node-hours
        accounting_type: one
        unit_factor_reporting: 1
        target_components: {cpu: {factor: 7680}, gres/gpu: {factor: 240}}
        description: x
        min_value: 1
        max_value: 2
        max_available_limit: 3
        default_limit: 1
        limit_period: month
        article_code: x
        is_boolean: false
        is_prepaid: true
        min_prepaid_duration: 1
        max_prepaid_duration: 1
        prepaid_duration_step: 1
        min_renewal_duration: 1
        max_renewal_duration: 1
        renewal_duration_step: 1
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "waldur-site-agent-config.yaml"
    path.write_text(text)
    return path


def test_the_old_agents_file_loads_unchanged(tmp_path: Path) -> None:
    config = load(written(tmp_path, SITE_AGENT_0_5_6))
    slurm, moab = config.offerings
    assert slurm.order_backend == slurm.membership_backend == "slurm"
    assert slurm.waldur_offering_uuid == "5a3f6973555642c8bbc2a3abbefeeb7f"
    assert not moab.uses_slurm
    text = "\n".join(config.warnings)
    assert 'homedir_umask "0700"' in text
    assert "homes are 0700" in text
    assert text.count("not used by this version") == 1
    for key in ("mqtt_enabled", "sentry_dsn", "websocket_use_tls"):
        assert key in text


def test_every_key_of_every_agent_is_known(tmp_path: Path) -> None:
    config = load(written(tmp_path, EVERY_KEY))
    assert len([w for w in config.warnings if "not used by this version" in w]) == 1
    assert not [w for w in config.warnings if "unknown key" in w]
    one = config.offerings[0]
    assert one.backend_settings.prefixes == ("waldur_", "waldur_", "waldur_")
    assert one.backend_components["node"].waldur_unit == "node-hours"
    assert one.reporting == "cscs-dwdi-compute"
    (unused,) = (w for w in config.warnings if "not used by this version" in w)
    assert "storage_tenant" in unused
    for used in ("cscs_dwdi", "storage_path_mapping", "storage_filesystem", "socks_proxy", "unit_factor_reporting"):
        assert used not in unused


def errors(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(written(tmp_path, text))
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("unit_factor: 60000", "unit_factor: 0", 25, "unit_factor: Input should be greater than 0"),
        ("unit_factor: 60000", "unit_factor: -1", 25, "should be greater than 0"),
        ("unit_factor: 60000", "unit_factor: .nan", 25, "unit_factor"),
        ("unit_factor: 60000", "unit_factor: lots", 25, "unit_factor"),
        ('homedir_umask: "0700"', 'homedir_umask: "0888"', 21, "must be an octal umask"),
        ('backend_type: "slurm"', 'backend_type: "slrum"', 11, "unknown backend 'slrum'; allowed: slurm, moab"),
        ("timezone: Europe/Tallinn", "timezone: Europe/Talin", 2, "unknown time zone 'Europe/Talin'"),
        ("timezone: Europe/Tallinn", "timezone: ../../etc/passwd", 2, "unknown time zone"),
        ('qos_paused: "paused"', 'qos_pasued: "paused"', 18, "unknown key; did you mean 'qos_paused'?"),
        ("mqtt_enabled: true", "mqtt_enabeld: true", 9, "did you mean 'mqtt_enabled'?"),
        (
            '    waldur_api_token: "secret-token"\n    waldur_offering_uuid: "5',
            '    waldur_offering_uuid: "5',
            4,
            "waldur_api_token",
        ),
        ('name: "Example SLURM Offering"', 'nome: "x"', 4, "did you mean 'name'?"),
        ('      allocation_prefix: "hpc_"\n', "", 12, "backend_settings.allocation_prefix: missing, and required"),
        ("6aa5d741cbf64801ad996cb19ed4ea28", "5a3f6973555642c8bbc2a3abbefeeb7f", 32, "is the same as number 1"),
        ("Example MOAB Offering", "Example SLURM Offering", 32, "is the same as number 1"),
        ("5a3f6973-5556-42c8-bbc2-a3abbefeeb7f", "xyz", 7, "'xyz' is no UUID"),
        ("http://localhost:8081/api/", "localhost:8081", 5, "must start with http:// or https://"),
        ("qos_default:", "qos_paused:", 18, "qos_paused: given twice (first on line 17)"),
        ("        label: RAM", "        label: [", 33, "not valid YAML"),
        ("accounting_type: limit", "accounting_type: limits", 47, "found 'limits'"),
        ("limit: 10", "limit: -1", 29, "greater than or equal to 0"),
    ],
    ids=lambda v: v[:40] if isinstance(v, str) else str(v),
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in SITE_AGENT_0_5_6
    text = errors(tmp_path, SITE_AGENT_0_5_6.replace(old, new))
    assert says in text
    assert any(f"config.yaml:{n}:" in text for n in (line - 1, line, line + 1)), text
    assert "secret-token" not in text


def test_all_errors_at_once(tmp_path: Path) -> None:
    text = SITE_AGENT_0_5_6.replace("unit_factor: 60000", "unit_factor: 0").replace("Tallinn", "Talin")
    text = text.replace('qos_paused: "', 'qos_pausd: "').replace("        measured_unit: 'EUR'\n", "")
    found = errors(tmp_path, text.replace("Example MOAB Offering", "Example SLURM Offering"))
    assert "5 problems in the configuration." in found
    for part in ("unit_factor", "Europe/Talin", "qos_pausd", "measured_unit: missing", "is the same as number 1"):
        assert part in found
    assert "at least 1 item" not in found


@pytest.mark.parametrize("text", ["", "[]", "just text", "offerings: []", "offerings: x", "\x00", "a: b: c"])
def test_what_is_no_configuration(tmp_path: Path, text: str) -> None:
    assert "waldur-site-agent-config.yaml" in errors(tmp_path, text)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load(tmp_path / "nosuch.yaml")


def test_secrets_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document: dict[str, Any] = {"offerings": [offering("http://x")]}
    document["offerings"][0]["waldur_api_token"] = "${TOKEN_OF_MINE}"
    path = written(tmp_path, yaml.safe_dump(document))
    assert "environment variable TOKEN_OF_MINE is not set" in errors(tmp_path, yaml.safe_dump(document))
    monkeypatch.setenv("TOKEN_OF_MINE", "abc")
    assert load(path).offerings[0].waldur_api_token.get_secret_value() == "abc"
    del document["offerings"][0]["waldur_api_token"]
    document["offerings"][0]["waldur_api_token_file"] = str(tmp_path / "token")
    assert "waldur_api_token_file: cannot be read" in errors(tmp_path, yaml.safe_dump(document))
    (tmp_path / "token").write_text("s3cr3t\n")
    loaded = load(written(tmp_path, yaml.safe_dump(document)))
    assert loaded.offerings[0].waldur_api_token.get_secret_value() == "s3cr3t"
    assert "s3cr3t" not in repr(loaded)
    assert "s3cr3t" not in loaded.model_dump_json()


def test_backends_per_concern(tmp_path: Path) -> None:
    """Files with the three keys leave out what is off; older ones name one backend for all."""
    document = {"offerings": [offering("http://x", order_processing_backend="slurm", reporting_backend="slurm")]}
    one = load(written(tmp_path, yaml.safe_dump(document))).offerings[0]
    assert (one.order_backend, one.membership_backend, one.reporting) == ("slurm", "", "slurm")
    document = {"offerings": [offering("http://x")]}
    assert load(written(tmp_path, yaml.safe_dump(document))).offerings[0].reporting == "slurm"


DWDI_PLUGIN_0_1_0 = """\
offerings:
  - name: "CSCS HPC Offering"
    waldur_api_url: https://waldur.example.com
    waldur_api_token: secret-token
    waldur_offering_uuid: 5a3f6973555642c8bbc2a3abbefeeb7f
    reporting_backend: "cscs-dwdi"
    backend_settings:
      cscs_dwdi_api_url: "https://dwdi-api.cscs.ch"
      cscs_dwdi_client_id: "your-oidc-client-id"
      cscs_dwdi_client_secret: "your-oidc-client-secret"
      # Optional OIDC configuration (for production use)
      cscs_dwdi_oidc_token_url: "https://identity.cscs.ch/realms/cscs/protocol/openid-connect/token"
      cscs_dwdi_oidc_scope: "cscs-dwdi:read"

    backend_components:
      nodeHours:
        measured_unit: "node-hours"
        unit_factor: 1
        accounting_type: "usage"
        label: "Node Hours"
      storage:
        measured_unit: "TB"
        unit_factor: 1
        accounting_type: "usage"
        label: "Storage Usage"
"""
SECRET_LINE = '      cscs_dwdi_client_secret: "your-oidc-client-secret"\n'


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


def test_check_and_schema(tmp_path: Path) -> None:
    program = Program(tmp_path)
    program.document = yaml.safe_load(SITE_AGENT_0_5_6)
    done = program("config", "check")
    assert done.code == 0
    assert "valid" in done.out
    checked = json.loads(program("config", "check", "--json").out)
    assert checked["valid"]
    schema = json.loads(program("config", "schema").out)
    jsonschema.validate(yaml.safe_load(SITE_AGENT_0_5_6), schema)
    jsonschema.validate(yaml.safe_load(EVERY_KEY), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"offerings": []}, schema)
    program.document["offerings"][0]["backend_components"]["cpu"]["unit_factor"] = -5
    bad = program("config", "check")
    assert bad.code == 1
    assert "unit_factor" in bad.err
    told = program("config", "check", "--json")
    assert told.code == 1
    assert json.loads(told.out)["valid"] is False


def test_default_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reconciler.config import default_path, source

    monkeypatch.delenv("WALDUR_SITE_AGENT_CONFIG", raising=False)
    monkeypatch.setattr(source, "SYSTEM_DIRECTORY", tmp_path)
    assert default_path() == Path("waldur-site-agent-config.yaml")
    written(tmp_path, "")
    assert default_path() == tmp_path / "waldur-site-agent-config.yaml"
    monkeypatch.setenv("WALDUR_SITE_AGENT_CONFIG", "/x/y.yaml")
    assert default_path() == Path("/x/y.yaml")


def test_the_documented_dwdi_offering_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "dwdi.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    for name in ("token", "dwdi-secret"):
        (tmp_path / name).write_text("secret-token\n")
        text = text.replace(f"/etc/waldur/{name}", str(tmp_path / name))
    config = load(written(tmp_path, text))
    assert config.warnings == ()
    one = config.offerings[0]
    assert (one.order_backend, one.membership_backend, one.reporting) == ("slurm", "slurm", "cscs-dwdi-compute")
    assert one.backend_components["node"].unit_factor_reporting == 1


# ---------------------------------------------------------------------- secrets, TLS, proxies


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
