"""The promises hold where accounts have money: the machine of ``tests/machine`` on the stand-in's books in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import quoteattr

from hypothesis.stateful import run_state_machine_as_test

from reconciler.config import Runner
from reconciler.cycle.cluster import Cluster
from reconciler.errors import CommandError
from reconciler.providers.moab import kinds
from reconciler.providers.registry import backend_of
from reconciler.providers.runner import CommandRunner, Result
from reconciler.state.diff import values_of
from reconciler.state.model import State
from tests.machine.product import Product
from tests.machine.rules import Machine
from tests.machine.size import worlds
from tests.machine.world import NEWCOMERS, Allocation, World
from tests.memory.faults import Fault, Faults
from tests.memory.world import NOW, PortalsInMemory
from tests.standin.mam import ledger as books
from tests.standin.mam.client import answer

NAME = "testbed"
WRITES = ("create", "modify", "delete", "deposit", "withdraw")

MOAB = Product(
    shape=kinds.SHAPE,
    found=("create-account -a staff -o staff -u opera", "create-fund", "deposit -f 1 -z 1000"),
    strangers=(
        "create-account -a lab -o a_two -u eve",
        "create-account -a a_ghost -o p_alpha -u eve; create-fund -a a_ghost; deposit -a a_ghost -z 5",
        "modify-account -a a_one --add-user eve",
    ),
    hands=(
        "create-account -a staff -o staff",
        "create-account -a a_ghost -o p_alpha -u eve",
        "create-account -a wing -o p_alpha",
        "create-account -a a_two -o elsewhere",
        "modify-account -a staff --add-user opera; modify-account -a staff --add-user ann",
        "modify-account -a a_one --add-user eve; modify-account -a g_six --add-user ann",
        "modify-account -a a_two --add-user -ann; modify-account -a a_three --add-user ^cyd",
        "modify-account -a a_one --deact-user ann; modify-account -a a_two --deact-user bob",
        "create-fund -a a_one -u ann",
        "create-fund -a a_two; deposit -a a_two -z 3",
        "deposit -a a_one -z 7; deposit -a g_six -z 0.25",
        "withdraw -a a_one -z 1; withdraw -a g_six -z 1",
        "withdraw -a a_two -z 0.5",
        "deposit -f 1 -z 10",
        "modify-account -a a_one -o staff",
        "modify-account -a a_two -o two -I",
        "modify-account -a staff -o a_one",
        "modify-account -a p_alpha -o drifted",
        "modify-account -a a_one -I; modify-account -a g_six -I",
        "modify-account -a a_one --del-user ann",
        "modify-account -a a_two --del-user bob; modify-account -a a_two --del-user cyd",
        "modify-account -a a_ghost --del-user eve; delete-account -a a_ghost",
        "modify-account -a lab --del-user eve; delete-account -a lab",
        "create-user -u dora; create-user -u ann",
    ),
    targets=(
        *[()] * 8,
        ("moab.account[*]",),
        ("moab.account[a_one]", "moab.member[a_one,*]"),
        ("moab.fund[*]",),
        ("moab.member[*]",),
        ("waldur.order[*]",),
        ("waldur.resource[*]",),
    ),
    as_sold=lambda one, place: None,
    people_stay=True,
)


class BooksRunner(CommandRunner):
    """``mam-*``, the queue and the host in memory, as far as the faults let them."""

    def __init__(self, world: MoabWorld, faults: Faults | None = None) -> None:
        super().__init__(Runner(ssh_host="memory", parallel=1))
        self.world, self.faults = world, faults or Faults()

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> Result:
        """Answer one command. Raises :class:`CommandError` where its answer is lost."""
        argv = (program, *arguments)

        def problem(fault: Fault) -> Result:
            if fault is Fault.LOST:
                raise CommandError(f"{program}: no answer after 120 s, stopped")
            if fault is Fault.OUTAGE:
                return Result(argv, 22, "Failed sending message: (Connection refused).\n", "")
            return Result(argv, 72, "DBD::Pg::db do failed\n", "")

        def work() -> Result:
            return self.world.answered(argv)

        if program == "mjobctl" or (program.split("-")[1:2] and program.split("-")[1] in WRITES):
            return self.faults.write(work, problem)
        return problem(Fault.OUTAGE) if self.faults.down else work()


class MoabWorld(PortalsInMemory):
    """Books in memory: what is sold is money, and jobs are charged."""

    def __init__(self) -> None:
        metered = {"reporting_backend": "moab"}
        super().__init__("moab", *[{**metered, "backend_settings": {"moab": {"customer_accounts": True}}}] * 2)
        self.product = replace(MOAB, as_sold=self._as_sold)
        self.books = books.empty(autogen_user=False)
        # who was never charged cannot be told from one who is shown nothing
        books.charge(self.books, "staff", "opera", "1", "2026-01-10 06:00:00")
        self.queue: list[tuple[str, str, str]] = []
        self.strangers = {*NEWCOMERS.values()}
        self.numbers = 0

    @staticmethod
    def component(name: str) -> tuple[str, int]:
        """Money alone."""
        return kinds.DEPOSIT, 1

    def answered(self, argv: tuple[str, ...]) -> Result:
        """What a command prints."""
        program, *words = argv
        if program == "showq":
            listed = "".join(
                f"<job JobID={quoteattr(n)} Account={quoteattr(a)} User={quoteattr(u)}/>" for n, a, u in self.queue
            )
            return Result(argv, 0, f"<Data>{listed}</Data>", "")
        if program == "mjobctl":
            self.queue = [job for job in self.queue if job[0] not in words[-1].split(",")]
            return Result(argv, 0, "", "")
        if program == "getent":
            known = [n for n in words[1:] if n not in self.strangers]
            return Result(argv, 0, "".join(f"{n}:x:1:1::/:/bin/sh\n" for n in known), "")
        said = answer(self.books, program, words)
        return Result(argv, said.code, said.out, said.err)

    def cluster(self) -> Cluster:
        return self.head_node(NAME, BooksRunner(self, self.faults))

    def read(self) -> State:
        return backend_of("moab").open(NAME, BooksRunner(self), self.config).read().state

    def operate(self, command: str) -> None:
        for one in command.split(";"):
            program, *words = one.split()
            answer(self.books, f"mam-{program}", words)

    def _as_sold(self, one: Allocation, place: Mapping[str, Any]) -> None:
        """What is allocated is the limit, or what is spent where that is more; a pause closes the account."""
        assert place["active"] == ("False" if one.paused else "True"), (one, place)
        state = self.read()
        found = state.get(kinds.FUND.at(one.account))
        if one.limit is None or (found is not None and ", " in str(values_of(found)["id"])):
            return  # no amount, or several funds that an operator made
        assert found is not None, one
        mine = values_of(found)
        spent = Decimal(str(mine["allocated"])) - Decimal(str(mine["balance"]))
        assert Decimal(str(mine["allocated"])) == max(Decimal(one.limit), spent), (one, mine)

    def host(self, person: str, knows: bool) -> None:
        (self.strangers.discard if knows else self.strangers.add)(person)

    def unknown(self) -> set[str]:
        return set(self.strangers)

    def home(self, person: str) -> str | None:
        return None

    def home_by_hand(self, person: str, what: str) -> None:
        """Homes are looked after elsewhere."""

    def spent(self, account: str) -> dict[str, int]:
        """An hour's worth of seconds for each sixtieth of a credit, so that both count alike."""
        found: dict[str, int] = {}
        for one in self.books["usage"]:
            if one["account"] == account:
                found[one["user"]] = found.get(one["user"], 0) + one["charge"] * 60 // books.MICRO
        return found

    def jobs(self) -> set[tuple[str, str]]:
        return {(account, user) for _, account, user in self.queue}

    def used(self) -> set[str]:
        return {one["account"] for one in self.books["usage"]}

    def work(self, account: str, user: str) -> None:
        self.numbers += 1
        self.queue.append((f"Moab.{self.numbers}", account, user))

    def use(self, account: str) -> None:
        books.charge(self.books, account, "ann", "1", f"{NOW:%Y-%m-%d} 06:00:00")

    def runaway(self, account: str) -> bool:
        return False

    def mend(self) -> None:
        """Nothing ran away."""

    def rest(self) -> None:
        self.queue = []


def test_the_promises_hold_where_accounts_have_money() -> None:
    class WithMoney(Machine):
        def make(self) -> World:
            return MoabWorld()

    run_state_machine_as_test(WithMoney, settings=worlds(30))
