"""What every `Psa` promises. A subclass gives the fixture `desk`; the tests are the contract.

`Desk` is a ticket system with people who raise, approve and change tickets in it, and eyes that look past the
adapter: which notes stand in a ticket, and which status it has.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol

import pytest

from connector.core.case import Action, Person, fold
from connector.core.ports import Level, Note, Psa, Push, Stance, StatusTarget
from connector.errors import AuthenticationError, PermanentError, PushRefused, TemporaryError, TicketGone

NASTY_SUBJECTS = (
    " Dana@Contoso.COM ",
    "oona.o'neil@contoso.com",
    "paul+sales@contoso.com",
    "zoë@müller.example.com",
    "dana@contoso.com, emil@contoso.com",
    'x" OR 1=1 --',
    "12345",
)


@dataclass(frozen=True)
class SeenNote:
    """A note as it stands in the ticket, as a person reads it: without mark-up."""

    text: str
    public: bool


class Desk(Protocol):
    """A ticket system with one mapped request type for each action, and one that is not mapped.

    The mapping names a status for `CLOSED` and `HAND_OFF` and none for `WORKING`. For alarms see `for_alarms`.

    Attributes:
        urgent: The priority that the mapping of `for_alarms` names; empty where this system has no priorities.
        open_status: Where a closed ticket goes at an alarm when neither alarms nor hand-offs have a status of theirs;
            `None` where the system itself has none that is surely right.
    """

    urgent: str
    open_status: str | None

    @property
    def psa(self) -> Psa: ...

    def again(self) -> Psa:
        """Another object for the same system, as after a restart."""

    @property
    def requester(self) -> str:
        """Address of who raises the tickets."""

    @property
    def approver(self) -> str:
        """Address of who is asked to approve."""

    def add_ticket(self, *, subject: str = ..., action: Action = ..., reason: str = ...) -> str:
        """A mapped ticket whose approval has been asked for; its id."""

    def add_tickets(self, count: int) -> set[str]:
        """Many mapped tickets at once."""

    def add_other_ticket(self) -> str:
        """A ticket that the mapping does not know."""

    def approve(self, ticket_id: str, *, comment: str = ...) -> None: ...

    def reject(self, ticket_id: str, *, comment: str = ...) -> None: ...

    def change_subject(self, ticket_id: str, text: str) -> None: ...

    def retype(self, ticket_id: str) -> None:
        """Make it a ticket that the mapping does not know."""

    def close(self, ticket_id: str) -> None: ...

    def ask_retry(self, ticket_id: str) -> None: ...

    def delete(self, ticket_id: str) -> None: ...

    def write_as_person(self, ticket_id: str, text: str) -> None:
        """A person writes a note."""

    def notes(self, ticket_id: str) -> list[SeenNote]:
        """Notes written through the port, oldest first."""

    def status(self, ticket_id: str) -> str: ...

    def closed_status(self) -> str:
        """What the mapping names for `CLOSED`."""

    def hand_off_status(self) -> str: ...

    def alarm_status(self) -> str: ...

    def for_alarms(self, *, status: bool = True, hand_off: bool = True, urgent: bool = True) -> Psa:
        """Another object, whose mapping names a status for alarms, one for hand-offs, and the urgent priority."""

    def priority(self, ticket_id: str) -> str:
        """The ticket's, as agents see it; empty where this system has none."""

    def changes(self, ticket_id: str) -> int:
        """How many changes of this ticket the system has taken so far, whether or not they changed anything."""

    def forbid_reopening(self) -> None:
        """From now on we may not bring a closed ticket into another status."""

    def tick(self) -> None:
        """Let so much time pass that the system's clock shows another moment."""

    def go_down(self) -> None: ...

    def come_up(self) -> None: ...

    def refuse(self) -> None:
        """Take the credentials' validity away."""

    def lose_answer(self, to: Literal["note", "move"]) -> None:
        """The next write of this kind has its effect, and its answer is lost."""


class PsaContract:
    """Subclass it, and give a fixture `desk` that makes a new `Desk` for each test.

    Attributes:
        many: More tickets than fit on one page.
    """

    many = 130

    # -- itself

    def test_it_is_a_psa_with_a_name_and_times(self, desk: Desk) -> None:
        assert isinstance(desk.psa, Psa)
        assert desk.psa.name
        assert desk.psa.rules.timing.approval_valid.total_seconds() > 0

    def test_a_check_of_a_right_configuration_finds_no_error(self, desk: Desk) -> None:
        desk.add_ticket()
        findings = list(desk.psa.check())
        assert findings
        assert [finding for finding in findings if finding.level is Level.ERROR] == []

    @pytest.mark.parametrize("trouble", ["go_down", "refuse"])
    def test_a_check_tells_trouble_and_raises_nothing(self, desk: Desk, trouble: str) -> None:
        getattr(desk, trouble)()
        findings = list(desk.psa.check())
        assert any(finding.level is Level.ERROR and finding.text for finding in findings)

    # -- changed

    def test_the_first_poll_tells_every_open_ticket_of_the_mapped_types_once(self, desk: Desk) -> None:
        first, second, closed = desk.add_ticket(), desk.add_ticket(action=Action.MFA), desk.add_ticket()
        desk.close(closed)
        desk.add_other_ticket()
        told = [ticket.id for ticket in desk.psa.changed(None).tickets]
        assert sorted(told) == sorted([first, second])

    def test_many_tickets_are_told_once_each(self, desk: Desk) -> None:
        added = desk.add_tickets(self.many)
        told = [ticket.id for ticket in desk.psa.changed(None).tickets]
        assert len(told) == len(set(told))
        assert set(told) == added

    def test_an_empty_desk_is_polled_without_trouble_and_then_tells_the_first_ticket(self, desk: Desk) -> None:
        nothing = desk.psa.changed(None)
        assert nothing.tickets == ()
        ticket = desk.add_ticket()
        assert [one.id for one in desk.psa.changed(nothing.cursor).tickets] == [ticket]

    @pytest.mark.parametrize("what", ["approve", "reject", "close", "ask_retry"])
    def test_what_people_do_is_told_at_the_next_poll(self, desk: Desk, what: str) -> None:
        ticket, other = desk.add_ticket(), desk.add_ticket()
        cursor = desk.psa.changed(None).cursor
        desk.tick()
        getattr(desk, what)(ticket)
        told = [one.id for one in desk.psa.changed(cursor).tickets]
        assert told.count(ticket) == 1
        assert set(told) <= {ticket, other}

    def test_a_changed_subject_is_told_at_the_next_poll(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        cursor = desk.psa.changed(None).cursor
        desk.tick()
        desk.change_subject(ticket, "emil@contoso.com")
        assert [one.id for one in desk.psa.changed(cursor).tickets] == [ticket]

    def test_a_ticket_raised_after_a_poll_is_told_at_the_next_one(self, desk: Desk) -> None:
        desk.add_ticket()
        cursor = desk.psa.changed(None).cursor
        ticket = desk.add_ticket()
        assert ticket in {one.id for one in desk.psa.changed(cursor).tickets}

    def test_the_same_cursor_may_be_given_back_twice_and_after_a_restart(self, desk: Desk) -> None:
        """A crash between the poll and the saving of its cursor loses nothing."""
        cursor = desk.psa.changed(None).cursor
        ticket = desk.add_ticket()
        first = {one.id for one in desk.psa.changed(cursor).tickets}
        second = {one.id for one in desk.psa.changed(cursor).tickets}
        third = {one.id for one in desk.again().changed(cursor).tickets}
        assert first == second == third == {ticket}

    # -- the past, and pushes

    def test_every_ticket_raised_since_a_moment_is_listed_closed_ones_too(self, desk: Desk) -> None:
        before = desk.psa.read(desk.add_ticket()).created_at
        first, closed, last = desk.add_ticket(), desk.add_ticket(action=Action.MFA), desk.add_ticket()
        desk.close(closed)
        other = desk.add_other_ticket()
        listed = [ticket.id for ticket in desk.psa.raised_since(before)]
        assert [ticket for ticket in listed if ticket in (first, closed, last)] == [first, closed, last]
        assert other not in listed
        assert len(listed) == len(set(listed))

    def test_what_was_raised_before_the_moment_is_not_listed(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        later = desk.psa.read(ticket).created_at + timedelta(days=1)
        assert ticket not in {one.id for one in desk.psa.raised_since(later)}

    def test_a_push_that_says_nothing_means_only_that_it_is_time_to_poll(self, desk: Desk) -> None:
        """Or it is refused, where the configuration wants a proof."""
        for push in (Push(), Push(body=b"{"), Push(body=b"\xff" * 100), Push(headers={"authorization": "Basic Og=="})):
            told: list[str] = []
            with suppress(PushRefused):
                told.extend(desk.psa.heard(push))
            assert told == []

    # -- read

    def test_a_ticket_is_read_in_our_words(self, desk: Desk) -> None:
        ticket_id = desk.add_ticket(subject="dana@contoso.com", action=Action.PASSWORD, reason="locked out")
        ticket = desk.psa.read(ticket_id)
        assert ticket.psa == desk.psa.name
        assert ticket.id == ticket_id
        assert ticket.number
        assert ticket.mapped
        assert ticket.subject_text == "dana@contoso.com"
        assert ticket.action is Action.PASSWORD
        assert "locked out" in ticket.reason
        assert ticket.client_id
        assert ticket.requester is not None
        assert fold(ticket.requester.email or "") == fold(desk.requester)
        assert ticket.requester.ids
        assert ticket.status == desk.status(ticket_id)
        assert (ticket.closed, ticket.retry_requested, ticket.handed_off) == (False, False, False)
        assert ticket.created_at.tzinfo is not None
        assert ticket.updated_at is None or ticket.updated_at >= ticket.created_at
        assert ticket.url.startswith("http")

    @pytest.mark.parametrize("action", list(Action))
    def test_each_action_is_recognised(self, desk: Desk, action: Action) -> None:
        assert desk.psa.read(desk.add_ticket(action=action)).action is action

    @pytest.mark.parametrize("subject", NASTY_SUBJECTS)
    def test_the_subject_comes_as_it_stands_in_the_ticket(self, desk: Desk, subject: str) -> None:
        assert desk.psa.read(desk.add_ticket(subject=subject)).subject_text.strip() == subject.strip()

    def test_a_missing_subject_is_empty(self, desk: Desk) -> None:
        assert desk.psa.read(desk.add_ticket(subject="")).subject_text == ""

    def test_a_ticket_of_another_type_says_nothing_about_a_reset(self, desk: Desk) -> None:
        ticket = desk.psa.read(desk.add_other_ticket())
        assert (ticket.mapped, ticket.action, ticket.subject_text) == (False, None, "")

    def test_a_type_changed_after_the_approval_ends_the_request(self, desk: Desk) -> None:
        ticket_id = desk.add_ticket()
        desk.approve(ticket_id)
        desk.retype(ticket_id)
        ticket = desk.psa.read(ticket_id)
        assert (ticket.mapped, ticket.action) == (False, None)

    def test_a_changed_subject_is_read_at_once_and_dated_where_the_system_keeps_dates(self, desk: Desk) -> None:
        ticket_id = desk.add_ticket()
        before = desk.psa.read(ticket_id)
        desk.tick()
        desk.change_subject(ticket_id, "emil@contoso.com")
        after = desk.psa.read(ticket_id)
        assert after.subject_text == "emil@contoso.com"
        assert after.request_changed_at is None or after.request_changed_at > before.created_at

    def test_a_ticket_closed_by_hand_is_closed(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.close(ticket)
        assert desk.psa.read(ticket).closed

    def test_a_retry_asked_for_is_seen(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.ask_retry(ticket)
        seen = desk.psa.read(ticket)
        assert (seen.retry_requested, seen.handed_off, seen.closed) == (True, False, False)

    # -- approval

    def test_an_approval_asked_for_is_pending_and_names_who_is_asked(self, desk: Desk) -> None:
        reading = desk.psa.read(desk.add_ticket()).approval
        assert reading.stance is Stance.PENDING
        assert reading.decisions == ()
        assert fold(desk.approver) in {fold(person.email or "") for person in reading.approvers}
        assert reading.reason == ""

    def test_a_yes_is_read_with_who_and_when(self, desk: Desk) -> None:
        ticket_id = desk.add_ticket()
        desk.tick()
        desk.approve(ticket_id, comment="known to me")
        ticket = desk.psa.read(ticket_id)
        assert ticket.approval.stance is Stance.APPROVED
        assert ticket.approval.reason == ""
        assert ticket.approval.approvers == ()
        (decision,) = ticket.approval.decisions
        assert decision.approved
        assert not decision.overridden
        assert fold(desk.approver) in {fold(decision.approver.email or "")}
        assert decision.decided_at.tzinfo is not None
        assert ticket.created_at <= decision.decided_at
        assert decision.evidence
        assert "known to me" in decision.comment
        assert re.fullmatch("[0-9a-f]{64}", decision.digest)

    def test_another_decision_has_another_digest(self, desk: Desk) -> None:
        first, second = desk.add_ticket(), desk.add_ticket()
        desk.approve(first)
        desk.approve(second)
        (one,), (other,) = (desk.psa.read(ticket).approval.decisions for ticket in (first, second))
        assert one.digest != other.digest

    def test_the_same_yes_reads_the_same_twice(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.approve(ticket)
        assert desk.psa.read(ticket).approval == desk.again().read(ticket).approval

    def test_a_no_is_read_with_the_approvers_words(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.reject(ticket, comment="never heard of her")
        reading = desk.psa.read(ticket).approval
        assert reading.stance is Stance.REJECTED
        (decision,) = reading.decisions
        assert not decision.approved
        assert "never heard of her" in decision.comment
        assert decision.approver.is_same(Person(name="", email=desk.approver))

    # -- gone

    def test_a_deleted_ticket_is_gone_for_every_call(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.approve(ticket)
        desk.delete(ticket)
        with pytest.raises(TicketGone):
            desk.psa.read(ticket)
        with pytest.raises(TicketGone):
            desk.psa.add_note(ticket, Note("too late", "gone"))
        with pytest.raises(TicketGone):
            desk.psa.move(ticket, StatusTarget.CLOSED)

    @pytest.mark.parametrize("ticket", ["987654321", "no number", "../1", ""])
    def test_a_ticket_that_never_was_is_gone(self, desk: Desk, ticket: str) -> None:
        with pytest.raises(TicketGone):
            desk.psa.read(ticket)

    # -- notes

    def test_a_note_stands_in_the_ticket_for_agents_only(self, desk: Desk) -> None:
        ticket, other = desk.add_ticket(), desk.add_ticket()
        desk.psa.add_note(ticket, Note("Recognised: dana@contoso.com.\nWaiting.", "c1-recognised"))
        (note,) = desk.notes(ticket)
        assert "Recognised: dana@contoso.com." in note.text
        assert "Waiting." in note.text
        assert not note.public
        assert desk.notes(other) == []

    def test_a_public_note_is_public(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.psa.add_note(ticket, Note("Hello", "c1-public", public=True))
        assert [note.public for note in desk.notes(ticket)] == [True]

    def test_what_looks_like_markup_is_shown_as_it_is(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.psa.add_note(ticket, Note("""<script>alert("x")</script> & 'Zoë' <b>""", "c1-markup"))
        (note,) = desk.notes(ticket)
        assert """<script>alert("x")</script> & 'Zoë' <b>""" in note.text

    def test_a_note_is_found_by_its_marker_alone(self, desk: Desk) -> None:
        ticket, other = desk.add_ticket(), desk.add_ticket()
        assert not desk.psa.has_note(ticket, "c1-recognised")
        desk.psa.add_note(ticket, Note("Recognised.", "c1-recognised"))
        assert desk.psa.has_note(ticket, "c1-recognised")
        assert desk.again().has_note(ticket, "c1-recognised")
        assert not desk.psa.has_note(ticket, "c1-recognise")
        assert not desk.psa.has_note(ticket, "1-recognised")
        assert not desk.psa.has_note(other, "c1-recognised")

    def test_a_marker_that_a_person_copied_does_not_count(self, desk: Desk) -> None:
        ticket, other = desk.add_ticket(), desk.add_ticket()
        desk.psa.add_note(ticket, Note("Recognised.", "c1-recognised"))
        desk.write_as_person(other, desk.notes(ticket)[0].text)
        assert not desk.psa.has_note(other, "c1-recognised")

    def test_a_note_whose_answer_was_lost_is_found(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.lose_answer("note")
        with pytest.raises(TemporaryError):
            desk.psa.add_note(ticket, Note("Recognised.", "c1-recognised"))
        assert desk.psa.has_note(ticket, "c1-recognised")
        assert len(desk.notes(ticket)) == 1

    # -- moves

    def test_a_move_brings_the_ticket_into_the_mapped_status_and_a_repeat_changes_nothing(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        assert desk.psa.move(ticket, StatusTarget.CLOSED)
        assert desk.status(ticket) == desk.closed_status()
        assert desk.psa.read(ticket).closed
        assert desk.psa.move(ticket, StatusTarget.CLOSED)
        assert desk.status(ticket) == desk.closed_status()

    def test_a_handed_off_ticket_asks_for_no_retry(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        assert desk.psa.move(ticket, StatusTarget.HAND_OFF)
        seen = desk.psa.read(ticket)
        assert (seen.handed_off, seen.retry_requested, seen.closed) == (True, False, False)

    def test_a_target_without_a_status_leaves_the_ticket_where_it_is(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        before = desk.status(ticket)
        assert desk.psa.move(ticket, StatusTarget.WORKING) is False
        assert desk.status(ticket) == before

    def test_a_move_whose_answer_was_lost_may_be_repeated(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.lose_answer("move")
        with pytest.raises(TemporaryError):
            desk.psa.move(ticket, StatusTarget.CLOSED)
        assert desk.psa.move(ticket, StatusTarget.CLOSED)
        assert desk.status(ticket) == desk.closed_status()

    # -- "this was not me"

    @pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
    def test_an_alarm_brings_the_ticket_into_its_own_status_open_and_urgent(self, desk: Desk, closed: bool) -> None:
        psa, ticket, other = desk.for_alarms(), desk.add_ticket(), desk.add_ticket()
        before = desk.priority(other)
        if closed:
            desk.close(ticket)
        assert psa.move(ticket, StatusTarget.ALARM)
        assert (desk.status(ticket), desk.priority(ticket)) == (desk.alarm_status(), desk.urgent)
        assert (desk.status(other) == desk.alarm_status(), desk.priority(other)) == (False, before)

    def test_a_ticket_that_an_alarm_opened_is_open_and_nothing_else(self, desk: Desk) -> None:
        """Neither closed nor handed off nor given back to be tried again."""
        psa, ticket = desk.for_alarms(), desk.add_ticket()
        desk.close(ticket)
        psa.move(ticket, StatusTarget.ALARM)
        for seen in (psa.read(ticket), desk.psa.read(ticket)):
            assert (seen.closed, seen.handed_off, seen.retry_requested) == (False, False, False)
            assert (seen.status, seen.taken_by) == (desk.alarm_status(), "")

    def test_an_alarm_without_a_status_of_its_own_is_a_hand_off(self, desk: Desk) -> None:
        psa, ticket = desk.for_alarms(status=False), desk.add_ticket()
        desk.close(ticket)
        assert psa.move(ticket, StatusTarget.ALARM)
        assert (desk.status(ticket), desk.priority(ticket)) == (desk.hand_off_status(), desk.urgent)
        assert not psa.read(ticket).closed

    def test_an_alarm_with_no_status_at_all_goes_where_the_system_surely_opens_tickets_or_nowhere(
        self, desk: Desk
    ) -> None:
        psa, ticket = desk.for_alarms(status=False, hand_off=False, urgent=False), desk.add_ticket()
        desk.close(ticket)
        before = desk.changes(ticket)
        moved = psa.move(ticket, StatusTarget.ALARM)
        assert moved is (desk.open_status is not None)
        assert desk.status(ticket) == (desk.open_status or desk.closed_status())
        assert psa.read(ticket).closed is not moved
        if not moved:
            assert desk.changes(ticket) == before

    def test_a_repeated_alarm_sends_nothing(self, desk: Desk) -> None:
        psa, ticket = desk.for_alarms(), desk.add_ticket()
        desk.close(ticket)
        assert psa.move(ticket, StatusTarget.ALARM)
        before = desk.changes(ticket)
        assert psa.move(ticket, StatusTarget.ALARM)
        assert desk.changes(ticket) == before
        assert (desk.status(ticket), desk.priority(ticket)) == (desk.alarm_status(), desk.urgent)

    def test_an_alarm_whose_answer_was_lost_may_be_repeated(self, desk: Desk) -> None:
        psa, ticket = desk.for_alarms(), desk.add_ticket()
        desk.close(ticket)
        desk.lose_answer("move")
        with pytest.raises(TemporaryError):
            psa.move(ticket, StatusTarget.ALARM)
        assert psa.move(ticket, StatusTarget.ALARM)
        assert (desk.status(ticket), desk.priority(ticket)) == (desk.alarm_status(), desk.urgent)

    def test_a_refused_alarm_tells_the_agent_what_to_do_and_troubles_nothing_else(self, desk: Desk) -> None:
        psa, ticket, other = desk.for_alarms(), desk.add_ticket(), desk.add_ticket()
        desk.close(ticket)
        desk.forbid_reopening()
        with pytest.raises(PermanentError) as refused:
            psa.move(ticket, StatusTarget.ALARM)
        assert not isinstance(refused.value, TicketGone)
        for wanted in (f"open ticket {ticket} again", f"set it to {desk.alarm_status()!r}", desk.urgent):
            assert wanted in str(refused.value)
        assert desk.status(ticket) == desk.closed_status()
        assert psa.read(ticket).closed
        assert psa.move(other, StatusTarget.HAND_OFF)

    def test_an_alarm_about_a_deleted_ticket_finds_it_gone(self, desk: Desk) -> None:
        psa, ticket = desk.for_alarms(), desk.add_ticket()
        desk.approve(ticket)
        desk.delete(ticket)
        with pytest.raises(TicketGone):
            psa.move(ticket, StatusTarget.ALARM)

    def test_an_alarm_waits_for_a_system_that_is_away(self, desk: Desk) -> None:
        psa, ticket = desk.for_alarms(), desk.add_ticket()
        desk.close(ticket)
        desk.go_down()
        with pytest.raises(TemporaryError):
            psa.move(ticket, StatusTarget.ALARM)
        desk.come_up()
        assert psa.move(ticket, StatusTarget.ALARM)
        assert desk.status(ticket) == desk.alarm_status()

    # -- bad days

    def test_a_system_that_is_away_is_a_temporary_error_and_loses_nothing(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        cursor = desk.psa.changed(None).cursor
        desk.tick()
        desk.approve(ticket)
        desk.go_down()
        with pytest.raises(TemporaryError):
            desk.psa.changed(cursor)
        with pytest.raises(TemporaryError):
            desk.psa.read(ticket)
        with pytest.raises(TemporaryError):
            desk.psa.add_note(ticket, Note("Recognised.", "c1-down"))
        with pytest.raises(TemporaryError):
            desk.psa.move(ticket, StatusTarget.CLOSED)
        desk.come_up()
        assert [one.id for one in desk.psa.changed(cursor).tickets] == [ticket]
        assert not desk.psa.has_note(ticket, "c1-down")
        assert desk.status(ticket) != desk.closed_status()

    def test_refused_credentials_name_this_psa(self, desk: Desk) -> None:
        ticket = desk.add_ticket()
        desk.refuse()
        for call in (
            lambda: desk.psa.changed(None),
            lambda: desk.psa.read(ticket),
            lambda: desk.psa.add_note(ticket, Note("x", "c1-refused")),
            lambda: desk.psa.move(ticket, StatusTarget.CLOSED),
        ):
            with pytest.raises(AuthenticationError) as caught:
                call()
            assert caught.value.scope == f"psa.{desk.psa.name}"
            assert re.search(r"\bcheck\b", str(caught.value), re.IGNORECASE)
