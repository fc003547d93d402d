"""A YAML document that knows the line of every key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reconciler.errors import ConfigError

KeyPath = tuple[str | int, ...]
_MOST_NODES = 200_000  # with everything that aliases repeat
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE)
_PLAIN = {
    "tag:yaml.org,2002:int": _DECIMAL,
    "tag:yaml.org,2002:float": _FRACTION,
    "tag:yaml.org,2002:bool": re.compile("true|false", re.IGNORECASE),
    "tag:yaml.org,2002:timestamp": re.compile("(?!)"),
}


@dataclass(frozen=True)
class Reread:
    """A value without quotes that YAML 1.1 reads as something else than what is written."""

    text: str
    value: object

    @property
    def switch(self) -> bool:
        """Whether it is yes, no, on or off."""
        return isinstance(self.value, bool)

    @property
    def problem(self) -> str:
        """What is wrong, and what to write."""
        quoted = f'"{self.text}" in quotes if it is text'
        if not isinstance(self.value, int | float) or self.switch:
            return f"YAML reads {self.text} as {self.value}: write {quoted}"
        digits = self.text.replace("_", "").lstrip("+0") or "0"
        plain = digits if _FRACTION.fullmatch(digits) else f"{self.value}"
        return f"YAML reads {self.text} as {self.value}: write {plain}, or {quoted}"


def _unquoted(problem: str | None) -> str:
    """What is wrong, without the text of the file, which may be a secret that begins with * or !."""
    for sign, word in (("undefined alias", "*"), ("could not determine a constructor for the tag", "!")):
        if problem and sign in problem:
            return f'a value that begins with {word} has to be in quotes, like "{word}..."'
    return problem or "it breaks off"


class Document:
    """A mapping read from YAML text. Raises :class:`ConfigError` where it is none; equal keys are problems."""

    def __init__(self, path: Path, text: str, expected: str) -> None:
        self.path = path
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[tuple[int, str]] = []
        self.reread: dict[KeyPath, Reread] = {}
        self._nodes = 0
        self.data = self._parse(text, expected)

    def _parse(self, text: str, expected: str) -> dict[str, Any]:
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            self._finite(node, ())
            self._duplicates(node)
            data = loader.construct_document(node) if node else None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise ConfigError(f"{self.path}:{line}: not valid YAML: {_unquoted(error.problem)}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path}: not valid YAML: {error}") from None
        finally:
            if loader is not None:
                loader.dispose()
        if not isinstance(data, dict):
            raise ConfigError(f"{self.path}:1: {expected}")
        self._index(node, (), loader)
        return data

    def _finite(self, node: yaml.Node | None, above: tuple[yaml.Node, ...]) -> None:
        """Aliases may lead back to where they stand, or multiply without end."""
        self._nodes += 1
        if node is None or isinstance(node, yaml.ScalarNode):
            return
        line = node.start_mark.line + 1
        if any(node is one for one in above):
            raise ConfigError(f"{self.path}:{line}: an alias (*) within what begins here leads back to it, without end")
        if self._nodes > _MOST_NODES or len(above) > 100:
            raise ConfigError(
                f"{self.path}:{line}: too many values, or one within the other; aliases (*) multiply them"
            )
        for one in node.value:
            for inner in one if isinstance(one, tuple) else (one,):
                self._finite(inner, (*above, node))

    def _duplicates(self, node: yaml.Node | None) -> None:
        """YAML takes the last of two equal keys without a word."""
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in seen and name != "<<":
                    text = f"{self.path}:{line}: {name}: given twice (first on line {seen[name]})"
                    self.problems.append((line, text))
                seen.setdefault(name, line)
                self._duplicates(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._duplicates(value)

    def _index(self, node: yaml.Node | None, path: KeyPath, loader: yaml.SafeLoader) -> None:
        if node is None:
            return
        self._reread(node, path, loader)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                self.lines[inner] = key.start_mark.line + 1
                self._index(value, inner, loader)
                self._reread(key, inner, loader)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._index(value, (*path, number), loader)

    def _reread(self, node: yaml.Node, path: KeyPath, loader: yaml.SafeLoader) -> None:
        plain = _PLAIN.get(node.tag) if isinstance(node, yaml.ScalarNode) and node.style is None else None
        if plain is not None and not plain.fullmatch(node.value):
            self.reread[path] = Reread(node.value, loader.construct_object(node))

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest enclosing one that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)
