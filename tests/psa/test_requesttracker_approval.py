"""What counts as a yes, row by row: the cases that no server can be brought to show."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.core.case import Person
from connector.core.ports import ApprovalReading, Stance
from connector.psa.requesttracker.approval import History, change_moment, last_change, read_approval
from connector.psa.requesttracker.rest import TicketRow, Transaction

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RT = Person("RT_System", None, frozenset({"rt.user:RT_System"}))
RITA = Person("Rita", "rita@contoso.example", frozenset({"rt.user:rita"}))
HANNA = Person("Hanna", "hanna@contoso.example", frozenset({"rt.user:hanna"}))
ANNA = Person("Anna", "anna@contoso.example", frozenset({"rt.user:anna"}))
BOB = Person("Bob", "bob@contoso.example", frozenset({"rt.user:bob"}))
WATCHED = frozenset({"3"})

REQUEST = TicketRow(
    id="1",
    type="ticket",
    status="new",
    subject="Password reset",
    queue_id="3",
    queue="Service Desk",
    created=START,
    updated=START,
    creator=HANNA,
    by_rt=False,
    requestors=(RITA,),
    fields=(),
    owner=None,
    owner_name="Nobody",
    asked=(),
    asked_groups=(),
)
APPROVAL = replace(
    REQUEST,
    id="2",
    type="approval",
    status="resolved",
    queue="___Approvals",
    creator=RT,
    by_rt=True,
    requestors=(),
    asked=(ANNA, BOB),
)


class Lines:
    """A history as it is written: ids grow, and so does the clock, unless told to stand still."""

    def __init__(self) -> None:
        self._ids = itertools.count(60)
        self.now = START
        self.all: list[Transaction] = []

    def add(self, ticket: str, type_: str, by: Person = HANNA, **more: str) -> Transaction:
        line = Transaction(
            id=next(self._ids),
            ticket=ticket,
            type=type_,
            field=more.get("field", ""),
            old=more.get("old", ""),
            new=more.get("new", ""),
            data="",
            created=self.now,
            creator=by,
            by_rt=by is RT,
        )
        self.all.append(line)
        return line

    def asked(self, approval: str = "2") -> Lines:
        self.add("1", "Create")
        self.add(approval, "Create", RT)
        self.add(approval, "Status", RT, old="new", new="open")
        return self

    def decided(self, by: Person = ANNA, new: str = "resolved", approval: str = "2") -> Lines:
        self.later().add(approval, "Status", by, old="open", new=new)
        return self

    def later(self) -> Lines:
        self.now += timedelta(seconds=1)
        return self


def read(
    lines: Lines, *approvals: TicketRow, request: TicketRow = REQUEST, anyone: bool = False, **more: Any
) -> ApprovalReading:
    history = History.sort(reversed(lines.all))
    return read_approval(
        request,
        approvals or (APPROVAL,),
        history,
        last_change(request, history, watched=WATCHED),
        anyone=anyone,
        asked_by=more.get("asked_by", lambda approval: approval.asked),
        note_of=lambda _, words: " ".join(str(word.id) for word in words),
    )


def test_a_plain_yes() -> None:
    reading = read(Lines().asked().decided())
    assert reading.stance is Stance.APPROVED
    (decision,) = reading.decisions
    assert (decision.approver, decision.approved, decision.decided_at) == (ANNA, True, START + timedelta(seconds=1))
    assert decision.evidence == "approval 2, transaction 63"


@pytest.mark.parametrize(
    ("wrong", "value"),
    [("type", "ticket"), ("queue", "Service Desk"), ("by_rt", False)],
    ids=["type", "queue", "creator"],
)
def test_what_is_no_approval_of_rt_itself_is_not_there_at_all(wrong: str, value: object) -> None:
    reading = read(Lines().asked().decided(), replace(APPROVAL, **{wrong: value}))
    assert reading.stance is Stance.NONE
    assert reading.decisions == ()
    assert "no approval" in reading.reason


def test_nobody_is_asked_where_there_is_no_approval() -> None:
    lines = Lines()
    lines.add("1", "Create")
    history = History.sort(lines.all)
    reading = read_approval(
        REQUEST, (), history, None, anyone=True, asked_by=lambda _: (ANNA,), note_of=lambda *_: "unasked"
    )
    assert reading.stance is Stance.NONE
    assert reading.approvers == ()


@pytest.mark.parametrize("anyone", [True, False])
def test_rt_itself_cannot_say_yes(anyone: bool) -> None:
    reading = read(Lines().asked().decided(RT), replace(APPROVAL, asked=(RT,)), anyone=anyone)
    assert reading.stance is Stance.NONE
    assert "RT itself" in reading.reason


def test_a_status_that_its_history_does_not_bear_out_is_pending() -> None:
    # Withdrawn between the two calls, or an approval whose history we cannot see.
    withdrawn = Lines().asked().decided()
    withdrawn.later().add("2", "Status", ANNA, old="resolved", new="open")
    assert read(withdrawn).stance is Stance.PENDING

    silent = Lines()
    silent.add("1", "Create")
    silent.add("2", "Create", RT)
    assert read(silent).stance is Stance.PENDING


@pytest.mark.parametrize("status", ["new", "open", "stalled", "waiting", ""])
def test_any_status_but_the_three_ends_is_pending(status: str) -> None:
    reading = read(Lines().asked().decided(), replace(APPROVAL, status=status))
    assert reading.stance is Stance.PENDING
    assert reading.approvers == (ANNA, BOB)


@pytest.mark.parametrize("status", ["rejected", "deleted"])
def test_a_no_is_a_no_whoever_says_it(status: str) -> None:
    reading = read(Lines().asked().decided(HANNA, new=status), replace(APPROVAL, status=status))
    assert reading.stance is Stance.REJECTED


def test_every_approval_has_to_say_yes() -> None:
    second = replace(APPROVAL, id="4", status="open", asked=(BOB,))
    lines = Lines().asked()
    lines.add("4", "Create", RT)
    lines.add("4", "Status", RT, old="new", new="open")
    waiting = read(lines.decided(ANNA), APPROVAL, second)
    assert waiting.stance is Stance.PENDING
    assert [decision.approver for decision in waiting.decisions] == [ANNA]
    assert waiting.approvers == (BOB,)

    both = read(lines.decided(BOB, approval="4"), APPROVAL, replace(second, status="resolved"))
    assert both.stance is Stance.APPROVED
    assert [decision.approver for decision in both.decisions] == [ANNA, BOB]


def test_one_no_beats_a_yes() -> None:
    second = replace(APPROVAL, id="4", status="rejected")
    lines = Lines().asked()
    lines.add("4", "Create", RT)
    reading = read(lines.decided(ANNA).decided(BOB, new="rejected", approval="4"), APPROVAL, second)
    assert reading.stance is Stance.REJECTED


CHANGES = [
    pytest.param({"type_": "CustomField", "field": "3"}, id="subject"),
    pytest.param({"type_": "Set", "field": "Queue"}, id="queue"),
    pytest.param({"type_": "AddWatcher", "field": "Requestor"}, id="requestor added"),
    pytest.param({"type_": "DelWatcher", "field": "Requestor"}, id="requestor removed"),
    pytest.param({"type_": "SetWatcher", "field": "Requestor"}, id="requestor set"),
    pytest.param({"type_": "AddLink", "field": "MergedInto"}, id="merge"),
    pytest.param({"type_": "AddLink", "field": "DependsOn"}, id="borrowed approval"),
    pytest.param({"type_": "DeleteLink", "field": "DependsOn"}, id="approval taken off"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["asked", "decided"])
def test_a_change_within_the_same_second_voids_the_yes(change: dict[str, str], when: str) -> None:
    lines = Lines().asked()
    if when == "decided":
        lines.decided()
        lines.add("1", **change)  # type: ignore[arg-type]
    else:
        lines.add("1", **change)  # type: ignore[arg-type]
        lines.decided()
    reading = read(lines)
    assert reading.stance is Stance.NONE
    assert "changed" in reading.reason

    history = History.sort(lines.all)
    moment = change_moment(REQUEST, (APPROVAL,), history, last_change(REQUEST, history, watched=WATCHED))
    if when == "decided":
        assert moment > reading.decisions[0].decided_at


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_before_anybody_was_asked_harms_nothing(change: dict[str, str]) -> None:
    lines = Lines()
    lines.add("1", "Create")
    lines.later().add("1", **change)  # type: ignore[arg-type]
    lines.add("2", "Create", RT)
    lines.add("2", "Status", RT, old="new", new="open")
    assert read(lines.decided()).stance is Stance.APPROVED


@pytest.mark.parametrize(
    "harmless",
    [
        {"type_": "CustomField", "field": "7"},
        {"type_": "Set", "field": "Owner"},
        {"type_": "AddWatcher", "field": "Cc"},
        {"type_": "AddLink", "field": "RefersTo"},
        {"type_": "Comment"},
        {"type_": "Status", "old": "new", "new": "open"},
    ],
    ids=lambda change: f"{change['type_']} {change.get('field', '')}",
)
def test_other_changes_harm_nothing(harmless: dict[str, str]) -> None:
    lines = Lines().asked().decided()
    lines.later().add("1", **harmless)  # type: ignore[arg-type]
    assert read(lines).stance is Stance.APPROVED
    history = History.sort(lines.all)
    assert change_moment(REQUEST, (APPROVAL,), history, last_change(REQUEST, history, watched=WATCHED)) == START


def test_rts_own_link_to_the_approval_harms_nothing() -> None:
    lines = Lines().asked()
    lines.add("1", "AddLink", RT, field="DependsOn")
    assert read(lines.decided()).stance is Stance.APPROVED


def test_a_change_is_void_until_somebody_asks_anew() -> None:
    lines = Lines().asked().decided()
    lines.later().add("1", "CustomField", field="3")
    lines.later().add("2", "Status", RT, old="resolved", new="open")  # not a person
    assert read(lines.decided()).stance is Stance.NONE

    lines.later().add("2", "Status", ANNA, old="resolved", new="open")
    assert read(lines.decided()).stance is Stance.APPROVED


def test_words_are_those_of_the_approver_since_they_were_asked() -> None:
    lines = Lines().asked()
    lines.add("2", "Correspond", HANNA)
    lines.decided()
    old = lines.add("2", "Correspond", ANNA)
    lines.later().add("2", "Status", ANNA, old="resolved", new="open")
    new = lines.add("2", "Correspond", ANNA)
    private = lines.add("2", "Comment", ANNA)
    (decision,) = read(lines.decided()).decisions
    assert decision.comment == str(new.id)
    assert str(old.id) not in decision.comment
    assert str(private.id) not in decision.comment


@pytest.mark.parametrize("who", [RITA, HANNA], ids=["a requestor", "the creator"])
def test_who_raised_it_cannot_approve_it_even_where_listed(who: Person) -> None:
    reading = read(Lines().asked().decided(who), replace(APPROVAL, asked=(who,)), anyone=True)
    assert reading.stance is Stance.NONE


def test_the_same_address_under_another_user_name_is_the_same_person() -> None:
    twin = Person("Anna again", "rita@contoso.example", frozenset({"rt.user:anna2"}))
    assert read(Lines().asked().decided(twin), replace(APPROVAL, asked=(twin,))).stance is Stance.NONE


def test_an_unreadable_group_means_that_nobody_was_asked() -> None:
    def unreadable(approval: TicketRow) -> None:
        return None

    asked_by_rt = read(Lines().asked().decided(), asked_by=unreadable)
    assert asked_by_rt.stance is Stance.NONE
    assert "SeeGroup" in asked_by_rt.reason
    listed = read(Lines().asked().decided(), asked_by=unreadable, anyone=True)
    assert listed.stance is Stance.APPROVED
    assert not listed.decisions[0].overridden


def test_order_of_rows_does_not_matter() -> None:
    lines = Lines().asked().decided()
    readings = {repr(read(_Shuffled(order))) for order in itertools.permutations(lines.all)}
    assert len(readings) == 1


class _Shuffled(Lines):
    def __init__(self, order: Sequence[Transaction]) -> None:
        super().__init__()
        self.all = list(order)
