"""The backend ``generator``: names after a pattern, transliterated to ASCII, counted on where they collide."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from anyascii import anyascii

from reconciler.config import Usernames
from reconciler.config.pattern import Part, parse
from reconciler.usernames.model import Person, Proposal
from reconciler.usernames.reserved import is_reserved

_SEPARATORS = "-_"
_NO_BEGINNING = "0123456789" + _SEPARATORS
_WORDS = {
    "first_name": "first name",
    "last_name": "last name",
    "first_initial": "first name",
    "last_initial": "last name",
    "email_name": "email address",
    "email_domain": "email address",
    "login": "login",
    "unix_name": "Unix name",
}


class Generator:
    """Proposes a name for everybody who has the fields of a pattern.

    People are served in the order given, and each gets the first free name. So the same people get the same names
    again before any was written, and also after only some of them were.
    """

    def __init__(self, settings: Usernames) -> None:
        self._settings = settings
        self._patterns = [parse(pattern) for pattern in (settings.pattern, *settings.fallbacks)]
        self._reserved = frozenset(name.casefold() for name in settings.reserved)

    def usernames(self, people: Sequence[Person], taken: frozenset[str]) -> Mapping[str, Proposal]:
        """One proposal for everybody."""
        used = {name.casefold() for name in taken} | self._reserved
        counts: dict[str, int] = {}
        proposals: dict[str, Proposal] = {}
        for person in people:
            name, problem = self._wanted(person)
            if name:
                name, problem = self._free(name, used, counts)
            used.add(name)
            proposals[person.offering_user_uuid] = Proposal(name, problem)
        return proposals

    def _wanted(self, person: Person) -> tuple[str, str]:
        """The name a person would have if nobody else were there, or why there is none."""
        fields = _fields(person)
        missing: list[str] = []
        short = ""
        for pattern in self._patterns:
            empty = [part.field for part in pattern if part.field and not fields[part.field]]
            name = "" if empty else self._name(pattern, fields)
            if name and len(name) >= self._settings.min_length:
                return name, ""
            missing += empty
            short = short or name
        if short:
            return "", f'No user name can be made: "{short}" has fewer than {self._settings.min_length} characters.'
        *words, last = dict.fromkeys(_WORDS[field] for field in missing) or ["name"]
        listed = f"{', '.join(words)} or {last}" if words else last
        return "", f"No user name can be made: the profile has no {listed} with letters to make it of."

    def _name(self, pattern: Sequence[Part], fields: Mapping[str, str]) -> str:
        prefix = self._settings.prefix
        text = "".join(part.text + (fields[part.field][: part.length] if part.field else "") for part in pattern)
        # one separator at a time, so that a cut before a number removes one character at most
        text = re.sub(f"([{_SEPARATORS}])[{_SEPARATORS}]+", r"\1", text)
        text = text.lstrip(_SEPARATORS if prefix else _NO_BEGINNING)
        return self._cut(prefix + text, self._settings.max_length)

    def _cut(self, name: str, length: int) -> str:
        """A name that keeps its prefix and something after it, or nothing."""
        cut = name[:length].rstrip(_SEPARATORS) if length > 0 else ""
        return cut if len(cut) > len(self._settings.prefix) else ""

    def _free(self, name: str, used: set[str], counts: dict[str, int]) -> tuple[str, str]:
        """The first of ``name``, ``name2``, ``name3`` … that nobody has; ``counts`` is how far each was counted."""
        settings = self._settings
        if name not in used and not is_reserved(name):
            return name, ""
        number = counts.get(name, settings.count_from)
        while stem := self._cut(name, settings.max_length - len(str(number))):
            counted = f"{stem}{number}"
            number += 1
            if counted not in used and not is_reserved(counted) and len(counted) >= settings.min_length:
                counts[name] = number
                return counted, ""
        return "", f'No user name can be made: "{name}" is taken, and so is every numbered name after it.'


def _fields(person: Person) -> dict[str, str]:
    first, last = ascii_name(person.first_name), ascii_name(person.last_name)
    if not first and not last:
        *others, last = [word for word in map(ascii_name, person.full_name.split()) if word] or [""]
        first = "".join(others)
    mailbox, _, domain = person.email.partition("@")
    return {
        "first_name": first,
        "last_name": last,
        "first_initial": first[:1],
        "last_initial": last[:1],
        "email_name": ascii_name(mailbox.partition("+")[0]),
        "email_domain": ascii_name(domain.replace(".", "-")),
        "login": ascii_name(person.login),
        "unix_name": ascii_name(person.unix_name),
    }


def ascii_name(text: str) -> str:
    """Text in any script as lower-case ASCII letters, digits and inner separators; maybe nothing.

    Symbols are dropped first: an emoji would become its name in English.
    """
    composed = unicodedata.normalize("NFKC", text)
    readable = "".join(c for c in composed if unicodedata.category(c)[0] not in "SC")
    return re.sub(r"[^a-z0-9_-]", "", anyascii(readable).lower()).strip(_SEPARATORS)
