"""Keys that are known, misspelt and unused: check and the schema agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from reconciler.config import load
from reconciler.config.schema import schema
from tests.config.documents import DWDI_PLUGIN_0_1_0, EVERY_KEY, SITE_AGENT_0_5_6, errors, written
from tests.conftest import ROOT, offering


def test_unused_keys_are_told_only_where_they_say_something(tmp_path: Path) -> None:
    document = {"sentry_dsn": "", "log_shipping": {}, "offerings": [offering("https://x", oidc_token_url=None)]}
    assert "not used" not in str(load(written(tmp_path, yaml.safe_dump(document))).warnings)
    document["log_level"] = "DEBUG"
    assert "not used by this version, ignored: log_level" in load(written(tmp_path, yaml.safe_dump(document))).warnings


def keys(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all keys of a document, but for those that a site names itself and of parts that are not used."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        here = (*path, key)
        if path and path[-1] in UNCHECKED:
            continue
        if not isinstance(key, int) and (not path or path[-1] not in NAMED):
            yield here
        if isinstance(value, dict | list):
            yield from keys(value, here)


NAMED = ("backend_components", "target_components", "billing_weights", "tres_billing_weights")
UNCHECKED = {"log_shipping", "event_processing", "observable_object_types", "qos_management"}
CHECKED = [SITE_AGENT_0_5_6, EVERY_KEY, DWDI_PLUGIN_0_1_0]


@pytest.mark.parametrize("text", CHECKED, ids=["site agent", "every key", "dwdi"])
def test_a_misspelt_key_is_refused_by_check_and_schema_alike(tmp_path: Path, text: str) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    whole = yaml.safe_load(text)
    validator.validate(whole)
    for path in keys(whole):
        document = yaml.safe_load(text)
        inner = document
        for part in path[:-1]:
            inner = inner[part]
        inner[f"{path[-1]}s"] = inner.pop(path[-1])
        assert f"{path[-1]}s" in errors(tmp_path, yaml.safe_dump(document)), path
        assert not validator.is_valid(document), path


def test_the_schema_takes_what_check_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTOR", "5")
    (tmp_path / "token").write_text("secret-of-mine\n")
    document = yaml.safe_load(SITE_AGENT_0_5_6) | {"x-mine": {"a": 1}}
    one = document["offerings"][0]
    del one["waldur_api_token"]
    one["waldur_api_token_file"] = str(tmp_path / "token")
    one["backend_settings"]["homedir_umask"] = 27
    one["backend_components"]["cpu"]["unit_factor"] = "${FACTOR}"
    document["reporting_periods"] = "${FACTOR}"
    load(written(tmp_path, yaml.safe_dump(document)))
    jsonschema.validate(document, schema())
    for example in sorted((ROOT / "examples").glob("*/config.yaml")):
        jsonschema.validate(yaml.safe_load(example.read_text()), schema())
    one["backend_components"]["cpu"]["unit_factor"] = 0
    assert not jsonschema.Draft202012Validator(schema()).is_valid(document)
