"""The control port plays everybody, counts calls, and tells no secrets."""

from __future__ import annotations

import pytest
import requests

from sandbox.world import World
from tests.sandbox.conftest import ANNA, BEN, DANA, Stage


def test_reset_brings_back_the_first_day_and_keeps_the_credentials(stage: Stage) -> None:
    before = stage.world.credentials
    stage.ticket()
    stage.control("PATCH", f"accounts/{DANA}", properties={"accountEnabled": False})
    stage.control("POST", "reset")
    assert stage.control("GET", "tickets") == []
    assert stage.account(DANA)["enabled"] is True
    assert stage.world.credentials is before


def test_the_same_seed_gives_the_same_ids() -> None:
    def ids(seed: int) -> list[str]:
        return [account.id for _, account in World(seed=seed).directory.accounts()]

    assert ids(5) == ids(5)
    assert ids(5) != ids(6)


def test_a_ticket_can_be_followed_and_edited(stage: Stage) -> None:
    number = stage.ticket()
    stage.clock.forward(minutes=1)
    changed = stage.control(
        "PATCH", f"tickets/{number}", subject="emil@contoso.com", type="MFA Reset", requester=ANNA, status="In Progress"
    )
    assert (changed["subject"], changed["type"], changed["requester"]) == ("emil@contoso.com", "MFA Reset", ANNA)
    assert changed["status"] == "In Progress"
    assert changed["updated_at"].startswith("2026-11-22T09:01")
    assert stage.control("GET", "tickets")[0]["id"] == number


def test_a_quiet_edit_keeps_the_date(stage: Stage) -> None:
    number = stage.ticket()
    stage.clock.forward(minutes=1)
    assert stage.control("PATCH", f"tickets/{number}", summary="x", quiet=True)["updated_at"].startswith(
        "2026-11-22T09:00"
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tickets", {"type": "No such type"}),
        ("tickets", {"requester": "nobody@example.com"}),
        ("tickets/1/approve", {}),
        ("bulk-tickets", {"type": "No such type"}),
        ("limits", {"colour": 1}),
    ],
)
def test_mistakes_are_answered_in_words(stage: Stage, path: str, body: dict[str, object]) -> None:
    answer = stage.http.post(f"{stage.addresses.control}/control/{path}", json=body, timeout=10)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]
    assert stage.control("GET", "tickets") == []


def test_voting_twice_is_refused(stage: Stage) -> None:
    number = stage.ticket()
    stage.control("POST", f"tickets/{number}/approve")
    answer = stage.http.post(f"{stage.addresses.control}/control/tickets/{number}/reject", timeout=10)
    assert answer.status_code == 400
    assert stage.control("GET", f"tickets/{number}")["status"] == "Approved"


def test_bulk_tickets_are_unrelated_unless_told_otherwise(stage: Stage) -> None:
    ids = stage.control("POST", "bulk-tickets", count=5)["ids"]
    assert [stage.control("GET", f"tickets/{number}")["type"] for number in ids] == ["Incident"] * 5
    waiting = stage.control("POST", "bulk-tickets", count=2, type="Password Reset", subject=DANA)["ids"]
    assert stage.control("GET", f"tickets/{waiting[0]}")["status"] == "Awaiting Approval"


def test_calls_are_counted_by_system_and_by_template(stage: Stage) -> None:
    number = stage.ticket()
    stage.halo("GET", f"Tickets/{number}")
    stage.halo("GET", f"tickets/{number}")
    stage.graph("GET", f"users/{DANA}")
    calls = stage.control("GET", "calls")
    assert calls["systems"] == {"halo": 3, "authority": 1, "graph": 1}
    assert calls["calls"]["GET /api/tickets/{id}"] == 2
    assert calls["calls"]["GET /v1.0/users/{id}"] == 1
    stage.control("DELETE", "calls")
    assert stage.control("GET", "calls")["systems"] == {}


def test_exchanges_show_what_was_said_without_the_token(stage: Stage) -> None:
    number = stage.ticket()
    stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome_id": 7, "note": "seen"}])
    exchange = stage.control("GET", "exchanges?system=halo")[-1]
    assert exchange["request_body"][0]["note"] == "seen"
    assert exchange["response_body"]["outcome"] == "Private Note"
    assert "authorization" not in exchange["request_headers"]
    assert stage.tokens["halo"] not in repr(stage.control("GET", "exchanges"))


def test_roles_and_methods_of_an_account_can_be_changed(stage: Stage) -> None:
    changed = stage.control("PATCH", f"accounts/{DANA}", roles=["Global Administrator"], methods=[])
    assert (changed["roles"], changed["methods"]) == (["Global Administrator"], [])


def test_expired_tokens_are_refused(stage: Stage) -> None:
    assert stage.halo("GET", "Status").status_code == 200
    stage.control("POST", "expire-tokens")
    assert stage.halo("GET", "Status").status_code == 401


def test_a_name_that_points_at_loopback_is_not_enough_to_get_in(stage: Stage) -> None:
    """A page on the internet could otherwise drive the sandbox through its visitor's browser."""
    answer = requests.post(
        f"{stage.addresses.control}/control/tickets",
        json={"subject": DANA, "requester": BEN},
        headers={"Host": "rebound.example"},
        timeout=10,
    )
    assert answer.status_code == 400
    assert stage.control("GET", "tickets") == []


def test_a_mistake_of_the_sandbox_itself_still_says_that_it_is_a_sandbox(stage: Stage) -> None:
    stage.halo("GET", "Status")
    stage.world.desk.statuses = None  # type: ignore[assignment]
    answer = stage.halo("GET", "Status")
    assert (answer.status_code, answer.headers["X-Sandbox"]) == (500, "1")
    stage.world.record.exchanges.pop()
