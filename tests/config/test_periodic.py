"""``periodic_limits`` of an offering: what is refused, by name, and what it means."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from reconciler.config import load
from reconciler.desired.periodic import configured
from reconciler.errors import ConfigError
from tests.conftest import offering


def written(directory: Path, **limits: object) -> Path:
    about = offering("https://waldur.example.com/api/", backend_settings={"periodic_limits": limits})
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump({"offerings": [about], "reconcile": {"state_dir": str(directory)}}))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("limit_type", "GrpWall"),
        ("billing_weights", {"cpu": -1}),
        ("tres_billing_weights", {"cpu": "much"}),
        ("default_grace_ratio", 1.5),
        ("default_grace_ratio", -0.1),
        ("carryover_factor", 101),
        ("fairshare_decay_half_life", 0),
        ("emulator_base_url", "localhost"),
        ("qos_levels", {"default": 5}),
        ("units", "hours"),
    ],
)
def test_what_makes_no_policy_is_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"periodic_limits.{key}"):
        load(written(tmp_path, **{key: value}))


def test_the_agents_keys_are_the_rules(tmp_path: Path) -> None:
    """Both names of the weights, numbers as they are written, limit types in any case."""
    path = written(
        tmp_path,
        limit_type="maxtresmins",
        billing_weights={"cpu": 1, "mem": 0.1},
        tres_billing_weights={"cpu": 2},
        default_grace_ratio=0.15,
        default_carryover_enabled=False,
        raw_usage_reset=False,
        fairshare_decay_half_life=15,
    )
    rules = configured(load(path).offerings[0].backend_settings.periodic_limits)
    assert rules.limit_type == "MaxTRESMins"
    assert rules.weights == {"cpu": 2, "mem": Fraction(1, 10)}
    assert (rules.grace, rules.carryover, rules.reset, rules.half_life) == (Fraction(3, 20), False, False, Fraction(15))
