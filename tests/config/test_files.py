"""The configuration file: what the agents wrote loads, what is wrong is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from reconciler.config import load
from reconciler.errors import ConfigError
from tests.config.documents import EVERY_KEY, SITE_AGENT_0_5_6, errors, written
from tests.conftest import Program, offering


def test_the_old_agents_file_loads_unchanged(tmp_path: Path) -> None:
    config = load(written(tmp_path, SITE_AGENT_0_5_6))
    slurm, moab = config.offerings
    assert slurm.order_backend == slurm.membership_backend == "slurm"
    assert slurm.waldur_offering_uuid == "5a3f6973555642c8bbc2a3abbefeeb7f"
    assert (moab.cluster_backend, moab.cluster_name, moab.customer_level) == ("moab", "moab", False)
    text = "\n".join(config.warnings)
    assert 'homedir_umask "0700"' in text
    assert "homes are 0700" in text
    assert text.count("not used by this version") == 1
    for key in ("mqtt_enabled", "websocket_use_tls"):
        assert key in text
    assert "sentry_dsn" not in text, "it is empty"


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


def test_backends_per_concern(tmp_path: Path) -> None:
    """Files with the three keys leave out what is off; older ones name one backend for all."""
    document = {"offerings": [offering("http://x", order_processing_backend="slurm", reporting_backend="slurm")]}
    one = load(written(tmp_path, yaml.safe_dump(document))).offerings[0]
    assert (one.order_backend, one.membership_backend, one.reporting) == ("slurm", "", "slurm")
    document = {"offerings": [offering("http://x")]}
    assert load(written(tmp_path, yaml.safe_dump(document))).offerings[0].reporting == "slurm"


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
