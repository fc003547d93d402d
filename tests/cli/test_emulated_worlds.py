"""Random worlds on the simulated cluster: whatever came before, an apply leaves nothing to do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Program, offering
from tests.emulator import BIN, Emulator

NAMES = ("one", "two", "three")
MEMBERS = ("ann", "bob", "cyd")


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    owner = {p: draw(st.sampled_from(("north", "south"))) for p in ("alpha", "beta")}
    resources = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1)):
        project = draw(st.sampled_from(tuple(owner)))
        resources.append(
            {
                "name": name,
                "slug": name,
                "project": {"slug": project},
                "customer": {"slug": owner[project]},
                "limits": {"cpu": draw(st.integers(0, 3))},
                "members": draw(st.lists(st.sampled_from(MEMBERS), unique=True)),
                "paused": draw(st.booleans()),
                "downscaled": draw(st.booleans()),
            }
        )
    # everybody stays known, so that leaving is leaving and not being a stranger
    ended = [
        {"name": n, "slug": n, "state": "Terminated", "project": {"slug": "alpha"}, "customer": {"slug": "north"}}
        for n in NAMES
        if n not in {r["name"] for r in resources}
    ]
    return {"resources": resources + ended, "former_users": list(MEMBERS)}


DRIFTS = st.sampled_from(
    (
        ("modify", "account", "where", "name=a_one", "set", "parent=root"),
        ("modify", "account", "where", "name=a_one", "set", "GrpTRESMins=node=7"),
        ("modify", "account", "where", "name=a_two", "set", "qos=paused"),
        ("remove", "user", "where", "name=ann", "account=a_one"),
        ("add", "user", "name=cyd", "account=a_two"),
        ("modify", "account", "where", "name=p_alpha", "set", "description=drifted"),
    )
)


@settings(max_examples=6)
@given(documents(), documents(), st.lists(DRIFTS, max_size=2))
def test_nothing_is_left_after_an_apply(
    first: dict[str, Any], second: dict[str, Any], drifts: list[tuple[str, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        emulator = Emulator(directory)
        site = Program(directory, emulator.environment)
        site.document["offerings"] = [offering("file:desired.yaml")]
        site.document["reconcile"] |= {
            "qos": {"paused": {}, "slowdown": {}},
            "runner": {"emulator": True, "slurm_bin_path": str(BIN)},
            "guards": {"min_resources_share": 0, "max_deletions": 100},
        }
        for document in (first, second):
            (directory / "desired.yaml").write_text(yaml.safe_dump(document))
            done = site("apply", "--auto-approve")
            assert done.code == 0, done.both
            again = site("plan", "--detailed-exitcode")
            assert again.code == 0, again.out
        for drift in drifts:
            emulator.run("sacctmgr", "-i", *drift)
        done = site("apply", "--auto-approve")
        assert done.code == 0, done.both
        again = site("plan", "--detailed-exitcode")
        assert again.code == 0, again.out
