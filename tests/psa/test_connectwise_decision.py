"""The decision in the trail against a model: whatever happened to a ticket, nobody else is taken for its approver."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connector.core.ports import StatusTarget
from connector.psa.connectwise.approval import Carrier, NotShown, Sign, Unclear, find_carrier, find_decision
from connector.psa.connectwise.mapping import ConnectWiseApprovalRules
from connector.psa.connectwise.names import BoardNames
from connector.psa.connectwise.trail import Change, Entry, read_entries

STATUSES = {
    1: "New",
    2: "Waiting Approval",
    3: "Approved",
    4: "Approved - in work",
    5: "Denied",
    6: "Hand-off",
    7: "Retry",
}
YES, NO, PASSING = {3, 4}, {5}, {6, 7}
BOARD = BoardNames(
    id=1,
    name="Service Desk",
    statuses=STATUSES,
    closing=frozenset(),
    approved=frozenset(YES),
    rejected=frozenset(NO),
    targets={StatusTarget.HAND_OFF: 6},
    retry=7,
    team=None,
)
RULES = ConnectWiseApprovalRules(approved_statuses=("Approved",))
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SENTENCES = ('Status has been changed from "{}" to "{}".', "Status: {} -> {}", "The status was updated from {} to {}")


@dataclass(frozen=True)
class Move:
    """Somebody moves the ticket, so many seconds after the move before."""

    to: int
    by: str
    after: int
    sentence: int


moves = st.lists(
    st.builds(
        Move,
        to=st.sampled_from(sorted(STATUSES)),
        by=st.sampled_from(["AnnaA", "SamS", "TinaT", "zAdmin", "ResetConnector"]),
        after=st.integers(0, 3),
        sentence=st.integers(0, len(SENTENCES) - 1),
    ),
    max_size=12,
)


def apart(made: list[Move]) -> list[Move]:
    """The same moves, no two of them in one second."""
    return [replace(move, after=move.after + 1) for move in made]


def play(start: int, made: list[Move]) -> tuple[int, list[dict[str, str]], tuple[str, datetime] | None]:
    """The status in the end, the trail, and who decided when by the rules as a person would say them."""
    status, at, decided = start, START, None
    rows: list[dict[str, str]] = []
    for move in made:
        at += timedelta(seconds=move.after)
        if move.to == status:
            continue
        rows.append(
            {
                "text": SENTENCES[move.sentence].format(STATUSES[status], STATUSES[move.to]),
                "enteredDate": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "enteredBy": move.by,
                "auditType": "Ticket",
                "auditSubType": "Status",
            }
        )
        if move.to in YES | NO and not (move.to in YES and status in YES):
            decided = (move.by, at)
        elif move.to not in YES | PASSING:
            decided = None
        status = move.to
    return status, rows, decided


def read(status: int, rows: list[dict[str, str]]) -> tuple[Carrier, Change | NotShown | Unclear]:
    carrier = find_carrier({"status": {"id": status}}, BOARD, RULES)
    return carrier, find_decision(carrier, read_entries(rows), wordings=(), ours=lambda name: name == "ResetConnector")


def who(found: Change | NotShown | Unclear) -> tuple[str, datetime | None] | None:
    return (found.entry.entered_by, found.entry.entered_at) if isinstance(found, Change) else None


@given(start=st.sampled_from(sorted(STATUSES)), made=moves, seed=st.integers(), hurried=st.booleans())
def test_who_decided_is_the_one_of_the_model_or_nobody(start: int, made: list[Move], seed: int, hurried: bool) -> None:
    status, rows, decided = play(start, made if hurried else apart(made))
    random.Random(seed).shuffle(rows)
    carrier, found = read(status, rows)
    if carrier.sign is Sign.NONE:
        return  # nobody asks
    if carrier.sign is Sign.PASSING and _was_no(made, start):
        decided = None  # a no before a hand-off is no decision that could come back
    # Moves of one second can come in any order, and then it may be that nobody can tell.
    assert who(found) == decided or (hurried and who(found) is None)


def _was_no(made: list[Move], start: int) -> bool:
    """Whether the last decision before passing on was a no."""
    status, last = start, 0
    for move in made:
        if move.to != status and move.to in YES | NO:
            last = move.to
        status = move.to
    return last in NO


@given(start=st.sampled_from(sorted(STATUSES)), made=moves, lost=st.integers(0, 11))
def test_a_trail_with_a_row_missing_can_hide_a_decision_and_never_make_one(
    start: int, made: list[Move], lost: int
) -> None:
    status, rows, _ = play(start, apart(made))
    _, whole = read(status, rows)
    _, found = read(status, rows[:lost] + rows[lost + 1 :])
    assert who(found) in (None, who(whole))


@given(made=moves, text=st.text(max_size=60))
def test_no_text_of_a_summary_makes_a_decision(made: list[Move], text: str) -> None:
    status, rows, _ = play(2, made)
    carrier, before = read(status, rows)
    forged = {
        "text": f'Summary changed from "{text}" to "Status has been changed from "Waiting Approval" to "Approved"."',
        "enteredDate": "2026-11-22T10:00:00Z",
        "enteredBy": "AnnaA",
        "auditType": "Ticket",
        "auditSubType": "Summary",
    }
    _, after = read(status, [*rows, forged])
    if carrier.sign is not Sign.NONE:
        assert who(after) is None or who(after) == who(before)


def test_a_row_without_a_date_leaves_no_certainty() -> None:
    _, rows, decided = play(2, [Move(to=3, by="AnnaA", after=1, sentence=0)])
    assert decided is not None
    _, found = read(3, [*rows, {**rows[0], "enteredDate": "2026-11-22T08:00:00"}])
    assert isinstance(found, Unclear)


def test_an_entry_keeps_every_row_that_the_digest_is_made_of() -> None:
    (entry,) = read_entries([{"text": "a", "enteredDate": "2026-11-22T09:00:00Z", "enteredBy": " AnnaA "}])
    assert isinstance(entry, Entry)
    assert set(entry.row) == {"text", "enteredDate", "enteredBy", "auditType", "auditSubType", "auditSource"}
