"""A YAML document that knows the line of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reconciler.errors import ConfigError

KeyPath = tuple[str | int, ...]


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
        self.data = self._parse(text, expected)

    def _parse(self, text: str, expected: str) -> dict[str, Any]:
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
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
        self._index(node, ())
        return data

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

    def _index(self, node: yaml.Node | None, path: KeyPath) -> None:
        if node is None:
            return
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                self.lines[inner] = key.start_mark.line + 1
                self._index(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._index(value, (*path, number))

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest enclosing one that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)
