"""Parsers of ``sacctmgr -P`` output. Total: any text gives rows or one error that quotes the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from reconciler.errors import ReadError
from reconciler.providers.slurm import kinds
from reconciler.providers.slurm.tres import NO_UNIT, TresError, parse_tres
from reconciler.state.model import Address, Obj, State
from reconciler.state.names import fold
from reconciler.state.values import Value, plain

ROOT = "root"
# UINT32_MAX - 1 and friends: "not set" and "parent" in SLURM's own dumps
_PARENT_SHARE = 2147483647

# what we ask for → how the header names it; versions differ, so headers are matched, not positions
ASSOCIATION = [
    "Cluster",
    "Account",
    "User",
    "Partition",
    "ParentName",
    "Share",
    "GrpTRESMins",
    "GrpTRES",
    "MaxTRESMins",
    "GrpSubmit",
    "MaxSubmit",
    "QOS",
    "DefaultQOS",
    "ID",
]
ACCOUNT = ("Account", "Org", "Descr")
USER = ("User", "DefaultAccount", "Admin", "Coordinators")
QOS = ("Name", "Flags")
TRES = ("Type", "Name")
_HEADERS = {
    "DefaultQOS": ("Def QOS", "DefaultQOS"),
    "ParentName": ("ParentName", "Par Name"),
    "GrpSubmit": ("GrpSubmit", "GrpSubmitJobs"),
    "MaxSubmit": ("MaxSubmit", "MaxSubmitJobs"),
    "DefaultAccount": ("Def Acct", "DefaultAccount"),
    "Org": ("Org", "Organization"),
    "Descr": ("Descr", "Description"),
    "Admin": ("Admin", "AdminLevel"),
    "Coordinators": ("Coord Accounts", "Coordinators"),
}


def _bad(command: str, line: str, why: str) -> ReadError:
    shown = line if len(line) <= 200 else line[:200] + "…"
    return ReadError(f"{command}: {why}: {shown!r}", "Nothing was planned from this answer.")


def _lines(text: str, command: str) -> list[str]:
    if not text:
        raise ReadError(
            f"{command}: printed nothing, not even a header",
            "That is how SLURM answers when its database query fails. See slurmdbd's log.",
        )
    if not text.endswith("\n"):
        raise _bad(command, text.rsplit("\n", 1)[-1], "the output was cut in the middle of a line")
    return text.split("\n")[:-1]


def rows(text: str, wanted: Sequence[str], command: str) -> Iterator[tuple[list[str], str]]:
    """Rows of parsable output as lists in the order of ``wanted``, each with its line.

    Raises :class:`ReadError` for a missing header (SLURM's answer to a failed query), an unknown one, a
    row with too few or too many columns, and output whose last line is cut.
    """
    lines = _lines(text, command)
    header = lines[0].split("|")
    places = [_place(name, header, command, lines[0]) for name in wanted]
    width = len(header)
    for line in lines[1:]:
        if not line:
            continue
        cells = line.split("|")
        # -P ends no row with a separator, -p does; tolerate the latter
        if len(cells) == width + 1 and not cells[-1]:
            cells.pop()
        if len(cells) != width:
            raise _bad(command, line, f"expected {width} columns, found {len(cells)}")
        yield [cells[p] for p in places], line


def _place(name: str, header: list[str], command: str, line: str) -> int:
    for spelling in _HEADERS.get(name, (name,)):
        if spelling in header:
            return header.index(spelling)
    raise _bad(command, line, f"no column {name!r} in the header")


def associations(text: str, command: str, cluster: str | None = None) -> tuple[str, State, dict[str, tuple[str, str]]]:
    """The association table: the cluster's name, its accounts and the users' associations, and whose number is whose.

    Account rows have no user. Each value is the object's own, as ``WOPLimits`` prints it. An emulator that
    prints inherited values as well gives itself away on root's own user row, and is un-inherited here.
    """
    name, found = _of_cluster(rows(text, ASSOCIATION, command), command, cluster)
    state: State = {}
    partitions: list[tuple[Address, Obj]] = []
    inherits = any(r[1] == ROOT and r[2] == ROOT and r[11] for r, _ in found)
    own: dict[str, tuple[str, ...]] = {}
    cache: dict[tuple[str, ...], Obj] = {}
    numbers: dict[str, tuple[str, str]] = {}
    for row, line in found:
        account, user, partition, parent = fold(row[1]), fold(row[2]), row[3], fold(row[4])
        limits, number = tuple(row[5:-1]), row[-1]
        if not account:
            raise _bad(command, line, "a row without an account")
        if not user:
            own[account] = limits
            values = _limits(limits, command, line)
            obj = Obj({"parent": parent, **values.values})
            state[kinds.account(account)] = obj
            continue
        numbers[number] = (account, user)
        if inherits:
            limits = _uninherit(limits, own.get(account, ()))
        obj = cache.get(limits) or cache.setdefault(limits, _limits(limits, command, line))
        address = kinds.association(account, user)
        if partition:
            partitions.append((address, obj))
        else:
            state[address] = obj
    for address, obj in partitions:
        state[address] = _with_partition(state[address], obj) if address in state else obj
    return name, state, numbers


def _of_cluster(
    told: Iterable[tuple[list[str], str]], command: str, cluster: str | None
) -> tuple[str, list[tuple[list[str], str]]]:
    """The cluster's name and its rows, which are those of one cluster, and all of them."""
    found = list(told)
    names = {fold(r[0]) for r, _ in found}
    if cluster:
        names &= {fold(cluster)}
        found = [(r, line) for r, line in found if fold(r[0]) in names]
    if len(names) > 1:
        raise ReadError(
            f"{command}: the database holds several clusters: {', '.join(sorted(names))}",
            "Say which one is meant with backend_settings.cluster_name.",
        )
    if not names or not any(r[1] == ROOT and not r[2] for r, _ in found):
        raise ReadError(
            f"{command}: the account 'root' is missing, so the answer is not the whole table",
            "A filtered view (PrivateData) or a failed query looks like this"
            + (f"; or slurmdbd does not know a cluster {cluster!r} (sacctmgr show cluster)." if cluster else "."),
        )
    return names.pop(), found


def _with_partition(obj: Obj, partition: Obj) -> Obj:
    """A user's association with the QoS of its partitions, which could escape a pause, and a stop in one of them."""
    qos = {*obj.values["qos"], *partition.values["qos"]}  # type: ignore[misc]  # sets, as read
    default = obj.values["default_qos"] or partition.values["default_qos"]
    # who may submit nothing in one partition is drained there; setting it anew reaches all rows
    drained = 0 in (obj.values["max_submit_jobs"], partition.values["max_submit_jobs"])
    submit = 0 if drained else obj.values["max_submit_jobs"]
    return Obj({**obj.values, "qos": frozenset(qos), "default_qos": default, "max_submit_jobs": submit})


def _uninherit(limits: tuple[str, ...], parent: tuple[str, ...]) -> tuple[str, ...]:
    # shares are never inherited in print, all that follows them is
    return (limits[0], *("" if v and v == p else v for v, p in zip(limits[1:], parent[1:], strict=False)))


@lru_cache(maxsize=65536)
def _tres(text: str) -> dict[str, int] | str:
    """A limit; one that SLURM itself prints without a unit stays text: it is no amount, and spoils its account only."""
    return text if NO_UNIT in text else parse_tres(text)


def _limits(cells: tuple[str, ...], command: str, line: str) -> Obj:
    share, tres_mins, grp_tres, max_tres_mins, grp_submit, max_submit, qos, default_qos = cells
    try:
        values: dict[str, Value] = {
            "fairshare": _share(share),
            "qos": frozenset(fold(q) for q in qos.split(",") if q),
            "default_qos": fold(default_qos),
            "grp_tres_mins": _tres(tres_mins),
            "grp_tres": _tres(grp_tres),
            "max_tres_mins": _tres(max_tres_mins),
            "grp_submit_jobs": int(grp_submit) if grp_submit else None,
            "max_submit_jobs": int(max_submit) if max_submit else None,
        }
    except (TresError, ValueError) as error:
        raise _bad(command, line, str(error)) from None
    return Obj(values)


def _share(text: str) -> str | int:
    if text == "parent":
        return text
    number = int(text) if text else 1
    return "parent" if number == _PARENT_SHARE else number


def inherit_qos(state: State) -> None:
    """Give every account without QoS settings of its own those it inherits, marked as inherited."""
    known: dict[tuple[str, str], Value] = {}

    def effective(field: str, name: str, depth: int = 0) -> Value:
        if (field, name) not in known:
            obj = state.get(kinds.account(name))
            own = plain(obj.values[field]) if obj else None
            parent = str(obj.values.get("parent") or "") if obj else ""
            known[field, name] = own or (effective(field, parent, depth + 1) if parent and depth < len(state) else own)
        return known[field, name]

    for address, obj in list(state.items()):
        if address.kind == "slurm.account":
            blank = [f for f in ("qos", "default_qos") if not obj.values[f]]
            found = {f: value for f in blank if (value := effective(f, address.key[0]))}
            if found:
                state[address] = Obj({**obj.values, **found}, inherited=frozenset(found))


def texts(text: str, known: frozenset[str], command: str) -> dict[str, tuple[str, str]]:
    """Description and organization per account.

    Texts may hold ``|`` and line breaks that shift columns: a line that does not begin with a known
    account continues the one before. An account without any line is an error: the answer is cut.
    """
    lines = _lines(text, command)
    header = lines[0].split("|")
    for name in ACCOUNT:
        _place(name, header, command, lines[0])
    result: dict[str, tuple[str, str]] = {}
    last = ""
    for line in lines[1:]:
        name, _, rest = line.partition("|")
        if fold(name) in known and "|" in rest and fold(name) not in result:
            organization, _, description = rest.partition("|")
            last = fold(name)
            result[last] = (description, organization)
        elif "|" in line and line.count("|") == len(header) - 1:
            last = ""  # a record left behind by a deleted subtree; the association table does not have it
        elif last:
            description, organization = result[last]
            result[last] = (f"{description}\n{line}", organization)
    missing = sorted(known - result.keys())
    if missing:
        raise ReadError(
            f"{command}: no row for account {missing[0]!r} ({len(missing)} missing), which has associations",
            "The answer was cut, or the account was made or removed meanwhile; run again.",
        )
    return result


@dataclass(frozen=True)
class User:
    """A row of the user table: the name as it is written, the default account, what the user is coordinator of."""

    name: str
    default_account: str
    coordinates: tuple[str, ...] = ()


def users(text: str, command: str, *, trust_any: bool = False) -> dict[str, User]:
    """Users by folded name. Raises :class:`ReadError` for a view filtered by missing rights.

    ``trust_any``: a simulated cluster, which knows neither rights nor coordinators.
    """
    found = [r for r, _ in rows(text, USER[:3] if trust_any else USER, command)]
    if not any(fold(r[0]) == ROOT for r in found):
        raise ReadError(
            f"{command}: the user 'root' is missing, so the answer is not the whole table",
            "The caller sees a filtered view (PrivateData in slurmdbd.conf), or the query failed. Run as root, as "
            "SlurmUser, or as a user with AdminLevel Operator.",
        )
    if not trust_any and not any(r[2] in ("Administrator", "Operator") for r in found):
        raise ReadError(
            f"{command}: no user with administrator rights is shown, not even root",
            "The caller sees a filtered view (PrivateData in slurmdbd.conf). Run as root, as SlurmUser, or as a "
            "user with AdminLevel Operator.",
        )
    return {fold(r[0]): User(r[0], fold(r[1]), tuple(fold(a) for a in ",".join(r[3:]).split(",") if a)) for r in found}


def qos(text: str, command: str) -> dict[str, frozenset[str]]:
    """Flags per QoS; there is always one QoS."""
    found = {fold(r[0]): frozenset(f for f in r[1].split(",") if f) for r, _ in rows(text, QOS, command)}
    if not found:
        raise ReadError(f"{command}: no QoS at all, so the query failed", "See slurmdbd's log.")
    return found


def tres(text: str, command: str) -> frozenset[str]:
    """Names of the TRES the cluster accounts (``cpu``, ``gres/gpu``)."""
    found = frozenset(fold(f"{r[0]}/{r[1]}" if r[1] else r[0]) for r, _ in rows(text, TRES, command))
    if "cpu" not in found:
        raise ReadError(f"{command}: the TRES 'cpu' is missing, so the query failed", "See slurmdbd's log.")
    return found
