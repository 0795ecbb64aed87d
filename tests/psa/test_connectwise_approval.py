"""What counts as a yes in ConnectWise: a person's, the newest, shown by the trail, and fitting what the ticket says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connector.core.case import Action
from connector.core.ports import ApprovalReading, Stance, StatusTarget
from connector.psa.connectwise import adapter as connectwise
from sandbox.connectwise_records import AuditEntry
from sandbox.connectwise_seed import add_contact
from tests.psa.connectwise_desk import ACCOUNT, APPROVAL, CwDesk, House, open_desk
from tests.psa.connectwise_desk import house as make_house
from tests.psa.connectwise_make import changed_mapping

FIELD = {"field": {"field": "Approval", "approved": ["Approved"], "rejected": ["Denied"], "pending": ["Pending"]}}
BY_CONTACTS = {
    "approved_statuses": ["Approved"],
    "rejected_statuses": ["Denied"],
    "approvers": "psa",
    "contact_types": ["Approver"],
    "members": ["SamS"],
}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with make_house() as made:
        yield made


@pytest.fixture
def desk(house: House) -> CwDesk:
    return open_desk(house)


@pytest.fixture
def by_psa(house: House) -> CwDesk:
    return open_desk(house, mapping=changed_mapping(approval=BY_CONTACTS))


@pytest.fixture
def by_field(house: House) -> CwDesk:
    return open_desk(house, mapping=changed_mapping(approval={**FIELD, "contact_types": ["Approver"]}))


def refused(reading: ApprovalReading, *words: str) -> None:
    """No yes, no decision to act on, and a reason that an agent understands."""
    assert reading.stance is not Stance.APPROVED
    assert reading.decisions == ()
    for word in words:
        assert word in reading.reason


# ---------------------------------------------------------------- `ticket.approved`


def test_the_property_that_is_true_on_every_ticket_is_no_yes(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.read(ticket)
    shown = [one.response_body for one in desk.world.record.exchanges if one.path.endswith(f"/tickets/{ticket}")]
    assert [body["approved"] for body in shown if isinstance(body, dict)] == [True]
    reading = desk.psa.read(ticket).approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


def test_no_module_of_the_adapter_names_that_property() -> None:
    folder = Path(connectwise.__file__).parent
    modules = sorted(folder.glob("*.py"))
    assert len(modules) > 10
    for path in modules:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert "approved" not in named, path.name


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("by", "person", "email"), [("AnnaA", "cw.member:153", "anna@contoso.com"), ("anna@contoso.com", "", "")]
)
def test_a_member_and_a_contact_of_the_company_are_told_with_their_ids(
    desk: CwDesk, by: str, person: str, email: str
) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket, by=by)
    (decision,) = desk.psa.read(ticket).approval.decisions
    contact = f"cw.contact:{desk.contact('anna@contoso.com').id}"
    assert decision.approver.ids == frozenset({person or contact})
    assert decision.approver.email == (email or "anna@contoso.com")
    assert len(decision.digest) == 64
    assert ticket in decision.evidence


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("workflow", "does not say who"),
        ("email", "a rule or a program"),
        ("ResetConnector", "own API member"),
        ("zAdmin", "does not say who"),
    ],
)
def test_what_no_person_did_is_no_yes(desk: CwDesk, by: str, words: str) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket, by=by)
    refused(desk.psa.read(ticket).approval, words)


def test_another_program_with_keys_is_no_person(desk: CwDesk) -> None:
    desk.desk.members[152].licence = "A"
    ticket = desk.add_ticket()
    desk.approve(ticket, by="OlgaO")
    refused(desk.psa.read(ticket).approval, "OlgaO", "program")


def test_without_a_name_of_its_own_every_api_member_counts_as_the_connector(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket, by="ResetConnector")
    refused(desk.again(member=None).read(ticket).approval, "own API member")


def test_a_member_who_has_left_is_no_yes(desk: CwDesk) -> None:
    desk.desk.members[153].inactive = True
    ticket = desk.add_ticket()
    desk.approve(ticket, by="AnnaA")
    refused(desk.psa.read(ticket).approval, "not active")


def test_a_contact_who_has_left_is_no_yes(desk: CwDesk) -> None:
    desk.contact("anna@contoso.com").inactive = True
    ticket = desk.add_ticket()
    desk.approve(ticket, by="anna@contoso.com")
    refused(desk.psa.read(ticket).approval, "no address of a contact")


def test_a_contact_of_another_company_is_no_yes(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket, by="fatima@fabrikam.com")
    refused(desk.psa.read(ticket).approval, "no address of a contact of this company")


def test_an_address_that_two_contacts_share_is_no_yes(desk: CwDesk) -> None:
    add_contact(desk.desk, desk.contact("anna@contoso.com").company_id, "Anna's deputy", "anna@contoso.com")
    ticket = desk.add_ticket()
    desk.approve(ticket, by="anna@contoso.com")
    refused(desk.psa.read(ticket).approval, "no address of a contact")


def test_an_approver_with_an_apostrophe_in_the_address_decides_without_it_in_a_condition(desk: CwDesk) -> None:
    company, address = desk.contact("anna@contoso.com").company_id, "oona.o'hara@contoso.com"
    add_contact(desk.desk, company, "Oona", address, approver=True)
    ticket = desk.add_ticket()
    desk.approve(ticket, by=address)
    desk.world.record.exchanges.clear()
    (decision,) = desk.psa.read(ticket).approval.decisions
    assert decision.approver.email == address
    assert not any("'" in value for one in desk.world.record.exchanges for value in one.query.values())


@pytest.mark.parametrize("actor", ["name", "unknown", "missing"])
def test_a_display_name_or_none_identifies_nobody(desk: CwDesk, actor: str) -> None:
    desk.desk.habits.audit_actor = actor
    ticket = desk.add_ticket()
    desk.approve(ticket, by="AnnaA")
    refused(desk.psa.read(ticket).approval, "Status says 'Approved'")


@pytest.mark.parametrize("name", ['AnnaA" or identifier!="', "Anna*", "%", "anna@contoso.com\n*", 'x"'])
def test_a_name_that_could_break_a_condition_is_not_asked_for(desk: CwDesk, name: str) -> None:
    ticket = desk.add_ticket()
    desk.set_status(ticket, "Approved", by="AnnaA")
    entry = desk.raw(ticket).audit[-1]
    forged = entry.actor.__class__("member", name, name)
    desk.raw(ticket).audit[-1] = AuditEntry(entry.what, entry.old, entry.new, entry.at, forged)
    desk.world.record.exchanges.clear()
    refused(desk.psa.read(ticket).approval, "no member")
    asked = [
        str(one.query) for one in desk.world.record.exchanges if "/members" in one.path or "conditions" in one.query
    ]
    assert all("AnnaA" not in query and "!=" not in query and "%" not in query for query in asked)


# ---------------------------------------------------------------- approvers: psa


@pytest.mark.parametrize("by", ["anna@contoso.com", "SamS"])
def test_asked_contacts_and_named_members_decide(by_psa: CwDesk, by: str) -> None:
    ticket = by_psa.add_ticket()
    by_psa.approve(ticket, by=by)
    assert by_psa.psa.read(ticket).approval.stance is Stance.APPROVED


@pytest.mark.parametrize(
    ("by", "words"),
    [("ben@contoso.com", "approval.contact_types"), ("TinaT", "approval.members"), ("AnnaA", "members")],
)
def test_the_yes_of_anybody_else_is_none(by_psa: CwDesk, by: str, words: str) -> None:
    ticket = by_psa.add_ticket()
    by_psa.approve(ticket, by=by)
    refused(by_psa.psa.read(ticket).approval, words)


def test_a_contact_who_lost_the_type_decides_no_more(by_psa: CwDesk) -> None:
    ticket = by_psa.add_ticket()
    by_psa.approve(ticket)
    by_psa.contact("anna@contoso.com").types[:] = [1]
    refused(by_psa.psa.read(ticket).approval, "approval.contact_types")


def test_who_is_asked_are_active_contacts_of_this_company_without_the_requester(desk: CwDesk) -> None:
    company = desk.contact(desk.requester).company_id
    add_contact(desk.desk, company, "Left Approver", "left@contoso.com", approver=True).inactive = True
    add_contact(desk.desk, company, "Second Approver", "second@contoso.com", approver=True)
    ticket, own = desk.add_ticket(), desk.add_ticket(requester="anna@contoso.com")
    asked = [person.email for person in desk.psa.read(ticket).approval.approvers]
    assert asked == ["anna@contoso.com", "second@contoso.com"]
    assert [person.email for person in desk.psa.read(own).approval.approvers] == ["second@contoso.com"]


# ---------------------------------------------------------------- the trail


@pytest.mark.parametrize("wording", ["quoted", "arrow", "prose"])
@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_a_yes_is_read_in_each_known_wording_and_order(desk: CwDesk, wording: str, order: str) -> None:
    desk.desk.habits.change({"audit_wording": wording, "audit_order": order})
    ticket = desk.add_ticket(status="New")
    desk.set_status(ticket, "Waiting Approval", by="TinaT")
    desk.tick()
    desk.approve(ticket)
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED


@pytest.mark.parametrize("wording", ["new_only", "unreadable", "missing"])
def test_a_trail_that_does_not_tell_old_from_new_is_no_yes(desk: CwDesk, wording: str) -> None:
    desk.desk.habits.audit_wording = wording
    ticket = desk.add_ticket()
    desk.approve(ticket)
    refused(desk.psa.read(ticket).approval, "audit trail")


def test_a_trail_that_may_not_be_read_is_no_yes(desk: CwDesk) -> None:
    desk.desk.habits.forbidden = ["GET /system/audittrail"]
    ticket = desk.add_ticket()
    desk.approve(ticket)
    refused(desk.psa.read(ticket).approval, "cannot be read")


def test_a_ticket_that_began_as_approved_is_no_yes(desk: CwDesk) -> None:
    refused(desk.psa.read(desk.add_ticket(status="Approved")).approval, "does not show")


def test_when_a_status_was_left_and_entered_again_only_the_newest_entry_counts(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    for status, by in (("Waiting Approval", "TinaT"), ("Approved", "workflow")):
        desk.tick()
        desk.set_status(ticket, status, by=by)
    refused(desk.psa.read(ticket).approval, "does not say who")
    desk.tick()
    desk.set_status(ticket, "Waiting Approval")
    desk.tick()
    desk.approve(ticket, by="SamS")
    (decision,) = desk.psa.read(ticket).approval.decisions
    assert decision.approver.ids == frozenset({"cw.member:154"})
    assert decision.decided_at == desk.clock.moment


def test_two_changes_of_one_second_are_put_in_order_by_what_they_say(desk: CwDesk) -> None:
    for order in ("newest_first", "oldest_first"):
        desk.desk.habits.audit_order = order
        ticket = desk.add_ticket()
        desk.set_status(ticket, "In Progress", by="TinaT")
        desk.approve(ticket)
        (decision,) = desk.psa.read(ticket).approval.decisions
        assert decision.approver.email == "anna@contoso.com"


def test_two_who_set_it_in_one_second_are_nobody(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket, by="AnnaA")
    desk.set_status(ticket, "Waiting Approval", by="TinaT")
    desk.approve(ticket, by="workflow")
    refused(desk.psa.read(ticket).approval)
    by_two = desk.add_ticket()
    for status, by in (("Approved", "AnnaA"), ("Waiting Approval", "TinaT"), ("Approved", "SamS")):
        desk.set_status(by_two, status, by=by)
    refused(desk.psa.read(by_two).approval, "two changes of the same second")


def test_a_trail_that_contradicts_the_ticket_is_no_yes(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    desk.tick()
    desk.set_status(ticket, "In Progress")
    desk.raw(ticket).status_id = desk.desk.status_named(1, "Approved").id  # set without leaving an entry
    refused(desk.psa.read(ticket).approval, "does not show how")


def test_a_row_about_the_status_that_is_not_understood_and_newer_makes_the_yes_doubtful(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED
    desk.tick()
    by = desk.actor("TinaT")
    desk.raw(ticket).audit.append(AuditEntry("Created", "", "The status was reviewed.", desk.clock.moment, by))
    refused(desk.psa.read(ticket).approval, "not understood")


def test_a_summary_that_quotes_the_trail_makes_no_yes(desk: CwDesk) -> None:
    ticket, by = desk.add_ticket(status="Approved"), desk.actor("AnnaA")
    quoted = 'Status has been changed from "Waiting Approval" to "Approved".'
    desk.desk.trail(desk.raw(ticket), "Summary", "Please reset", quoted, by)
    refused(desk.psa.read(ticket).approval)


def test_our_own_notes_cast_no_doubt(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    desk.tick()
    by = desk.actor("ResetConnector")
    text = "Internal note: the status Approved was set by Anna."
    desk.raw(ticket).audit.append(AuditEntry("Created", "", text, desk.clock.moment, by))
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED


def test_the_trail_is_read_only_where_somebody_may_have_decided(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.calls()
    desk.psa.read(ticket)
    assert not any("audittrail" in call for call in desk.calls())
    desk.approve(ticket)
    desk.psa.read(ticket)
    assert sum("audittrail" in call for call in desk.calls()) == 1


# ---------------------------------------------------------------- rejections


def test_a_no_stands_even_where_nobody_knows_whose_it_is(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.reject(ticket, by="workflow")
    reading = desk.psa.read(ticket).approval
    assert (reading.stance, reading.decisions) == (Stance.REJECTED, ())


def test_a_no_after_a_yes_is_a_no(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    desk.tick()
    desk.reject(ticket, by="SamS", comment="I know nothing of this")
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.REJECTED
    assert [(one.approved, one.comment) for one in reading.decisions] == [(False, "I know nothing of this")]


def test_the_approvers_words_are_those_of_the_discussion_and_of_that_time(desk: CwDesk) -> None:
    """The requester may be told them."""
    ticket, anna = desk.add_ticket(), desk.actor("AnnaA")
    desk.desk.add_note(desk.raw(ticket), anna, "much earlier", discussion=True)
    desk.clock.forward(minutes=10)
    desk.desk.add_note(desk.raw(ticket), anna, "between us: he is leaving", internal=True)
    desk.desk.add_note(desk.raw(ticket), desk.actor("TinaT"), "somebody else's", discussion=True)
    desk.reject(ticket, by="AnnaA")
    assert desk.psa.read(ticket).approval.decisions[0].comment == ""
    desk.clock.forward(seconds=20)
    desk.desk.add_note(desk.raw(ticket), anna, "ask me first", discussion=True)
    assert desk.psa.read(ticket).approval.decisions[0].comment == "ask me first"


# ---------------------------------------------------------------- after a hand-off


def test_a_yes_given_before_our_hand_off_and_a_retry_stays_readable(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    before = desk.psa.read(ticket).approval
    desk.tick()
    desk.psa.move(ticket, StatusTarget.HAND_OFF)
    handed = desk.psa.read(ticket)
    desk.tick()
    desk.ask_retry(ticket)
    retried = desk.psa.read(ticket)
    assert (handed.handed_off, retried.retry_requested) == (True, True)
    for after in (handed.approval, retried.approval):
        assert after.stance is Stance.PENDING
        assert (after.reason, after.approvers) == ("", ())
        assert after.decisions == before.decisions


def test_a_yes_that_was_taken_back_before_the_hand_off_is_not_readable_any_more(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    for status in ("Waiting Approval", "Needs technician"):
        desk.tick()
        desk.set_status(ticket, status)
    assert desk.psa.read(ticket).approval.decisions == ()


def test_an_agent_who_moves_a_handed_off_ticket_back_to_approved_is_the_one_who_decided(by_psa: CwDesk) -> None:
    ticket = by_psa.add_ticket()
    by_psa.approve(ticket)
    by_psa.tick()
    by_psa.psa.move(ticket, StatusTarget.HAND_OFF)
    by_psa.tick()
    by_psa.set_status(ticket, "Approved", by="TinaT")
    refused(by_psa.psa.read(ticket).approval, "TinaT")


def test_a_move_between_two_approved_statuses_keeps_the_yes(house: House) -> None:
    rules = {"approved_statuses": ["Approved", "In Progress"], "rejected_statuses": ["Denied"]}
    statuses = {"working": "In Progress", "closed": "Closed", "hand_off": "Needs technician", "retry": "Retry reset"}
    desk = open_desk(house, mapping=changed_mapping(approval=rules, statuses=statuses))
    ticket = desk.add_ticket()
    desk.approve(ticket)
    before = desk.psa.read(ticket).approval
    for seconds in (0, 1):
        desk.clock.forward(seconds=seconds)
        assert desk.psa.move(ticket, StatusTarget.WORKING)
        assert desk.psa.read(ticket).approval == before
    assert desk.status(ticket) == "In Progress"


# ---------------------------------------------------------------- a custom field instead of statuses


def test_a_custom_field_carries_the_yes_whatever_the_status_is(by_field: CwDesk) -> None:
    ticket = by_field.add_ticket(status="New")
    assert by_field.psa.read(ticket).approval.stance is Stance.PENDING
    by_field.set_field(ticket, APPROVAL, "Pending")
    assert by_field.psa.read(ticket).approval.stance is Stance.PENDING
    by_field.tick()
    by_field.set_field(ticket, APPROVAL, "Approved", by="AnnaA")
    reading = by_field.psa.read(ticket).approval
    assert reading.stance is Stance.APPROVED
    assert reading.decisions[0].approver.email == "anna@contoso.com"
    by_field.psa.move(ticket, StatusTarget.HAND_OFF)
    assert by_field.psa.read(ticket).approval == reading


def test_a_custom_fields_yes_needs_the_trail_just_so(by_field: CwDesk) -> None:
    ticket = by_field.add_ticket()
    by_field.set_field(ticket, APPROVAL, "Approved", by="workflow")
    refused(by_field.psa.read(ticket).approval, "Approval says 'Approved'", "does not say who")
    by_field.desk.habits.audit_wording = "missing"
    refused(by_field.psa.read(ticket).approval, "does not show")


def test_another_field_with_the_same_word_in_its_name_casts_no_doubt(by_field: CwDesk) -> None:
    by_field.desk.fields[45] = replace(by_field.desk.fields[41], id=45, caption="Approval date")
    ticket = by_field.add_ticket()
    by_field.set_field(ticket, APPROVAL, "Approved", by="AnnaA")
    by_field.tick()
    by_field.set_field(ticket, 45, "today", by="workflow")
    assert by_field.psa.read(ticket).approval.stance is Stance.APPROVED


def test_an_approved_status_is_nothing_where_a_field_carries_the_yes(by_field: CwDesk) -> None:
    ticket = by_field.add_ticket()
    by_field.approve(ticket)
    reading = by_field.psa.read(ticket).approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


def test_a_custom_fields_no_is_a_no(by_field: CwDesk) -> None:
    ticket = by_field.add_ticket()
    by_field.set_field(ticket, APPROVAL, "Denied", by="AnnaA")
    reading = by_field.psa.read(ticket).approval
    assert (reading.stance, len(reading.decisions)) == (Stance.REJECTED, 1)


# ---------------------------------------------------------------- changes of the request


@pytest.mark.parametrize("wait", [0, 5])
@pytest.mark.parametrize("what", ["subject", "contact", "company", "type"])
def test_a_request_changed_there_and_back_after_the_yes_is_dated(desk: CwDesk, what: str, wait: int) -> None:
    """Seen twice by us, it looks the same; only the trail knows."""
    ticket = desk.add_ticket()
    desk.approve(ticket, by="AnnaA")
    before = desk.psa.read(ticket)
    assert before.request_changed_at is None
    desk.clock.forward(seconds=wait)
    raw, by = desk.raw(ticket), desk.actor("TinaT")
    company, contact, kind = raw.company_id, raw.contact_id, raw.type_id
    if what == "subject":
        desk.set_field(ticket, ACCOUNT, "emil@contoso.com")
        desk.set_field(ticket, ACCOUNT, "dana@contoso.com")
    elif what == "contact":
        desk.desk.set_contact(raw, desk.contact("anna@contoso.com").id, by)
        desk.desk.set_contact(raw, contact, by)
    elif what == "company":
        desk.desk.set_company(raw, 260, by)
        desk.desk.set_company(raw, company, by)
    else:
        desk.desk.set_type(raw, desk.desk.type_named(1, "MFA Reset").id, by)
        desk.desk.set_type(raw, kind, by)
    after = desk.psa.read(ticket)
    assert (after.subject_text, after.action, after.requester) == (before.subject_text, before.action, before.requester)
    assert after.request_changed_at is not None
    assert after.request_changed_at > after.approval.decisions[0].decided_at


def test_a_change_before_the_yes_is_not_dated_so_that_the_core_keeps_its_care(desk: CwDesk) -> None:
    ticket = desk.add_ticket(action=Action.MFA)
    desk.change_subject(ticket, "emil@contoso.com")
    desk.tick()
    desk.approve(ticket)
    assert desk.psa.read(ticket).request_changed_at is None


def test_who_logged_the_ticket_is_told_where_it_was_a_member(desk: CwDesk) -> None:
    own, logged, by_rule = desk.add_ticket(), desk.add_ticket(), desk.add_ticket()
    desk.raw(logged).entered_by = "TinaT"
    desk.raw(by_rule).entered_by = "zAdmin"
    for ticket in (own, logged, by_rule):
        desk.approve(ticket)
    assert desk.psa.read(own).also_not_approvers == desk.psa.read(by_rule).also_not_approvers == ()
    assert [person.ids for person in desk.psa.read(logged).also_not_approvers] == [frozenset({"cw.member:151"})]


# ---------------------------------------------------------------- the past


def test_a_closed_ticket_still_tells_who_approved_it(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    desk.close(ticket)
    seen = desk.psa.read(ticket)
    assert seen.closed
    assert [one.approved for one in seen.approval.decisions] == [True]
    assert seen.approval.stance is Stance.PENDING, "a closed ticket is no yes for anything"


def test_a_closed_ticket_that_was_denied_or_never_approved_has_no_yes(desk: CwDesk) -> None:
    denied, unanswered = desk.add_ticket(), desk.add_ticket()
    desk.reject(denied)
    for ticket in (denied, unanswered):
        desk.close(ticket)
        assert desk.psa.read(ticket).approval.decisions == ()
