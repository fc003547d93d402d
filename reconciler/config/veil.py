"""What takes secrets out of everybody's words: of servers, of commands, of libraries."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import parse_qsl, quote, unquote, urlsplit

#: what is replaced in data, not only in messages, has to be too long to be there by chance
_UNMISTAKABLE = 16
_SHORTEST = 4
_VEILED = "…"


class Veil:
    """Takes secrets out of what a server sent back, a command printed or a library says."""

    def __init__(self, *secrets: str) -> None:
        self._hidden: tuple[str, ...] = ()
        self.hide(*secrets)

    def hide(self, *secrets: str) -> None:
        """Never let these through from now on, however they are written; of an address, what is secret in it."""
        forms: list[str] = []
        for secret in secrets:
            if "://" in secret:
                self.hide_address(secret)
            elif len(secret) >= _SHORTEST:
                forms += (secret, quote(secret, safe=""), html.escape(secret), json.dumps(secret)[1:-1])
        # put in place at once: other threads may be looking
        self._hidden = tuple(sorted({*self._hidden, *forms}, key=lambda form: (-len(form), form)))

    def hide_address(self, address: str) -> None:
        """Never let the passwords of an address through, nor the header that one of a proxy becomes."""
        try:
            parts = urlsplit(address if "://" in address else f"//{address}")
        except ValueError:  # where the password ends cannot be told
            self.hide(address.partition("://")[2])
            return
        self.hide(*(value for name, value in parse_qsl(parts.query) if "pass" in name.lower() and "://" not in value))
        if parts.password and "://" not in parts.password:
            user, password = unquote(parts.username or ""), unquote(parts.password)
            self.hide(parts.password, password, base64.b64encode(f"{user}:{password}".encode()).decode())

    def hide_all_of(self, other: Veil) -> None:
        """Hide what the other hides at this moment."""
        self.hide(*other._hidden)

    def text(self, text: str) -> str:
        """A message without them."""
        for secret in self._hidden:
            text = text.replace(secret, _VEILED)
        return text

    def body(self, data: bytes) -> bytes:
        """An answer without them."""
        for secret in self._hidden:
            if len(secret) >= _UNMISTAKABLE:
                data = data.replace(secret.encode("utf-8", "surrogateescape"), _VEILED.encode())
        return data
