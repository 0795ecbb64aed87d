"""The bodies that real HaloPSAs sent, read as a person would read them. Their sources: tests/samples/halopsa."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses

from connector.core.ports import Note, Stance
from connector.psa.halopsa.ticket import action_of, is_ours, read_requester
from connector.psa.halopsa.values import field_id, field_texts, field_value, flag, moment, text
from connector.psa.halopsa.votes import Said, read_votes
from tests.psa.halopsa_server import SAMPLES, Server, detail, with_process


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


TICKET = sample("ticket-post-response.uktrade-2024-06.json")


@pytest.fixture
def halo() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        yield Server(mock)


@pytest.mark.parametrize(
    ("field", "texts", "value"),
    [
        ("CFimpact", ("Single User Affected", "3"), "Single User Affected"),
        ("165", ("Single User Affected", "3"), "Single User Affected"),
        ("CFChangeActualEndDateTime", ("20/06/2024", "2024-06-20T14:45:16.4926282Z"), "2024-06-20T14:45:16.4926282Z"),
        ("CFNeverSet", (), ""),
        ("details", ("Blah",), "Blah"),
        ("userdef5", ("380271314777",), "380271314777"),
        ("userdef1", (), ""),
    ],
)
def test_fields_of_a_true_ticket(field: str, texts: tuple[str, ...], value: str) -> None:
    assert field_texts(TICKET, field) == texts
    assert field_value(TICKET, field) == value


def test_the_dates_of_a_true_ticket() -> None:
    assert moment(TICKET, "dateoccurred") == datetime(2024, 6, 20, 14, 45, 15, 974627, tzinfo=UTC)
    for never in ("targetdate", "lastincomingemail", "deadlinedate"):
        assert text(TICKET, never)
        assert moment(TICKET, never) is None


def test_a_true_drop_downs_number_is_no_user_unless_a_mapping_says_so() -> None:
    assert field_id(TICKET, "CFimpact") == 3
    assert field_id(TICKET, "CFChangeActualEndDateTime") is None


def test_the_requester_of_a_true_ticket_is_known_as_a_user_and_as_an_agent() -> None:
    person = read_requester(TICKET)
    assert person is not None
    assert person.identities == {"halo.user:38", "halo.agent:13", "mail:some.body@example.com"}


def test_a_true_ticket_has_no_votes_and_nobody_else_who_had_a_part(halo: Server) -> None:
    halo.get("Tickets/9499", json=TICKET)
    ticket = halo.psa().read("9499")
    assert ticket.approval.stance is Stance.NONE
    assert ticket.also_not_approvers == ()
    assert (ticket.client_id, ticket.client_name) == ("12", "Department for Business and Trade")


def test_the_official_example_of_an_approver_is_somebody_who_has_not_answered() -> None:
    example = sample("approval-guide-2345.json")
    (vote,) = read_votes({"approvers": [example["get_ticket_approvers_entry"]]}, 4242)
    assert vote.person.identities == {"halo.user:23", "mail:example@halo.com"}
    assert (vote.key, vote.said, vote.decided_at) == ("4242/8/17", Said.NOTHING, None)
    assert {Said.YES.value: "Approve", Said.NO.value: "Reject"} == {
        int(code): word for code, word in example["result_codes"].items()
    }


def test_the_official_example_with_the_official_yes_is_a_yes(halo: Server) -> None:
    example = sample("approval-guide-2345.json")
    row = example["get_ticket_approvers_entry"] | {
        "result": 1,
        "dateapproved": "2026-11-22T09:00:00Z",
        "approval_process_id": 5,
    }
    with_process(halo)
    halo.get("Tickets/4242", json=detail(approvers=[row]))
    assert halo.psa().read("4242").approval.stance is Stance.APPROVED


def test_what_we_post_has_the_types_of_what_the_agents_page_posts() -> None:
    (theirs,) = sample("action-ui-post-body.stellarcyber-2025.json")
    ours = action_of(Note("x", "m", time_spent=timedelta(seconds=31)), 2818, 7)
    assert set(ours) <= set(theirs)
    assert (int(theirs["ticket_id"]), int(theirs["outcome_id"])) == (ours["ticket_id"], ours["outcome_id"])
    assert type(ours["hiddenfromuser"]) is type(theirs["hiddenfromuser"])
    assert theirs["sendemail"] is ours["sendemail"] is False
    # 31 seconds: their page counts in hours, too.
    assert ours["timetaken"] == pytest.approx(theirs["timetaken"], abs=0.0002)


def test_a_true_action_of_somebody_elses_application_is_not_our_note() -> None:
    action = sample("action-object.uktrade-2024-06.json")
    assert text(action, "actionby_application_id") == "Halo API Test"
    assert flag(action, "hiddenfromuser")
    assert not is_ours(action, "m")
