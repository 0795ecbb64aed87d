"""What counts as a yes in ConnectWise PSA. Fails closed: whatever is not clearly a person's yes is not a yes.

ConnectWise has no approvals of tickets: no record, no approver, no list. MSPs use a status of the board, or a custom
field, as a sign; anybody who may edit the ticket, a workflow rule, the e-mail connector or another integration can set
it. So the sign alone proves nothing. The audit trail must show the change that brought it there, that change must be
the newest one and fit what the ticket shows now, and whoever made it must be a known person. (`ticket.approved` is
something else altogether, true on every real ticket seen, and not looked at.) Sources: the vendor's OpenAPI document
2026.4, in which no other property or path concerns approvals of tickets; CloudRadial's and DeskDirector's guides on
approvals by status; read 2026-11-22. How the trail words things is UNVERIFIED: see `connectwise.trail`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from connector.core.case import Approval, Person
from connector.core.evidence import digest_of
from connector.core.ports import ApprovalReading, Stance, StatusTarget
from connector.psa.connectwise.mapping import ConnectWiseApprovalRules
from connector.psa.connectwise.names import BoardNames
from connector.psa.connectwise.trail import Change, Doubt, Entry, changes_of
from connector.psa.connectwise.values import (
    Record,
    custom_field,
    field_text,
    flag,
    identifier,
    records,
    reference,
    text,
)
from connector.psa.connectwise.wordings import EMPTY, plain

STATUS = "Status"
"""What the trail calls a ticket's status."""

LONGEST_QUOTE = 60


class Sign(Enum):
    """What the status or the field says, before anybody asks whose doing it was."""

    YES = "yes"
    NO = "no"
    PASSING = "passing"
    """A status of ours (hand-off, retry), or one of a closed ticket: a decision made before still stands in the trail.
    A closed ticket is never acted upon; its past is told to rehearsals."""
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """Where the approval stands on this ticket. Values are in the form in which the trail's are compared.

    Attributes:
        label: What the trail calls it.
        shown: What it says now, for people.
        others: What the trail calls the ticket's custom fields, this one left out.
        twin: A custom field is called like the ticket's status, so the trail cannot tell the two apart.
    """

    label: str
    shown: str
    present: str
    sign: Sign
    yes: frozenset[str]
    no: frozenset[str]
    passing: frozenset[str]
    values: frozenset[str]
    others: frozenset[str]
    twin: bool


@dataclass(frozen=True)
class NotShown:
    """The trail shows no change that leads to what the ticket shows now. It may only be late."""

    reason: str


@dataclass(frozen=True)
class Unclear:
    """The trail leaves room for doubt."""

    reason: str


Decider = Person | str
"""Who it was, or in plain words why that is nobody whose yes could count."""


def find_carrier(ticket: Record, board: BoardNames, rules: ConnectWiseApprovalRules) -> Carrier:
    """Where the approval of this ticket stands, and what it says."""
    return _field_carrier(ticket, rules) if rules.field else _status_carrier(ticket, board)


def _status_carrier(ticket: Record, board: BoardNames) -> Carrier:
    def called(ids: frozenset[int]) -> frozenset[str]:
        return frozenset(plain(board.statuses[id_]) for id_ in ids if id_ in board.statuses)

    status = reference(ticket, "status")
    ours = {board.retry, board.targets.get(StatusTarget.HAND_OFF)} - {None}
    sign = Sign.NONE
    if status in board.approved:
        sign = Sign.YES
    elif status in board.rejected:
        sign = Sign.NO
    elif status in ours or flag(ticket, "closedFlag"):
        sign = Sign.PASSING
        ours |= {status} - {None}
    shown = board.statuses.get(status or 0, "")
    return Carrier(
        label=STATUS,
        shown=shown,
        present=plain(shown),
        sign=sign,
        yes=called(board.approved),
        no=called(board.rejected),
        passing=called(frozenset(id_ for id_ in ours if id_ is not None)),
        values=called(frozenset(board.statuses)),
        others=_captions(ticket) - {plain(STATUS)},
        twin=plain(STATUS) in _captions(ticket),
    )


def _field_carrier(ticket: Record, rules: ConnectWiseApprovalRules) -> Carrier:
    assert rules.field is not None  # noqa: S101 - asked by the caller
    entry = custom_field(ticket, rules.field.field)
    shown = field_text(ticket, rules.field.field) if entry is not None else ""
    yes = frozenset(plain(value) for value in rules.field.approved)
    no = frozenset(plain(value) for value in rules.field.rejected)
    present = plain(shown)
    label = text(entry, "caption") if entry is not None else rules.field.field
    return Carrier(
        label=label,
        shown=shown,
        present="" if present in EMPTY else present,
        sign=Sign.YES if present in yes else Sign.NO if present in no else Sign.NONE,
        yes=yes,
        no=no,
        passing=frozenset(),
        values=yes | no | frozenset(plain(value) for value in rules.field.pending),
        others=_captions(ticket) - {plain(label)},
        twin=plain(label) == plain(STATUS),
    )


# ---------------------------------------------------------------- the decision in the trail


def find_decision(
    carrier: Carrier, entries: Sequence[Entry], *, wordings: Sequence[str], ours: Callable[[str], bool]
) -> Change | NotShown | Unclear:
    """The change that made the ticket say what it says.

    Walks back from what the ticket shows now, one change at a time, each ending where the one after it began. The first
    that comes into a decision from outside is it: when a status was left and entered again, the earlier entry counts no
    more. On the way there may only be moves between statuses that mean the same, and our own and a retry.

    Args:
        ours: Whether a name is that of our own API member. What it writes is no decision, so its notes cast no doubt.
    """
    if carrier.twin:
        return Unclear(f"a custom field is called {STATUS}, too, and the audit trail cannot tell the two apart")
    rows = [
        row
        for row in changes_of(carrier.label, carrier.values, entries, wordings=wordings, others=carrier.others)
        if not (isinstance(row, Doubt) and ours(row.entry.entered_by))
    ]
    if any(row.entry.entered_at is None for row in rows):
        return Unclear("a row of the audit trail has no date with a time zone")
    wanted = carrier.yes if carrier.sign is not Sign.NO else carrier.no
    expected = carrier.present
    left = sorted(rows, key=_when, reverse=True)
    while left:
        newest = [row for row in left if _when(row) == _when(left[0])]
        doubts = [row for row in newest if isinstance(row, Doubt)]
        if doubts:
            return Unclear(f"the audit trail has a row that may be about it and is not understood ({_at(doubts[0])})")
        fitting = [row for row in newest if isinstance(row, Change) and _value(row.new) == expected]
        if len(fitting) != 1:
            return (
                Unclear(f"two changes of the same second ({_at(newest[0])}) both lead there")
                if fitting
                else NotShown(f"the audit trail does not show how {carrier.label} became {_shown(carrier.shown)!r}")
            )
        change = fitting[0]
        before, after = _value(change.old), _value(change.new)
        if after in wanted and before not in wanted:
            return change
        if after not in wanted | carrier.passing:
            return Unclear(f"{carrier.label} was changed since the decision ({_at(change)})")
        expected = before
        left.remove(change)
    return NotShown(f"the audit trail does not show when {carrier.label} became {_shown(carrier.shown)!r}")


# ---------------------------------------------------------------- as a whole


def judge(
    carrier: Carrier,
    found: Change | NotShown | Unclear | None,
    *,
    ticket_id: int,
    who: Callable[[Entry], Decider],
    comment: Callable[[Person, datetime], str],
    asked: Callable[[], tuple[Person, ...]],
) -> ApprovalReading:
    """The approval as a whole.

    Args:
        found: From `find_decision`; `None` where the trail was not read, or could not be.
        who: Whose doing a row was.
        comment: That person's own words at that time.
        asked: Who is asked to decide; only called where nobody has decided.
    """
    if carrier.sign is Sign.NONE:
        return ApprovalReading(Stance.PENDING, approvers=asked())
    reason = found.reason if isinstance(found, NotShown | Unclear) else ""
    decision: Approval | None = None
    if found is None:
        reason = "the audit trail cannot be read, so nobody knows who decided"
    elif isinstance(found, Change):
        person = who(found.entry)
        if isinstance(person, str):
            reason = person
        else:
            decision = _approval(found, person, ticket_id, approved=carrier.sign is not Sign.NO)
            decision = replace(decision, comment=comment(person, decision.decided_at))
    decisions = (decision,) if decision else ()
    if carrier.sign is Sign.NO:
        return ApprovalReading(Stance.REJECTED, decisions=decisions)
    if carrier.sign is Sign.PASSING:
        return ApprovalReading(Stance.PENDING, decisions=decisions, approvers=() if decision else asked())
    if decision is None:
        said = f"{carrier.label} says {_shown(carrier.shown)!r}, but {reason}"
        return ApprovalReading(Stance.PENDING, approvers=asked(), reason=said)
    return ApprovalReading(Stance.APPROVED, decisions=decisions)


def _approval(change: Change, person: Person, ticket_id: int, *, approved: bool) -> Approval:
    decided_at = change.entry.entered_at
    assert decided_at is not None  # noqa: S101 - find_decision gives no change without a date
    return Approval(
        approver=person,
        approved=approved,
        decided_at=decided_at,
        evidence=f"audit trail of ticket {ticket_id}, {decided_at:%Y-%m-%dT%H:%M:%SZ}",
        digest=digest_of([{"ticket": str(ticket_id), **change.entry.row}]),
    )


def changed_at(decision: Approval | None, moments: Sequence[datetime]) -> datetime | None:
    """`Ticket.request_changed_at`: the trail's newest change of the request, when it is not older than the decision.

    Older ones are not told. Whether the trail holds every change of a custom field is UNVERIFIED, and naming an older
    moment would say that nothing has changed since; unsaid, the core goes by what it has seen itself and takes a ticket
    that it first sees approved with its full care. A change of the same second counts as the later one.
    """
    newest = max(moments, default=None)
    if decision is None or newest is None or newest < decision.decided_at:
        return None
    return newest + (timedelta(microseconds=999_999) if newest == decision.decided_at else timedelta(0))


def needs_trail(carrier: Carrier) -> bool:
    return carrier.sign is not Sign.NONE


# ---------------------------------------------------------------- the approver's words

WORDS_WITHIN = timedelta(minutes=5)
"""How far from the decision a note of the same person is taken for its reason. Portals write a decline's reason into
the ticket as a note (DeskDirector, "Approvals", read 2026-11-22); ConnectWise itself ties nothing to a change of
status."""


def words_of(notes: Sequence[Record], person: Person, when: datetime, written_at: Callable[[Record], datetime | None],
             author: Callable[[Record], frozenset[str]]) -> str:  # fmt: skip
    """The note of this person that is nearest to the decision; empty where there is none.

    Of the Discussion tab only: the requester may be told these words, and internal notes are not for them.
    """
    near = [
        (abs(at - when), identifier(note) or 0, text(note, "text"))
        for note in notes
        if flag(note, "detailDescriptionFlag")
        and (at := written_at(note)) is not None
        and abs(at - when) <= WORDS_WITHIN
        and author(note) & person.ids
    ]
    return min(near)[2].strip() if near else ""


def _captions(ticket: Record) -> frozenset[str]:
    return frozenset(plain(text(entry, "caption")) for entry in records(ticket.get("customFields")))


def _value(value: str) -> str:
    return "" if value in EMPTY else value


def _when(row: Change | Doubt) -> datetime:
    assert row.entry.entered_at is not None  # noqa: S101 - rows without a date are refused before they are ordered
    return row.entry.entered_at


def _at(row: Change | Doubt) -> str:
    return f"{_when(row):%Y-%m-%d %H:%M:%S} UTC"


def _shown(words: str) -> str:
    """Text out of ConnectWise for a sentence of ours: one line, not long."""
    clean = "".join(letter if letter.isprintable() else " " for letter in words)
    return " ".join(clean.split())[:LONGEST_QUOTE]
