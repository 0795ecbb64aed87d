"""The states of a case and every move between them.

**Why a table.** A case outlives processes, and people act beside us: a ticket is closed by hand, an approval is
withdrawn, a link is opened while nobody looks. With the moves in one table, "can this happen?" is a look-up, an
illegal move raises and *nothing has changed*, and the picture in the README is made from the very table that runs.

**How a case lives.** A ticket of a mapped type makes a case `RECEIVED`. The first pass reads ticket and account. What
can't work is handed off there (`NEEDS_PERSON`), before an approver is bothered. What can becomes `WAITING`.

In `WAITING` only the PSA's approval matters: a yes that passes the guard makes it `APPROVED`, a no `REJECTED`, and
silence in the end `TIMED_OUT`. If subject, action, requester or customer of the ticket change, the case goes back to
`RECEIVED` and everything read so far is void: what was approved is not what is asked now.

In `APPROVED` an account may be written, always after a fresh look in the same pass. For `both` the authentication
methods go first. A pass that dies here starts the step again from the top: the old link is revoked, a new password is
made. When the mail with the link is accepted, the case is `LINK_OUT`; an MFA reset has no link and is done.
In a dry run it ends here: everything was read and decided, and nothing is changed.

In `LINK_OUT` the link service has the word: a reveal makes it `OPENED`, the end of the lifetime `EXPIRED`. Reveals come
first: the service's events are read up to the present before anything is called expired. Meanwhile the directory is
asked until it shows the new password (`CONFIRMED`); what it does not show is told to the agent and changes nothing.

`REJECTED`, `TIMED_OUT`, `OPENED`, `EXPIRED` and `CANCELLED` say how it ended; the next pass makes each `CLOSED`.
`CLOSED` is final for accounts, alarms apart: only a late reveal of a link is still written down. A reopened ticket
starts nothing.

Whatever else a case is, somebody may say "this was not me" (`REPORTED`): then it is `ALARMED`, and the next pass ends
the link, makes the password useless and ends the sessions (`SECURED`), or says why it could not (`NOT_SECURED`). Either
way our work is done, and the ticket stays with a person; saying it again (`REPORTED_AGAIN`) changes nothing.

`NEEDS_PERSON` waits for a person: `connector retry`, or the agent moving the ticket to the retry status, starts over at
`RECEIVED` in a new round; closing the ticket ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from connector.core.case import Case, State
from connector.errors import ConnectorError


class Event(StrEnum):
    """What moves a case."""

    RECOGNISED = "recognised"
    CHANGED = "request_changed"
    APPROVED = "approved"
    VOIDED = "approval_void"
    REJECTED = "rejected"
    REMINDED = "reminded"
    NO_ANSWER = "no_answer"
    LINK_CHOSEN = "link_chosen"
    METHODS_REMOVED = "methods_removed"
    MFA_DONE = "mfa_reset"
    LINK_SENT = "link_sent"
    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not_confirmed"
    OPENED = "opened"
    EXPIRED = "expired"
    LATE_REVEAL = "late_reveal"
    HANDED_OFF = "handed_off"
    RETRIED = "retried"
    TICKET_ENDED = "ticket_ended"
    CANCELLED = "cancelled"
    REHEARSED = "rehearsed"
    REPORTED = "reported"
    REPORTED_AGAIN = "reported_again"
    SECURED = "secured"
    NOT_SECURED = "not_secured"
    FINISHED = "finished"


S = State
E = Event

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    S.RECEIVED: {
        E.RECOGNISED: S.WAITING,
        E.HANDED_OFF: S.NEEDS_PERSON,
        E.TICKET_ENDED: S.CANCELLED,
        E.CANCELLED: S.CANCELLED,
        E.REPORTED: S.ALARMED,
    },
    S.WAITING: {
        E.APPROVED: S.APPROVED,
        E.REJECTED: S.REJECTED,
        E.NO_ANSWER: S.TIMED_OUT,
        E.REMINDED: S.WAITING,
        E.VOIDED: S.WAITING,
        E.CHANGED: S.RECEIVED,
        E.HANDED_OFF: S.NEEDS_PERSON,
        E.TICKET_ENDED: S.CANCELLED,
        E.CANCELLED: S.CANCELLED,
        E.REPORTED: S.ALARMED,
    },
    S.APPROVED: {
        E.LINK_CHOSEN: S.APPROVED,
        E.METHODS_REMOVED: S.APPROVED,
        E.LINK_SENT: S.LINK_OUT,
        E.MFA_DONE: S.CLOSED,
        E.REHEARSED: S.CLOSED,
        E.VOIDED: S.WAITING,
        E.CHANGED: S.RECEIVED,
        E.HANDED_OFF: S.NEEDS_PERSON,
        E.TICKET_ENDED: S.CANCELLED,
        E.CANCELLED: S.CANCELLED,
        E.REPORTED: S.ALARMED,
    },
    S.LINK_OUT: {
        E.CONFIRMED: S.LINK_OUT,
        E.NOT_CONFIRMED: S.LINK_OUT,
        E.OPENED: S.OPENED,
        E.EXPIRED: S.EXPIRED,
        E.LATE_REVEAL: S.LINK_OUT,
        E.HANDED_OFF: S.NEEDS_PERSON,
        E.CANCELLED: S.CANCELLED,
        E.REPORTED: S.ALARMED,
    },
    S.NEEDS_PERSON: {
        E.RETRIED: S.RECEIVED,
        E.LATE_REVEAL: S.NEEDS_PERSON,
        E.TICKET_ENDED: S.CANCELLED,
        E.CANCELLED: S.CANCELLED,
        E.REPORTED: S.ALARMED,
    },
    S.OPENED: {E.FINISHED: S.CLOSED, E.REPORTED: S.ALARMED},
    S.EXPIRED: {E.FINISHED: S.CLOSED, E.REPORTED: S.ALARMED},
    S.REJECTED: {E.FINISHED: S.CLOSED, E.REPORTED: S.ALARMED},
    S.TIMED_OUT: {E.FINISHED: S.CLOSED, E.REPORTED: S.ALARMED},
    S.CANCELLED: {E.FINISHED: S.CLOSED, E.REPORTED: S.ALARMED},
    S.ALARMED: {
        E.SECURED: S.CLOSED,
        E.NOT_SECURED: S.CLOSED,
        E.REPORTED_AGAIN: S.ALARMED,
        E.LATE_REVEAL: S.ALARMED,
    },
    S.CLOSED: {E.LATE_REVEAL: S.CLOSED, E.REPORTED: S.ALARMED, E.REPORTED_AGAIN: S.CLOSED},
}
"""From each state, what each event leads to. What is not here cannot happen."""

ENDING: Final = frozenset({S.OPENED, S.EXPIRED, S.REJECTED, S.TIMED_OUT, S.CANCELLED})
"""States that the next pass closes."""


class IllegalMove(ConnectorError):
    """A bug: somebody tried a move that the table does not know. Nothing was changed."""


def advance(case: Case, event: Event, *, now: datetime, **changes: Any) -> Case:
    """The case after `event`, with `changes` to its other fields. The given case stays as it is.

    A new state starts with no failures counted, and is due at once unless `due_at` is among the changes.

    Raises:
        IllegalMove: The table has no such move.
    """
    target = TRANSITIONS[case.state].get(event)
    if target is None:
        known = ", ".join(TRANSITIONS[case.state]) or "nothing"
        raise IllegalMove(f"{case.id}: {event} cannot happen in state {case.state}; possible there: {known}.")
    return replace(case, **{"state": target, "attempts": 0, "failing_since": None, "due_at": now, **changes})


def picture() -> str:
    """The table as a Mermaid state diagram, for the README."""
    lines = ["stateDiagram-v2", "    [*] --> RECEIVED"]
    for state, moves in TRANSITIONS.items():
        arrows: dict[State, list[str]] = {}
        for event, target in moves.items():
            if target is not state:
                arrows.setdefault(target, []).append(event.value.replace("_", " "))
        lines += [f"    {state.name} --> {target.name}: {', '.join(events)}" for target, events in arrows.items()]
    return "\n".join([*lines, "    CLOSED --> [*]"])
