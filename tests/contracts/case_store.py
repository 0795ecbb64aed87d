"""The promises of `CaseStore`, one test each. Subclass it and give the fixture `store`: empty at the start.

The last parts are about what every store of this project offers beyond the port, for the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Protocol, TypeVar

import pytest

from connector.core.case import Action, Approval, Case, Outcome, Person, State
from connector.core.pair import Earlier
from connector.core.ports import (
    ALARM_REFERENCE,
    AuditEntry,
    AuditLine,
    CaseStore,
    ChangedTicket,
    Letter,
    LinkEvent,
    LinkEventKind,
    MailKind,
    Message,
    Note,
    Reset,
    StatusTarget,
    Watched,
)
from connector.errors import LostClaim, Overtaken
from connector.store.audit import START, AuditReport, Head

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
THREADS = 8

_Result = TypeVar("_Result")


class Store(CaseStore, Protocol):
    """The port and what the command line needs besides."""

    def counts(self) -> Mapping[State, int]: ...
    def audit_lines(self, *, after: int = 0, since: datetime | None = None) -> Iterator[AuditLine]: ...
    def verify_audit(self, *, known: Head | None = None) -> AuditReport: ...
    def head(self) -> Head: ...
    def release_leases(self) -> int: ...


def ticket(number: int | str) -> ChangedTicket:
    return ChangedTicket(id=f"{number}", number=f"T-{number}")


def open_case(store: CaseStore, number: int | str = 1, *, psa: str = "halo", now: datetime = NOW) -> Case:
    """A new case, due at `now`, claimed by nobody."""
    store.note_tickets(psa, [ticket(number)], now=now)
    (case,) = store.find(f"T-{number}", psa=psa)
    return case


def hold(store: CaseStore, case_id: str, *, now: datetime = NOW) -> Case:
    case = store.claim(case_id, now=now, lease=LEASE)
    assert case is not None
    return case


def settle(store: CaseStore, number: int | str = 1, *, state: State = State.WAITING) -> Case:
    """A case that waits for nothing but a poke."""
    case = hold(store, open_case(store, number).id)
    return store.save(replace(case, state=state, due_at=None), now=NOW)


def due(store: CaseStore, now: datetime) -> str | None:
    """The id of the case that is claimed when somebody asks at `now`."""
    case = store.claim_due(now=now, lease=LEASE)
    return None if case is None else case.id


def mail_link(store: CaseStore, number: int, link_id: str, *, ends_at: datetime, handle: str | None = None) -> Case:
    """A case whose link is on its way to the requester."""
    case = hold(store, open_case(store, number).id)
    out = replace(
        case,
        state=State.LINK_OUT,
        link_id=link_id,
        link_handle=f"handle of {link_id}" if handle is None else handle,
        link_expires_at=ends_at,
        views_allowed=2,
    )
    return store.save(out, now=NOW)


def note(key: str) -> Message:
    return Message(key=key, body=Note(text=f"text of {key}", marker=key))


def entry(event: str = "seen", case_id: str = "case-1", *, at: datetime = NOW) -> AuditEntry:
    return AuditEntry(at=at, case_id=case_id, event=event, facts={"why": "Grüße\n'--\u0000", "a": "b"})


def revealed(seq: int, link_id: str = "link-1") -> LinkEvent:
    return LinkEvent(
        seq=seq,
        link_id=link_id,
        kind=LinkEventKind.REVEALED,
        at=NOW,
        view=1,
        views_left=1,
        ip="192.0.2.7",
        place="United Kingdom (approx.)",
        agent="Firefox on Windows",
    )


def reset_of(case: Case, action: Action = Action.PASSWORD, *, at: datetime = NOW) -> Reset:
    return Reset(
        at=at,
        case_id=case.id,
        tenant="contoso",
        action=action,
        subject="0b5c",
        requester="rita@contoso.example.com",
        approvers=frozenset({"anna@contoso.example.com", "bo jensen"}),
    )


def filled(case: Case) -> Case:
    """The same case with a value in every field."""
    anna = Person(name="Anna", email="Anna@contoso.example.com", ids=frozenset({"halo.user:3", "entra:9f"}))
    return replace(
        case,
        number="T-renamed",
        state=State.LINK_OUT,
        due_at=NOW + HOUR,
        client_id="12",
        client_name="Contoso Ltd. – Zürich",
        tenant="contoso",
        requester=Person(name="Rita O'Hara", email=None),
        action=Action.BOTH,
        subject="lea+x@contoso.example.com",
        subject_id="0b5c",
        subject_name="Léa",
        reason="lost\nphone",
        request_since=NOW - HOUR,
        approvals=(
            Approval(
                approver=anna,
                approved=True,
                decided_at=NOW - MINUTE + timedelta(microseconds=7),
                comment="yes; go",
                step="1",
                overridden=True,
                delegated_by=Person(name="Bo", email="bo@contoso.example.com"),
                evidence="TicketApproval 4242/1/3",
                digest="0b" * 32,
            ),
            Approval(approver=Person(name="Bo", email="bo@contoso.example.com"), approved=True, decided_at=NOW),
        ),
        waiting_since=NOW - HOUR,
        reminders=2,
        link_id="link-1",
        link_handle="0b" * 16,
        link_expires_at=NOW + HOUR,
        views_allowed=2,
        views_used=1,
        link_seq=40,
        mfa_removed=("phone (mobile)", "fido2"),
        mfa_left=("email: refused",),
        mfa_done=True,
        written_at=NOW,
        attempts=3,
        failing_since=NOW - SECOND,
        round=2,
        in_earnest=True,
        outcome=Outcome.OPENED,
        explanation="because",
    )


def in_threads(work: Callable[[int], _Result], threads: int = THREADS) -> list[_Result]:
    """`work` in several threads that start at the same moment."""
    gate = Barrier(threads)

    def start(number: int) -> _Result:
        gate.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(start, range(threads)))


class CaseStoreContract:
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        raise NotImplementedError

    # -- polls

    def test_a_poll_that_never_ran_is_due_and_has_no_cursor(self, store: Store) -> None:
        assert store.claim_poll("psa.halo", now=NOW, lease=LEASE) == ""

    def test_a_poll_is_held_by_one_at_a_time(self, store: Store) -> None:
        store.claim_poll("psa.halo", now=NOW, lease=LEASE)
        assert store.claim_poll("psa.halo", now=NOW + LEASE - SECOND, lease=LEASE) is None

    def test_a_finished_poll_gives_its_cursor_when_it_is_due_again_and_not_before(self, store: Store) -> None:
        store.claim_poll("psa.halo", now=NOW, lease=LEASE)
        store.finish_poll("psa.halo", cursor="c1", next_at=NOW + MINUTE)
        assert store.claim_poll("psa.halo", now=NOW + MINUTE - SECOND, lease=LEASE) is None
        assert store.claim_poll("psa.halo", now=NOW + MINUTE, lease=LEASE) == "c1"

    def test_a_poll_whose_worker_died_is_repeated_with_the_old_cursor(self, store: Store) -> None:
        store.claim_poll("psa.halo", now=NOW, lease=LEASE)
        store.finish_poll("psa.halo", cursor="c1", next_at=NOW)
        store.claim_poll("psa.halo", now=NOW, lease=LEASE)
        assert store.claim_poll("psa.halo", now=NOW + LEASE, lease=LEASE) == "c1"

    def test_polls_of_different_names_do_not_wait_for_each_other(self, store: Store) -> None:
        store.claim_poll("psa.halo", now=NOW, lease=LEASE)
        store.finish_poll("psa.halo", cursor="c1", next_at=NOW + HOUR)
        assert store.claim_poll("psa.rt", now=NOW, lease=LEASE) == ""

    def test_a_poll_that_many_want_is_claimed_once(self, store: Store) -> None:
        claims = in_threads(lambda _: store.claim_poll("psa.halo", now=NOW, lease=LEASE))
        assert [claim for claim in claims if claim is not None] == [""]

    def test_an_early_poll_is_taken_before_it_is_due_but_no_sooner_than_it_says(self, store: Store) -> None:
        store.finish_poll("psa.halo", cursor="c1", next_at=NOW + MINUTE)
        assert store.claim_poll("psa.halo", now=NOW, lease=LEASE, early=MINUTE - SECOND) is None
        assert store.claim_poll("psa.halo", now=NOW, lease=LEASE, early=MINUTE) == "c1"

    def test_an_early_poll_takes_no_poll_away_from_whoever_is_at_it(self, store: Store) -> None:
        store.claim_poll("psa.halo", now=NOW, lease=LEASE)
        assert store.claim_poll("psa.halo", now=NOW + SECOND, lease=LEASE, early=2 * LEASE) is None
        assert store.claim_poll("psa.halo", now=NOW + LEASE, lease=LEASE, early=2 * LEASE) == "", "it has died"

    def test_where_a_poll_stands_is_told_without_claiming_it(self, store: Store) -> None:
        assert store.poll_cursor("links") == ""
        store.finish_poll("links", cursor="c1", next_at=NOW)
        assert store.poll_cursor("links") == "c1"
        assert store.poll_cursor("psa.halo") == ""
        assert store.claim_poll("links", now=NOW, lease=LEASE) == "c1"
        assert store.poll_cursor("links") == "c1", "whoever is at it"

    # -- tickets

    def test_a_new_ticket_opens_a_case_that_is_due_at_once(self, store: Store) -> None:
        assert store.note_tickets("halo", [ticket(7)], now=NOW) == 1
        case = store.claim_due(now=NOW, lease=LEASE)
        assert case is not None
        assert re.fullmatch("case-[0-9a-f]{16}", case.id)
        assert case == Case(
            id=case.id,
            psa="halo",
            ticket_id="7",
            number="T-7",
            state=State.RECEIVED,
            created_at=NOW,
            due_at=NOW,
            version=1,
        )

    def test_a_ticket_opens_one_case_however_often_it_is_told(self, store: Store) -> None:
        assert store.note_tickets("halo", [ticket(7), ticket(8), ticket(7)], now=NOW) == 2
        assert store.note_tickets("halo", [ticket(7)], now=NOW + SECOND) == 0
        assert len(store.cases()) == 2

    def test_no_tickets_are_no_work(self, store: Store) -> None:
        assert store.note_tickets("halo", [], now=NOW) == 0

    def test_the_same_key_in_another_psa_is_another_case(self, store: Store) -> None:
        store.note_tickets("halo", [ticket(7)], now=NOW)
        assert store.note_tickets("rt", [ticket(7)], now=NOW) == 1

    def test_a_known_ticket_makes_its_case_due(self, store: Store) -> None:
        case = settle(store)
        assert due(store, NOW + HOUR) is None
        store.note_tickets("halo", [ticket(1)], now=NOW + HOUR)
        assert due(store, NOW + HOUR) == case.id

    def test_a_known_ticket_of_another_psa_makes_nothing_due(self, store: Store) -> None:
        settle(store)
        store.note_tickets("rt", [ticket(2)], now=NOW + HOUR)
        assert due(store, NOW + HOUR) != store.find("T-1")[0].id
        assert due(store, NOW + HOUR) is None

    @pytest.mark.parametrize("state", [State.CLOSED, State.CANCELLED])
    def test_a_finished_case_stays_as_it_is_when_its_ticket_changes(self, store: Store, state: State) -> None:
        case = settle(store, state=state)
        assert store.note_tickets("halo", [ticket(1)], now=NOW + HOUR) == 0
        assert due(store, NOW + HOUR) is None
        assert store.get(case.id) == case

    def test_a_poll_of_many_tickets_finds_the_new_ones_among_many_cases(self, store: Store) -> None:
        assert store.note_tickets("halo", [ticket(number) for number in range(500)], now=NOW) == 500
        assert store.note_tickets("halo", [ticket(number) for number in range(450, 550)], now=NOW) == 50
        assert len(store.cases()) == 550

    @pytest.mark.parametrize("odd", ["\0", "\ud800", "'; DROP TABLE cases; --", "é" * 5000, ""])
    def test_an_odd_ticket_does_not_stop_the_poll_that_brought_it(self, store: Store, odd: str) -> None:
        tickets = [ChangedTicket(id=f"1{odd}", number=odd), ticket(2)]
        assert store.note_tickets("halo", tickets, now=NOW) == 2
        assert store.note_tickets("halo", tickets, now=NOW) == 0
        case_ids = {due(store, NOW), due(store, NOW)}
        assert case_ids == {case.id for case in store.cases()}

    def test_a_ticket_that_several_tell_at_once_opens_one_case(self, store: Store) -> None:
        tickets = [ticket(number) for number in range(20)]
        assert sum(in_threads(lambda _: store.note_tickets("halo", tickets, now=NOW))) == 20
        assert len(store.cases()) == 20

    # -- claims

    def test_nothing_due_is_nothing_claimed(self, store: Store) -> None:
        assert store.claim_due(now=NOW, lease=LEASE) is None

    def test_a_case_is_not_due_before_its_time(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        store.save(replace(case, due_at=NOW + MINUTE), now=NOW)
        assert due(store, NOW + MINUTE - SECOND) is None
        assert due(store, NOW + MINUTE) == case.id

    def test_the_case_that_has_been_due_for_the_longest_comes_first(self, store: Store) -> None:
        ids = [open_case(store, number, now=NOW - number * MINUTE).id for number in (1, 3, 2)]
        assert [due(store, NOW) for _ in range(4)] == [ids[1], ids[2], ids[0], None]

    def test_a_claimed_case_is_nobody_elses_until_its_lease_ends(self, store: Store) -> None:
        case = open_case(store)
        first = store.claim_due(now=NOW, lease=LEASE)
        assert first is not None
        assert due(store, NOW + LEASE - SECOND) is None
        assert store.claim(case.id, now=NOW + LEASE - SECOND, lease=LEASE) is None
        second = store.claim_due(now=NOW + LEASE, lease=LEASE)
        assert second is not None
        assert (first.id, second.id) == (case.id, case.id)
        assert case.version < first.version < second.version

    def test_this_very_case_is_claimed_due_or_not(self, store: Store) -> None:
        case = settle(store)
        assert hold(store, case.id) == replace(case, version=case.version + 1)

    def test_a_case_that_does_not_exist_is_not_claimed(self, store: Store) -> None:
        assert store.claim("case-0", now=NOW, lease=LEASE) is None
        assert store.get("case-0") is None

    def test_many_workers_claim_each_due_case_exactly_once(self, store: Store) -> None:
        store.note_tickets("halo", [ticket(number) for number in range(200)], now=NOW)

        def work(_: int) -> list[str]:
            mine = []
            while (case_id := due(store, NOW)) is not None:
                mine.append(case_id)
            return mine

        claimed = [case_id for mine in in_threads(work) for case_id in mine]
        assert sorted(claimed) == sorted(case.id for case in store.cases())

    # -- saving

    def test_a_saved_case_is_read_back_as_it_was(self, store: Store) -> None:
        case = filled(hold(store, open_case(store).id))
        saved = store.save(case, now=NOW)
        assert saved == replace(case, version=case.version + 1)
        assert store.get(case.id) == saved

    def test_a_save_gives_the_claim_back(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        store.save(case, now=NOW)
        assert store.claim(case.id, now=NOW, lease=LEASE) is not None

    def test_a_save_can_keep_the_claim_for_longer(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        later = NOW + LEASE - SECOND
        saved = store.save(case, now=later, lease=LEASE)
        assert store.claim(case.id, now=later + LEASE - SECOND, lease=LEASE) is None
        store.save(saved, now=later)
        assert store.claim(case.id, now=later, lease=LEASE) is not None

    def test_a_worker_that_dies_in_the_middle_of_a_pass_leaves_the_case_due(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        store.save(replace(case, due_at=None), now=NOW, lease=LEASE)
        assert due(store, NOW + LEASE - SECOND) is None
        assert due(store, NOW + LEASE) == case.id

    def test_a_worker_that_lost_its_lease_writes_nothing(self, store: Store) -> None:
        old = hold(store, open_case(store).id)
        new = hold(store, old.id, now=NOW + LEASE)
        head = store.head()
        with pytest.raises(LostClaim):
            store.save(
                replace(old, state=State.CLOSED, link_id="link-1", due_at=None),
                now=NOW + LEASE,
                messages=[note("a")],
                audit=[entry()],
                reset=reset_of(old),
            )
        assert store.get(old.id) == new
        assert store.outbox(old.id) == []
        assert store.head() == head
        assert store.audit_of("case-1") == []
        assert store.resets_since(NOW - HOUR) == []
        store.record_link_events([revealed(1)], now=NOW)
        assert store.link_events(old.id, after=0) == []
        assert store.claim(old.id, now=NOW + LEASE, lease=LEASE) is None, "the new claim still holds"
        store.save(new, now=NOW + LEASE)

    def test_a_case_that_somebody_else_saved_since_is_not_overwritten(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        saved = store.save(replace(case, subject="new@contoso.example.com"), now=NOW)
        with pytest.raises(LostClaim):
            store.save(replace(case, subject="old@contoso.example.com"), now=NOW)
        assert store.get(case.id) == saved

    def test_a_case_that_does_not_exist_is_not_saved(self, store: Store) -> None:
        case = open_case(store)
        with pytest.raises(LostClaim):
            store.save(replace(case, id="case-0"), now=NOW, audit=[entry()])
        assert store.get("case-0") is None
        assert store.head() == START

    def test_of_many_that_save_the_same_version_one_wins(self, store: Store) -> None:
        case = hold(store, open_case(store).id)

        def work(number: int) -> bool:
            try:
                store.save(replace(case, round=number), now=NOW, messages=[note(f"{number}")], audit=[entry()])
            except LostClaim:
                return False
            return True

        results = in_threads(work)
        assert results.count(True) == 1
        winner = results.index(True)
        saved = store.get(case.id)
        assert saved is not None
        assert saved.round == winner
        assert [row.message.key for row in store.outbox(case.id)] == [f"{winner}"]
        assert store.head().seq == 1

    # -- pokes

    def test_a_poke_makes_a_case_due_at_once(self, store: Store) -> None:
        case = settle(store)
        store.poke(case.id)
        assert due(store, NOW) == case.id

    def test_a_poke_is_used_up_by_the_pass_that_it_brought(self, store: Store) -> None:
        case = settle(store)
        store.poke(case.id)
        store.save(hold(store, case.id), now=NOW)
        assert due(store, NOW + HOUR) is None

    def test_a_poke_is_not_used_up_by_a_worker_that_dies(self, store: Store) -> None:
        case = settle(store)
        store.poke(case.id)
        hold(store, case.id)
        assert due(store, NOW + LEASE) == case.id

    def test_a_poke_while_somebody_works_on_the_case_brings_another_pass(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.poke(case.id)
        assert due(store, NOW) is None, "it is held"
        case = store.save(case, now=NOW, lease=LEASE)
        store.save(case, now=NOW)
        assert due(store, NOW) == case.id

    def test_a_changed_ticket_while_somebody_works_on_the_case_brings_another_pass(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.note_tickets("halo", [ticket(1)], now=NOW)
        store.save(replace(case, due_at=NOW + HOUR), now=NOW)
        assert due(store, NOW) == case.id

    def test_a_poke_does_not_make_a_waiting_case_wait_longer(self, store: Store) -> None:
        first, second = open_case(store, 1, now=NOW - HOUR), open_case(store, 2, now=NOW - MINUTE)
        store.note_tickets("halo", [ticket(1)], now=NOW)
        assert [due(store, NOW), due(store, NOW)] == [first.id, second.id]

    def test_poking_a_case_that_does_not_exist_changes_nothing(self, store: Store) -> None:
        store.poke("case-0")
        assert store.cases() == []

    @pytest.mark.parametrize("state", [State.CLOSED, State.CANCELLED])
    def test_a_finished_case_comes_back_only_by_a_poke(self, store: Store, state: State) -> None:
        case = hold(store, open_case(store).id)
        store.save(replace(case, state=state, due_at=NOW), now=NOW)
        assert due(store, NOW + HOUR) is None
        store.poke(case.id)
        assert due(store, NOW + HOUR) == case.id

    # -- outbox

    def test_messages_wait_in_the_order_in_which_they_were_saved(self, store: Store) -> None:
        letter = Letter(
            id="case-1/ready",
            kind=MailKind.PASSWORD_READY,
            to="rita@contoso.example.com",
            to_name="Rita",
            ticket="T-1",
            tenant="contoso",
            facts={"subject": "Léa", "expires_at": "2026-11-22T13:00:00+00:00"},
        )
        case = hold(store, open_case(store).id)
        first = [note("b"), Message(key="a", body=StatusTarget.CLOSED)]
        case = store.save(case, now=NOW, messages=first, lease=LEASE)
        second = [Message(key="c", body=letter), Message(key="0", body=Note("public\nwords", "m", public=True))]
        store.save(case, now=NOW + SECOND, messages=second)
        rows = store.outbox(case.id)
        assert [row.message for row in rows] == first + second
        assert [row.created_at for row in rows] == [NOW, NOW, NOW + SECOND, NOW + SECOND]
        assert {(row.case_id, row.attempts) for row in rows} == {(case.id, 0)}

    def test_a_key_is_stored_once_in_a_case_also_after_its_delivery(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        case = store.save(case, now=NOW, messages=[note("a"), note("a")], lease=LEASE)
        (row,) = store.outbox(case.id)
        case = store.save(case, now=NOW, messages=[note("a"), note("b")], lease=LEASE)
        assert [row.message.key for row in store.outbox(case.id)] == ["a", "b"]
        store.message_done(row, now=NOW)
        store.save(case, now=NOW, messages=[note("a")])
        assert [row.message.key for row in store.outbox(case.id)] == ["b"]

    def test_the_same_key_in_another_case_is_another_message(self, store: Store) -> None:
        for number in (1, 2):
            case = hold(store, open_case(store, number).id)
            store.save(case, now=NOW, messages=[note("a")])
            assert len(store.outbox(case.id)) == 1

    def test_a_try_is_counted_and_the_message_waits_on(self, store: Store) -> None:
        case = store.save(hold(store, open_case(store).id), now=NOW, messages=[note("a"), note("b")])
        row, _ = store.outbox(case.id)
        store.message_tried(row)
        store.message_tried(row)
        assert [(row.message.key, row.attempts) for row in store.outbox(case.id)] == [("a", 2), ("b", 0)]

    @pytest.mark.parametrize("failed", ["", "the PSA refuses it"])
    def test_a_message_that_is_done_waits_no_longer_and_a_repeat_changes_nothing(
        self, store: Store, failed: str
    ) -> None:
        case = store.save(hold(store, open_case(store).id), now=NOW, messages=[note("a"), note("b")])
        row, other = store.outbox(case.id)
        store.message_tried(row)
        store.message_done(row, now=NOW, failed=failed)
        store.message_done(row, now=NOW + SECOND)
        store.message_tried(row)
        assert store.outbox(case.id) == [other]

    @pytest.mark.parametrize("state", [State.WAITING, State.CLOSED, State.CANCELLED])
    def test_a_new_message_makes_its_case_due_whatever_its_state(self, store: Store, state: State) -> None:
        case = hold(store, open_case(store).id)
        case = replace(case, state=state, due_at=None)
        store.save(case, now=NOW, messages=[note("a")])
        case = hold(store, case.id)
        store.message_done(store.outbox(case.id)[0], now=NOW)
        store.save(case, now=NOW)
        assert due(store, NOW + HOUR) is None, "everything is delivered"

    def test_a_new_message_makes_its_case_due_now(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        store.save(replace(case, state=State.WAITING, due_at=NOW + HOUR), now=NOW, messages=[note("a")])
        assert due(store, NOW) == case.id

    @pytest.mark.parametrize("state", [State.WAITING, State.CLOSED])
    def test_an_undeliverable_message_is_due_when_its_case_says_and_not_before(
        self, store: Store, state: State
    ) -> None:
        case = hold(store, settle(store, state=state).id)
        case = store.save(case, now=NOW, messages=[note("a")], lease=LEASE)
        store.message_tried(store.outbox(case.id)[0])
        store.save(replace(case, due_at=NOW + HOUR), now=NOW)
        assert due(store, NOW + HOUR - SECOND) is None
        assert due(store, NOW + HOUR) == case.id

    def test_an_undeliverable_message_is_not_forgotten_when_its_case_names_no_time(self, store: Store) -> None:
        case = hold(store, settle(store, state=State.CLOSED).id)
        case = store.save(case, now=NOW, messages=[note("a")], lease=LEASE)
        store.message_tried(store.outbox(case.id)[0])
        store.save(case, now=NOW)
        assert due(store, NOW + MINUTE - SECOND) is None, "no loop without pauses"
        assert due(store, NOW + MINUTE) == case.id

    def test_a_message_that_nobody_tried_does_not_wait_for_the_next_reminder(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        case = store.save(case, now=NOW, messages=[note("a")], lease=LEASE)
        store.save(replace(case, due_at=NOW + HOUR), now=NOW)
        assert due(store, NOW + MINUTE - SECOND) is None, "no loop without pauses"
        assert due(store, NOW + MINUTE) == case.id

    # -- links

    def test_a_link_that_is_out_is_watched_until_two_days_after_its_end(self, store: Store) -> None:
        mail_link(store, 1, "link-1", ends_at=NOW + HOUR)
        mail_link(store, 2, "link-2", ends_at=NOW + MINUTE, handle="")
        first = Watched("link-2", "", NOW + MINUTE, 2)
        last = Watched("link-1", "handle of link-1", NOW + HOUR, 2)
        assert list(store.watched_links(now=NOW)) == [first, last]
        assert list(store.watched_links(now=NOW + MINUTE + timedelta(days=2))) == [last]
        assert list(store.watched_links(now=NOW + HOUR + timedelta(days=2))) == []

    def test_a_link_is_watched_from_the_moment_when_it_is_known_to_be_made(self, store: Store) -> None:
        """Whoever made it may die after its mail and before anything else is written down."""
        case = hold(store, open_case(store).id)
        chosen = replace(case, state=State.APPROVED, link_id="link-1", link_expires_at=None)
        case = store.save(chosen, now=NOW, lease=LEASE)
        assert list(store.watched_links(now=NOW)) == []
        store.save(replace(case, link_handle="handle", link_expires_at=NOW + HOUR, views_allowed=2), now=NOW)
        assert list(store.watched_links(now=NOW)) == [Watched("link-1", "handle", NOW + HOUR, 2)]

    def test_a_link_is_watched_on_when_its_case_is_closed(self, store: Store) -> None:
        case = mail_link(store, 1, "link-1", ends_at=NOW + HOUR)
        closed = replace(hold(store, case.id), state=State.CLOSED, link_expires_at=NOW + 2 * HOUR, views_allowed=9)
        store.save(closed, now=NOW)
        assert [(link.id, link.expires_at, link.views) for link in store.watched_links(now=NOW)] == [
            ("link-1", NOW + HOUR, 2)
        ]

    @pytest.mark.parametrize("kind", [LinkEventKind.EXPIRED, LinkEventKind.REVOKED])
    def test_a_link_whose_end_was_told_is_watched_no_longer(self, store: Store, kind: LinkEventKind) -> None:
        mail_link(store, 1, "link-1", ends_at=NOW + HOUR)
        mail_link(store, 2, "link-2", ends_at=NOW + HOUR)
        store.record_link_events([replace(revealed(7), kind=kind, view=0)], now=NOW)
        assert [link.id for link in store.watched_links(now=NOW)] == ["link-2"]

    def test_a_link_is_watched_until_its_last_view_was_told(self, store: Store) -> None:
        mail_link(store, 1, "link-1", ends_at=NOW + HOUR)
        store.record_link_events([replace(revealed(6), kind=LinkEventKind.REFUSED), revealed(7)], now=NOW)
        assert [link.id for link in store.watched_links(now=NOW)] == ["link-1"]
        store.record_link_events([replace(revealed(8), view=2, views_left=0)], now=NOW)
        assert list(store.watched_links(now=NOW)) == []

    def test_looks_that_use_up_no_view_do_not_end_the_watch(self, store: Store) -> None:
        mail_link(store, 1, "link-1", ends_at=NOW + HOUR)
        looks = [replace(revealed(seq), view=0, at=NOW + seq * SECOND) for seq in (7, 8, 9)]
        store.record_link_events([revealed(6), *looks], now=NOW)
        assert [link.id for link in store.watched_links(now=NOW)] == ["link-1"]
        store.record_link_events([replace(revealed(10), kind=LinkEventKind.REFUSED, view=0, views_left=0)], now=NOW)
        assert [link.id for link in store.watched_links(now=NOW)] == ["link-1"], "what was refused used up nothing"

    def test_events_of_a_cases_links_are_kept_and_make_it_due(self, store: Store) -> None:
        case = hold(store, settle(store, state=State.CLOSED).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        store.record_link_events([revealed(5), revealed(4)], now=NOW)
        assert store.link_events(case.id, after=0) == [revealed(4), revealed(5)]
        assert store.link_events(case.id, after=4) == [revealed(5)]
        assert due(store, NOW) == case.id

    def test_events_of_an_older_link_still_find_their_case(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        case = store.save(replace(case, link_id="link-1"), now=NOW, lease=LEASE)
        case = store.save(replace(case, link_id="link-2"), now=NOW, lease=LEASE)
        store.save(replace(case, link_id=""), now=NOW)
        events = [revealed(4, "link-1"), revealed(5, "link-2")]
        store.record_link_events(events, now=NOW)
        assert store.link_events(case.id, after=0) == events

    def test_a_repeated_event_changes_nothing(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        store.record_link_events([revealed(4), revealed(4)], now=NOW)
        store.save(hold(store, case.id), now=NOW)
        store.record_link_events([replace(revealed(4), ip="198.51.100.1")], now=NOW)
        assert store.link_events(case.id, after=0) == [revealed(4)]
        assert due(store, NOW + HOUR) is None

    def test_what_was_told_under_another_number_is_known(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        told = replace(revealed(4), kind=LinkEventKind.REVOKED, view=0, reason="reported")
        store.record_link_events([told], now=NOW)
        again = replace(told, seq=1004, ip="198.51.100.1")
        others = [
            replace(again, link_id="link-2"), replace(again, kind=LinkEventKind.EXPIRED), replace(again, view=1),
            replace(again, at=again.at + timedelta(milliseconds=1)), replace(again, reason="check_failed"),
        ]  # fmt: skip
        assert list(store.untold([again, *others, again])) == others
        assert list(store.untold([])) == []

    def test_events_of_links_that_are_not_ours_are_left_aside(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        store.record_link_events([revealed(4, "somebody-elses")], now=NOW)
        store.record_link_events([], now=NOW)
        assert store.link_events(case.id, after=0) == []
        assert due(store, NOW + HOUR) is None

    @pytest.mark.parametrize("at_once", [True, False])
    def test_nothing_is_believed_of_a_link_whose_name_somebody_has_used_again(
        self, store: Store, at_once: bool
    ) -> None:
        """The link service forgets a link some time after its end; who can make links may then take its name."""
        case = hold(store, settle(store, state=State.CLOSED).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        made = replace(revealed(4), kind=LinkEventKind.CREATED, view=0)
        own = [
            made,
            replace(revealed(5), at=NOW + MINUTE),
            replace(made, seq=6, kind=LinkEventKind.EXPIRED, at=NOW + HOUR),
        ]
        store.record_link_events(own, now=NOW)
        later = NOW + 100 * timedelta(days=1)
        again = replace(made, seq=1004, at=later)
        forged = [
            replace(revealed(1005), at=later),
            replace(revealed(1006), at=later + MINUTE, kind=LinkEventKind.REPORTED, view=0, reason="page"),
            replace(revealed(1007), at=later + MINUTE, kind=LinkEventKind.REVOKED, view=0, reason="reported"),
        ]
        for events in [[again, *forged]] if at_once else [[again], *([event] for event in forged)]:
            store.record_link_events(events, now=later)
        store.record_link_events(forged, now=later)
        assert store.link_events(case.id, after=0) == [*own, again]

    def test_a_creation_that_is_told_again_under_another_number_takes_nothing_from_its_link(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        made = replace(revealed(4), kind=LinkEventKind.CREATED, view=0)
        events = [made, replace(made, seq=1004), replace(revealed(1005), at=NOW + MINUTE)]
        store.record_link_events(events, now=NOW)
        assert store.link_events(case.id, after=0) == events

    def test_an_alarm_finds_its_case_by_the_reference_that_was_given_out_for_it(self, store: Store) -> None:
        case, other = settle(store, 1, state=State.CLOSED), settle(store, 2, state=State.CLOSED)
        reference = store.alarm_reference(case.id)
        assert ALARM_REFERENCE.fullmatch(reference)
        assert store.alarm_reference(case.id) == reference
        assert store.alarm_reference(other.id) != reference
        report = replace(revealed(4, reference), kind=LinkEventKind.REPORTED, view=0, reason="notice")
        store.record_link_events([report], now=NOW)
        assert store.link_events(case.id, after=0) == [report]
        assert store.link_events(other.id, after=0) == []
        assert [due(store, NOW), due(store, NOW)] == [case.id, None]

    def test_an_alarm_that_names_a_case_by_anything_else_is_left_aside(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        for name in (case.id, case.ticket_id, "alarm-", "alarm-%", f"alarm-{'0' * 32}"):
            report = replace(revealed(4, name), kind=LinkEventKind.REPORTED, view=0, reason="notice")
            store.record_link_events([report], now=NOW)
        assert store.link_events(case.id, after=0) == []
        assert due(store, NOW + HOUR) is None

    def test_an_alarm_reference_outlives_the_links_of_its_case_and_is_watched_by_nobody(self, store: Store) -> None:
        reference = store.alarm_reference(open_case(store).id)
        mail_link(store, 1, "link-1", ends_at=NOW + HOUR)
        (case,) = store.find("T-1")
        assert store.alarm_reference(case.id) == reference
        assert [link.id for link in store.watched_links(now=NOW)] == ["link-1"]

    def test_events_go_to_the_case_of_their_link_only(self, store: Store) -> None:
        ids = []
        for number in (1, 2):
            case = hold(store, settle(store, number).id)
            store.save(replace(case, link_id=f"link-{number}"), now=NOW)
            ids.append(case.id)
        store.record_link_events([revealed(4, "link-2")], now=NOW)
        assert store.link_events(ids[0], after=0) == []
        assert [due(store, NOW), due(store, NOW)] == [ids[1], None]

    def test_events_of_a_link_service_that_counts_anew_are_news(self, store: Store) -> None:
        for number in (1, 2):
            case = hold(store, settle(store, number).id)
            store.save(replace(case, link_id=f"link-{number}"), now=NOW)
            store.record_link_events([revealed(1, f"link-{number}")], now=NOW)
            assert store.link_events(case.id, after=0) == [revealed(1, f"link-{number}")]

    def test_an_event_while_somebody_works_on_the_case_brings_another_pass(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        case = store.save(replace(case, link_id="link-1"), now=NOW, lease=LEASE)
        store.record_link_events([revealed(1)], now=NOW)
        store.save(case, now=NOW)
        assert due(store, NOW) == case.id

    def test_hundreds_of_events_arrive_in_one_call(self, store: Store) -> None:
        case = hold(store, settle(store).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        events = [revealed(seq) for seq in range(1, 301)]
        store.record_link_events(events, now=NOW)
        store.record_link_events(events, now=NOW)
        assert store.link_events(case.id, after=0) == events

    # -- reading

    def test_cases_are_found_by_number_or_key_and_told_apart_by_psa(self, store: Store) -> None:
        old, new = open_case(store, 7, psa="halo"), open_case(store, 7, psa="rt", now=NOW + SECOND)
        open_case(store, 8)
        assert store.find("T-7") == [new, old]
        assert store.find("7") == [new, old]
        assert store.find("7", psa="halo") == [old]
        assert store.find("9") == []

    def test_cases_are_listed_newest_first_and_the_finished_left_out_on_demand(self, store: Store) -> None:
        closed = settle(store, 1, state=State.CLOSED)
        cancelled = settle(store, 2, state=State.CANCELLED)
        stuck = settle(store, 3, state=State.NEEDS_PERSON)
        new = open_case(store, 4, now=NOW + SECOND)
        assert store.cases()[0] == new
        assert {case.id for case in store.cases()} == {closed.id, cancelled.id, stuck.id, new.id}
        assert store.cases(open_only=True) == [new, stuck]

    def test_cases_are_counted_by_state(self, store: Store) -> None:
        settle(store, 1, state=State.CLOSED)
        open_case(store, 2)
        open_case(store, 3)
        counts = store.counts()
        assert set(counts) == set(State)
        assert {state: number for state, number in counts.items() if number} == {State.RECEIVED: 2, State.CLOSED: 1}

    # -- resets

    def test_resets_are_counted_once_for_a_case_and_half(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        case = store.save(case, now=NOW, reset=reset_of(case), lease=LEASE)
        again = reset_of(case, at=NOW + MINUTE)
        case = store.save(case, now=NOW, reset=again, lease=LEASE)
        half = reset_of(case, Action.MFA, at=NOW + SECOND)
        store.save(case, now=NOW, reset=half)
        assert store.resets_since(NOW - HOUR) == [half, again]

    def test_a_case_that_wrote_to_two_accounts_is_remembered_for_both(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        case = store.save(case, now=NOW, reset=reset_of(case), lease=LEASE)
        second = replace(reset_of(case, at=NOW + MINUTE), subject="77aa")
        store.save(case, now=NOW, reset=second)
        assert store.resets_since(NOW - HOUR) == [reset_of(case), second]

    def test_a_reset_beside_one_that_was_not_known_is_not_saved(self, store: Store) -> None:
        first, second = (hold(store, open_case(store, number).id) for number in (1, 2))
        store.save(first, now=NOW, reset=reset_of(first))
        entry = AuditEntry(at=NOW, case_id=second.id, event="setting_password")
        mine = reset_of(second, Action.MFA)
        for audit in ((), (entry,)):
            with pytest.raises(Overtaken):
                store.save(replace(second, reason="lost"), now=NOW, reset=mine, beside=(), audit=audit)
        assert store.get(second.id) == second
        assert store.audit_of(second.id) == []
        assert store.resets_since(NOW - HOUR) == [reset_of(first)]
        known = Earlier(ticket="", action=Action.PASSWORD, at=NOW, approvers=frozenset(), case_id=first.id)
        store.save(second, now=NOW, reset=mine, beside=(known,), audit=(entry,))
        assert len(store.resets_since(NOW - HOUR)) == 2

    def test_of_resets_at_the_same_moment_that_know_of_none_one_is_saved(self, store: Store) -> None:
        cases = [hold(store, open_case(store, number).id) for number in range(THREADS)]

        def write(number: int) -> bool:
            case = cases[number]
            entry = AuditEntry(at=NOW, case_id=case.id, event="setting_password")
            try:
                store.save(case, now=NOW, reset=reset_of(case), beside=(), audit=(entry,) if number % 2 else ())
            except Overtaken:
                return False
            return True

        assert sorted(in_threads(write)) == [False] * (THREADS - 1) + [True]
        assert len(store.resets_since(NOW - HOUR)) == 1

    def test_a_reset_is_not_held_up_by_old_ones_its_own_and_those_of_other_accounts(self, store: Store) -> None:
        first, second = (hold(store, open_case(store, number).id) for number in (1, 2))
        store.save(first, now=NOW, reset=reset_of(first, at=NOW - 24 * HOUR), lease=LEASE)
        second = store.save(second, now=NOW, reset=reset_of(second), lease=LEASE)
        second = store.save(second, now=NOW, reset=reset_of(second, Action.MFA), beside=(), lease=LEASE)
        other = replace(reset_of(second), subject="77aa")
        store.save(second, now=NOW, reset=other, beside=())

    def test_old_resets_are_left_out(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        store.save(case, now=NOW, reset=reset_of(case))
        assert store.resets_since(NOW) == [reset_of(case)]
        assert store.resets_since(NOW + SECOND) == []

    def test_resets_are_found_by_the_account(self, store: Store) -> None:
        first, second = (hold(store, open_case(store, number).id) for number in ("1", "2"))
        store.save(first, now=NOW, reset=reset_of(first))
        other = replace(reset_of(second), subject="77aa")
        store.save(second, now=NOW, reset=other)
        assert store.resets_since(NOW - HOUR, subject="77aa") == [other]
        assert store.resets_since(NOW + SECOND, subject="77aa") == []
        assert store.resets_since(NOW - HOUR, subject="") == []

    def test_open_cases_are_found_by_the_account(self, store: Store) -> None:
        first, second, third = (hold(store, open_case(store, number).id) for number in ("1", "2", "3"))
        store.save(replace(first, subject_id="0b5c", tenant="contoso"), now=NOW)
        store.save(replace(second, subject_id="0b5c", tenant="contoso", state=State.CLOSED), now=NOW)
        store.save(replace(third, subject_id="0b5c", tenant="fabrikam"), now=NOW)
        assert [case.id for case in store.cases_about("contoso", "0b5c")] == [first.id]
        assert store.cases_about("contoso", "") == []
        assert store.cases_about("contoso", "77aa") == []

    # -- the big switch

    def test_nothing_is_paused_at_first(self, store: Store) -> None:
        assert store.paused() == ""

    def test_a_pause_tells_its_reason_until_it_is_lifted(self, store: Store) -> None:
        store.pause("brake: 31 resets", now=NOW)
        assert store.paused() == "brake: 31 resets"
        store.resume(now=NOW)
        assert store.paused() == ""

    def test_a_pause_without_a_reason_is_a_pause(self, store: Store) -> None:
        store.pause("  ", now=NOW)
        assert store.paused()

    def test_pauses_are_audited_and_a_repeat_changes_nothing(self, store: Store) -> None:
        store.resume(now=NOW)
        store.pause("one", now=NOW)
        store.pause("one", now=NOW + SECOND)
        store.pause("two", now=NOW + SECOND)
        store.resume(now=NOW + MINUTE)
        store.resume(now=NOW + MINUTE)
        said = [(line.entry.event, line.entry.at, dict(line.entry.facts)) for line in store.audit_of("")]
        assert said == [
            ("paused", NOW, {"reason": "one"}),
            ("paused", NOW + SECOND, {"reason": "two"}),
            ("resumed", NOW + MINUTE, {}),
        ]

    # -- audit

    def test_audit_lines_are_kept_in_order_with_what_they_said(self, store: Store) -> None:
        case = hold(store, open_case(store).id)
        entries = [entry("one", case.id), entry("two", "case-of-others"), entry("three", case.id, at=NOW - HOUR)]
        case = store.save(case, now=NOW, audit=entries[:2], lease=LEASE)
        store.save(case, now=NOW, audit=entries[2:])
        lines = list(store.audit_lines())
        assert [line.entry for line in lines] == entries
        assert [line.seq for line in lines] == [1, 2, 3]
        assert store.audit_of(case.id) == [lines[0], lines[2]]
        assert list(store.audit_lines(after=2)) == lines[2:]
        assert list(store.audit_lines(since=NOW)) == lines[:2]

    def test_a_sound_audit_is_found_whole(self, store: Store) -> None:
        assert store.head() == START
        assert store.verify_audit() == AuditReport(START)
        self._write(store, 3)
        assert store.verify_audit(known=store.head()) == AuditReport(store.head())
        assert store.head().seq == 3

    def test_a_head_noted_earlier_is_still_part_of_the_chain(self, store: Store) -> None:
        self._write(store, 2)
        noted = store.head()
        self._write(store, 2, number=2)
        assert store.verify_audit(known=noted).whole

    def test_an_audit_that_is_not_the_noted_one_is_found_out(self, store: Store) -> None:
        self._write(store, 3)
        foreign = Head(2, "f" * 64)
        longer = Head(5, "f" * 64)
        assert store.verify_audit(known=foreign).broken_at == 2
        assert store.verify_audit(known=longer).broken_at == 4

    def test_lines_that_many_write_at_once_form_one_chain(self, store: Store) -> None:
        cases = [hold(store, open_case(store, number).id) for number in range(THREADS)]

        def work(number: int) -> None:
            case = cases[number]
            for _ in range(5):
                case = store.save(case, now=NOW, audit=[entry("x", case.id), entry("y", case.id)], lease=LEASE)

        in_threads(work)
        assert store.verify_audit().whole
        assert store.head().seq == THREADS * 10
        for case in cases:
            assert [line.entry.event for line in store.audit_of(case.id)] == ["x", "y"] * 5

    def _write(self, store: Store, lines: int, *, number: int = 1) -> Sequence[AuditLine]:
        case = hold(store, open_case(store, number).id)
        for count in range(lines):
            case = store.save(case, now=NOW, audit=[entry(f"event {count}", case.id)], lease=LEASE)
        return store.audit_of(case.id)

    # -- after a crash

    def test_claims_of_a_killed_process_can_be_freed(self, store: Store) -> None:
        case = open_case(store)
        hold(store, case.id)
        store.claim_poll("psa.halo", now=NOW, lease=LEASE)
        assert store.release_leases() == 2
        assert due(store, NOW) == case.id
        assert store.claim_poll("psa.halo", now=NOW, lease=LEASE) == ""

    def test_without_claims_there_is_nothing_to_free(self, store: Store) -> None:
        settle(store)
        assert store.release_leases() == 0
