"""Third-party clients that real tenants accept use the imitated HaloPSA, and see what the control port shows.

Each runs in an interpreter of its own: `HaloPSA` is under the AGPL, `haloitsm-python` writes its client secret into its
log, and n8n's node is JavaScript under a licence of its own. They come from PyPI and npm and are used here only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract_check import check_all, contracts_are_here, load_spec
from tests.own_venv import make_venv, run_in, unpack_npm
from tests.sandbox.conftest import BEN, DANA, Stage

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parent / "clients"
CLIENTS = {"haloitsm_walk.py": "haloitsm-python==0.1.0", "halopsa_walk.py": "HaloPSA==2.0.2"}


@pytest.fixture(scope="module")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {script: make_venv(tmp_path_factory.mktemp("venv"), requirement) for script, requirement in CLIENTS.items()}


def wish_for(stage: Stage, number: int) -> dict[str, Any]:
    known = stage.world.credentials
    return {
        "url": stage.addresses.halo,
        "client_id": known.halo_client_id,
        "client_secret": known.halo_client_secret,
        "ticket": number,
        "user_search": DANA,
    }


@pytest.fixture(params=list(CLIENTS))
def walk(request: pytest.FixtureRequest, interpreters: dict[str, Path], stage: Stage) -> dict[str, Any]:
    """What one client saw of a desk with an approved reset and 120 unrelated tickets."""
    stage.control("POST", "bulk-tickets", count=120)
    number = stage.ticket(type="Account Reset", what="Both")
    stage.control("POST", f"tickets/{number}/approve", comment="fine")
    other = stage.ticket()
    seen = dict(run_in(interpreters[request.param], SCRIPTS / str(request.param), wish_for(stage, number)))
    return seen | {"number": number, "other": other, "script": request.param}


@pytest.fixture(autouse=True)
def _their_requests_are_their_own(stage: Stage) -> Any:
    """Our answers are held to the contract as ever; what a stranger asks is the stranger's affair."""
    yield
    if contracts_are_here():
        exchanges = [exchange.as_dict() for exchange in stage.world.record.exchanges]
        problems = check_all({"halo": load_spec("halo")}, exchanges)
        assert not [problem for problem in problems if ": answer " in problem]
    stage.world.record.exchanges.clear()


def test_it_pages_through_every_ticket_once(stage: Stage, walk: dict[str, Any]) -> None:
    numbers = [number for page in walk["pages"] for number in page]
    assert [len(page) for page in walk["pages"]] == [100, 22]
    assert sorted(numbers) == sorted(ticket["id"] for ticket in stage.control("GET", "tickets"))


def test_it_finds_the_type_by_the_true_parameter_only(walk: dict[str, Any]) -> None:
    if walk["script"] == "haloitsm_walk.py":
        assert walk["by_wrong_name"] == 100
        assert walk["by_right_name"] == [walk["other"]]
    else:
        assert walk["open"] == [walk["other"]]


def test_it_reads_the_ticket_as_the_control_port_shows_it(stage: Stage, walk: dict[str, Any]) -> None:
    shown, ticket = stage.control("GET", f"tickets/{walk['number']}"), walk["ticket"]
    assert (ticket["summary"], ticket["details"]) == (shown["summary"], shown["details"])
    assert (ticket["user_email"], ticket["client_name"]) == (BEN, shown["client"])
    assert {one["name"]: one["display"] for one in ticket["customfields"]} == {
        "CFSubject": DANA,
        "CFResetWhat": "Both",
    }
    approval = shown["approvals"][0]
    assert [(row["emailaddress"], row["result"], row["approver_note"]) for row in ticket["approvers"]] == [
        (approval["email"], 1, "fine")
    ]


def test_it_reads_types_clients_and_users(stage: Stage, walk: dict[str, Any]) -> None:
    desk = stage.control("GET", "halo")
    assert walk["types"] == {one["name"]: one["id"] for one in desk["types"]}
    assert [one["fieldname"] for one in walk["type"]["fields"]] == ["CFSubject", "CFResetWhat"]
    assert {"Contoso": 12, "Fabrikam": 21}.items() <= walk["clients"].items()
    assert [(user["emailaddress"], user["azureoid"]) for user in walk["users"]] == [(DANA, stage.account(DANA)["id"])]
    if walk["script"] == "halopsa_walk.py":
        assert walk["statuses"] == {one["name"]: one["id"] for one in desk["statuses"]}
        assert walk["teams"] == {one["name"]: one["id"] for one in desk["teams"]}
        assert walk["agents"] == {one["name"]: one["id"] for one in desk["agents"] if not one["inactive"]}


def test_its_note_and_its_closing_arrive(stage: Stage, walk: dict[str, Any]) -> None:
    shown = stage.control("GET", f"tickets/{walk['number']}")
    written = shown["actions"][-1]
    assert (written["outcome"]["name"], written["hours"]) == ("Private Note", 0.25)
    assert "by a stranger" in written["note"]
    assert walk["note"]["id"] == walk["one_action"]["id"] == walk["actions"][0]["id"] == written["id"]
    assert (walk["moved"]["hasbeenclosed"], shown["closed"]) == (True, True)


def test_its_errors_are_the_ones_it_knows(walk: dict[str, Any]) -> None:
    if walk["script"] == "haloitsm_walk.py":
        assert walk["refused"] == {
            "a bare object": "HaloValidationError",
            "no outcome": "HaloValidationError",
            "no such ticket": "HaloResourceNotFound",
        }
    else:
        assert walk["no_actions"] == []
        assert "An Outcome must be entered" in walk["refused"]["no outcome"]
        assert walk["refused"]["no such ticket"].startswith("Exception: 404")
        assert walk["refused"]["a wrong secret"].startswith("ValueError: Unauthorized")


def test_n8ns_node_pages_reads_and_writes(stage: Stage, tmp_path: Path) -> None:
    package = unpack_npm(tmp_path, "n8n-nodes-base@2.41.2", "dist/nodes/HaloPSA/")
    stage.control("POST", "bulk-tickets", count=120)
    stage.control("POST", "halo/users", client_id=21, name="Dana Elsewhere", email=DANA, inactive=True)
    number = stage.ticket()
    wish = wish_for(stage, number) | {"package": str(package)}
    seen = run_in("node", SCRIPTS / "n8n_walk.cjs", wish)
    shown = stage.control("GET", "tickets")
    assert seen["tickets"] == sorted((ticket["id"] for ticket in shown), reverse=True)[1:]
    assert (seen["ticket"]["id"], seen["ticket"]["user_email"]) == (number, BEN)
    assert seen["simple"] == {"id": number, "summary": "Password Reset", "targetdate": "1900-01-01T00:00:00"}
    assert ["Contoso", 12] in seen["clients"]
    assert (seen["active"], sorted(user["inactive"] for user in seen["users"])) == (1, [False, True])
    assert (seen["updated"]["id"], seen["updated"]["status_id"]) == (number, 9)
    assert (shown[-1]["id"], shown[-1]["summary"]) == (seen["created"]["id"], "From n8n")
    assert seen["refused"] == "For field ID, The value 'abc' is not valid."


@pytest.mark.parametrize(("require_all", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_pypi_it_is_skipped_in_words_or_fails_where_nothing_may_be_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, require_all: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("REQUIRE_ALL", require_all)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(outcome, match="could not be installed"):
        make_venv(tmp_path / "venv", "HaloPSA==2.0.2")
