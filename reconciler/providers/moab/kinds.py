"""What there is in a MAM: accounts below organizations, people, memberships, and the fund of an account."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.state import compare, waldur
from reconciler.state.kinds import Field, Key, Kind, Role, declare
from reconciler.state.model import Address
from reconciler.state.tree import Shape
from reconciler.state.values import Value

#: the only component: money, in the unit of the site's charge rates
DEPOSIT = "deposit"
YES, NO = "True", "False"
#: what several values of one thing are joined by, so that no call takes them for one
MANY = ", "


def _its_account(key: Key, values: Mapping[str, Value]) -> tuple[Address, ...]:
    return (ACCOUNT.at(key[0]),)


USER = Kind(
    "moab.user",
    ("name",),
    0,
    Role.PERSON,
    (Field("name", compare.IF_KNOWN, "as it is written, where that is not in lower case"),),
)
ACCOUNT = Kind(
    "moab.account",
    ("name",),
    1,
    Role.ACCOUNT,
    (
        Field(
            "organization", compare.TEXT, "the project (or customer) above it; empty: its own", heading="Organization"
        ),
        Field("description", compare.IF_KNOWN, "Waldur name, written once: it may hold what spoils a list"),
        Field(
            "active", compare.TEXT, "False: nothing is charged to it, so that its jobs do not start", heading="Active"
        ),
    ),
    above="organization",
    description="description",
)
MEMBER = Kind(
    "moab.member",
    ("account", "user"),
    3,
    Role.MEMBER,
    (
        Field("active", compare.TEXT, "False: may not charge the account"),
        Field("name", compare.IF_KNOWN, "as it is written, where that is not in lower case"),
    ),
    _its_account,
    drained={"active": NO},
)
FUND = Kind(
    "moab.fund",
    ("account",),
    2,
    Role.BUDGET,
    (
        Field("allocated", compare.AMOUNT, "money put in, spent or not", heading="Allocated", unit="credits"),
        Field("window", compare.TEXT, "first day / day after the last one of the period; empty: it lasts"),
        Field("id", compare.GIVEN, "the number by which MAM knows it", heading="Fund"),
        Field("balance", compare.GIVEN, "what of it is left", heading="Balance"),
    ),
    _its_account,
    budget="allocated",
    component=DEPOSIT,
)
declare(USER, ACCOUNT, MEMBER, FUND)
waldur.tell((Field("allocated", compare.TEXT, "backend metadata: allocated amount of the account's fund"), "allocated"))
SHAPE = Shape(account=ACCOUNT.name, member=MEMBER.name, person=USER.name, above="organization", budget=FUND.name)
