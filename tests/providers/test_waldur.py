"""The portal's reader against a stand-in over real HTTP: habits, faults, and what must not be believed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.config import Offering
from reconciler.errors import ReadError
from reconciler.providers.waldur.client import ReconcileClient
from reconciler.providers.waldur.errors import WaldurError
from reconciler.providers.waldur.portal import WaldurPortal, portal_over
from reconciler.state.facts import Facts
from tests.conftest import offering
from tests.standin.portal import OFFERING, TOKEN, StandIn, uid

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def settings_of(portal: StandIn, **more: Any) -> Offering:
    return Offering.model_validate(offering(more.pop("url", portal.url), **more))


def reader(portal: StandIn, *, token: str = TOKEN, retries: int = 2, timeout: int = 5, **more: Any) -> WaldurPortal:
    settings = settings_of(portal, **more)
    return portal_over(settings, ReconcileClient(settings.api_url, token, retries=retries, timeout=timeout))


def read(portal: StandIn, **more: Any) -> Facts:
    return reader(portal, **more).source.facts(NOW)


@pytest.fixture
def busy(portal: StandIn) -> StandIn:
    """Three pages of resources, several of everything else."""
    rows = []
    for number in range(700):
        rows.append(portal.world["resources"])
        portal.world["resources"].append(
            {
                "uuid": uid("r", str(number)),
                "name": f"r{number}",
                "slug": f"r{number}",
                "state": "OK",
                "backend_id": "",
                "project_uuid": uid("p", str(number % 100)),
                "project_slug": f"p{number % 100}",
                "customer_uuid": uid("c"),
                "customer_slug": "c",
                "limits": {"cpu": 1},
                "paused": False,
                "downscaled": False,
                "restrict_member_access": False,
            }
        )
    portal.push()
    return portal


def test_pages_are_followed_to_the_end(busy: StandIn) -> None:
    assert {r.name for r in read(busy).resources} == {f"r{n}" for n in range(700)}
    pages = [r for r in busy.log() if r["path"].endswith("/marketplace-provider-resources/")]
    assert len(pages) == 3
    assert len({r["connection"] for r in busy.log()}) == 1, "one connection serves them all"
    assert all("page_size=300" in p["query"] and "field=uuid" in p["query"] for p in pages)


def test_requests_do_not_grow_with_resources(busy: StandIn) -> None:
    read(busy)
    many = len(busy.log())
    busy.world["resources"] = busy.world["resources"][:10]
    busy.push()
    busy.forget()
    read(busy)
    assert many - len(busy.log()) == 2, "only the two further pages of resources"


def test_a_proxy_in_front_changes_links_but_not_the_host_we_talk_to(busy: StandIn) -> None:
    busy.world["public_host"] = "internal.invalid:1"
    busy.push()
    assert len(read(busy).resources) == 700


@pytest.mark.parametrize("end", ["", "/", "/api", "/api/"])
def test_the_url_may_end_as_it_likes(portal: StandIn, end: str) -> None:
    portal.resource("a")
    assert len(read(portal, url=portal.base + end).resources) == 1


def test_hosts_that_end_in_letters_of_api_are_usable() -> None:
    settings = Offering.model_validate(offering("https://waldur.uni-api.ai/api/"))
    assert settings.api_url == "https://waldur.uni-api.ai/api/"
    assert Offering.model_validate(offering("https://portal.pi")).api_url == "https://portal.pi/api/"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"status": 401, "body": '{"detail": "Invalid token."}'}, 'HTTP 401: {"detail": "Invalid token."}'),
        ({"status": 403, "body": '{"detail": "no"}'}, "HTTP 403"),
        ({"status": 404, "body": "<html><title>Not Found</title></html>"}, "HTTP 404: Not Found"),
        (
            {"status": 500, "body": "<html><style>x{}</style><h1>Server Error (500)</h1></html>"},
            "HTTP 500: Server Error",
        ),
        ({"status": 200, "body": "<html>login page</html>"}, "not JSON: <html>login page</html>"),
        ({"status": 200, "body": '{"detail": "x"}'}, "expected a list of objects"),
        ({"status": 200, "body": "[1, 2]"}, "expected a list of objects"),
        ({"status": 302, "body": "", "headers": {"Location": "http://elsewhere.invalid/"}}, "HTTP 302"),
    ],
    ids=lambda v: str(v.get("status")) if isinstance(v, dict) else "",
)
@pytest.mark.parametrize("path", ["provider-resources", "orders", "offering-users"])
def test_errors_carry_request_status_and_body(portal: StandIn, path: str, fault: dict[str, Any], says: str) -> None:
    portal.resource("a")
    portal.faults({"path": path, "times": 99, **fault})
    with pytest.raises(ReadError) as error:
        read(portal, retries=1)
    text = str(error.value)
    assert text.startswith("GET http")
    assert path in text
    assert says.split(":", maxsplit=1)[0] in text
    assert says in text or "not JSON" in says
    assert TOKEN not in text


def test_a_wrong_token_says_what_to_do(portal: StandIn) -> None:
    with pytest.raises(WaldurError, match="HTTP 401") as error:
        read(portal, token="wrong")
    assert "waldur_api_token" in str(error.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_faults_are_retried(portal: StandIn, status: int) -> None:
    portal.resource("a")
    portal.faults({"path": "provider-resources", "status": status, "times": 2, "headers": {"Retry-After": "0"}})
    assert len(read(portal).resources) == 1
    tries = [r for r in portal.log() if r["path"].endswith("provider-resources/")]
    assert len(tries) == 3


def test_a_write_is_sent_once(portal: StandIn) -> None:
    """A POST that failed may have been done."""
    portal.resource("a")
    portal.faults({"path": "set_backend_id", "status": 502, "times": 9})
    with pytest.raises(WaldurError, match="HTTP 502"):
        reader(portal).client.marketplace_provider_resource_set_backend_id(uid("resource", "a"), "x")
    assert len(portal.log()) == 1


def test_a_conflict_is_told_at_once_and_as_such(portal: StandIn) -> None:
    portal.resource("a")
    portal.order("a", "Create", "done")
    with pytest.raises(WaldurError, match=r"HTTP 409.*Valid states for operation: executing") as error:
        reader(portal).client.marketplace_order_set_state_done(uid("order", "a", "Create"))
    assert error.value.status == 409
    assert len(portal.log()) == 1


def test_a_slow_answer_ends_in_an_error(portal: StandIn) -> None:
    portal.faults({"path": "orders", "status": 200, "body": "[]", "sleep": 2, "times": 9})
    with pytest.raises(WaldurError, match="no answer"):
        read(portal, timeout=1, retries=0)


def test_an_answer_that_never_ends_is_an_error(portal: StandIn) -> None:
    """The socket's own timeout begins anew with each byte."""
    portal.faults({"path": "orders", "status": 200, "drip": 0.1, "times": 9, "headers": {"X-Result-Count": "1"}})
    with pytest.raises(WaldurError, match="the answer did not end within 5 s"):
        read(portal, timeout=1, retries=0)


def test_pages_that_never_end_are_an_error(portal: StandIn) -> None:
    link = {"X-Result-Count": "1", "Link": '<http://x/?page=2>; rel="next"'}
    portal.faults({"path": "orders", "status": 200, "body": '[{"uuid": "1"}]', "headers": link, "times": 99})
    with pytest.raises(ReadError, match="1 rows announced, and pages that go on after 2"):
        read(portal, retries=0)


def test_nobody_there(portal: StandIn) -> None:
    with pytest.raises(WaldurError, match=r"no answer: .*refused") as error:
        read(portal, url="http://127.0.0.1:1/", retries=0)
    assert "waldur_api_url" in str(error.value)


def test_an_ignored_filter_is_noticed(portal: StandIn) -> None:
    """The server answers an unknown filter with everything."""
    portal.resource("a")
    portal.resource("b", offering_uuid=uid("another offering"))
    portal.world["ignore_filters"] = True
    portal.push()
    with pytest.raises(ReadError, match="got a row of offering"):
        read(portal)
    portal.world["resources"][1] |= {"offering_uuid": OFFERING, "state": "Terminated"}
    portal.push()
    with pytest.raises(ReadError, match="got a row in state 'Terminated'"):
        read(portal)


def test_a_list_that_changes_underway_is_read_again(busy: StandIn) -> None:
    fewer = busy.world["resources"][50:]
    busy.faults({"path": "provider-resources.*page=2", "change": {"resources": fewer}, "times": 1})
    assert len(read(busy).resources) == 650, "not 600: the shift between two pages was noticed"


def test_a_list_that_never_settles_is_an_error(busy: StandIn) -> None:
    rows = busy.world["resources"]
    changes = [
        {"path": "provider-resources.*page=2", "change": {"resources": rows[: 699 - n]}, "times": 1} for n in range(3)
    ]
    busy.faults(*changes)
    with pytest.raises(ReadError, match=r"underway|announced|vanished"):
        read(busy)


def test_a_row_that_comes_twice_means_another_is_missing(portal: StandIn) -> None:
    portal.resource("a")
    portal.world["resources"].append(dict(portal.world["resources"][0]))
    portal.push()
    with pytest.raises(ReadError, match="one row came twice"):
        read(portal)


def test_a_bad_row_spoils_only_itself(portal: StandIn) -> None:
    portal.resource("good")
    portal.resource("bad", limits="lots", backend_id="a_bad")
    facts = read(portal)
    assert [r.name for r in facts.resources] == ["good"]
    assert "resource 'bad': limits" in facts.bad[0].text
    assert facts.held_names == {"a_bad"}


def test_flags_that_were_not_sent_are_not_taken_for_unset(portal: StandIn) -> None:
    """A paused resource without its flag must not be let run again."""
    portal.resource("a", _without=["paused"], backend_id="a_x")
    facts = read(portal)
    assert not facts.resources
    assert "did not send paused" in facts.bad[0].text


def test_members_from_the_bulk_list(portal: StandIn) -> None:
    portal.resource("a")
    portal.resource("b", project="fusion")
    portal.user("ann", "climate", "fusion")
    portal.user("bob", "climate")
    portal.member("bob", "climate", role="manager")  # a second role is a second row
    portal.user("cyd")
    portal.member("cyd", "climate", expiration_time="2026-11-20T00:00:00Z")
    facts = read(portal)
    assert facts.members == {
        uid("project", "climate"): frozenset({uid("user", "ann"), uid("user", "bob")}),
        uid("project", "fusion"): frozenset({uid("user", "ann")}),
    }


def test_without_the_bulk_list_once_per_project(portal: StandIn) -> None:
    for number in range(6):
        portal.resource(f"r{number}", project=f"p{number % 2}")
    portal.user("ann", "p0")
    expected = read(portal).members
    portal.world["role"] = "manager"
    portal.push()
    portal.forget()
    assert read(portal).members == expected
    assert len([r for r in portal.log() if r["path"].endswith("/team/")]) == 2


def test_claims_ask_for_single_accounts(portal: StandIn) -> None:
    portal.resource("old", state="Terminated", backend_id="a_old")
    portal.resource("live", state="OK", backend_id="a_live")
    portal.resource("foreign", state="OK", backend_id="a_foreign", offering_uuid=uid("other"))
    found = reader(portal).source.claims(["a_old", "a_live", "a_foreign", "a_ghost"], {OFFERING: settings_of(portal)})
    assert {n: c.verdict for n, c in found.items()} == {
        "a_old": "terminated",
        "a_live": "elsewhere",
        "a_foreign": "elsewhere",
        "a_ghost": "unknown",
    }
    assert found["a_old"].parents == ("p_climate", "c_nordic")
    assert len(portal.log()) == 5, "one each, and one by the slug of the unknown one"


def test_a_server_that_ignores_the_filter_condemns_nobody(portal: StandIn) -> None:
    portal.resource("old", state="Terminated", backend_id="a_old")
    portal.world["ignore_filters"] = True
    portal.push()
    assert reader(portal).source.claims(["a_x"], {OFFERING: settings_of(portal)})["a_x"].verdict == "elsewhere"


def test_what_the_offering_is_called_on_its_cluster_is_read(portal: StandIn) -> None:
    portal.resource("a", offering_backend_id="Daint")
    portal.resource("b", offering_backend_id=None)
    portal.resource("c")
    assert [r.offering_backend_id for r in read(portal).resources] == ["Daint", "", ""]
