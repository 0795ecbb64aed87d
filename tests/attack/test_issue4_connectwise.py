"""ConnectWise, attacked: a yes that nobody gave, an approver who is somebody else, a poll that goes blind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import responses

from connector.core.ports import Note, Push, Stance
from connector.errors import PushRefused, TemporaryError
from tests.psa.connectwise_desk import CwDesk, House, open_desk
from tests.psa.connectwise_desk import house as make_house
from tests.psa.connectwise_make import changed_mapping
from tests.psa.connectwise_server import APPROVED_BY_ANNA, CONTACT, Server, ticket

BY_ID = [{"board": "Service Desk", "ticket_type": "Password Reset", "action": "password", "subject": {"field": 41}}]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with make_house() as made:
        yield made


@pytest.fixture
def desk(house: House) -> CwDesk:
    return open_desk(house)


@pytest.fixture
def server() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        yield Server(mock)


# ---------------------------------------------------------------- a yes for something else


def test_a_subject_named_by_its_id_that_was_changed_after_the_yes_makes_the_yes_older(house: House) -> None:
    desk = open_desk(house, mapping=changed_mapping(requests=BY_ID))
    ticket_id = desk.add_ticket()
    desk.tick()
    desk.approve(ticket_id)
    desk.tick()
    desk.change_subject(ticket_id, "erik@contoso.com")
    found = desk.psa.read(ticket_id)
    assert found.subject_text == "erik@contoso.com"
    assert found.request_changed_at == desk.clock.moment


@pytest.mark.parametrize("by", ["TinaT", "AnnaA", "zAdmin", ""])
def test_a_yes_that_may_have_been_taken_back_does_not_stand_while_the_trail_is_late(server: Server, by: str) -> None:
    """The trail shows Anna's yes of ten minutes ago, and not yet that it was taken back and given anew by another."""
    touched = {"dateEntered": "2026-11-22T08:30:00Z", "lastUpdated": "2026-11-22T08:59:50Z", "updatedBy": by}
    server.with_ticket(_info=touched)
    with pytest.raises(TemporaryError, match="looked at again"):
        server.psa().read("4242")
    server.clock.forward(minutes=2)
    assert server.psa().read("4242").approval.stance is Stance.APPROVED, "held up for a minute, and not for ever"


def test_our_own_note_after_a_yes_holds_nothing_up(server: Server) -> None:
    touched = {
        "dateEntered": "2026-11-22T08:30:00Z",
        "lastUpdated": "2026-11-22T08:59:50Z",
        "updatedBy": "ResetConnector",
    }
    server.with_ticket(_info=touched)
    assert server.psa().read("4242").approval.stance is Stance.APPROVED


@pytest.mark.parametrize("sub_kind", ["Summary", "Reset account", "Document", "Company", "Configuration"])
def test_a_row_about_something_else_is_no_change_of_the_status_whatever_its_text(server: Server, sub_kind: str) -> None:
    forged = {**APPROVED_BY_ANNA, "auditSubType": sub_kind}
    server.get("system/audittrail", json=[forged])
    server.with_ticket()
    reading = server.psa().read("4242").approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


@pytest.mark.parametrize("caption", ["Status", "Ticket status", "The status"])
def test_a_custom_field_that_the_trail_cannot_tell_from_the_status_makes_no_yes(server: Server, caption: str) -> None:
    fields = [*ticket()["customFields"], {"id": 49, "caption": caption, "type": "Text", "value": "Approved"}]
    text = f'{caption} has been changed from "Waiting Approval" to "Approved".'
    server.get("system/audittrail", json=[{**APPROVED_BY_ANNA, "auditSubType": "Custom Field", "text": text}])
    server.with_ticket(customFields=fields)
    reading = server.psa().read("4242").approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("source", ["Customer Portal", "Contact", "End user"])
def test_a_customer_with_a_members_name_is_not_that_member(server: Server, source: str) -> None:
    server.get("system/audittrail", json=[{**APPROVED_BY_ANNA, "auditSource": source}])
    server.with_ticket()
    reading = server.psa().read("4242").approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


def test_a_member_without_an_address_who_may_be_the_accounts_owner_is_nobody(desk: CwDesk) -> None:
    desk.desk.members[153].email = None
    ticket_id = desk.add_ticket()
    desk.approve(ticket_id, by="AnnaA")
    reading = desk.psa.read(ticket_id).approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())
    assert "their own account" in reading.reason


def test_a_contact_with_two_addresses_and_no_default_is_nobody(server: Server) -> None:
    row = contact_row(803, "anna@contoso.com", "anna.private@contoso.com")
    row["communicationItems"] = [{**one, "defaultFlag": False} for one in row["communicationItems"]]
    server.get("system/audittrail", json=[{**APPROVED_BY_ANNA, "enteredBy": "anna@contoso.com"}])
    server.get("company/contacts", json=[row])
    server.get("system/members", json=[])
    server.with_ticket()
    reading = server.psa().read("4242").approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())
    assert "their own account" in reading.reason


def contact_row(id_: int, *addresses: str) -> dict[str, Any]:
    """A contact of the ticket's company; the last address is the default."""
    items = [
        {"id": at, "value": one, "communicationType": "Email", "defaultFlag": one == addresses[-1]}
        for at, one in enumerate(addresses, 1)
    ]
    return {**CONTACT, "id": id_, "firstName": "Hanna", "communicationItems": items}


@pytest.mark.parametrize("borrowed", ["anna@contoso.com", " anna@contoso.com", "Anna@Contoso.com "])
def test_a_contact_whose_default_address_is_the_approvers_too_is_nobody(server: Server, borrowed: str) -> None:
    hanna, anna = contact_row(802, "hanna@contoso.com", borrowed), contact_row(803, "anna@contoso.com")
    server.get("system/audittrail", json=[{**APPROVED_BY_ANNA, "enteredBy": "hanna@contoso.com"}])
    for _ in range(2):  # each answer is given once
        server.get("company/contacts", json=[hanna, anna])
    server.get("system/members", json=[])
    server.with_ticket()
    reading = server.psa().read("4242").approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


def test_an_approver_who_signs_with_a_second_address_of_their_own_still_decides(server: Server) -> None:
    rows = [contact_row(803, "anna.private@contoso.com", "anna@contoso.com"), contact_row(804, "carl@contoso.com")]
    server.get("system/audittrail", json=[{**APPROVED_BY_ANNA, "enteredBy": "anna.private@contoso.com"}])
    for _ in range(2):
        server.get("company/contacts", json=rows)
    server.get("system/members", json=[])
    server.with_ticket()
    (decision,) = server.psa().read("4242").approval.decisions
    assert decision.approver.email == "anna@contoso.com"


def test_whoever_entered_the_ticket_with_a_second_address_may_not_approve_it_with_that(server: Server) -> None:
    signed = "anna.private@contoso.com"
    server.get("system/audittrail", json=[{**APPROVED_BY_ANNA, "enteredBy": signed}])
    for _ in range(2):
        server.get("company/contacts", json=[contact_row(803, signed, "anna@contoso.com")])
    server.get("system/members", json=[])
    server.with_ticket(_info={**ticket()["_info"], "enteredBy": signed.upper()})
    found = server.psa().read("4242")
    (decision,) = found.approval.decisions
    assert any(decision.approver.may_be(one) for one in found.also_not_approvers)


def test_an_address_with_a_blank_in_the_trail_is_nobodys(server: Server) -> None:
    server.get("system/audittrail", json=[{**APPROVED_BY_ANNA, "enteredBy": " anna@contoso.com"}])
    server.get("company/contacts", json=[contact_row(803, "anna@contoso.com")])
    server.get("system/members", json=[])
    server.with_ticket()
    assert server.psa().read("4242").approval.decisions == ()


def test_a_member_who_gave_herself_an_approvers_address_is_nobody(desk: CwDesk) -> None:
    desk.desk.members[151].email = "anna@contoso.com"
    by = desk.desk.members[151].identifier
    ticket_id = desk.add_ticket()
    desk.approve(ticket_id, by=by)
    reading = desk.psa.read(ticket_id).approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


def test_the_contact_who_raised_it_in_the_portal_is_told_as_nobody_who_may_approve(desk: CwDesk) -> None:
    ticket_id = desk.add_ticket(requester="anna@contoso.com")
    raw = desk.raw(ticket_id)
    desk.tick()
    desk.desk.set_contact(raw, desk.contact("ben@contoso.com").id, desk.actor("TinaT"))
    desk.tick()
    desk.approve(ticket_id, by="anna@contoso.com")
    found = desk.psa.read(ticket_id)
    (decision,) = found.approval.decisions
    assert any(decision.approver.may_be(one) for one in found.also_not_approvers)


def test_the_typed_address_of_a_ticket_is_one_who_may_not_approve_it(server: Server) -> None:
    server.with_ticket(contactEmailAddress="anna@contoso.com")
    found = server.psa().read("4242")
    (decision,) = found.approval.decisions
    assert any(decision.approver.may_be(one) for one in found.also_not_approvers)


def test_a_contact_who_has_left_asks_for_nothing(server: Server) -> None:
    server.get("company/contacts/801", json={**CONTACT, "inactiveFlag": True})
    server.with_ticket()
    assert server.psa().read("4242").requester is None


# ---------------------------------------------------------------- the poll


def poll_rows(*moments: str) -> list[dict[str, Any]]:
    return [ticket(id=one, _info={"lastUpdated": at, "dateEntered": at}) for one, at in enumerate(moments, 1)]


@pytest.mark.parametrize("headers", [{"Date": "Sun, 22 Nov 2026 09:00:00 GMT"}, {}])
def test_a_row_from_the_near_future_does_not_blind_the_polls_after_it(server: Server, headers: dict[str, str]) -> None:
    rows = poll_rows("2026-11-22T08:59:00Z", "2026-11-22T21:00:00Z")
    server.get("service/tickets", json=rows, headers={"Link": "", **headers})
    psa = server.psa()
    psa.changed(psa.changed(None).cursor)
    asked = server.query("service/tickets")[-1]["conditions"]
    assert "lastUpdated>=[2026-11-22T08:" in asked


@pytest.mark.parametrize("relation", ["rel=next", 'rel="prev next"', 'REL="Next"', "rel = 'next'"])
def test_another_page_is_seen_however_the_header_is_written(server: Server, relation: str) -> None:
    link = {"Link": f"<https://elsewhere.example/?pageId=1>; {relation}"}
    server.get("service/tickets", json=poll_rows("2026-11-22T08:59:00Z"), headers=link)
    server.get("service/tickets", json=poll_rows("2026-11-22T08:58:00Z", "2026-11-22T08:59:00Z"), headers={"Link": ""})
    assert {one.id for one in server.psa().changed(None).tickets} == {"1", "2"}
    assert not any("elsewhere" in (call.request.url or "") for call in server.mock.calls)


# ---------------------------------------------------------------- pushes


@pytest.mark.parametrize("key_url", ["https://[::1", "https://[x]/", "https://a]b/", "//[", "https://\u2100.example/"])
def test_a_key_address_that_is_none_is_refused_and_no_bug(server: Server, key_url: str) -> None:
    body = {
        "Type": "ticket",
        "ID": 4242,
        "CompanyId": "msp",
        "Metadata": {"key_url": f"{key_url}?companyName=msp&id=1"},
    }
    with pytest.raises(PushRefused):
        server.psa().heard(Push({"x-content-signature": "AAAA"}, {}, json.dumps(body).encode()))


def test_an_unproved_message_cannot_have_a_true_key_refused(server: Server) -> None:
    site = "https://eu.myconnectwise.net"
    server.mock.get(f"{site}/v1/system/callbackkey/index.rails", status=404, json={})
    true_key = server.mock.get(f"{site}/v2026_1/system/callbackkey/index.rails", json={"signing_key": "x" * 30})
    psa = server.psa()
    for path in ("v1", "v2026_1"):
        key_url = f"{site}/{path}/system/callbackkey/index.rails?companyName=msp&id=known"
        body = {"Type": "ticket", "ID": 4242, "CompanyId": "msp", "Metadata": {"key_url": key_url}}
        with pytest.raises(PushRefused):
            psa.heard(Push({"x-content-signature": "AAAA"}, {}, json.dumps(body).encode()))
    assert true_key.call_count == 1


# ---------------------------------------------------------------- notes


@pytest.mark.parametrize("status", [405, 415, 422])
def test_a_time_entry_that_is_refused_in_any_way_costs_no_note(server: Server, status: int) -> None:
    server.with_ticket()
    server.get("time/entries", json=[])
    server.post("time/entries", status=status, json={"code": "InvalidObject", "message": "x"})
    server.post("service/tickets/4242/notes", json={"id": 1})
    server.psa().add_note("4242", Note("Done.", "abc", time_spent=timedelta(minutes=5)))
    assert len([one for one in server.asked("/notes") if one.method == "POST"]) == 1
