"""What Request Tracker does that a well-behaved ticket system would not. Each was seen on a real server.

A subclass gives the fixtures `desk` (people at work in RT) and `build` (makes an adapter); the same promises are kept
against a running server and against its recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.case import Action
from connector.core.ports import Level, Note, Stance, StatusTarget
from connector.errors import AuthenticationError, ConfigError, PermanentError, TicketGone
from connector.psa.requesttracker.adapter import RequestTracker
from tests.e2e.request_tracker import (
    ADMIN,
    APPROVER,
    CONNECTOR,
    CONNECTOR_IN_COPENHAGEN,
    HELPDESK,
    MANAGER,
    ODD_QUEUE,
    OTHER_APPROVER,
    OUTSIDER,
    QUEUE,
    REQUESTER,
    Desk,
    address_of,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FIELDS = {
    "action": {
        "field": "Request type",
        "values": {"Password reset": "password", "MFA reset": "mfa", "Password and MFA reset": "both"},
    },
    "subject": {"field": "Target user"},
    "reason": {"field": "Reason"},
}
MAPPING: dict[str, Any] = {
    "requests": [{"queue": QUEUE, **FIELDS}, {"queue": ODD_QUEUE, **FIELDS}],
    "approval": {"approvers": "listed"},
    "statuses": {"working": "open", "closed": "resolved", "hand_off": "needs technician", "retry": "retry reset"},
}

ALARMED = {**MAPPING["statuses"], "alarm": "security alarm"}

ODD_FIELD, ODD_VALUE = 'What\'s "it" \\ about', 'It\'s a "reset" \\ {now}'
BRACED_FIELD = "Set {of} braces"

Build = Callable[..., RequestTracker]


def build_adapter(
    folder: Path,
    url: str,
    token: str,
    *,
    around: Callable[..., Surroundings] = Surroundings,
    section: Mapping[str, object] | None = None,
    **changed: Any,
) -> RequestTracker:
    """An adapter with its own mapping; `changed` replaces top-level keys of it, `section` adds keys to its section."""
    (folder / "mapping.yaml").write_text(yaml.safe_dump({**MAPPING, **changed}), encoding="utf-8")
    kept = {"kind": "requesttracker", "url": url, "token": {"env": "TOKEN"}, "mapping": "mapping.yaml"}
    place = Place(folder=folder, production=False, environ={"TOKEN": token})
    # The clock stands still: the question of a poll is then the same in each recording.
    return RequestTracker.from_config(
        "rt", {**kept, **(section or {})}, around(place=place, http=HttpSection(), clock=lambda: NOW)
    )


def ids(changes: Any) -> list[str]:
    return [ticket.id for ticket in changes.tickets]


class Oddities:
    """What an adapter must get right on a Request Tracker."""

    @pytest.fixture
    def psa(self, build: Build) -> RequestTracker:
        return build()

    # ------------------------------------------------------------ what counts as a yes

    def test_an_approval_says_who_when_and_with_which_words(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        (approval,) = desk.approvals_of(ticket)

        before = psa.read(ticket).approval
        assert before.stance is Stance.PENDING
        assert not before.decisions
        assert {person.email for person in before.approvers} == {address_of(APPROVER), address_of(OTHER_APPROVER)}

        desk.approve(approval, words="Called back on a known number – fine.")
        after = psa.read(ticket).approval
        assert after.stance is Stance.APPROVED
        (decision,) = after.decisions
        assert decision.approved
        assert decision.approver.email == address_of(APPROVER)
        assert f"rt.user:{APPROVER}" in decision.approver.ids
        assert decision.comment == "Called back on a known number – fine."
        assert decision.decided_at.tzinfo is not None
        assert not decision.overridden
        assert decision.evidence.startswith(f"approval {approval}, transaction ")
        assert re.fullmatch("[0-9a-f]{64}", decision.digest)
        assert [one.digest for one in psa.read(ticket).approval.decisions] == [decision.digest]
        assert not after.approvers

    def test_a_rejection_carries_the_approvers_words_but_not_their_private_comment(
        self, desk: Desk, psa: RequestTracker
    ) -> None:
        ticket = desk.request()
        (approval,) = desk.approvals_of(ticket)
        private = {"Content": "Smells like fraud.", "ContentType": "text/plain"}
        desk.done(APPROVER, "POST", f"/ticket/{approval}/comment", private)
        desk.reject(approval, words="Please come to the desk with your badge.")

        reading = psa.read(ticket).approval
        assert reading.stance is Stance.REJECTED
        (decision,) = reading.decisions
        assert not decision.approved
        assert decision.comment == "Please come to the desk with your badge."
        assert psa.read(ticket).closed  # RT rejects the ticket, too

    def test_an_approval_forged_in_another_queue_is_not_counted(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        forged = desk.request("Other", title="Approval", Type="approval", DependedOnBy=int(ticket))
        desk.set(forged, Status="resolved")

        assert desk.status(forged) == "resolved"
        reading = psa.read(ticket).approval
        assert reading.stance is Stance.PENDING
        assert not reading.decisions

    def test_a_forged_approval_alone_is_none_at_all(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request("Other")
        desk.fill(ticket, Request_type="Password reset")
        forged = desk.request("Other", title="Approval", Type="approval", DependedOnBy=int(ticket))
        desk.set(forged, Status="resolved")

        assert psa.read(ticket).approval.stance is Stance.NONE

    def test_an_approval_made_by_a_person_is_not_counted(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request("Other")
        desk.fill(ticket, Request_type="Password reset")
        body = {"Queue": "___Approvals", "Subject": "Fine", "Type": "approval", "DependedOnBy": int(ticket)}
        made = str(desk.done(ADMIN, "POST", "/ticket", body)["id"])
        desk.approve(made, by=ADMIN)

        assert desk.approvals_of(ticket) == [made]
        assert psa.read(ticket).approval.stance is Stance.NONE

    def test_opening_an_unapproved_ticket_is_not_an_approval(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        desk.set(ticket, Status="open")  # what RT itself does when a ticket is approved

        assert desk.status(ticket) == "open"
        assert psa.read(ticket).approval.stance is Stance.PENDING

    def test_a_withdrawn_approval_is_not_counted_and_is_told_by_the_next_poll(
        self, desk: Desk, psa: RequestTracker
    ) -> None:
        ticket = desk.request()
        (approval,) = desk.approvals_of(ticket)
        desk.approve(approval)
        assert psa.read(ticket).approval.stance is Stance.APPROVED
        cursor = psa.changed(psa.changed(None).cursor).cursor

        desk.reopen(approval)
        assert psa.read(ticket).approval.stance is Stance.PENDING
        assert not psa.read(ticket).approval.decisions
        assert ids(psa.changed(cursor)) == [ticket]

    def test_a_withdrawn_approval_that_is_given_again_counts_again(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        (approval,) = desk.approvals_of(ticket)
        desk.approve(approval, words="Yes.")
        (before,) = psa.read(ticket).approval.decisions
        desk.reopen(approval)
        desk.approve(approval, by=OTHER_APPROVER, words="Yes, after all.")

        (decision,) = psa.read(ticket).approval.decisions
        assert psa.read(ticket).approval.stance is Stance.APPROVED
        assert decision.approver.email == address_of(OTHER_APPROVER)
        assert decision.comment == "Yes, after all."
        assert decision.digest != before.digest

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"Target_user": "ceo@contoso.example"}, id="subject"),
            pytest.param({"Request_type": "Password and MFA reset"}, id="action"),
            pytest.param({"Reason": "Something else entirely"}, id="reason"),
        ],
    )
    def test_a_change_after_the_approval_voids_it(
        self, desk: Desk, psa: RequestTracker, change: dict[str, str]
    ) -> None:
        ticket = desk.request(reason="Locked out")
        desk.approve(desk.approvals_of(ticket)[0])
        before = psa.read(ticket)
        assert before.request_changed_at == before.created_at

        desk.fill(ticket, **change)
        after = psa.read(ticket)
        assert after.request_changed_at is not None
        assert after.request_changed_at > after.approval.decisions[0].decided_at
        assert after.approval.stance is Stance.NONE
        assert "changed" in after.approval.reason

    def test_a_change_between_asking_and_deciding_voids_the_decision(self, desk: Desk, psa: RequestTracker) -> None:
        # The approval's text was made when the ticket was: the approver never saw the new subject.
        ticket = desk.request(subject="wanda@contoso.example")
        (approval,) = desk.approvals_of(ticket)
        desk.fill(ticket, Target_user="ceo@contoso.example")
        desk.approve(approval)

        reading = psa.read(ticket).approval
        assert reading.stance is Stance.NONE
        assert "saw another one" in reading.reason

    def test_an_approval_reopened_and_decided_after_the_change_counts(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request(subject="wanad@contoso.example")
        (approval,) = desk.approvals_of(ticket)
        desk.approve(approval)
        desk.fill(ticket, Target_user="wanda@contoso.example")
        desk.reopen(approval)
        desk.approve(approval)

        assert psa.read(ticket).approval.stance is Stance.APPROVED

    def test_another_requestor_after_the_approval_voids_it(self, desk: Desk, psa: RequestTracker) -> None:
        # The requestor gets the link.
        ticket = desk.request()
        desk.approve(desk.approvals_of(ticket)[0])
        desk.set(ticket, Requestor=address_of(MANAGER))

        after = psa.read(ticket)
        assert after.requester is not None
        assert after.requester.email == address_of(MANAGER)
        assert after.request_changed_at is not None
        assert after.request_changed_at > after.approval.decisions[0].decided_at
        assert after.approval.stance is Stance.NONE

    def test_a_move_to_another_customers_queue_after_the_approval_voids_it(
        self, desk: Desk, psa: RequestTracker
    ) -> None:
        ticket = desk.request()
        desk.approve(desk.approvals_of(ticket)[0])
        assert psa.read(ticket).client_id == QUEUE
        desk.set(ticket, Queue=ODD_QUEUE)

        after = psa.read(ticket)
        assert after.client_id == ODD_QUEUE
        assert after.approval.stance is Stance.NONE

    def test_a_ticket_turned_into_a_reset_has_no_approval(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request("Other")
        assert not psa.read(ticket).mapped
        desk.fill(ticket, Request_type="Password reset")

        after = psa.read(ticket)
        assert after.mapped
        assert after.action is Action.PASSWORD
        assert after.approval.stance is Stance.NONE
        assert "no approval" in after.approval.reason

    def test_an_approval_brought_by_a_merge_is_not_counted(self, desk: Desk, psa: RequestTracker) -> None:
        # A ticket without approval, pointed at the boss; an approved one about somebody else; and then a merge.
        target = desk.request("Other", subject="ceo@contoso.example")
        desk.fill(target, Request_type="Password reset")
        approved = desk.request(subject="wanda@contoso.example")
        desk.approve(desk.approvals_of(approved)[0])
        desk.set(approved, MergeInto=int(target))

        after = psa.read(target)
        assert [decision.approved for decision in after.approval.decisions] == [True]  # RT does list it
        assert after.approval.stance is Stance.NONE
        assert after.request_changed_at is not None
        assert after.request_changed_at > after.approval.decisions[0].decided_at

    def test_an_approval_borrowed_by_a_link_is_not_counted(self, desk: Desk, psa: RequestTracker) -> None:
        approved = desk.request(subject="wanda@contoso.example")
        (approval,) = desk.approvals_of(approved)
        desk.approve(approval)
        ticket = desk.request("Other", subject="ceo@contoso.example")
        desk.fill(ticket, Request_type="Password reset")
        desk.set(ticket, by=ADMIN, DependsOn=int(approval))

        assert desk.approvals_of(ticket) == [approval]
        assert psa.read(ticket).approval.stance is Stance.NONE

    def test_a_field_with_line_breaks_cannot_name_another_approver(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request(subject=f"wanda@contoso.example \nAdminCc: {address_of(HELPDESK)}\n")

        asked = {person.email for person in psa.read(ticket).approval.approvers}
        assert asked == {address_of(APPROVER), address_of(OTHER_APPROVER)}

    def test_the_creator_cannot_approve_for_somebody_else(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request(by=APPROVER, requestor=address_of(REQUESTER))
        desk.approve(desk.approvals_of(ticket)[0], by=APPROVER)

        reading = psa.read(ticket).approval
        assert reading.stance is Stance.NONE
        assert "created this ticket" in reading.reason
        assert address_of(APPROVER) in {person.email for person in psa.read(ticket).also_not_approvers}

    def test_a_second_requestor_cannot_approve(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request(requestor=f"{address_of(REQUESTER)}, {address_of(APPROVER)}")
        desk.approve(desk.approvals_of(ticket)[0], by=APPROVER)

        reading = psa.read(ticket).approval
        assert reading.stance is Stance.NONE
        assert "requestor" in reading.reason
        assert address_of(APPROVER) in {person.email for person in psa.read(ticket).also_not_approvers}

    def test_a_decision_in_the_approvers_place_is_told_apart(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        desk.approve(desk.approvals_of(ticket)[0], by=ADMIN)

        listed = build(approval={"approvers": "listed"}).read(ticket).approval
        assert [decision.overridden for decision in listed.decisions] == [True]
        asked = build(approval={"approvers": "psa"}).read(ticket).approval
        assert asked.stance is Stance.NONE
        assert "was not asked" in asked.reason

    def test_those_whom_the_approval_asks_may_decide(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        desk.approve(desk.approvals_of(ticket)[0], by=OTHER_APPROVER)

        assert build(approval={"approvers": "psa"}).read(ticket).approval.stance is Stance.APPROVED

    # ------------------------------------------------------------ tickets

    def test_a_ticket_in_our_words(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request("Password and MFA reset", " Wanda.O'Neil+x@Contoso.Example ", reason="Phone lost – Zoë")

        read = psa.read(ticket)
        assert (read.psa, read.id, read.number) == ("rt", ticket, ticket)
        assert read.mapped
        assert read.action is Action.BOTH
        assert read.subject_text.strip() == "Wanda.O'Neil+x@Contoso.Example"
        assert read.reason == "Phone lost – Zoë"
        assert read.requester is not None
        assert read.requester.name == "Rita Requester"
        assert read.requester.email == address_of(REQUESTER)
        assert f"rt.user:{REQUESTER}" in read.requester.ids
        assert (read.client_id, read.client_name) == (QUEUE, QUEUE)
        assert read.status == "new"
        assert (read.closed, read.retry_requested, read.handed_off) == (False, False, False)
        assert read.url.endswith(f"/Ticket/Display.html?id={ticket}")

    def test_a_ticket_of_another_kind_is_not_ours(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request("Other", "ceo@contoso.example")

        read = psa.read(ticket)
        assert not read.mapped
        assert (read.action, read.subject_text, read.reason) == (None, "", "")
        assert ids(psa.changed(None)) == []

    def test_an_unregistered_requestor_is_known_by_the_address(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request(requestor="paul@fabrikam.example")

        requester = psa.read(ticket).requester
        assert requester is not None
        assert requester.email == "paul@fabrikam.example"

    def test_statuses_of_an_own_life_cycle(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        desk.approve(desk.approvals_of(ticket)[0])
        desk.set(ticket, Status="retry reset")
        assert psa.read(ticket).retry_requested
        desk.set(ticket, Status="needs technician")
        assert psa.read(ticket).handed_off
        assert not psa.read(ticket).closed
        desk.set(ticket, Status="cancelled")  # ended, by the life cycle; no mapping names it
        assert psa.read(ticket).closed
        desk.set(ticket, Status="resolved")
        assert psa.read(ticket).closed

    def test_the_customer_may_be_named_by_a_field(self, desk: Desk, build: Build) -> None:
        ticket = desk.request(reason="fabrikam")
        psa = build(client={"field": "Reason"})

        assert psa.read(ticket).client_id == "fabrikam"

    def test_a_merged_ticket_is_gone_and_names_the_other(self, desk: Desk, psa: RequestTracker) -> None:
        old, other = desk.request(), desk.request(subject="paul@contoso.example")
        desk.approve(desk.approvals_of(old)[0])
        desk.set(old, MergeInto=int(other))

        with pytest.raises(TicketGone, match=f"merged into {other}"):
            psa.read(old)

    def test_nothing_is_written_into_the_ticket_that_took_in_ours(self, desk: Desk, psa: RequestTracker) -> None:
        # RT would do it: it answers and writes to the other ticket under the old number.
        old, other = desk.request(), desk.request(subject="paul@contoso.example")
        desk.set(old, MergeInto=int(other))
        before = len(desk.history(other))

        with pytest.raises(TicketGone):
            psa.add_note(old, Note("The password was reset.", "aaaa1111"))
        with pytest.raises(TicketGone):
            psa.move(old, StatusTarget.HAND_OFF)
        assert len(desk.history(other)) == before
        assert desk.status(other) == "new"

    def test_a_deleted_ticket_is_gone(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        desk.approve(desk.approvals_of(ticket)[0])
        desk.set(ticket, by=ADMIN, Status="deleted")
        assert desk.status(ticket) == "deleted"

        with pytest.raises(TicketGone, match="deleted"):
            psa.read(ticket)

    def test_a_ticket_moved_out_of_sight_is_gone(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        desk.set(ticket, Queue="Facilities")

        with pytest.raises(TicketGone, match="does not show"):
            psa.read(ticket)

    def test_a_ticket_that_never_was_is_gone(self, desk: Desk, psa: RequestTracker) -> None:
        with pytest.raises(TicketGone, match="no ticket 4242"):
            psa.read("4242")

    # ------------------------------------------------------------ polls

    def test_a_poll_brings_each_change_once_and_an_idle_poll_nothing(self, desk: Desk, psa: RequestTracker) -> None:
        first, second = desk.request(), desk.request("MFA reset", "paul@contoso.example")
        polled = psa.changed(None)
        assert sorted(ids(polled)) == sorted([first, second])

        settled = psa.changed(polled.cursor)  # the first that looks at approvals, too
        idle = psa.changed(settled.cursor)
        assert ids(idle) == []

        desk.approve(desk.approvals_of(second)[0])
        approved = psa.changed(idle.cursor)
        assert ids(approved) == [second]
        assert ids(psa.changed(approved.cursor)) == []

    def test_two_changes_within_one_second_are_both_told(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        polled = psa.changed(None)
        desk.fill(ticket, Target_user="paul@contoso.example")
        polled = psa.changed(polled.cursor)
        assert ids(polled) == [ticket]
        desk.fill(ticket, Target_user="ceo@contoso.example")
        assert ids(psa.changed(polled.cursor)) == [ticket]

    def test_a_ticket_that_stops_being_ours_is_told_once_more(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        polled = psa.changed(None)
        desk.fill(ticket, Request_type="Other")

        polled = psa.changed(polled.cursor)
        assert ids(polled) == [ticket]
        desk.fill(ticket, Target_user="paul@contoso.example")
        assert ids(psa.changed(polled.cursor)) == []

    def test_a_ticket_closed_by_hand_is_told(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        polled = psa.changed(psa.changed(None).cursor)
        desk.set(ticket, Status="rejected")

        assert ids(psa.changed(polled.cursor)) == [ticket]
        assert ids(psa.changed(None)) == []  # the full listing is of open ones

    def test_a_cursor_of_another_version_asks_for_everything(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()

        assert ids(psa.changed("2026-11-22T12:00:00Z/17")) == [ticket]

    def test_the_time_zone_of_the_api_user_does_not_matter(self, desk: Desk, build: Build) -> None:
        psa = build(user=CONNECTOR_IN_COPENHAGEN)
        cursor = psa.changed(None).cursor
        ticket = desk.request()

        assert ids(psa.changed(cursor)) == [ticket]
        assert psa.read(ticket).created_at == build(user=CONNECTOR).read(ticket).created_at

    def test_names_and_values_with_quotes_do_not_widen_a_search(self, desk: Desk, build: Build) -> None:
        ours = desk.request(queue=ODD_QUEUE, subject="o'brien@contoso.example' OR id > 0 OR Subject = '")
        desk.request(queue=QUEUE)
        psa = build(requests=[{"queue": ODD_QUEUE, **FIELDS}])

        polled = psa.changed(None)
        assert ids(polled) == [ours]
        assert psa.read(ours).subject_text == "o'brien@contoso.example' OR id > 0 OR Subject = '"
        desk.fill(ours, Target_user="o'brien@contoso.example")
        assert ids(psa.changed(polled.cursor)) == [ours]

    def test_an_unescaped_quote_would_have_widened_it(self, desk: Desk) -> None:
        desk.request(queue=QUEUE)
        hostile = "nothing' OR id > 0 OR Subject = '"
        widened = desk.done(CONNECTOR, "GET", "/tickets", query={"query": f"Queue = '{hostile}'"})

        assert widened["total"] > 0

    def test_names_of_fields_and_values_may_hold_anything(self, desk: Desk, build: Build) -> None:
        odd = {ODD_FIELD: ODD_VALUE, "Target user": "o'brien@contoso.example", BRACED_FIELD: "password"}
        ours = str(
            desk.done(ADMIN, "POST", "/ticket", {"Queue": ODD_QUEUE, "Subject": "odd", "CustomFields": odd})["id"]
        )
        plain = {ODD_FIELD: "It", BRACED_FIELD: "other"}
        other = str(
            desk.done(ADMIN, "POST", "/ticket", {"Queue": ODD_QUEUE, "Subject": "x", "CustomFields": plain})["id"]
        )
        desk.request(queue=QUEUE)
        for field, value in ((ODD_FIELD, ODD_VALUE), (BRACED_FIELD, "password")):
            request = {
                "queue": ODD_QUEUE,
                "action": {"field": field, "values": {value: "password"}},
                "subject": {"field": "Target user"},
            }
            psa = build(requests=[request])
            polled = psa.changed(None)
            assert ids(polled) == [ours]
            assert psa.read(ours).action is Action.PASSWORD
            assert not psa.read(other).mapped
            assert ids(psa.changed(polled.cursor)) == []
            assert [finding for finding in psa.check() if finding.about.startswith("psa.rt mapping, requests")
                    and finding.level is Level.ERROR] == []  # fmt: skip

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("' OR id > 0 OR Queue = '", id="quotes"),
            pytest.param('" OR id > 0 OR Queue = "', id="double-quotes"),
            pytest.param("\\", id="backslash"),
            pytest.param("\\' OR 1=1 --", id="backslash-and-quote"),
            pytest.param("{x}", id="braces"),
        ],
    )
    def test_a_hostile_name_in_the_mapping_finds_nothing(self, desk: Desk, build: Build, name: str) -> None:
        desk.request()
        fields = {**FIELDS, "action": {"field": name, "values": {name: "password"}}}
        for requests in ([{**FIELDS, "queue": name}], [{**fields, "queue": QUEUE}]):
            psa = build(requests=requests)
            assert ids(psa.changed(None)) == []
            assert ids(psa.changed(psa.changed(None).cursor)) == []
            assert psa.raised_since(NOW - timedelta(days=365 * 30)) == ()

    def test_past_requests_are_listed_closed_ones_too_and_oldest_first(self, desk: Desk, psa: RequestTracker) -> None:
        first, second, closed = desk.request(), desk.request("MFA reset"), desk.request()
        desk.request("Other")
        desk.set(closed, Status="resolved")
        desk.set(first, Owner=HELPDESK)  # a change does not make it younger
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)

        assert [ticket.id for ticket in psa.raised_since(long_ago)] == [first, second, closed]
        created = psa.read(second).created_at
        assert second in {ticket.id for ticket in psa.raised_since(created)}
        assert psa.raised_since(created + timedelta(days=1)) == ()

    # ------------------------------------------------------------ notes

    def test_a_private_note_is_found_again_by_its_marker(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        assert not psa.has_note(ticket, "abcd1234")
        psa.add_note(ticket, Note("First line\nSecond: “ÆØÅ” <b>& 'quotes'</b>", "abcd1234"))

        assert psa.has_note(ticket, "abcd1234")
        assert not psa.has_note(ticket, "abcd123")
        assert not psa.has_note(ticket, "bcd1234")
        (written,) = [line for line in desk.history(ticket) if line["Type"] == "Comment"]
        assert written["Data"].strip() == "connector ref=abcd1234"
        assert "First line\nSecond: “ÆØÅ” <b>& 'quotes'</b>\n\n[connector ref=abcd1234]" in desk.texts(ticket)

    def test_a_public_note_goes_to_the_requestor_and_is_found_again(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request(title="A very long title of a ticket that says a lot " * 4)
        psa.add_note(ticket, Note("Your request was closed.", "efgh5678", public=True))

        assert psa.has_note(ticket, "efgh5678")  # in a subject that RT has folded over several lines
        assert [line["Type"] for line in desk.history(ticket)].count("Correspond") == 1

    def test_a_note_by_somebody_else_with_our_marker_is_not_ours(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        copied = {"Subject": "connector ref=abcd1234", "Content": "Copied", "ContentType": "text/plain"}
        desk.done(HELPDESK, "POST", f"/ticket/{ticket}/comment", copied)

        assert not psa.has_note(ticket, "abcd1234")

    def test_a_note_is_found_behind_many_lines(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        psa.add_note(ticket, Note("Early", "early001"))
        for number in range(25):
            chatter = {"Content": f"Chatter {number}", "ContentType": "text/plain"}
            desk.done(HELPDESK, "POST", f"/ticket/{ticket}/correspond", chatter)

        assert psa.has_note(ticket, "early001")
        assert not psa.has_note(ticket, "early002")

    def test_a_note_without_the_right_is_refused_with_the_right_s_name(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        with pytest.raises(PermanentError, match="CommentOnTicket"):
            build(user=APPROVER).add_note(ticket, Note("No right to", "abcd1234"))
        with pytest.raises(TicketGone):
            build(user=OUTSIDER).add_note(ticket, Note("Cannot see it", "abcd1234"))
        assert all(line["Type"] != "Comment" for line in desk.history(ticket))

    @pytest.mark.parametrize("marker", ["' OR id > 0 OR Data LIKE '", "%", "a b", "a\\", "", "a\nb", "{a}", "ä"])
    def test_a_marker_that_is_no_word_is_never_sent(self, desk: Desk, psa: RequestTracker, marker: str) -> None:
        ticket = desk.request()
        lines = len(desk.history(ticket))
        with pytest.raises(ValueError, match="no marker"):
            psa.add_note(ticket, Note("x", marker))
        with pytest.raises(ValueError, match="no marker"):
            psa.has_note(ticket, marker)
        assert len(desk.history(ticket)) == lines

    def test_a_marker_is_no_pattern(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        psa.add_note(ticket, Note("x", "a-b.c"))
        assert not psa.has_note(ticket, "a_b_c")  # an underline means any letter in LIKE
        assert not psa.has_note(ticket, "A-B.C")
        assert psa.has_note(ticket, "a-b.c")

    def test_time_is_booked_with_the_note_once(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        psa.add_note(ticket, Note("Nothing to book.", "c1-none"))
        assert desk.minutes(ticket) == 0
        psa.add_note(ticket, Note("Done.", "c1-done", time_spent=timedelta(minutes=5)))
        assert desk.minutes(ticket) == 5
        assert psa.has_note(ticket, "c1-done"), "which keeps a repeat from booking it twice"
        psa.add_note(ticket, Note("Done.", "c1-public", public=True, time_spent=timedelta(seconds=61)))
        assert desk.minutes(ticket) == 7

    def test_a_public_note_does_not_reopen_a_ticket_that_has_ended(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        desk.approve(desk.approvals_of(ticket)[0])
        assert psa.move(ticket, StatusTarget.CLOSED)
        psa.add_note(ticket, Note("The password was shown.", "c1-opened", public=True))

        assert desk.status(ticket) == "resolved"
        assert psa.has_note(ticket, "c1-opened")
        # What RT does by itself, and why:
        desk.done(CONNECTOR, "POST", f"/ticket/{ticket}/correspond", {"Content": "x", "ContentType": "text/plain"})
        assert desk.status(ticket) == "open"

    # ------------------------------------------------------------ "this was not me"

    @pytest.mark.parametrize(("wanted", "number"), [(80, 80), (0, 0), ("High", 100), ("Medium", 50)])
    def test_a_priority_is_a_number_or_a_name_and_a_repeat_changes_nothing(
        self, desk: Desk, build: Build, wanted: int | str, number: int
    ) -> None:
        psa = build(statuses=ALARMED, alarm={"priority": wanted})
        ticket = desk.request(Priority="30")
        desk.set(ticket, Status="resolved")
        assert psa.move(ticket, StatusTarget.ALARM)
        assert (desk.status(ticket), desk.priority(ticket)) == ("security alarm", number)
        lines = len(desk.history(ticket))
        assert psa.move(ticket, StatusTarget.ALARM)
        assert len(desk.history(ticket)) == lines

    @pytest.mark.parametrize("wanted", ["Hihg", "high", "'; x"])
    def test_a_priority_that_rt_does_not_know_is_told_and_the_former_one_restored(
        self, desk: Desk, build: Build, wanted: str
    ) -> None:
        """RT sets 0 without a word, and the ticket would come last instead of first."""
        psa = build(statuses=ALARMED, alarm={"priority": wanted})
        ticket = desk.request(Priority="30")
        desk.set(ticket, Status="resolved")
        with pytest.raises(PermanentError, match="with the priority 0 instead of"):
            psa.move(ticket, StatusTarget.ALARM)
        assert (desk.status(ticket), desk.priority(ticket)) == ("security alarm", 30)

    def test_a_status_that_a_life_cycle_does_not_have_is_told_with_what_it_offers(
        self, desk: Desk, build: Build
    ) -> None:
        ticket = desk.request()
        desk.set(ticket, Status="resolved")
        psa = build(statuses={**ALARMED, "alarm": "red alert"})
        with pytest.raises(
            PermanentError, match=rf"instead of red alert \(RT offers open\).*open ticket {ticket} again"
        ):
            psa.move(ticket, StatusTarget.ALARM)
        assert desk.status(ticket) == "resolved"

    def test_a_status_that_ends_a_ticket_opens_none_and_is_told(self, desk: Desk, build: Build) -> None:
        """Of an own life cycle: RT's own ended ones are refused in the mapping."""
        ticket = desk.request()
        desk.set(ticket, Status="resolved")
        psa = build(statuses={**ALARMED, "alarm": "cancelled"})
        with pytest.raises(PermanentError, match="in the status cancelled, which is none of work in hand"):
            psa.move(ticket, StatusTarget.ALARM)
        assert psa.read(ticket).closed
        for ended in ("resolved", "Rejected", "deleted"):
            with pytest.raises(ConfigError, match="name an active status"):
                build(statuses={"closed": None, "alarm": ended})

    def test_where_nothing_is_mapped_rt_must_offer_to_open_the_ticket(self, desk: Desk, build: Build) -> None:
        psa = build(statuses={"closed": "resolved"})
        opened, rejected, stalled = (desk.request() for _ in range(3))
        desk.set(opened, Status="resolved")
        desk.set(rejected, Status="rejected")
        desk.set(stalled, Status="stalled")
        moved = [psa.move(ticket, StatusTarget.ALARM) for ticket in (opened, rejected, stalled)]
        assert moved == [True, False, False]
        assert [desk.status(ticket) for ticket in (opened, rejected, stalled)] == ["open", "rejected", "stalled"]

    def test_an_alarm_gives_the_ticket_to_its_owner(self, desk: Desk, build: Build) -> None:
        psa = build(statuses=ALARMED, claim=True, hand_off={"owner": ADMIN}, alarm={"owner": HELPDESK})
        ours, nobodys = desk.request(), desk.request()
        assert psa.move(ours, StatusTarget.WORKING)
        for ticket in (ours, nobodys):
            desk.set(ticket, by=ADMIN, Status="resolved")
            assert psa.move(ticket, StatusTarget.ALARM)
            assert (desk.owner(ticket), desk.status(ticket)) == (HELPDESK, "security alarm")
            assert psa.read(ticket).taken_by == "", "we gave it away ourselves"
            desk.set(ticket, Status="open")
            assert psa.read(ticket).taken_by == "Hanna Helpdesk"

    def test_an_owner_who_keeps_the_ticket_is_told_and_the_rest_is_done(self, desk: Desk, build: Build) -> None:
        """To take it from one person for another needs ReassignTicket."""
        psa = build(statuses=ALARMED, alarm={"owner": HELPDESK, "priority": 80})
        ticket = desk.request()
        desk.set(ticket, by=ADMIN, Owner=ADMIN, Status="resolved")
        with pytest.raises(PermanentError, match=f"with {ADMIN} instead of {HELPDESK}.*ReassignTicket"):
            psa.move(ticket, StatusTarget.ALARM)
        assert (desk.status(ticket), desk.priority(ticket)) == ("security alarm", 80)

    @pytest.mark.parametrize("claim", [True, False])
    def test_without_an_owner_of_its_own_an_alarm_leaves_the_ticket_with_the_person_who_has_it(
        self, desk: Desk, build: Build, claim: bool
    ) -> None:
        psa = build(statuses=ALARMED, claim=claim)
        persons, ours = desk.request(), desk.request()
        desk.set(persons, Owner=HELPDESK)
        desk.set(ours, by=ADMIN, Owner=CONNECTOR)
        for ticket in (persons, ours):
            assert psa.move(ticket, StatusTarget.ALARM)
        assert (desk.owner(persons), desk.owner(ours)) == (HELPDESK, "Nobody" if claim else CONNECTOR)
        assert psa.read(persons).taken_by == ""

    def test_what_an_alarm_brings_along_is_looked_up(self, desk: Desk, build: Build) -> None:
        def about(place: str, **alarm: object) -> list[tuple[Level, str]]:
            found = [one for one in build(statuses=ALARMED, alarm=alarm).check() if one.about.endswith(place)]
            return [(one.level, one.text) for one in found]

        for queue in (QUEUE, ODD_QUEUE):
            desk.request(Priority="100", queue=queue)
        assert about("alarm.owner", owner=HELPDESK) == [(Level.OK, f"{HELPDESK} gets the tickets of alarms.")]
        assert [level for level, _ in about("alarm.owner", owner="nobody.of.this.name")] == [Level.ERROR]
        for used in (100, 7, "High"):
            assert about("alarm.priority", priority=used) == []
        for unused in ("Medium", "Hihg", "Low"):
            warned = about("alarm.priority", priority=unused)
            assert warned
            assert all(level is Level.WARNING and unused in text for level, text in warned)
        warned = [text for level, text in about("statuses.alarm") if level is Level.WARNING]
        assert warned
        assert all("has ever stood in security alarm" in text for text in warned)
        for statuses, told in (({"hand_off": "stalled"}, Level.OK), ({}, Level.WARNING), (ALARMED, Level.OK)):
            found = [one for one in build(statuses=statuses).check() if one.about.endswith("statuses.alarm")]
            assert found[0].level is told

    # ------------------------------------------------------------ taking

    def test_beginning_to_work_takes_the_ticket_and_a_repeat_changes_nothing(self, desk: Desk, build: Build) -> None:
        psa = build(claim=True)
        ticket = desk.request()
        assert psa.read(ticket).taken_by == ""
        assert psa.move(ticket, StatusTarget.WORKING)
        assert (desk.owner(ticket), desk.status(ticket)) == (CONNECTOR, "open")
        assert psa.read(ticket).taken_by == ""
        lines = len(desk.history(ticket))
        assert psa.move(ticket, StatusTarget.WORKING)
        assert build(claim=True).move(ticket, StatusTarget.WORKING), "after a restart, too"
        assert len(desk.history(ticket)) == lines
        assert psa.read(ticket).approval.stance is Stance.PENDING, "taking it is no change of the request"

    def test_without_claim_nobody_takes_anything(self, desk: Desk, psa: RequestTracker) -> None:
        ticket, taken = desk.request(), desk.request()
        desk.set(taken, Owner=HELPDESK)
        assert psa.move(ticket, StatusTarget.WORKING)
        assert psa.move(ticket, StatusTarget.HAND_OFF)
        assert desk.owner(ticket) == "Nobody"
        assert psa.read(taken).taken_by == ""

    def test_a_ticket_that_an_agent_took_is_left_alone_and_told(self, desk: Desk, build: Build) -> None:
        psa = build(claim=True)
        ticket = desk.request()
        desk.set(ticket, Owner=HELPDESK)
        lines = len(desk.history(ticket))

        assert psa.read(ticket).taken_by == "Hanna Helpdesk"
        assert not psa.move(ticket, StatusTarget.WORKING)
        assert (desk.owner(ticket), desk.status(ticket)) == (HELPDESK, "new")
        assert len(desk.history(ticket)) == lines

    def test_an_agent_who_takes_it_over_is_told_by_the_next_poll(self, desk: Desk, build: Build) -> None:
        psa = build(claim=True)
        ticket = desk.request()
        psa.move(ticket, StatusTarget.WORKING)
        cursor = psa.changed(psa.changed(None).cursor).cursor
        desk.set(ticket, by=ADMIN, Owner=HELPDESK)

        assert ids(psa.changed(cursor)) == [ticket]
        assert psa.read(ticket).taken_by == "Hanna Helpdesk"

    def test_another_api_user_is_another_person(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        assert build(claim=True).move(ticket, StatusTarget.WORKING)
        other = build(user=CONNECTOR_IN_COPENHAGEN, claim=True)
        assert not other.move(ticket, StatusTarget.WORKING)
        assert other.read(ticket).taken_by == "Reset connector (API)"
        assert desk.owner(ticket) == CONNECTOR

    def test_taking_without_the_right_is_refused_and_reported(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        with pytest.raises(PermanentError, match="TakeTicket"):  # 200 again
            build(user=APPROVER, claim=True).move(ticket, StatusTarget.WORKING)
        assert (desk.owner(ticket), desk.status(ticket)) == ("Nobody", "new")

    def test_a_ticket_that_has_ended_is_not_taken_nor_moved(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        desk.set(ticket, Status="rejected")
        assert not build(claim=True).move(ticket, StatusTarget.WORKING)
        assert (desk.owner(ticket), desk.status(ticket)) == ("Nobody", "rejected")

    def test_nothing_is_taken_under_the_number_of_a_merged_ticket(self, desk: Desk, build: Build) -> None:
        # RT would take the other one.
        old, other = desk.request(), desk.request(subject="paul@contoso.example")
        desk.set(old, MergeInto=int(other))
        with pytest.raises(TicketGone):
            build(claim=True).move(old, StatusTarget.WORKING)
        assert desk.owner(other) == "Nobody"

    def test_in_the_retry_status_an_agent_has_given_the_ticket_back(self, desk: Desk, build: Build) -> None:
        psa = build(claim=True)
        ticket = desk.request()
        desk.set(ticket, Owner=HELPDESK)
        desk.set(ticket, Status="retry reset")

        read = psa.read(ticket)
        assert (read.retry_requested, read.taken_by) == (True, "")
        assert psa.move(ticket, StatusTarget.WORKING)
        assert (desk.owner(ticket), desk.status(ticket)) == (CONNECTOR, "open")

    # ------------------------------------------------------------ handing off

    def test_a_hand_off_gives_a_claimed_ticket_back(self, desk: Desk, build: Build) -> None:
        psa = build(claim=True)
        ticket = desk.request()
        psa.move(ticket, StatusTarget.WORKING)
        assert psa.move(ticket, StatusTarget.HAND_OFF)
        assert (desk.owner(ticket), desk.status(ticket)) == ("Nobody", "needs technician")

    @pytest.mark.parametrize("claim", [False, True])
    def test_a_hand_off_names_the_mapped_owner(self, desk: Desk, build: Build, claim: bool) -> None:
        psa = build(claim=claim, hand_off={"owner": HELPDESK})
        ticket = desk.request()
        psa.move(ticket, StatusTarget.WORKING)
        assert psa.move(ticket, StatusTarget.HAND_OFF)
        assert (desk.owner(ticket), desk.status(ticket)) == (HELPDESK, "needs technician")
        lines = len(desk.history(ticket))
        assert psa.move(ticket, StatusTarget.HAND_OFF)
        assert len(desk.history(ticket)) == lines

    def test_a_hand_off_takes_the_ticket_from_nobody_who_has_it(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        desk.set(ticket, by=ADMIN, Owner=ADMIN)
        assert build(claim=True, hand_off={"owner": HELPDESK}).move(ticket, StatusTarget.HAND_OFF)
        assert (desk.owner(ticket), desk.status(ticket)) == (ADMIN, "needs technician")

    def test_an_owner_without_the_right_is_refused_and_reported(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        with pytest.raises(PermanentError, match="OwnTicket"):
            build(hand_off={"owner": OUTSIDER}).move(ticket, StatusTarget.HAND_OFF)
        assert desk.owner(ticket) == "Nobody"

    def test_an_owner_who_does_not_exist_is_found_by_the_check(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        psa = build(hand_off={"owner": "nobody.of.this.name"})
        (problem,) = [finding for finding in psa.check() if finding.about.endswith("hand_off.owner")]
        assert problem.level is Level.ERROR
        with pytest.raises(PermanentError, match=r"hand_off\.owner"):
            psa.move(ticket, StatusTarget.HAND_OFF)
        assert desk.status(ticket) == "new"
        (fine,) = [one for one in build(hand_off={"owner": HELPDESK}).check() if one.about.endswith("hand_off.owner")]
        assert fine.level is Level.OK

    # ------------------------------------------------------------ moves

    def test_a_move_is_read_back_and_a_repeat_changes_nothing(self, desk: Desk, psa: RequestTracker) -> None:
        ticket = desk.request()
        assert psa.move(ticket, StatusTarget.HAND_OFF)
        assert desk.status(ticket) == "needs technician"
        lines = len(desk.history(ticket))
        assert psa.move(ticket, StatusTarget.HAND_OFF)
        assert len(desk.history(ticket)) == lines

    def test_rt_refuses_a_move_on_an_old_look(self, desk: Desk) -> None:
        ticket = desk.request()
        old = desk.etag(ticket)
        desk.set(ticket, Owner=HELPDESK)

        body = {"Status": "needs technician"}
        assert desk.call(CONNECTOR, "PUT", f"/ticket/{ticket}", body, if_match=old)[0] == 412
        assert desk.status(ticket) == "new"
        assert desk.call(CONNECTOR, "PUT", f"/ticket/{ticket}", body, if_match=desk.etag(ticket))[0] == 200
        assert desk.status(ticket) == "needs technician"

    def test_a_target_without_status_sends_nothing(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        assert not build(statuses={"closed": "resolved"}).move(ticket, StatusTarget.WORKING)
        assert desk.status(ticket) == "new"

    def test_closing_while_an_approval_is_open_is_refused_and_reported(self, desk: Desk, psa: RequestTracker) -> None:
        # RT answers 200 all the same.
        ticket = desk.request()
        with pytest.raises(PermanentError, match="unresolved dependencies"):
            psa.move(ticket, StatusTarget.CLOSED)
        assert desk.status(ticket) == "new"

        desk.approve(desk.approvals_of(ticket)[0])
        assert psa.move(ticket, StatusTarget.CLOSED)
        assert desk.status(ticket) == "resolved"

    def test_an_agent_who_cannot_see_the_approval_can_close_without_it(self, desk: Desk, psa: RequestTracker) -> None:
        # RT counts only those open approvals that the agent may see. A closed ticket is no approved one.
        ticket = desk.request()
        desk.set(ticket, Status="resolved")

        read = psa.read(ticket)
        assert read.closed
        assert read.approval.stance is Stance.PENDING

    def test_a_move_without_the_right_is_refused_and_reported(self, desk: Desk, build: Build) -> None:
        # 200 again.
        ticket = desk.request()
        with pytest.raises(PermanentError, match="Permission Denied"):
            build(user=APPROVER).move(ticket, StatusTarget.HAND_OFF)
        assert desk.status(ticket) == "new"

    def test_a_status_that_does_not_exist_is_refused_and_reported(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        with pytest.raises(PermanentError, match="instead of Needs a wizard"):
            build(statuses={"hand_off": "Needs a wizard"}).move(ticket, StatusTarget.HAND_OFF)
        assert desk.status(ticket) == "new"

    # ------------------------------------------------------------ check

    def test_check_is_content_with_a_right_set_up(self, desk: Desk, psa: RequestTracker) -> None:
        for status in ("retry reset", "needs technician", "open", "rejected"):
            ticket = desk.request()
            desk.set(ticket, Status=status)
        desk.request(queue=ODD_QUEUE)
        findings = list(psa.check())

        assert [finding for finding in findings if finding.level is Level.ERROR] == []
        assert any("takes the token" in finding.text for finding in findings)

    def test_check_names_every_wrong_name_with_what_there_is(self, desk: Desk, build: Build) -> None:
        wrong = [
            {"queue": "Helpdesk", **FIELDS},
            {"queue": QUEUE, **replace_in(FIELDS, subject={"field": "Account"}, reason={"field": "Why"})},
        ]
        problems = [finding for finding in build(requests=wrong).check() if finding.level is Level.ERROR]

        text = "\n".join(f"{problem.about}: {problem.text} {problem.todo}" for problem in problems)
        assert "'Helpdesk'" in text
        assert f"{QUEUE} (" in text
        assert "'Account'" in text
        assert "'Why'" in text
        assert "Target user (" in text

    def test_check_says_which_right_is_missing(self, desk: Desk, build: Build) -> None:
        desk.request()
        problems = [finding for finding in build(user=HELPDESK).check() if finding.level is Level.ERROR]
        assert any("___Approvals" in problem.text for problem in problems)

        problems = [finding for finding in build(user=OTHER_APPROVER).check() if finding.level is Level.ERROR]
        todos = " ".join(problem.todo for problem in problems)
        assert "CommentOnTicket" in todos
        assert "ReplyToTicket" in todos
        # Somebody who can approve must not be the connector.
        assert any("approve its own resets" in problem.text for problem in problems)

    def test_a_token_that_rt_does_not_know_is_an_authentication_error(self, desk: Desk, build: Build) -> None:
        ticket = desk.request()
        psa = build(user=None)

        with pytest.raises(AuthenticationError) as refused:
            psa.changed(None)
        assert refused.value.scope == "psa.rt"
        with pytest.raises(AuthenticationError):
            psa.read(ticket)
        with pytest.raises(AuthenticationError):
            psa.add_note(ticket, Note("No", "abcd1234"))
        (finding,) = psa.check()
        assert finding.level is Level.ERROR
        assert finding.about == "psa.rt.token"


def replace_in(mapping: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**mapping, **changed}
