"""HaloPSA's oddities and bad days, one answer at a time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses

from connector.core.case import Action, Person
from connector.core.ports import Level, Note, Stance, StatusTarget
from connector.errors import AuthenticationError, PermanentError, TemporaryError, TicketGone
from connector.psa.halopsa.api import tenant_of
from connector.psa.halopsa.mapping import HaloMapping, HaloSubject
from connector.psa.mapping import HandOff, Statuses
from tests.psa.halopsa_make import shipped_mapping
from tests.psa.halopsa_server import (
    API,
    HALO,
    PROCESS,
    SAMPLES,
    STATUSES,
    TYPES,
    Server,
    check_answers,
    detail,
    with_process,
)


@pytest.fixture
def halo() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        yield Server(mock)


# ---------------------------------------------------------------- token


def test_the_token_is_asked_for_as_a_form_and_sent_as_a_bearer(halo: Server) -> None:
    halo.get("Tickets", json={"record_count": 0, "tickets": []})
    halo.psa().changed(None)
    (request,) = halo.asked("/auth/token")
    assert parse_qs(str(request.body)) == {
        "grant_type": ["client_credentials"],
        "client_id": ["reset"],
        "client_secret": [halo.client_secret],
        "scope": ["read:tickets edit:tickets read:customers"],
    }
    assert "?" not in (request.url or "")
    assert halo.asked("/Tickets")[0].headers["Authorization"] == f"Bearer {halo.token}"


def test_a_tenant_goes_into_the_query(halo: Server) -> None:
    halo.get("Tickets", json={"record_count": 0, "tickets": []})
    halo.psa(tenant="msp").changed(None)
    assert halo.query("/auth/token") == [{"tenant": "msp"}]


@pytest.mark.parametrize(
    ("url", "tenant"),
    [
        ("https://msp.halopsa.com", "msp"),
        ("https://desk.haloitsm.com", "desk"),
        ("https://halo.msp.example", ""),
        ("https://halopsa.com.example", ""),
        ("https://evilhalopsa.com", ""),
    ],
)
def test_instances_hosted_by_halo_have_their_first_word_as_tenant(url: str, tenant: str) -> None:
    assert tenant_of(url) == tenant


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_refused_credentials_pause_this_psa_and_show_no_secret(halo: Server, status: int) -> None:
    halo.mock.replace("POST", f"{HALO}/auth/token", status=status, json={"error": "invalid_client"})
    with pytest.raises(AuthenticationError) as caught:
        halo.psa().changed(None)
    assert caught.value.scope == "psa.halo"
    assert halo.client_secret not in str(caught.value)


def test_a_wrong_tenant_answers_500_and_the_message_says_so(halo: Server) -> None:
    halo.mock.replace("POST", f"{HALO}/auth/token", status=500)
    with pytest.raises(TemporaryError, match=r"psa\.halo\.tenant"):
        halo.psa(tenant="msq").changed(None)


def test_an_answer_without_a_token_is_temporary(halo: Server) -> None:
    halo.mock.replace("POST", f"{HALO}/auth/token", json={"expires_in": 3600})
    with pytest.raises(TemporaryError, match="without a token"):
        halo.psa().changed(None)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_drops_the_token_and_tries_once_more_with_a_new_one(halo: Server, status: int) -> None:
    halo.get("Tickets/4242", status=status, body="no")
    halo.get("Tickets/4242", json=detail(approvers=None, status_id=31))
    assert halo.psa().read("4242").id == "4242"
    assert halo.tokens.call_count == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_that_stays_is_an_authentication_error_after_two_tries(halo: Server, status: int) -> None:
    halo.get("Tickets", status=status, body="no")
    with pytest.raises(AuthenticationError, match="connector check"):
        halo.psa().changed(None)
    assert len(halo.asked("/Tickets")) == 2
    assert halo.tokens.call_count == 2


# ---------------------------------------------------------------- one ticket


def test_a_ticket_is_read_with_every_identity_that_halopsa_knows(halo: Server) -> None:
    with_process(halo)
    entra = "6F0E105E-7000-4000-8000-80C238063B07"
    user = {"id": 38, "name": "Ben", "emailaddress": "ben.r@contoso.com", "linked_agent_id": 13, "azureoid": entra,
            "site_id": 18.0}  # fmt: skip
    halo.get("Tickets/4242", json=detail(user=user))
    ticket = halo.psa().read("4242")
    assert ticket.requester == Person(
        name="Ben",
        email="ben.r@contoso.com",
        ids=frozenset({"halo.user:38", "halo.agent:13", f"entra:{entra.lower()}"}),
    )
    assert ticket.subject_text == "dana@contoso.com"
    assert ticket.reason == "locked out"
    assert ticket.client_id == "12"
    assert ticket.action is Action.PASSWORD
    assert ticket.approval.stance is Stance.APPROVED
    assert ticket.created_at.isoformat() == "2026-11-22T07:00:00.123456+00:00"
    assert ticket.updated_at is not None
    assert ticket.updated_at.microsecond == 765432
    assert ticket.request_changed_at is None
    assert ticket.url == f"{HALO}/ticket?id=4242"
    assert halo.query("/Tickets/4242") == [{"includedetails": "true", "includelastaction": "false", "nocache": "true"}]


def test_another_users_record_lends_the_requester_no_identity(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(user={"id": 99, "linked_agent_id": 13}, status_id=31, approvers=None))
    requester = halo.psa().read("4242").requester
    assert requester == Person(name="Ben", email="ben@contoso.com", ids=frozenset({"halo.user:38"}))


def test_a_ticket_that_nobody_raised_has_no_requester(halo: Server) -> None:
    body = detail(user_id=0, reportedby="ben@contoso.com", status_id=31, approvers=None)
    halo.get("Tickets/4242", json=body)
    assert halo.psa().read("4242").requester is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("dana@contoso.com", "dana@contoso.com"), (" Dana@x.com ", " Dana@x.com "), (9, "9"), (None, ""), (True, ""),
     (["a"], "a"), ({"id": 1}, "1"), ("", ""), ("  ", ""), (["a", {"name": "b"}], "a, b"), ([], ""), ({}, ""),
     (18.0, "18"), (18.5, "18.5"), ({"id": 4, "name": "Dana"}, "Dana"), ("2024-06-20T14:45:16", "2024-06-20T14:45:16")],
)  # fmt: skip
def test_a_custom_fields_value_may_be_of_any_type(halo: Server, value: object, text: str) -> None:
    entry = {"id": 201, "name": "CFSubject", "value": value}
    halo.get("Tickets/4242", json=detail(customfields=[entry], status_id=31, approvers=None))
    assert halo.psa().read("4242").subject_text == text


@pytest.mark.parametrize("field", ["201", "cfsubject", "CFSubject"])
def test_a_field_is_found_by_id_or_name(halo: Server, field: str) -> None:
    shipped = shipped_mapping()
    request = shipped.requests[0].model_copy(update={"subject": HaloSubject(field=field)})
    mapping = shipped.model_copy(update={"requests": (request,)})
    halo.get("Tickets/4242", json=detail(status_id=31, approvers=None))
    assert halo.psa(mapping=mapping).read("4242").subject_text == "dana@contoso.com"


def test_a_field_that_was_never_set_does_not_fall_back_to_a_property_of_the_ticket(halo: Server) -> None:
    body = detail(customfields=None, CFSubject="karin@contoso.com", status_id=31, approvers=None)
    halo.get("Tickets/4242", json=body)
    assert halo.psa().read("4242").subject_text == ""


def test_an_action_that_was_never_set_does_not_fall_back_to_a_property_of_the_ticket(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(tickettype_id=27, CFResetWhat="Both", status_id=31, approvers=None))
    assert halo.psa().read("4242").action is None


@pytest.mark.parametrize("value", [3, "3", 3.0])
def test_an_action_is_told_by_what_the_drop_down_shows(halo: Server, value: object) -> None:
    entry = {"id": 202, "name": "CFResetWhat", "value": value, "display": "both"}
    halo.get("Tickets/4242", json=detail(tickettype_id=27, customfields=[entry], status_id=31, approvers=None))
    assert halo.psa().read("4242").action is Action.BOTH


def test_an_action_that_the_mapping_does_not_know_is_none(halo: Server) -> None:
    entry = {"id": 202, "name": "CFResetWhat", "value": 4, "display": "Everything"}
    halo.get("Tickets/4242", json=detail(tickettype_id=27, customfields=[entry], status_id=31, approvers=None))
    ticket = halo.psa().read("4242")
    assert (ticket.mapped, ticket.action) == (True, None)


def test_a_true_answer_of_halopsa_is_read_without_error(halo: Server) -> None:
    body = json.loads((SAMPLES / "ticket-post-response.uktrade-2024-06.json").read_text(encoding="utf-8"))
    halo.get("Tickets/9499", json=body)
    ticket = halo.psa().read("9499")
    assert (ticket.mapped, ticket.action, ticket.subject_text, ticket.closed) == (False, None, "", False)
    assert ticket.title == "Halo via API at 2024-06-20T14:45:15.788760"
    assert ticket.requester is not None
    assert ticket.requester.ids == {"halo.user:38", "halo.agent:13"}
    assert ticket.requester.email == "some.body@example.com"
    assert ticket.status == "New"
    assert ticket.approval.stance is Stance.NONE
    assert ticket.created_at.isoformat() == "2024-06-20T14:45:15.977386+00:00"
    assert ticket.updated_at is not None
    assert ticket.updated_at.isoformat() == "2024-06-20T14:45:17.152103+00:00"


@pytest.mark.parametrize(
    "body",
    [{"deleted": True}, {"merged_into_id": 4300}, {"id": 4300}, {"id": None}],
    ids=["deleted", "merged", "another ticket", "no ticket"],
)
def test_a_ticket_that_is_deleted_merged_or_another_is_gone(halo: Server, body: dict[str, Any]) -> None:
    halo.get("Tickets/4242", json=detail(**body))
    with pytest.raises(TicketGone):
        halo.psa().read("4242")


def test_a_ticket_out_of_sight_is_gone_while_others_can_be_seen(halo: Server) -> None:
    halo.get("Tickets/4242", status=403, body="no")
    halo.get("Tickets", json={"record_count": 1, "tickets": [{"id": 4243, "tickettype_id": 25}]})
    with pytest.raises(TicketGone):
        halo.psa().read("4242")


@pytest.mark.parametrize("rows", [[], [{"id": 4242, "tickettype_id": 25}]], ids=["nothing", "this one"])
def test_a_withdrawn_right_is_no_lost_ticket(halo: Server, rows: list[Any]) -> None:
    """Otherwise one change of the agent's teams would end every waiting case for good."""
    halo.get("Tickets/4242", status=403, body="no")
    halo.get("Tickets", json={"record_count": len(rows), "tickets": rows})
    with pytest.raises(AuthenticationError):
        halo.psa().read("4242")


def test_half_a_ticket_is_temporary(halo: Server) -> None:
    halo.get("Tickets/4242", json={"id": 4242, "tickettype_id": 25})
    with pytest.raises(TemporaryError):
        halo.psa().read("4242")


# ---------------------------------------------------------------- votes and processes apart


def test_votes_are_asked_for_apart_where_an_approved_ticket_shows_none(halo: Server) -> None:
    with_process(halo)
    vote = detail()["approvers"][0]
    halo.get("Tickets/4242", json=detail(approvers=None))
    # HaloPSA ignores parameters that it does not know: then the votes of other tickets come, too.
    halo.get("TicketApproval", json=[vote | {"ticket_id": 4242}, vote | {"ticket_id": 4300, "result": 2}, vote])
    reading = halo.psa().read("4242").approval
    assert reading.stance is Stance.APPROVED
    assert len(reading.decisions) == 1
    assert halo.query("/TicketApproval") == [{"ticket_id": "4242"}]


@pytest.mark.parametrize(
    "answer",
    [{"json": []}, {"json": [{"ticket_id": 4300, "result": 1, "dateapproved": "2026-11-22T09:00:00Z", "user_id": 23}]},
     {"status": 403, "body": "no"}, {"status": 404}, {"json": {"error": "?"}}],
    ids=["none", "another ticket's", "no right", "no such call", "nonsense"],
)  # fmt: skip
def test_an_approved_status_without_own_votes_is_no_yes(halo: Server, answer: dict[str, Any]) -> None:
    with_process(halo)
    halo.get("Tickets/4242", json=detail(approvers=None))
    halo.get("TicketApproval", **answer)
    reading = halo.psa().read("4242").approval
    assert reading.stance is Stance.PENDING
    assert "no approver's yes" in reading.reason


@pytest.mark.parametrize(
    "answer",
    [{"json": PROCESS | {"steps": [{"id": 1, "autoapproveifnoapprovers": True}]}}, {"status": 403, "body": "no"},
     {"status": 404}, {"json": {"id": 5}}, {"json": PROCESS | {"id": 6}}, {"json": []}],
    ids=["automatic", "no right", "gone", "no steps", "another process", "nonsense"],
)  # fmt: skip
def test_a_process_that_may_approve_by_itself_or_cannot_be_read_is_no_yes(halo: Server, answer: dict[str, Any]) -> None:
    halo.get("Tickets/4242", json=detail())
    halo.get("ApprovalProcess/5", **answer)
    reading = halo.psa().read("4242").approval
    assert reading.stance is Stance.PENDING
    assert "approval process 5" in reading.reason


def test_a_process_that_halopsa_cannot_tell_just_now_makes_the_read_fail(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail())
    halo.get("ApprovalProcess/5", status=503)
    with pytest.raises(TemporaryError):
        halo.psa().read("4242")


def test_a_process_is_read_once_in_a_while_and_a_switch_thrown_since_is_seen(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail())
    with_process(halo)
    halo.get("ApprovalProcess/5", json=PROCESS | {"steps": [{"id": 1, "autoapproveifalreadyapp": True}]})
    psa = halo.psa()
    assert [psa.read("4242").approval.stance for _ in range(3)] == [Stance.APPROVED] * 3
    assert len(halo.asked("/ApprovalProcess/5")) == 1
    halo.clock.forward(minutes=11)
    assert psa.read("4242").approval.stance is Stance.PENDING


# ---------------------------------------------------------------- writing


def test_a_note_is_an_array_with_the_outcome_hidden_and_without_mail(halo: Server) -> None:
    halo.post("Actions", json={"id": 3, "ticket_id": 4242})
    halo.psa().add_note("4242", Note('Line <1> & "two"\nnext', "c1-x"))
    ((sent,),) = halo.sent("/Actions")
    assert sent["ticket_id"] == 4242
    assert sent["outcome_id"] == 7
    assert sent["hiddenfromuser"] is True
    assert sent["sendemail"] is False
    assert "Line &lt;1&gt; &amp; &quot;two&quot;<br>next" in sent["note_html"]
    assert "[ref c1-x]" in sent["note_html"]
    assert "new_status" not in sent


def test_a_status_change_is_an_array_and_closing_answers_the_question_about_appointments(halo: Server) -> None:
    halo.post("Tickets", json=detail(status_id=34))
    halo.post("Tickets", json=detail(status_id=9))
    psa = halo.psa()
    assert psa.move("4242", StatusTarget.HAND_OFF)
    assert psa.move("4242", StatusTarget.CLOSED)
    assert halo.sent("/Tickets") == [
        [{"id": 4242, "status_id": 34}],
        [{"id": 4242, "status_id": 9, "_appointment01_ok": True}],
    ]


def test_a_move_whose_answer_shows_the_old_status_is_read_back(halo: Server) -> None:
    halo.post("Tickets", json=detail(status_id=32))
    halo.get("Tickets/4242", json=detail(status_id=9))
    assert halo.psa().move("4242", StatusTarget.CLOSED)


@pytest.mark.parametrize("answered", [detail(status_id=32), {}, {"id": 4300, "status_id": 9}])
def test_a_move_that_did_not_move_is_told(halo: Server, answered: dict[str, Any]) -> None:
    halo.post("Tickets", json=answered)
    halo.get("Tickets/4242", json=detail(status_id=32))
    with pytest.raises(PermanentError, match="stand in 'Closed' but in 'Approved'"):
        halo.psa().move("4242", StatusTarget.CLOSED)


def handing_off(team: str | None = None, owner: str | None = None) -> HaloMapping:
    return shipped_mapping().model_copy(update={"hand_off": HandOff(team=team, owner=owner)})


def test_a_hand_off_goes_to_the_team_and_the_owner_and_is_read_back(halo: Server) -> None:
    halo.get("Team", json=[{"id": 4, "name": "2nd Line"}])
    halo.get("Agent", json={"record_count": 1, "agents": [{"id": 12, "name": "Hugo"}]})
    halo.post("Tickets", json=detail(status_id=34, team="2nd Line", agent_id=12))
    halo.post("Tickets", json=detail(status_id=9))
    psa = halo.psa(mapping=handing_off("2nd line", "Hugo"))
    assert psa.move("4242", StatusTarget.HAND_OFF)
    assert psa.move("4242", StatusTarget.CLOSED)
    assert halo.sent("/Tickets") == [
        [{"id": 4242, "status_id": 34, "team": "2nd Line", "agent_id": 12}],
        [{"id": 4242, "status_id": 9, "_appointment01_ok": True}],
    ]


def test_a_hand_off_without_a_status_goes_to_the_team_all_the_same(halo: Server) -> None:
    halo.get("Team", json=[{"id": 4, "name": "2nd Line"}])
    halo.post("Tickets", json=detail(status_id=32, team="2nd Line"))
    mapping = handing_off("2nd Line")
    psa = halo.psa(mapping=mapping.model_copy(update={"statuses": Statuses(closed="Closed")}))
    assert psa.move("4242", StatusTarget.HAND_OFF)
    assert halo.sent("/Tickets") == [[{"id": 4242, "team": "2nd Line"}]]
    assert psa.move("4242", StatusTarget.WORKING) is False


def test_an_owner_written_as_a_number_needs_no_list_of_agents(halo: Server) -> None:
    halo.post("Tickets", json=detail(status_id=34, agent_id=12))
    assert halo.psa(mapping=handing_off(owner="12")).move("4242", StatusTarget.HAND_OFF)
    assert halo.asked("/Agent") == []


@pytest.mark.parametrize(
    ("found", "words"),
    [({"team": "Service Desk", "agent_id": 12}, "team '2nd Line'"), ({"team": "2nd Line", "agent_id": 1}, "agent 12"),
     ({"team": "2nd Line"}, "agent 12"), ({"status_id": 32, "team": "2nd Line", "agent_id": 12}, "Needs technician")],
)  # fmt: skip
def test_a_hand_off_that_did_not_arrive_is_told(halo: Server, found: dict[str, Any], words: str) -> None:
    """HaloPSA answers 201 whatever it made of a property."""
    halo.get("Team", json=[{"id": 4, "name": "2nd Line"}])
    stands = detail(**({"status_id": 34} | found))
    halo.post("Tickets", json=stands)
    halo.get("Tickets/4242", json=stands)
    with pytest.raises(PermanentError, match=words):
        halo.psa(mapping=handing_off("2nd Line", "12")).move("4242", StatusTarget.HAND_OFF)


def test_time_is_booked_in_decimal_hours(halo: Server) -> None:
    halo.post("Actions", json={"id": 3, "ticket_id": 4242})
    psa = halo.psa()
    psa.add_note("4242", Note("done", "c1-x", time_spent=timedelta(minutes=5)))
    psa.add_note("4242", Note("done", "c1-y"))
    ((booked,), (unbooked,)) = halo.sent("/Actions")
    assert booked["timetaken"] == 0.0833
    assert "timetaken" not in unbooked


def test_an_outcome_that_is_forbidden_on_a_ticket_is_named_with_what_to_do(halo: Server) -> None:
    words = {"ClassName": "System.Exception", "Message": "You do not have access to this Action at the moment"}
    halo.post("Actions", status=400, json=words)
    halo.get("Tickets/4242", json=detail())
    with pytest.raises(PermanentError, match=r"Ticket 4242, outcome 'Private Note': allow it") as caught:
        halo.psa().add_note("4242", Note("the words of the note", "c1-x"))
    assert "note_outcome" in str(caught.value)
    assert "the words of the note" not in str(caught.value)


def test_a_rule_that_refuses_a_move_is_permanent_and_its_words_are_not_repeated(halo: Server) -> None:
    words = secrets.token_hex(8)
    halo.post("Tickets", status=400, json={"ClassName": "System.Exception", "Message": words})
    halo.get("Tickets/4242", json=detail())
    with pytest.raises(PermanentError, match="mandatory field") as caught:
        halo.psa().move("4242", StatusTarget.CLOSED)
    assert words not in str(caught.value)


def test_a_write_that_is_refused_for_a_ticket_that_is_gone_says_gone(halo: Server) -> None:
    halo.post("Actions", status=400, json={"Message": "?"})
    halo.get("Tickets/4242", json=detail(deleted=True))
    with pytest.raises(TicketGone):
        halo.psa().add_note("4242", Note("x", "m"))


def test_a_connection_cut_after_a_note_is_not_repeated_by_itself(halo: Server) -> None:
    halo.post("Actions", body=requests.exceptions.ConnectionError("cut"))
    with pytest.raises(TemporaryError):
        halo.psa().add_note("4242", Note("x", "m"))
    assert len(halo.asked("/Actions")) == 1


def test_the_unknown_wait_of_429_is_left_to_the_caller_and_a_known_short_one_is_waited_for(halo: Server) -> None:
    halo.post("Actions", status=429, body="Rate Limit Reached")
    psa = halo.psa()
    with pytest.raises(TemporaryError) as caught:
        psa.add_note("4242", Note("x", "m"))
    assert caught.value.retry_after is None
    assert len(halo.asked("/Actions")) == 1
    halo.mock.replace("POST", f"{API}/Actions", status=429, headers={"Retry-After": "2"})
    halo.post("Actions", json={"id": 3})
    psa.add_note("4242", Note("x", "m"))
    assert 2.0 in halo.waits


def test_a_long_wait_is_handed_on(halo: Server) -> None:
    halo.get("Tickets", status=429, headers={"Retry-After": "120"})
    with pytest.raises(TemporaryError) as caught:
        halo.psa().changed(None)
    assert caught.value.retry_after == timedelta(seconds=120)
    assert len(halo.asked("/Tickets")) == 1


@pytest.mark.parametrize(
    "answer",
    [{"status": 500}, {"status": 503}, {"body": requests.exceptions.ReadTimeout("slow")},
     {"body": requests.exceptions.ConnectionError("cut")}, {"body": "<html>sign in</html>"}],
    ids=["500", "503", "time-out", "cut", "not JSON"],
)  # fmt: skip
def test_a_bad_day_is_temporary_for_every_read(halo: Server, answer: dict[str, Any]) -> None:
    for path in ("Tickets", "Tickets/4242", "Actions"):
        halo.get(path, **answer)
    psa = halo.psa()
    for call in (lambda: psa.changed(None), lambda: psa.read("4242"), lambda: psa.has_note("4242", "m")):
        with pytest.raises(TemporaryError) as caught:
            call()
        assert "sign in" not in str(caught.value)


def test_a_missing_list_is_a_wrong_address_and_pauses_this_psa(halo: Server) -> None:
    halo.get("Tickets", status=404)
    with pytest.raises(AuthenticationError, match="404"):
        halo.psa().changed(None)


# ---------------------------------------------------------------- notes found again


def action(html: str, **changes: Any) -> dict[str, Any]:
    return {"id": 3, "ticket_id": 4242, "note_html": html, "actionby_application_id": "Reset connector", **changes}


@pytest.mark.parametrize(
    ("found", "is_there"),
    [
        (action("<p>Recognised</p><p><span>[ref c1-x]</span></p>"), True),
        (action("", note="Recognised [ref c1-x]"), True),
        (action("<p>[ref&nbsp;c1-x]</p>"), True),
        (action("<p>[ref c1-xy]</p>"), False),
        (action("<p>[ref 1-x]</p>"), False),
        (action("<p>c1-x</p>"), False),
        (action("<p>[ref c1-x]</p>", actionby_application_id=""), False),
        (action("<p>[ref c1-x]</p>", actionby_application_id=None), False),
    ],
)
def test_a_marker_is_found_in_our_own_actions_only(halo: Server, found: dict[str, Any], is_there: bool) -> None:
    halo.get("Actions", json={"record_count": 2, "actions": [action("<p>other</p>"), found]})
    assert halo.psa().has_note("4242", "c1-x") is is_there
    assert halo.query("/Actions") == [
        {"ticket_id": "4242", "count": "500", "excludesys": "true", "includehtmlnote": "true"}
    ]


def test_a_true_action_is_read_without_error(halo: Server) -> None:
    body = json.loads((SAMPLES / "action-object.uktrade-2024-06.json").read_text(encoding="utf-8"))
    halo.get("Actions", json={"record_count": 1, "actions": [body]})
    psa = halo.psa()
    assert not psa.has_note("9499", "c1-x")
    body["note_html"] += "[ref c1-x]"
    halo.mock.replace("GET", f"{API}/Actions", json={"record_count": 1, "actions": [body]})
    assert psa.has_note("9499", "c1-x")


# ---------------------------------------------------------------- names


def test_a_status_of_tickets_is_told_from_one_of_something_else_by_the_same_name(halo: Server) -> None:
    halo.post("Tickets", json=detail(status_id=9))
    assert halo.psa().move("4242", StatusTarget.CLOSED)


@pytest.mark.parametrize("key", ["tickettypes", "statuses"])
def test_lists_may_come_in_an_envelope(halo: Server, key: str) -> None:
    path, rows = {"tickettypes": ("TicketType", TYPES), "statuses": ("Status", STATUSES)}[key]
    halo.mock.replace("GET", f"{API}/{path}", json={"record_count": len(rows), key: rows})
    halo.get("Tickets/4242", json=detail(status_id=31, approvers=None))
    assert halo.psa().read("4242").mapped


def test_an_ambiguous_name_pauses_this_psa_with_the_ids(halo: Server) -> None:
    halo.mock.replace("GET", f"{API}/TicketType", json=[*TYPES, {"id": 77, "name": "MFA Reset"}])
    with pytest.raises(AuthenticationError, match=r"ids 26, 77.*Write the id"):
        halo.psa().changed(None)


def test_names_that_could_not_be_looked_up_are_looked_up_again(halo: Server) -> None:
    halo.mock.replace("GET", f"{API}/TicketType", json=[])
    psa = halo.psa()
    halo.get("Tickets", json={"record_count": 0, "tickets": []})
    with pytest.raises(AuthenticationError):
        psa.changed(None)
    halo.mock.replace("GET", f"{API}/TicketType", json=TYPES)
    assert psa.changed(None).tickets == ()


def test_one_type_named_twice_by_name_and_by_id_is_refused(halo: Server) -> None:
    shipped = shipped_mapping()
    twice = (shipped.requests[0], shipped.requests[1].model_copy(update={"ticket_type": "25"}))
    with pytest.raises(AuthenticationError, match="same ticket type"):
        halo.psa(mapping=shipped.model_copy(update={"requests": twice})).changed(None)


# ---------------------------------------------------------------- check


def test_a_process_that_may_approve_by_itself_is_told_by_check(halo: Server) -> None:
    check_answers(halo, steps=[{"id": 1, "name": "Manager", "statusafteraccept": 32, "autoapproveifnoapprovers": True}])
    errors = [finding for finding in halo.psa().check() if finding.level is Level.ERROR]
    assert len(errors) == 1
    assert "autoapproveifnoapprovers in step Manager" in errors[0].text
    assert errors[0].todo


def test_a_process_that_ends_in_an_unmapped_status_is_told_by_check(halo: Server) -> None:
    steps = [{"id": 2, "sequence": 2, "statusafteraccept": 1}, {"id": 1, "sequence": 1, "statusafteraccept": 31}]
    check_answers(halo, steps=steps)
    errors = [finding for finding in halo.psa().check() if finding.level is Level.ERROR]
    assert len(errors) == 1
    assert "New (1)" in errors[0].text


def test_a_missing_right_is_told_and_everything_else_is_looked_at_all_the_same(halo: Server) -> None:
    check_answers(halo)
    halo.mock.replace("GET", f"{API}/FieldInfo", status=403, body="no")
    findings = list(halo.psa().check())
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    assert [finding.about for finding in errors] == ["psa.halo.rights"]
    assert any("Reset approval" in finding.text for finding in findings)
