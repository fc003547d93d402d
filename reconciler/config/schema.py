"""The JSON Schema of the configuration file: what is written there, before ``${ENV}`` and ``*_file`` are filled in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.config.block import Section
from reconciler.config.models import Config
from reconciler.config.secrets import SECRETS
from reconciler.config.source import OCTAL

_KEYWORDS = {"gt": "exclusiveMinimum", "ge": "minimum"}
_REFERENCE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}


def schema() -> dict[str, Any]:
    """The schema. It knows every key that is used or only known; any other is refused, but those that begin with x-."""
    made = Config.model_json_schema()
    sections = {model.__name__: model for model in _models(Section)}
    for name, section in (("Config", made), *made["$defs"].items()):
        known = section["properties"]
        known.update({key: {"description": "not used by this version"} for key in sorted(sections[name].UNUSED)})
        known.update({f"{key}_file": {"type": "string"} for key in sorted(SECRETS & known.keys())})
        for key in OCTAL & known.keys():
            known[key] = {"anyOf": [{"type": "integer"}, known[key]]}
        section["properties"] = {key: _written(value) for key, value in known.items()}
        section["additionalProperties"] = False
        section["patternProperties"] = {"^x-": {}}
    return made


def _models(model: type[Section]) -> Iterator[type[Section]]:
    for one in model.__subclasses__():
        yield one
        yield from _models(one)


def _written(value: Any) -> Any:
    """A value's schema, where a reference to a variable may stand for a number or a switch."""
    if isinstance(value, list):
        return [_written(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {_KEYWORDS.get(key, key): _written(inner) for key, inner in value.items()}
    if made.get("type") in ("integer", "number", "boolean"):
        return {"anyOf": [made, _REFERENCE]}
    return made
