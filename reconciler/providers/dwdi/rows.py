"""Rows of DWDI's answers as models. What is not understood spoils its row, what is unknown is passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

_DECIMAL = re.compile(r"\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,2})?", re.ASCII)


class BadRowError(Exception):
    """Why a row cannot be believed."""


def _exact(value: object) -> object:
    """A number or a text of one as an exact fraction; never by way of a binary one."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value.strip()):
            raise ValueError("is no amount")
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is no amount")
    if isinstance(value, Decimal) and (not value.is_finite() or abs(value.adjusted()) > 40):
        raise ValueError("is no plausible amount")
    if value < 0:
        raise ValueError("is negative")
    return Fraction(value)


Amount = Annotated[Fraction, BeforeValidator(_exact)]
_AMOUNT: TypeAdapter[Fraction] = TypeAdapter(Amount, config=ConfigDict(arbitrary_types_allowed=True))


class Row(BaseModel):
    """A row of an answer. Unknown fields are kept aside: which of them is the figure depends on the flavour."""

    model_config = ConfigDict(extra="allow", strict=True, arbitrary_types_allowed=True)

    def figure(self, *spellings: str) -> Fraction | None:
        """The amount of the first of these fields that is there. Raises :class:`BadRowError`."""
        found: dict[str, Fraction] = {}
        for name in spellings:
            if name in (self.model_extra or {}):
                found[name] = amount(name, (self.model_extra or {})[name])
        if len(set(found.values())) > 1:
            raise BadRowError(f"{' and '.join(found)} contradict each other")
        return next(iter(found.values()), None)


class UserRow(Row):
    """What one user used, on one day or on one cluster, or in all."""

    username: str | None
    usage_date: str | None = Field(default=None, alias="usageDate")
    cluster: str | None = None


class AccountRow(Row):
    """What an account used."""

    account: str
    users: list[UserRow] = []


class PathRow(Row):
    """What lies below a path."""

    path: str


class CostRow(Row):
    """What a resource cost."""

    uuid: str = Field(alias="waldurResourceUuid")


R = TypeVar("R", bound=Row)


def amount(name: str, value: Any) -> Fraction:
    """A figure of a row. Raises :class:`BadRowError`."""
    try:
        return _AMOUNT.validate_python(value)
    except ValidationError as error:
        text = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadRowError(f"{name} {text} (found {_short(value)})") from None


def parsed(model: type[R], row: Mapping[str, Any]) -> R:
    """A row as its model. Raises :class:`BadRowError`."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(p) for p in detail["loc"])
        raise BadRowError(f"{place}: {detail['msg']} (found {_short(detail['input'])})") from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
