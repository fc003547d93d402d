"""Names for people and places for homes, where one defect must not become everybody's."""

from __future__ import annotations

from pathlib import Path

from reconciler.config import Config, Offering, Runner, Usernames
from reconciler.cycle import homes
from reconciler.desired.accounts import Source
from reconciler.desired.people import former, named
from reconciler.providers.host.kinds import homedir
from reconciler.providers.runner import CommandRunner
from reconciler.state import waldur
from reconciler.state.facts import Facts, OfferingUser
from reconciler.store import Memory, Store


def offering(name: str, **more: object) -> Offering:
    config = Config.model_validate(
        {
            "offerings": [
                {
                    "name": name,
                    "waldur_api_url": "http://waldur.test/api/" if name == "A" else "http://waldur.test",
                    "backend_type": "slurm",
                    "waldur_offering_uuid": "a" * 31 + ("1" if name == "A" else "2"),
                    "username_management_backend": "generator",
                    "backend_settings": more,
                }
            ]
        }
    )
    return config.offerings[0]


def waiting(uuid: str) -> OfferingUser:
    return OfferingUser("p1", "", False, "Requested", uuid, first_name="Ann", last_name="Lee")


def test_a_person_who_waits_in_two_offerings_gets_one_name() -> None:
    sources = [Source(offering(n), Facts(offering_users=(waiting(u),))) for n, u in (("A", "u1"), ("B", "u2"))]
    result = named(sources, Usernames(), (), lambda names: frozenset())
    found = {a.key[0]: o.values["username"] for a, o in result.desired.objects.items()}
    assert found == {"u1": "alee", "u2": "alee"}


def test_service_accounts_have_their_names() -> None:
    said = Facts(offering_users=(waiting("u1"),), service_users={"x": {"ALee": "robot"}})
    result = named([Source(offering("A"), said)], Usernames(), (), lambda names: frozenset())
    assert result.desired.objects[waldur.offering_user("u1")].values["username"] == "alee2"


def test_offerings_of_one_cluster_keep_their_own_names() -> None:
    sources = [
        Source(offering("A"), Facts(offering_users=(OfferingUser("p1", "ann", uuid="u1"),))),
        Source(offering("B"), Facts(offering_users=(OfferingUser("p1", "ann_b", uuid="u2"),))),
    ]
    remembered = {
        (sources[0].offering.waldur_offering_uuid, "p1"): frozenset({"ann"}),
        (sources[1].offering.waldur_offering_uuid, "p1"): frozenset({"ann_b", "ann_old"}),
        ("an offering that is gone", "p1"): frozenset({"guest"}),
    }
    here = frozenset({"ann", "ann_b", "ann_old", "guest"})
    assert former(sources, remembered, here, frozenset()) == {"ann_old": "the person is 'ann_b' in Waldur now"}


def test_clusters_do_not_share_their_memories(tmp_path: Path) -> None:
    Memory(Store(tmp_path), "one").remember([("o", "p", "ann")])
    assert Memory(Store(tmp_path), "one").usernames() == {("o", "p"): frozenset({"ann"})}
    assert Memory(Store(tmp_path), "two").usernames() == {}
    assert (tmp_path / "reconcile.sqlite3").stat().st_mode & 0o077 == 0


def test_who_has_no_place_for_a_home_gets_none(tmp_path: Path) -> None:
    """Users of the system, and one whose file system is not mounted: everybody else gets a home."""
    base = tmp_path / "home"
    base.mkdir(mode=0o755)
    here = offering("A", homedir_base_path=str(base))
    gone = offering("B", homedir_base_path=str(tmp_path / "gone"))
    passwd = offering("C")
    # nobody's home is /nonexistent, daemon's is /usr/sbin
    users = {"bin": here, "sys": gone, "nobody": passwd, "daemon": passwd}
    found = homes.read(CommandRunner(Runner()), users)
    assert [a.key[0] for a in found.desired.objects] == ["bin"]
    assert "no place for a home, so without homes: daemon, nobody" in found.desired.warnings[0].text
    (refused,) = found.desired.refused
    assert "gone" in refused.text
    assert refused.address == homedir("sys")
