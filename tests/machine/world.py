"""Where the machine runs: what it needs of a portal and a cluster, and who and what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reconciler.config import Config
from reconciler.cycle.cluster import Cluster
from reconciler.state.model import State
from tests.memory.faults import Faults

if TYPE_CHECKING:  # it looks at allocations of here
    from tests.machine.product import Product

#: resources; ``TWO`` would have the account of ``Two``, ``six`` is of another offering on the same cluster
NAMES = ("one", "Two", "three", "four", "five", "six", "TWO")
SECOND = frozenset({"six"})
PROJECTS = {"alpha": "north", "beta": "north", "gamma": "south"}
PEOPLE = ("ann", "bob", "cyd")  # whom the portal knows
NEWCOMERS = {"dora": "dxavier", "dirk": "dxavier2", "emil": "eyoung"}  # whom the cluster gives a name
STRANGERS = ("opera", "eve")  # whom only the operator knows
KNOWN = frozenset({*PEOPLE, *NEWCOMERS.values()})
MAX_DELETIONS = 1
#: everything but what would take somebody else's accounts along
CONSENT = frozenset(
    {"allow_empty_portal", "min_resources_share", "max_deletions", "max_updates_share", "min_read_share", "limit_cuts"}
)


def account_of(name: str) -> str:
    """The account of a resource."""
    return f"{'g_' if name in SECOND else 'a_'}{name.lower()}"


def component_of(name: str) -> tuple[str, int]:
    """What a resource is sold by, and the TRES-minutes in a unit of it."""
    return ("node", 30) if name in SECOND else ("cpu", 60)


def offering_block(
    name: str, url: str, of: str, *, word: str, sold: Callable[[str], tuple[str, int]] = component_of, **more: Any
) -> dict[str, Any]:
    """The offering that has a resource of that name; ``sold``: by which component."""
    component, factor = sold(of)
    return {
        "name": name,
        "waldur_api_url": url,
        "backend_type": word,
        "order_processing_backend": word,
        "membership_sync_backend": word,
        "reporting_backend": "",
        "backend_settings": {
            "cluster_name": "testbed",
            "customer_prefix": "c_",
            "project_prefix": "p_",
            "allocation_prefix": account_of(of)[:2],
            "qos_paused": "paused",
            "qos_downscaled": "slowdown",
            "enable_user_homedir_account_creation": False,
        },
        "backend_components": {
            component: {"accounting_type": "limit", "measured_unit": "h", "label": "x", "unit_factor": factor}
        },
        **more,
    }


def configured(state_dir: Path, *offerings: Mapping[str, Any]) -> Config:
    """Offerings on one cluster; usage is told by nobody."""
    return Config.model_validate(
        {
            "offerings": list(offerings),
            "reconcile": {
                "usage_minutes": 0,
                "state_dir": str(state_dir),
                "guards": {"max_deletions": MAX_DELETIONS, "max_deletions_share": 0},
                "runner": {"parallel": 1},
                "http_retries": 0,
            },
        }
    )


@dataclass
class Allocation:
    """What the portal says of a resource."""

    name: str
    project: str
    state: str = "absent"
    backend_id: str = ""
    order: str = ""  # the type of the one underway
    limit: int | None = 0  # None: no amount
    paused: bool = False
    downscaled: bool = False
    restricted: bool = False

    @property
    def account(self) -> str:
        """Its account on the cluster."""
        return account_of(self.name)

    @property
    def ends(self) -> bool:
        """It has ended, or its customer ordered the end."""
        return self.state in ("absent", "Terminated", "Terminating") or self.order == "Terminate"


def amount(value: object) -> int | None:
    """A limit as a whole number, if it is one."""
    try:
        found = int(str(value))
    except ValueError:
        return None
    return None if isinstance(value, bool) or found < 0 else found


class World(Protocol):
    """Where the machine runs."""

    product: Product
    names: tuple[str, ...]  # the resources that it can have
    faults: Faults
    config: Config

    def component(self, name: str) -> tuple[str, int]:
        """What a resource is sold by, and the cluster's units in one of it."""

    def cluster(self) -> Cluster:
        """A head node's next run."""

    def read(self) -> State:
        """The cluster as it is, whatever is broken."""

    def operate(self, command: str) -> None:
        """The operator's own command; one that is refused is no failure."""

    def allocation(self, name: str) -> Allocation | None:
        """A resource by name."""

    def add(self, name: str, project: str, limit: int, *, ordered: bool) -> None:
        """A resource that a customer ordered, or that is there already and has no account."""

    def edit(self, name: str, **facts: Any) -> None:
        """Change a resource."""

    def order(self, name: str, kind: str, limit: int | None = None) -> None:
        """A customer's order."""

    def members(self, project: str) -> set[str]:
        """People of a project who may have access."""

    def enter(self, person: str, project: str) -> None:
        """A person joins."""

    def leave(self, person: str, project: str) -> None:
        """A person leaves."""

    def restrict(self, person: str, restricted: bool) -> None:
        """An offering user is restricted, or no more."""

    def namesake(self, person: str, there: bool) -> None:
        """Somebody else has the person's name in another case, or no more."""

    def newcomer(self, person: str) -> bool:
        """A person comes who has no name on the cluster; whether there can be such people."""

    def host(self, person: str, knows: bool) -> None:
        """The head node learns or forgets who somebody is."""

    def unknown(self) -> set[str]:
        """Whom the head node does not know."""

    def home(self, person: str) -> str | None:
        """Mode of the home that a person has, or whose it is instead; None: homes are not looked after here."""

    def home_by_hand(self, person: str, what: str) -> None:
        """It is open to everybody, gone, or somebody else's."""

    def people(self) -> set[str]:
        """Everybody's name on the cluster, as far as they have one."""

    def told(self, name: str) -> dict[str, object] | None:
        """What the portal holds of a resource's usage in this month; None: not looked after here."""

    def spent(self, account: str) -> dict[str, int]:
        """Seconds of each user's jobs on an account in this month."""

    def doubtful(self) -> set[str]:
        """People of whom nobody knows who they are."""

    def jobs(self) -> set[tuple[str, str]]:
        """Accounts and users with jobs."""

    def used(self) -> set[str]:
        """Accounts with usage in this month."""

    def work(self, account: str, user: str) -> None:
        """A job begins."""

    def use(self, account: str) -> None:
        """An account was used."""

    def runaway(self, account: str) -> bool:
        """A job of ann's of whose end nobody is told, where such a thing can be had."""
        return False

    def mend(self) -> None:
        """Such jobs have ended as they began."""

    def rest(self) -> None:
        """All jobs end."""

    def close(self) -> None:
        """The end."""
