"""Usage from DWDI: which figure counts, in which unit, and what must never be taken for nothing used."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.config import Component
from reconciler.errors import ConfigError, ReadError
from reconciler.providers.dwdi.compute import Compute
from reconciler.providers.dwdi.rows import BadRowError, amount
from reconciler.providers.dwdi.source import DwdiSource
from reconciler.state.period import Period
from reconciler.state.usage import rounded
from tests.providers.dwdi import NODE, NOVEMBER, Reader, config, exactly, resource, told
from tests.standin.portal import uid
from tests.standin.warehouse import Warehouse

MONTH = "/compute/usage-month"
FACTORS = {
    "node_hours": {"measured_unit": "x", "unit_factor": 7680, "unit_factor_reporting": "0.1"},
    "nodes": {"measured_unit": "x", "unit_factor": 4},
    "gpuHours": {"measured_unit": "x"},
    "Nodes": {"measured_unit": "x"},
}


@pytest.fixture
def used(warehouse: Warehouse) -> Warehouse:
    """Two accounts on daint, one of them on another cluster too."""
    warehouse.hours("g207", "amy", "500.25")
    warehouse.hours("g207", "bob", "1000.5", date="2026-11-02")
    warehouse.hours("g300", "eve", "7")
    warehouse.hours("g207", "amy", "90", cluster="clariden")
    return warehouse


# ---------------------------------------------------------------------- compute


def test_node_hours_of_accounts_and_users(used: Warehouse) -> None:
    reader = Reader(used)
    found = reader.read("g207", "g300", "idle")
    assert told(found, "g207").total == exactly(node_hours="1500.75")
    assert told(found, "g207").users == {"amy": exactly(node_hours="500.25"), "bob": exactly(node_hours="1000.5")}
    assert told(found, "g300").total == exactly(node_hours="7")
    assert (found.bad, found.bad_count, found.notes) == ((), 0, ())
    assert (reader.source.name, reader.source.may_fall) == ("DWDI compute", True)


def test_an_absent_account_used_nothing(used: Warehouse) -> None:
    assert Reader(used).one("idle").total == exactly(node_hours="0")
    used.set(empty_accounts=True)
    found = Reader(used).one("idle")
    assert (found.total, found.incomplete) == (exactly(node_hours="0"), "")


def test_the_total_is_the_accounts_own_and_not_the_sum_of_its_users(used: Warehouse) -> None:
    used.hours("g207", "gone", "99.25", unattributed=True)
    found = Reader(used).one("g207")
    assert found.total == exactly(node_hours="1600")
    assert sum(u["node_hours"] for u in found.users.values()) == Fraction("1500.75")


def test_users_are_summed_over_days_and_only_then_rounded(warehouse: Warehouse) -> None:
    for day in range(1, 31):
        warehouse.hours("g207", "amy", "0.004", date=f"2026-11-{day:02d}")
    warehouse.set(split_users=True)
    (users,) = Reader(warehouse).one("g207").users.values()
    assert users == exactly(node_hours="0.12")
    assert rounded(users["node_hours"]) == "0.12"


@pytest.mark.parametrize("text", ["0.1", "1500.755", "123456789012345.678901", "1e-3", "0"])
def test_figures_stay_exact(warehouse: Warehouse, text: str) -> None:
    warehouse.hours("g207", "amy", text)
    assert Reader(warehouse).one("g207").total == exactly(node_hours=text)


def test_compute_multiplies_by_the_factor_of_reports(used: Warehouse) -> None:
    found = Reader(used, "cscs-dwdi-compute", FACTORS).read("g300")
    assert told(found, "g300").total == exactly(node_hours="0.7", nodes="28")
    assert told(found, "g300").users["eve"] == exactly(node_hours="0.7", nodes="28")


def test_what_dwdi_has_no_figures_for_is_left_out_and_said_once(used: Warehouse) -> None:
    found = Reader(used, "cscs-dwdi-compute", FACTORS).read("g207", "idle")
    assert told(found, "idle").total == exactly(node_hours="0", nodes="0")
    (note,) = found.notes
    assert note == "DWDI compute has no figures for 'gpuHours', 'Nodes', so nothing is told of these"


def test_one_request_for_a_month_and_cluster(used: Warehouse) -> None:
    reader = Reader(used)
    reader.source.read(NOVEMBER, [reader.metered(f"g{n}", ("Daint", "CLARIDEN")[n % 2]) for n in range(50)])
    asked = used.asked()
    assert [(e, p["from"], p["to"], p["cluster"]) for e, p in asked] == [
        ("compute/usage-month/account", ["2026-11"], ["2026-11"], [cluster]) for cluster in ("daint", "clariden")
    ]
    assert sorted(a for _, p in asked for a in p["account"]) == sorted(f"g{n}" for n in range(50))
    assert used.issued() == 1
    assert reader.source.requests == len(used.log()) == 3


def test_usage_is_the_resources_own_clusters(used: Warehouse) -> None:
    reader = Reader(used, cscs_dwdi_cluster="DAINT")
    found = reader.source.read(NOVEMBER, [reader.metered("g207", "Clariden"), reader.metered("g300", "", uid("other"))])
    assert found.used[uid("resource", "g207")].total == exactly(node_hours="90")
    assert found.used[uid("other")].total == exactly(node_hours="7"), "cscs_dwdi_cluster where Waldur has none"


@pytest.mark.parametrize("period", [NOVEMBER, NOVEMBER.previous], ids=str)
def test_no_month_is_read_without_a_cluster(used: Warehouse, period: Period) -> None:
    reader = Reader(used)
    with pytest.raises(ConfigError, match=r"offering_backend_id.*cscs_dwdi_cluster"):
        reader.source.read(period, [reader.metered("g207", "")])
    reader.source.read(period, [reader.metered("g207", "Daint")])
    assert [p["cluster"] for _, p in used.asked()] == [["daint"]]


def test_accounts_are_asked_in_batches_by_length(warehouse: Warehouse) -> None:
    names = [f"a_rather_long_account_name_{n:03d}" for n in range(300)]
    for name in names:
        warehouse.rows["compute"].append(
            {"account": name, "user": "amy", "nodeHours": name[-3:], "date": "2026-11-01", "cluster": "daint"}
        )
    warehouse.push()
    found = Reader(warehouse).read(*names)
    assert {told(found, n).total["node_hours"] for n in names} == {Fraction(n) for n in range(300)}
    sent = [e for e in warehouse.log() if e["token"]]
    assert len(sent) == 3
    assert all(len(warehouse.base) + e["length"] <= 4096 for e in sent)


def test_rows_that_nobody_asked_for_are_dropped(used: Warehouse) -> None:
    used.faults({"path": MONTH, "replace": [['"g300"', '"other"'], ["#?7#?(?=,)", "null"]]})
    found = Reader(used).read("g207", "g300")
    assert told(found, "g207").total == exactly(node_hours="1500.75")
    assert told(found, "g300").total == exactly(node_hours="0")
    assert set(found.used) == {uid("resource", "g207"), uid("resource", "g300")}
    assert found.bad_count == 0


BROKEN = [
    ("500.25", "null", "nodeHours"),
    ("1500.75", "null", "totalNodeHours is no amount (found None)"),
    ("1500.75", "-1", "negative"),
    ("1500.75", '"NaN"', "no amount"),
    ("1500.75", '"-3"', "no amount"),
    ("1500.75", '"1,500"', "no amount"),
    ("1500.75", "true", "no amount"),
    ("1500.75", "[1]", "no amount"),
    ("1500.75", "1e99", "plausible"),
    ("1500.75", "1e999999999", "plausible"),
    ("totalNodeHours", "accountNodeHours", "cscs_dwdi_api_flavour: legacy"),
    ('"nodeHours": 500.25', '"hours": 500.25', "user 'amy' has no nodeHours"),
    ('"amy"', "7", "username"),
    (r'"users": \[\{"username": "amy"', '"users": [null, {"username": "amy"', "users"),
    (r'"users": \[.*?\]', '"users": null', "users"),
    ('"amy"', '"amy", "cluster": "clariden"', "usage of cluster 'clariden' though 'daint' was asked for"),
    ('"amy"', '"amy", "usageDate": "2026-10-31"', "usage of '2026-10-31' though 2026-11 was asked for"),
]


@pytest.mark.parametrize(("old", "new", "why"), BROKEN, ids=[f"{o} is {n}"[:50] for o, n, _ in BROKEN])
def test_a_malformed_row_spoils_only_its_own_account(used: Warehouse, old: str, new: str, why: str) -> None:
    used.faults({"path": MONTH, "replace": [[rf'(?s)^(.*?"g207".*?){old}', rf"\g<1>{new}"]]})
    found = Reader(used).read("g207", "g300", "idle")
    spoilt = told(found, "g207")
    assert (spoilt.total, spoilt.users) == ({}, {})
    assert why in spoilt.incomplete
    assert told(found, "g300").total == exactly(node_hours="7")
    assert told(found, "idle").total == exactly(node_hours="0")
    assert found.bad_count == len(found.bad) == 1
    assert found.bad[0].startswith("g207: ")
    assert why in found.bad[0]


@pytest.mark.parametrize("row", ["null", "7", '{"totalNodeHours": 5}', '{"account": null, "totalNodeHours": 5}'])
def test_a_row_of_nobody_may_be_that_of_anybody_absent(used: Warehouse, row: str) -> None:
    used.faults({"path": MONTH, "replace": [[r'"compute": \[', f'"compute": [{row}, ']]})
    found = Reader(used).read("g207", "idle")
    assert told(found, "g207").total == exactly(node_hours="1500.75")
    assert (told(found, "idle").total, found.bad_count) == ({}, 1)
    assert "name nobody" in told(found, "idle").incomplete


def test_an_account_spelt_otherwise_is_not_taken_for_idle(used: Warehouse) -> None:
    used.faults({"path": MONTH, "replace": [['"g207"', '"G207"']]})
    assert "spells it 'G207'" in Reader(used).one("g207").incomplete


def test_unknown_fields_and_numbers_in_quotes_are_understood(used: Warehouse) -> None:
    change = [['"account"', '"note": {"a": [1]}, "account"'], ["1500.75", '"1500.75"'], ['"amy"', '"amy", "x": null']]
    used.faults({"path": MONTH, "replace": change})
    found = Reader(used).one("g207")
    assert (found.total, found.incomplete) == (exactly(node_hours="1500.75"), "")
    assert set(found.users) == {"amy", "bob"}


def test_usage_of_nobody_in_particular(used: Warehouse) -> None:
    used.faults({"path": MONTH, "replace": [['"amy"', "null"]]})
    assert Reader(used).one("g207").users[""] == exactly(node_hours="500.25")


DOUBLE = [r'"compute": \[', '"compute": [{"account": "g207", "totalNodeHours": %s, "users": []}, ']


def test_rows_of_one_account_that_contradict_each_other(used: Warehouse) -> None:
    used.faults({"path": MONTH, "replace": [[DOUBLE[0], DOUBLE[1] % "3"]]})
    found = Reader(used).read("g207", "g300")
    assert told(found, "g207").total == {}
    assert "2 rows of 'g207' that contradict each other" in told(found, "g207").incomplete
    assert told(found, "g300").total == exactly(node_hours="7")
    assert found.bad_count == 1


def test_the_same_row_twice_counts_once(used: Warehouse) -> None:
    used.faults({"path": MONTH, "replace": [[r'(?s)"compute": \[(\{.*\})\]\}', r'"compute": [\1, \1]}']]})
    assert Reader(used).one("g207").total == exactly(node_hours="1500.75")


def test_two_resources_of_one_account_and_one_without(used: Warehouse) -> None:
    reader = Reader(used)
    twins = [reader.metered("g207"), reader.metered("g207", uuid=uid("twin")), reader.metered(" ")]
    found = reader.source.read(NOVEMBER, [*twins, reader.metered("g300")])
    assert "2 resources are 'g207'" in found.used[uid("twin")].incomplete
    assert found.used[uid("twin")] == told(found, "g207")
    assert "no backend_id" in told(found, " ").incomplete
    assert told(found, "g300").total == exactly(node_hours="7")


def test_what_dwdi_knows_resources_by(warehouse: Warehouse) -> None:
    compute = Reader(warehouse, cscs_dwdi_cluster="Eiger").source
    assert compute.key(resource("g207", "Daint")) == "daint/g207"
    assert compute.key(resource("g207", "")) == "eiger/g207"
    assert Reader(warehouse).source.key(resource("g207", "")) == "g207"
    assert compute.key(resource("", "Daint")) == ""
    storage = Reader(warehouse, "cscs-dwdi-storage", storage_path_mapping={"p1": "/capstor/one/"}).source
    assert [storage.key(resource(b)) for b in ("p1", "/capstor/two", "")] == ["/capstor/one", "/capstor/two", ""]
    inference = Reader(warehouse, "cscs-dwdi-inference").source
    assert inference.key(resource("x", uuid=uid("r"))) == uid("r")


def test_nothing_to_ask_about_is_not_asked(warehouse: Warehouse) -> None:
    assert Reader(warehouse).source.read(NOVEMBER, []).used == {}
    assert warehouse.log() == []


# ---------------------------------------------------------------------- storage and inference

DISK = {
    "storage_space": {"measured_unit": "GB", "unit_factor": 1000000000},
    "storage_inodes": {"measured_unit": "count"},
    "storage": {"measured_unit": "TB", "unit_factor": 1, "unit_factor_reporting": 1e12},
    "tapes": {"measured_unit": "x"},
}


def test_storage_divides_and_knows_the_documented_names(warehouse: Warehouse) -> None:
    warehouse.space("/capstor/g207", "4", date="2026-11-01")
    warehouse.space("/capstor/g207", "5000000000", "42000", date="2026-11-20")
    warehouse.space("/capstor/g207", "1", filesystem="iopsstor")
    reader = Reader(warehouse, "cscs-dwdi-storage", DISK, storage_path_mapping={"p1": "/capstor/g207"})
    found = reader.read("p1", "/capstor/empty", cluster="")
    assert told(found, "p1").total == exactly(storage_space="5", storage_inodes="42000", storage="0.005")
    assert told(found, "p1").users == {}, "nobody is made up"
    assert told(found, "/capstor/empty").total == exactly(storage_space="0", storage_inodes="0", storage="0")
    assert found.notes == ("DWDI storage has no figures for 'tapes', so nothing is told of these",)
    assert warehouse.asked() == [
        (
            "storage/usage-month",
            {
                "exact-month": ["2026-11"],
                "filesystem": ["capstor"],
                "data_type": ["store"],
                "paths": ["/capstor/g207", "/capstor/empty"],
            },
        )
    ]


def test_the_documented_factor_of_the_wrong_way_round_is_refused(warehouse: Warehouse) -> None:
    wrong = {"storage_space": {"measured_unit": "GB", "unit_factor": 0.000000001}}
    with pytest.raises(ConfigError, match=r"'storage_space'.*divided by unit_factor(.|\n)*Write 1e\+09"):
        Reader(warehouse, "cscs-dwdi-storage", wrong)


def test_a_slash_at_a_paths_end_does_not_empty_it(warehouse: Warehouse) -> None:
    warehouse.space("/capstor/g207/", "7000000000")
    assert Reader(warehouse, "cscs-dwdi-storage", DISK).one("/capstor/g207/").total["storage_space"] == 7
    warehouse.faults({"path": "storage", "replace": [["g207/", "g207"]]})
    assert Reader(warehouse, "cscs-dwdi-storage", DISK).one("/capstor/g207/").total["storage_space"] == 7


def test_two_resources_of_one_path_are_told_apart_by_nobody(warehouse: Warehouse) -> None:
    warehouse.space("/capstor/g207", "7000000000")
    reader = Reader(warehouse, "cscs-dwdi-storage", DISK, storage_path_mapping={"p1": "/capstor/g207"})
    found = reader.read("p1", "/capstor/g207")
    assert [u.total for u in found.used.values()] == [{}, {}]


@pytest.mark.parametrize("lost", ["spaceUsed", "inodesUsed"])
def test_a_path_with_half_its_figures_is_incomplete(warehouse: Warehouse, lost: str) -> None:
    warehouse.space("/capstor/g207", "7", "8")
    warehouse.space("/capstor/g300", "7000000000", "8")
    warehouse.faults({"path": "storage", "replace": [[rf'(?s)^(.*?)"{lost}": \d+', r'\g<1>"x": 1']]})
    found = Reader(warehouse, "cscs-dwdi-storage", DISK).read("/capstor/g207", "/capstor/g300")
    assert f"no {lost}" in told(found, "/capstor/g207").incomplete
    assert told(found, "/capstor/g300").total["storage_space"] == 7


TOKENS = {"token_cost": {"measured_unit": "CHF", "unit_factor": 1}, "other": {"measured_unit": "x"}}


def test_inference_cost(warehouse: Warehouse) -> None:
    warehouse.cost(uid("resource", "a"), "12.34")
    warehouse.cost(uid("resource", "a"), "0.005", date="2026-11-30")
    found = Reader(warehouse, "cscs-dwdi-inference", TOKENS).read("a", "b", cluster="")
    assert told(found, "a").total == exactly(token_cost="12.345")
    assert told(found, "b").total == exactly(token_cost="0"), "a uuid that is absent used nothing"
    asked = [uid("resource", "a"), uid("resource", "b")]
    assert warehouse.asked() == [
        ("inference/resource/cost", {"from": ["2026-11"], "to": ["2026-11"], "resource_uuid": asked})
    ]
    assert found.notes == ("DWDI inference has no figures for 'other', so nothing is told of these",)


def test_uuids_with_dashes(warehouse: Warehouse) -> None:
    dashed = "6f0c1a52-6f0c-4a52-8f0c-1a526f0c1a52"
    warehouse.cost(dashed, "3")
    components = {"token_cost": {"measured_unit": "CHF", "unit_factor_reporting": 2}}
    reader = Reader(warehouse, "cscs-dwdi-inference", components)
    hexed = dashed.replace("-", "")
    found = reader.source.read(NOVEMBER, [reader.metered(dashed, uuid=hexed)])
    assert found.used[hexed].total == exactly(token_cost="1.5")


# ---------------------------------------------------------------------- the API of 2025

SEED = {
    "nodeHours": {"measured_unit": "node-hours", "unit_factor": 1, "accounting_type": "usage", "label": "Node Hours"},
    "gpuHours": {"measured_unit": "gpu-hours", "unit_factor": 2, "accounting_type": "usage"},
    "storage": {"measured_unit": "TB", "unit_factor": 1, "accounting_type": "usage", "label": "Storage Usage"},
}


@pytest.fixture
def old(warehouse: Warehouse) -> Warehouse:
    warehouse.reset(flavour="legacy", figures=["nodeHours", "gpuHours"])
    warehouse.hours("g207", "amy", "1.5", gpuHours="3")
    warehouse.hours("g207", "amy", "2", gpuHours="4", cluster="clariden")
    return warehouse


@pytest.mark.parametrize("end", ["", "/", "/api/v1", "/api/v1/"])
def test_the_plugin_0_1_0s_file_works_as_it_is(old: Warehouse, end: str) -> None:
    reader = Reader(old, "cscs-dwdi", SEED, cscs_dwdi_api_url=f"{old.base}{end}", cscs_dwdi_oidc_scope="cscs-dwdi:read")
    found = reader.read("g207", "idle", cluster="some offering")
    assert told(found, "g207").total == exactly(nodeHours="3.5", gpuHours="14")
    assert told(found, "g207").users == {"amy": exactly(nodeHours="3.5", gpuHours="14")}
    assert told(found, "idle").total == exactly(nodeHours="0", gpuHours="0", storage="0")
    assert "'storage'" in found.notes[0]
    both = {"from": ["2026-11"], "to": ["2026-11"], "account": ["g207", "idle"]}
    assert old.asked() == [("compute/usage-month-multiaccount", both)]
    assert reader.source.ping() == "token for 300 s, compute/usage-day-multiaccount answers"


@pytest.mark.parametrize("spelling", ["account", "total", ""])
def test_the_accounts_figure_in_every_spelling_of_2025(old: Warehouse, spelling: str) -> None:
    old.faults({"path": "multiaccount", "replace": [["account(Node|Gpu)Hours", rf"{spelling or ''}\1Hours"]]})
    if not spelling:
        old.faults(
            {"path": "multiaccount", "replace": [["accountNodeHours", "nodeHours"], ["accountGpuHours", "gpuHours"]]}
        )
    assert Reader(old, "cscs-dwdi", SEED).one("g207").total == exactly(nodeHours="3.5", gpuHours="14")


def test_spellings_that_contradict_each_other(old: Warehouse) -> None:
    old.faults({"path": "multiaccount", "replace": [['"accountNodeHours"', '"totalNodeHours": 1, "accountNodeHours"']]})
    assert "contradict" in Reader(old, "cscs-dwdi", SEED).one("g207").incomplete


def test_an_answer_with_none_of_the_figures_is_incomplete(old: Warehouse) -> None:
    old.set(figures=["coreHours"])
    found = Reader(old, "cscs-dwdi", SEED).one("g207")
    assert (found.total, "no accountGpuHours, accountNodeHours" in found.incomplete) == ({}, True)


def test_a_cluster_that_the_old_api_does_not_filter_by_is_noticed(old: Warehouse) -> None:
    reader = Reader(old, "cscs-dwdi", SEED, cscs_dwdi_cluster="Clariden")
    assert reader.one("g207").total == exactly(nodeHours="2", gpuHours="8")
    old.set(ignores_clusters=True, split_users=True)
    assert "cluster 'daint'" in reader.one("g207").incomplete


def test_the_flavour_is_configured_and_never_guessed(used: Warehouse) -> None:
    newer = Reader(used, "cscs-dwdi", {"nodeHours": {"measured_unit": "x"}}, cscs_dwdi_api_flavour="current")
    assert newer.one("g207").total == exactly(nodeHours="1500.75")
    with pytest.raises(ReadError, match="cscs_dwdi_api_flavour: legacy"):
        Reader(used, cscs_dwdi_api_url=used.base).one("g207")
    assert len(used.asked()) == 2
    used.set(flavour="legacy")
    older = Reader(used, cscs_dwdi_api_flavour="legacy", components=NODE, cscs_dwdi_cluster="daint")
    assert older.one("g207").total == exactly(node_hours="1500.75")
    used.space("/capstor/g207", "5000000000")
    disk = Reader(used, "cscs-dwdi-storage", DISK, cscs_dwdi_api_flavour="legacy")
    assert disk.one("/capstor/g207").total["storage_space"] == 5
    assert disk.source.ping().endswith("storage/usage-day/filesystem_name/data_type answers")
    with pytest.raises(ConfigError, match="the legacy API has no inference"):
        Reader(used, "cscs-dwdi-inference", TOKENS, cscs_dwdi_api_flavour="legacy")


# ---------------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    ("backend", "endpoint", "parameters"),
    [
        ("cscs-dwdi-compute", "compute/usage-day", {"from", "to"}),
        ("cscs-dwdi-storage", "storage/usage-day", {"exact-date", "filesystem", "data_type"}),
        ("cscs-dwdi-inference", "inference/resource/cost", {"from", "to"}),
    ],
)
def test_ping(warehouse: Warehouse, backend: str, endpoint: str, parameters: set[str]) -> None:
    warehouse.set(expires_in=60)
    assert Reader(warehouse, backend).source.ping() == f"token for 60 s, {endpoint} answers"
    ((asked, sent),) = warehouse.asked()
    assert (asked, set(sent)) == (endpoint, parameters)
    warehouse.faults({"path": "/api/", "status": 200, "body": "<html>Maintenance</html>"})
    with pytest.raises(ReadError, match="an HTML page instead of an answer"):
        Reader(warehouse, backend).source.ping()


def test_a_source_cannot_write(warehouse: Warehouse) -> None:
    public = {name for name in dir(DwdiSource) if not name.startswith("_")}
    assert public == {"may_fall", "requests", "key", "read", "ping", "silence", "unended", "counter"}
    Reader(warehouse).one("g207")
    assert {(e["method"], e["token"]) for e in warehouse.log()} == {("POST", False), ("GET", True)}


def test_settings_that_are_missing(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match=r"backend_settings.cscs_dwdi_client_secret: missing, and required"):
        Reader(warehouse, cscs_dwdi_client_secret="")
    with pytest.raises(ConfigError, match=r"backend_settings.storage_data_type: missing"):
        Reader(warehouse, "cscs-dwdi-storage", storage_data_type=None)
    with pytest.raises(ConfigError, match="reporting_backend 'slurm' is none of DWDI's"):
        Reader(warehouse, "slurm")


@pytest.mark.parametrize("value", [1, Decimal("0.1"), "12.50", " 3 ", "1e3", Decimal("-0.0")])
def test_amounts(value: Any) -> None:
    assert amount("x", value) == Fraction(str(value).strip().replace("-0.0", "0"))


@pytest.mark.parametrize("value", [None, True, "", "NaN", "inf", "-1", -1, Decimal("-1"), 0.5, "1_000", "٣", [], {}])
def test_what_is_no_amount(value: Any) -> None:
    with pytest.raises(BadRowError, match=r"^x is "):
        amount("x", value)


HOURS = st.decimals(0, 10_000, places=4)


@settings(max_examples=80)
@given(st.dictionaries(st.sampled_from(["amy", "bob", "eve"]), st.lists(HOURS, min_size=1, max_size=6)), st.randoms())
def test_splitting_rows_never_changes_a_users_sum(parts: dict[str, list[Decimal]], random: Any) -> None:
    """However a user's usage is spread over days and clusters, in any order, the sum is the same."""
    one = config(Nowhere(), components={"nodes": {"measured_unit": "x"}}).offerings[0]
    service, components = Compute(one), {"nodes": Component(measured_unit="x")}
    total = sum((sum(p) for p in parts.values()), Decimal(0))
    split = [
        {"username": user, "nodeHours": hours, "usageDate": f"2026-11-{day + 1:02d}", "cluster": "daint"}
        for user, mine in parts.items()
        for day, hours in enumerate(mine)
    ]
    random.shuffle(split)
    whole = [{"username": user, "nodeHours": str(sum(mine))} for user, mine in parts.items()]
    readings = [
        service.reading(
            {"account": "g207", "totalNodeHours": total, "users": users}, components, NOVEMBER, "daint"
        ).used
        for users in (split, whole)
    ]
    assert readings[0] == readings[1]
    assert readings[0].total["nodes"] == sum((u["nodes"] for u in readings[0].users.values()), Fraction(0))


class Nowhere(Warehouse):
    """Addresses for what is asked of nobody."""

    def __init__(self) -> None:
        self.base, self.settings = "http://dwdi.invalid", {}
