"""A process that dies anywhere, or whose answer is lost, puts money in once."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.config import Offering, Runner
from reconciler.errors import CommandError, ReconcileError
from reconciler.providers.base import Allocation
from reconciler.providers.moab import kinds
from reconciler.providers.moab.cluster import MoabCluster
from reconciler.providers.moab.money import Purses, window
from reconciler.providers.runner import CommandRunner, Result
from reconciler.state.diff import diff
from reconciler.state.facts import Resource
from reconciler.state.model import Desired, Obj
from tests.moab.conftest import ACCOUNT, MOVES
from tests.standin.mam import ledger as books
from tests.standin.mam.client import answer
from tests.standin.mam.site import MoabSite

TODAY = datetime.now(UTC).date()

# ---------------------------------------------------------------------- a process that dies


@pytest.mark.parametrize("kind", ["before", "after"])
@pytest.mark.parametrize(
    ("program", "nth"),
    [
        ("mam-create-user", 1), ("mam-create-account", 1), ("mam-create-account", 2), ("mam-modify-account", 1),
        ("mam-create-fund", 1), ("mam-deposit", 1), ("mam-list-funds", 2), ("mam-list-funds", 3), ("mam-list-funds", 5),
    ],
)  # fmt: skip
def test_killed_at_any_call_it_deposits_once(site: MoabSite, program: str, nth: int, kind: str) -> None:
    site.fault(program, nth, kind)
    assert site.process("apply", "--auto-approve").code == -9
    site.well()
    assert site("apply", "--auto-approve").code == 0
    assert site.money(ACCOUNT) == (500, 500)
    assert len(site.ledger()["funds"]) == 1
    assert sum(t["amount"] for t in site.ledger()["transactions"]) == 500 * books.MICRO
    assert "No changes." in site("plan").out


class DyingRunner(CommandRunner):
    """``mam-*`` on a ledger in memory, where jobs are charged at any moment; one answer is lost."""

    def __init__(self, ledger: books.Ledger, left: int, kind: str, chance: random.Random) -> None:
        super().__init__(Runner(parallel=1))
        self.ledger, self.left, self.kind, self.chance = ledger, left, kind, chance

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> Result:
        """One call. Raises :class:`CommandError` where its answer is lost."""
        argv = (program, *arguments)
        self.left -= 1
        if self.left == 0 and self.kind == "before":
            raise CommandError("lost before it was made")
        if program in MOVES and self.chance.random() < 0.1:  # jobs are charged at any moment
            charged = self.chance.choice(list(self.ledger["accounts"]))
            books.charge(self.ledger, charged, "amy", str(self.chance.randint(1, 30)), "2026-11-20 10:00:00")
        said = answer(self.ledger, program, arguments)
        if self.left == 0:
            raise CommandError("lost once it was made")
        return Result(argv, said.code, said.out, said.err)


@dataclass
class Site:
    """Books, what each account is to have, and how long money lasts."""

    ledger: books.Ledger
    wanted: dict[str, Decimal]
    period: str

    @property
    def offering(self) -> Offering:
        """Where the limits come from."""
        about = {"name": "Money", "waldur_api_url": "file:x.yaml", "backend_type": "moab"}
        settings_ = {"moab": {"period": self.period}}
        components = {"deposit": {"accounting_type": "limit"}}
        return Offering.model_validate({**about, "backend_settings": settings_, "backend_components": components})

    def put_in(self, fund: str) -> int:
        """What was put in for the present period, or for good."""
        first, _, after = window(self.period, TODAY).partition("/")
        lasting = (f"{first} 00:00:00", f"{after} 00:00:00") if after else books.NEVER
        rows = [a for a in self.ledger["allocations"].values() if a["fund"] == fund]
        return sum(a["allocated"] for a in rows if (a["start"], a["end"]) == lasting)

    def own(self, account: str) -> list[str]:
        """The funds that are an account's own."""
        return [k for k, f in self.ledger["funds"].items() if f["constraints"] == [f"Account={account}"]]


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """Funds of a few accounts, partly spent, some with pools beside them; MAM's clock may be another one."""
    ledger = books.empty(precision=draw(st.sampled_from((0, 2, 3))), autogen_fund=draw(st.booleans()))
    ledger["clock"] = draw(st.sampled_from((f"{TODAY} 12:00:00", "2020-01-31 23:30:00")))
    cents = Decimal(1).scaleb(-ledger["settings"]["precision"])
    amounts = st.integers(0, 2000).map(lambda n: n * cents * 10)
    site = Site(ledger, {}, draw(st.sampled_from(("total", "month", "year"))))
    first, _, after = window(site.period, TODAY).partition("/")
    lasting = (f"{first} 00:00:00", f"{after} 00:00:00") if after else books.NEVER
    for number in range(draw(st.integers(1, 3))):
        name = f"a_{number}"
        books.create_account(ledger, name, "p", "", "", active=True)
        if not site.own(name) and draw(st.booleans()):
            books.create_fund(ledger, [f"Account={name}"])
        if site.own(name) and (amount := draw(amounts)):
            books.deposit(ledger, site.own(name)[0], books.micro(str(amount)), *lasting, "")
            books.charge(ledger, name, "amy", str(draw(amounts)), "2026-11-01 10:00:00")
        site.wanted[name] = draw(amounts)
    if draw(st.booleans()):
        books.create_fund(ledger, [])
    return site


def cycle(runner: DyingRunner, site: Site) -> None:
    """What an apply does with the money of these accounts: the provider's own plan, then each call."""
    offering = site.offering
    cluster = MoabCluster(runner, "moab", offering.backend_settings.moab, "UTC")
    state = cluster.read().state
    desired = Desired({kinds.ACCOUNT.at(name): Obj({}) for name in site.wanted})
    allocations = [
        Allocation(offering, Resource(n, n, n, "OK", n, "p", "c", limits={"deposit": str(a)}), n, "p")
        for n, a in site.wanted.items()
    ]
    Purses(desired, state, TODAY, cluster.effective).want(allocations)
    for change in [c for c in diff(desired, state) if c.address.kind == kinds.FUND.name and not c.blocked]:
        for command in cluster.commands([change], "moab"):
            assert command.once is not None
            try:
                arguments = command.once.before()
                if arguments is None:
                    continue
                result = runner.run(command.program, *arguments)
                if cluster.verdict(result).problem:
                    break
                command.once.after()
            except CommandError:
                raise
            except ReconcileError:
                break


DEATHS = st.lists(st.tuples(st.integers(1, 30), st.sampled_from(("before", "after"))), max_size=4)


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(sites(), DEATHS, st.integers())
def test_money_is_never_put_in_twice(site: Site, deaths: list[tuple[int, str]], seed: int) -> None:
    """Whatever the books hold and wherever it dies: in the end each fund has what it should, or what is spent."""
    chance = random.Random(seed)
    for left, kind in deaths:
        before = {k: site.put_in(k) for k in site.ledger["funds"]}
        with contextlib.suppress(ReconcileError):
            cycle(DyingRunner(site.ledger, left, kind, chance), site)
        for name, amount in site.wanted.items():
            for fund in site.own(name):
                most = max(books.micro(str(amount)), before.get(fund, 0))
                assert site.put_in(fund) <= most, "more was put in than anybody wanted"
    chance.random = lambda: 1.0  # type: ignore[method-assign]
    cycle(DyingRunner(site.ledger, 10**9, "", chance), site)
    for name, amount in site.wanted.items():
        (fund,) = site.own(name)
        free = books.balance(site.ledger, fund) - books.reserved(site.ledger, fund)
        had = site.put_in(fund)
        # what is above the limit is spent, or lies where MAM's clock has not come yet
        assert had == books.micro(str(amount)) or (had > books.micro(str(amount)) and free == 0)
