"""The configuration of waldur-slurm-agent: it works as it is, and it becomes a file that means the same."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.config import Config, legacy, load, source
from reconciler.config.envfile import Variables, parse
from reconciler.config.legacy import document
from reconciler.errors import ConfigError
from tests.conftest import ROOT, Program, Ran
from tests.fakes import in_front, log, program, refuse
from tests.standin.portal import OFFERING, TOKEN, StandIn

SECRET = "9e1132b9616ebfe943ddf632ca32bbb7e1109a32"

# the two examples of its documentation, as they are
PULL = """\
WALDUR_SYNC_DIRECTION=pull # The setup for service-pull
WALDUR_API_URL=http://waldur.example.com/api/ # Waldur API URL
WALDUR_API_TOKEN=9e1132b9616ebfe943ddf632ca32bbb7e1109a32 # Token of a service provider in Waldur
WALDUR_OFFERING_UUID=e21a0f0030b447deb63bedf69db6742e # UUID of SLURM offering in Waldur
SLURM_DEFAULT_ACCOUNT=root # Default account for SLURM
SLURM_CONTAINER_NAME=slurmctld # Name of SLURM namenode container
"""
PUSH = """\
WALDUR_SYNC_DIRECTION=push # The setup for service-push
WALDUR_API_URL=http://waldur.example.com/api/ # Waldur API URL
WALDUR_API_TOKEN=9e1132b9616ebfe943ddf632ca32bbb7e1109a32 # Token of a service provider in Waldur
WALDUR_OFFERING_UUID=e21a0f0030b447deb63bedf69db6742e # UUID of SLURM offering in Waldur
SLURM_CONTAINER_NAME=slurmctld # Name of SLURM namenode container
"""
COMPONENTS = """\
cpu: # Type of tres with possible 'gres/' prefix
  limit: 16000 # CPU-minutes
  measured_unit: 'k-Hours' # of Waldur
  accounting_type: usage # or limit
  label: CPU
gres/gpu:
  limit: 400
  measured_unit: 'k-Hours'
  accounting_type: limit
  label: GPU
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the old agent's files, to be in, and nothing of it in the environment."""
    (tmp_path / "pull.env").write_text(PULL)
    (tmp_path / "push.env").write_text(PUSH)
    (tmp_path / "config-components.yaml").write_text(COMPONENTS)
    for name in [*legacy.VARIABLES, source.ENVIRONMENT_PATH]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(source, "SYSTEM_DIRECTORY", tmp_path / "etc")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def variables(text: str, **more: str) -> dict[str, str]:
    values = {**parse(text, "x.env").values, **more}
    return {name: value for name, value in values.items() if value != "unset"}


def loaded(text: str, **more: str) -> Config:
    """The configuration of a process started with these variables, in memory only."""
    return legacy.read(Variables(variables(text, **more))).config


def convert(*arguments: str, **environment: str) -> Ran:
    """``reconcile config convert`` here, through the program."""
    program = Program(Path.cwd())
    program.path = Path.cwd() / "unused.yaml"
    return program("config", "convert", *arguments, **environment)


def same(one: Config, other: Config) -> bool:
    return one.model_dump() == other.model_dump() and one.digest == other.digest


@pytest.mark.parametrize(
    ("text", "order", "report", "default"), [(PULL, "slurm", "", "root"), (PUSH, "", "slurm", "waldur")]
)
def test_the_documented_environments(site: Path, text: str, order: str, report: str, default: str) -> None:
    config = loaded(text)
    (one,) = config.offerings
    assert one.api_url == "http://waldur.example.com/api/"
    assert one.waldur_api_token.get_secret_value() == SECRET
    assert one.waldur_offering_uuid == "e21a0f0030b447deb63bedf69db6742e"
    assert (one.order_backend, one.membership_backend, one.reporting_backend) == (order, order, report)
    assert config.reconcile.runner.container == "slurmctld"
    assert one.verify_ssl
    settings = one.backend_settings
    assert settings.prefixes == ("hpc_", "hpc_", "hpc_")
    assert settings.default_account == default
    assert settings.hierarchy_root == "root"  # customers were made without a parent
    assert settings.legacy_account_names
    assert not settings.enable_user_homedir_account_creation
    assert not [w for w in config.warnings if "unknown" in w]


def test_amounts_stay_what_they_are_in_slurm(site: Path) -> None:
    """There were no factors: 16000 of a component in 'k-Hours' were 16000 CPU-minutes."""
    cpu, gpu = loaded(PULL).offerings[0].backend_components.values()
    assert cpu.limit == 16000
    assert cpu.unit_factor == gpu.unit_factor == 1
    assert [cpu.accounting_type, cpu.waldur_unit, cpu.label] == ["usage", "k-Hours", "CPU"]
    assert [gpu.accounting_type] == ["limit"]
    given = document(variables(PULL), {"cpu": {"measured_unit": "k-Hours", "unit_factor": 60000}})
    assert given["offerings"][0]["backend_components"]["cpu"]["unit_factor"] == 60000


def test_every_other_variable(site: Path) -> None:
    (site / "tres.yaml").write_text(COMPONENTS.partition("gres/gpu:")[0])
    config = loaded(
        PULL,
        WALDUR_SYNC_DIRECTION="unset",
        REQUESTS_VERIFY_SSL="False",
        SLURM_TRES_CONFIG_PATH=str(site / "tres.yaml"),
        SLURM_DEPLOYMENT_TYPE="native",
        SLURM_CUSTOMER_PREFIX="c_",
        SLURM_PROJECT_PREFIX="p_",
        SLURM_ALLOCATION_PREFIX="",
        SLURM_ALLOCATION_NAME_MAX_LEN="34",
        SENTRY_DSN="https://key@sentry.example.com/1",
        ENABLE_USER_HOMEDIR_ACCOUNT_CREATION="yes",
    )
    (one,) = config.offerings
    assert (one.order_backend, one.membership_backend, one.reporting_backend) == ("slurm",) * 3
    assert not one.verify_ssl
    assert config.reconcile.runner.container is None
    assert one.backend_settings.prefixes == ("c_", "p_", "")
    assert one.backend_settings.enable_user_homedir_account_creation
    assert list(one.backend_components) == ["cpu"]
    assert not [w for w in config.warnings if "MAX_LEN" in w]
    assert [w for w in loaded(PULL, SLURM_ALLOCATION_NAME_MAX_LEN="20").warnings if "cut at 34" in w]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("WALDUR_API_URL", "unset", "missing, and required"),
        ("WALDUR_API_URL", "waldur.example.com", "must start with http:// or https://"),
        ("WALDUR_API_TOKEN", "unset", "missing, and required"),
        ("WALDUR_API_TOKEN", "", "missing, and required"),
        ("WALDUR_OFFERING_UUID", "unset", "missing, and required"),
        ("WALDUR_OFFERING_UUID", "CHANGEME", "'CHANGEME' is no UUID"),
        ("WALDUR_SYNC_DIRECTION", "both", "must be pull or push (found 'both')"),
        ("SLURM_DEPLOYMENT_TYPE", "podman", "must be docker or native (found 'podman')"),
        ("SLURM_CONTAINER_NAME", "unset", "missing, and required when SLURM_DEPLOYMENT_TYPE is docker, its default"),
        ("SLURM_CONTAINER_NAME", "--privileged", "would be read as an option"),
        ("SLURM_ALLOCATION_NAME_MAX_LEN", "long", "must be a whole number from 1 (found 'long')"),
        ("SLURM_ALLOCATION_NAME_MAX_LEN", "0", "must be a whole number from 1"),
        ("REQUESTS_VERIFY_SSL", "maybe", "(found 'maybe')"),
        ("ENABLE_USER_HOMEDIR_ACCOUNT_CREATION", "1", "must be true or false"),
        ("SLURM_CUSTOMER_PREFIX", "${HOME}", "environment variable HOME is not set"),
        ("SLURM_TRES_CONFIG_PATH", "nosuch.yaml", "nosuch.yaml cannot be read: No such file"),
    ],
)
def test_each_error_names_its_variable(site: Path, name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(PULL, **{name: value})
    text = str(error.value)
    assert f"environment: {name}: " in text
    assert says in text
    assert "1 problem in the configuration." in text
    assert SECRET not in text


def test_all_errors_at_once(site: Path) -> None:
    (site / "config-components.yaml").write_text(COMPONENTS.replace("label: GPU", "labell: GPU"))
    with pytest.raises(ConfigError) as error:
        loaded(PULL, SLURM_CONTAINER_NAME="unset", SLURM_DEPLOYMENT_TYPE="docker", WALDUR_API_TOKEN="unset")
    assert str(error.value).splitlines() == [
        "environment: SLURM_CONTAINER_NAME: missing, and required when SLURM_DEPLOYMENT_TYPE is docker",
        "environment: WALDUR_API_TOKEN: missing, and required",
        "config-components.yaml:10: gres/gpu.labell: unknown key; did you mean 'label'?",
        "3 problems in the configuration.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("limit: 16000", "limit: -1", "config-components.yaml:2: cpu.limit: Input should be greater"),
        (
            "limit: 16000",
            "limit: 016000",
            "config-components.yaml:2: cpu.limit: YAML reads 016000 as 7168: write 16000",
        ),
        ("limit: 16000", "limit: &x {a: *x}", "config-components.yaml:2: an alias"),
        ("limit: 16000", "limit: lots", "config-components.yaml:2: cpu.limit:"),
        ("  measured_unit: 'k-Hours' # of Waldur\n", "", "config-components.yaml:1: cpu.measured_unit: missing"),
        ("  accounting_type: limit\n", "", "config-components.yaml:6: gres/gpu.accounting_type: missing, and required"),
        ("accounting_type: limit", "accounting_type: quota", "config-components.yaml:9: gres/gpu.accounting_type:"),
        ("gres/gpu:", "cpu:", "config-components.yaml:6: cpu: given twice (first on line 1)"),
        ("label: GPU", "label: [", "config-components.yaml:11: not valid YAML"),
        ("label: GPU", "label: ${GPU}", "config-components.yaml:10: gres/gpu.label: environment variable GPU"),
        (COMPONENTS, "", "config-components.yaml:1: expected a mapping of components"),
        (COMPONENTS, "[cpu]", "config-components.yaml:1: expected a mapping of components"),
        (COMPONENTS, "{}", "config-components.yaml:1: names no component"),
        (COMPONENTS, "cpu: 5", "config-components.yaml:1: cpu:"),
    ],
)
def test_a_bad_components_file_is_refused_with_its_line(site: Path, old: str, new: str, says: str) -> None:
    assert old in COMPONENTS
    (site / "config-components.yaml").write_text(COMPONENTS.replace(old, new))
    with pytest.raises(ConfigError) as error:
        loaded(PULL)
    assert says in str(error.value)


@pytest.mark.parametrize("direction", ["pull", "push"])
@pytest.mark.parametrize("deployment", ["docker", "native"])
def test_the_converted_file_means_the_same(
    site: Path, monkeypatch: pytest.MonkeyPatch, direction: str, deployment: str
) -> None:
    text = PULL if direction == "pull" else PUSH
    path = site / f"{direction}.env"
    path.write_text(f"{text}export SLURM_DEPLOYMENT_TYPE='{deployment}'\nSENTRY_DSN=https://key@sentry/1\n")
    done = convert("--env-file", str(path))
    assert done.code == 0, done.err
    assert SECRET not in done.both
    assert "key@sentry" not in done.both
    (site / "made.yaml").write_text(done.out)
    with pytest.raises(ConfigError, match="environment variable WALDUR_API_TOKEN is not set"):
        load(site / "made.yaml")
    monkeypatch.setenv("WALDUR_API_TOKEN", SECRET)
    monkeypatch.setenv("SENTRY_DSN", "https://key@sentry/1")
    made = load(site / "made.yaml")
    before = loaded(path.read_text())
    assert same(made, before)
    assert len(made.warnings) == len(before.warnings)
    assert (made.reconcile.runner.container or "") == ("slurmctld" if deployment == "docker" else "")


def test_both_services_become_one(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = site / "made.yaml"
    arguments = ("--env-file", "push.env", "--env-file", "pull.env", "--components", "config-components.yaml")
    done = convert(*arguments, "--out", str(out))
    assert (done.code, done.out) == (0, "")
    assert "reconcile config check --config" in done.err
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    text = out.read_text()
    assert text.startswith("# Made by `reconcile config convert`")
    for part in ("push.env, pull.env", "config-components.yaml", "WALDUR_API_TOKEN", "unit_factor"):
        assert part in text.partition("offerings:")[0]
    assert SECRET not in text
    monkeypatch.setenv("WALDUR_API_TOKEN", SECRET)
    assert same(load(out), loaded(PULL, WALDUR_SYNC_DIRECTION="unset"))
    again = convert(*arguments, "--out", str(out))
    assert again.code == 1
    assert "exists already, nothing was written" in again.err
    assert out.read_text() == text


def test_files_that_contradict_each_other(site: Path) -> None:
    (site / "push.env").write_text(
        PUSH.replace("=slurmctld", "=other").replace(SECRET, "another-token") + "SLURM_PROJECT_PREFX=p_\n"
    )
    done = convert("--env-file", "pull.env", "--env-file", "push.env")
    assert done.code == 1
    assert "push.env:6: SLURM_PROJECT_PREFX: unknown variable; did you mean SLURM_PROJECT_PREFIX?" in done.err
    (site / "push.env").write_text((site / "push.env").read_text().replace("PREFX", "PREFIX"))
    done = convert("--env-file", "pull.env", "--env-file", "push.env")
    assert "push.env:5: SLURM_CONTAINER_NAME: not the same as at pull.env:6" in done.err
    assert "token" not in done.both.lower()  # two tokens are no contradiction, and none is shown
    assert "no such file" in convert("--env-file", "nosuch.env").err


def test_the_environment_is_converted_too(site: Path) -> None:
    done = convert(**{**variables(PULL), "WALDUR_API_TOKEN": ""})
    assert done.code == 0
    assert yaml.safe_load(done.out)["offerings"][0]["waldur_api_token"] == "${WALDUR_API_TOKEN}"
    assert "variables:  environment" in done.out
    done = convert(**variables(PULL, SLURM_CONTAINER_NAME="unset"))
    assert (done.code, done.out) == (1, "")
    assert "environment: SLURM_CONTAINER_NAME: missing" in done.err
    assert "Error: --components: x cannot be read" in convert("--components", "x", **variables(PULL)).err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b  ", "b"),
        ("A=b # c", "b"),
        ("A=b#c", "b#c"),
        ("A= # c", ""),
        ("A=", ""),
        ("A='b # c' # d", "b # c"),
        ('A="b # c"', "b # c"),
        (r'A="b\"c\\d\n"', r'b"c\d\n'),
        ("A=b=c", "b=c"),
        ("A=x\nA=y", "y"),
        ("# A=x\n; A=y\n\nA=b\r\n", "b"),
        ("A=b\\\nc", "bc"),
        ("# c \\\nA=b", "b"),
        ("\ufeffA=b", "b"),
    ],
)
def test_files_of_variables(text: str, value: str) -> None:
    assert parse(text, "x").values == {"A": value}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A=b\nnonsense", "x.env:2: expected NAME=value"),
        ("A='b", "x.env:1: A: the quotes do not match"),
        ('A="b" c', "x.env:1: A: the quotes do not match"),
        ("1A=b", "x.env:1: expected NAME=value"),
    ],
)
def test_what_is_no_file_of_variables(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(text, "x.env")


def process(directory: Path, *arguments: str, **environment: str) -> Ran:
    """The program in a process that has nothing but these variables, as systemd starts it."""
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(directory), **environment},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(source.default_path().exists(), reason="this machine has a configuration of its own")
def test_the_program_works_with_the_old_environment(site: Path, portal: StandIn) -> None:
    asked = site / "asked"
    program(site / "bin", "docker", log(asked), refuse("no such container"))
    environment: dict[str, Any] = variables(PULL, WALDUR_API_URL=portal.url, WALDUR_API_TOKEN=TOKEN)
    environment |= {"WALDUR_OFFERING_UUID": OFFERING, "PATH": in_front(site / "bin")}
    checked = process(site, "config", "check", **environment)
    assert checked.code == 0, checked.err
    assert "environment: valid" in checked.out
    planned = process(site, "plan", **environment)
    assert planned.code == 1
    assert "no such container" in planned.err
    assert asked.read_text().startswith("exec -i slurmctld ")
    assert TOKEN not in checked.both + planned.both + asked.read_text()
    # a file, where there is one, is what counts
    (site / source.DEFAULT_NAME).write_text("offerings: []")
    assert "waldur-site-agent-config.yaml:" in process(site, "config", "check", **environment).err


def test_a_file_comes_before_the_environment(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(PULL).items():
        monkeypatch.setenv(name, value)
    assert legacy.applies(os.environ)
    assert legacy.load_default().path == Path("environment")
    assert not legacy.applies({**os.environ, source.ENVIRONMENT_PATH: "x.yaml"})
    assert not legacy.applies({**os.environ, "WALDUR_OFFERING_UUID": ""})
    monkeypatch.delenv("WALDUR_API_URL")
    with pytest.raises(ConfigError, match="no such configuration file"):
        legacy.load_default()
