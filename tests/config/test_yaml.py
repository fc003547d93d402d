"""What YAML reads as something else than was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.config import load
from tests.config.documents import EVERY_KEY, SITE_AGENT_0_5_6, errors, written


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("unit_factor: 60000", "unit_factor: 060000", 'YAML reads 060000 as 24576: write 60000, or "060000"'),
        ("unit_factor: 60000", "unit_factor: 1:00:00", "YAML reads 1:00:00 as 3600: write 3600"),
        ("unit_factor: 60000", "unit_factor: 0x10", "YAML reads 0x10 as 16: write 16"),
        ("unit_factor: 60000", "unit_factor: 0b11", "YAML reads 0b11 as 3: write 3"),
        ("unit_factor: 60000", "unit_factor: 60_000", "YAML reads 60_000 as 60000: write 60000"),
        ("unit_factor: 60000", "unit_factor: 1:30.5", "YAML reads 1:30.5 as 90.5: write 90.5"),
        ('qos_paused: "paused"', "cluster_name: 0123", 'YAML reads 0123 as 83: write 123, or "0123" in quotes'),
        ('qos_paused: "paused"', "qos_paused: off", 'YAML reads off as False: write "off" in quotes'),
        ('qos_paused: "paused"', "qos_paused: 2026-01-02", 'write "2026-01-02" in quotes'),
        ("      cpu:\n", "      010:\n", 'YAML reads 010 as 8: write 10, or "010" in quotes'),
        ("timezone: Europe/Tallinn", "reporting_periods: 0_2", "YAML reads 0_2 as 2"),
        ("timezone: Europe/Tallinn", "reconcile: {guards: {max_deletions: 010}}", "YAML reads 010 as 8: write 10"),
        ("timezone: Europe/Tallinn", "reconcile: {guards: {protected: [root, no]}}", 'write "no" in quotes'),
        ("timezone: Europe/Tallinn", "reconcile: {clusters: {0123: {sudo: yes}}}", '"0123" in quotes'),
    ],
)
def test_numbers_that_are_read_otherwise_than_written_are_refused(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in SITE_AGENT_0_5_6
    text = SITE_AGENT_0_5_6.replace(old, new, 1)
    line = text[: text.index(new)].count("\n") + 1
    found = errors(tmp_path, text)
    assert f"config.yaml:{line}: " in found and says in found, found


@pytest.mark.parametrize(
    ("written_as", "mode"),
    [("27", 0o750), ("77", 0o700), ("0077", 0o700), ('"0077"', 0o700), ("022", 0o755), ("0", 0o775), ("7", 0o770)],
)
@pytest.mark.parametrize("key", ["homedir_umask", "default_homedir_umask"])
def test_an_integer_umask_means_its_digits(tmp_path: Path, key: str, written_as: str, mode: int) -> None:
    text = SITE_AGENT_0_5_6.replace('homedir_umask: "0700"', f"{key}: {written_as}")
    assert load(written(tmp_path, text)).offerings[0].backend_settings.home_mode == mode


def test_a_secret_that_yaml_reads_as_a_number_is_not_quoted(tmp_path: Path) -> None:
    found = errors(
        tmp_path, SITE_AGENT_0_5_6.replace('waldur_api_token: "secret-token"', "waldur_api_token: 0xdeadbeef", 1)
    )
    assert "config.yaml:6: offerings.0.waldur_api_token: has to be in quotes" in found
    assert "deadbeef" not in found and str(0xDEADBEEF) not in found


@pytest.mark.parametrize("wrong", ["88", "0x1f", "0o77", "1:00", "-1", "1777"])
def test_what_is_no_umask(tmp_path: Path, wrong: str) -> None:
    text = SITE_AGENT_0_5_6.replace('homedir_umask: "0700"', f"homedir_umask: {wrong}")
    assert "must be an octal umask" in errors(tmp_path, text)


def test_what_may_hold_anything_and_what_is_not_used_may_be_written_in_any_way(tmp_path: Path) -> None:
    text = SITE_AGENT_0_5_6 + "log_shipping: {interval: 1:00, since: 2026-01-02, mode: 0644}\n"
    text += "reconcile: {prune: off, usernames: {options: {mode: 0644, since: 2026-01-02, 'on': yes}}}\n"
    config = load(written(tmp_path, text))
    assert config.reconcile.usernames.options["mode"] == 0o644 and config.reconcile.prune is False


@pytest.mark.parametrize(
    "text", ["a: &x {b: *x}\n", "offerings: &x [{name: a, more: [*x]}]\n", "&x a: {b: 1}\nc: &y [*y]\n"]
)
def test_an_alias_that_leads_back_to_itself(tmp_path: Path, text: str) -> None:
    found = errors(tmp_path, text)
    assert "an alias (*) within what begins here leads back to it" in found
    assert f"config.yaml:{text.count(chr(10))}: " in found


def test_aliases_that_multiply(tmp_path: Path) -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert "aliases (*) multiply them" in errors(tmp_path, text)
    assert "one within the other" in errors(tmp_path, "a: " + "[" * 300 + "]" * 300)


def test_a_share_is_no_switch(tmp_path: Path) -> None:
    """``false`` would be 0, which blocks everything."""
    text = f"{EVERY_KEY}\nreconcile: {{guards: {{limit_cuts: false}}}}\n"
    assert "must be a number from 0 to 1" in errors(tmp_path, text)
