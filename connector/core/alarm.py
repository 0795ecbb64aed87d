"""Somebody said "this was not me": what follows, in words. Pure; the reconciler acts.

An alarm is a yes of its own kind: it needs no approval, because it opens nothing. It may only ever undo what the very
case has done: an account that the case never wrote to is left alone, and so is one that became protected since
(`guard.ALARM_RULES`). Raised twice, or by two mails of one case, it acts once.

What can be expected of it when other systems are away: the link is ended by the link service in the moment of the
press; the account is secured without waiting for the PSA; the ticket is moved and noted without waiting for Microsoft.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.core import notes
from connector.core.case import Case, Outcome
from connector.core.machine import Event
from connector.core.messages import mail_rows, note_row
from connector.core.ports import LinkEvent, LinkEventKind, MailKind, Message, StatusTarget
from connector.core.steps import Policy, Record

EXPLANATION = "somebody said that it was not them"


def reports_in(events: Sequence[LinkEvent]) -> list[LinkEvent]:
    """The events that raise an alarm, oldest first."""
    return [event for event in events if event.kind is LinkEventKind.REPORTED]


def raised(
    case: Case, reports: Sequence[LinkEvent], policy: Policy, *, changes: Mapping[str, Any], beside: Sequence[Message]
) -> Record:
    """What a report means: the alarm, or one more word about an alarm that was raised before.

    Args:
        changes: Of what else was heard of the link.
        beside: Messages about that.
    """
    first = reports[0]
    facts = {"source": first.reason, "ip": first.ip, "place": first.place, "reported_at": first.at.isoformat()}
    if case.outcome is Outcome.NOT_ME:
        again = tuple(note_row(case, f"alarm_again:{event.seq}", notes.alarm_again(event, policy.pen))
                      for event in reports)  # fmt: skip
        return Record(
            event=Event.REPORTED_AGAIN,
            changes={**changes, "due_at": case.due_at},
            messages=(*beside, *again),
            facts=facts,
        )
    return Record(
        event=Event.REPORTED,
        changes={**changes, "outcome": Outcome.NOT_ME, "explanation": EXPLANATION, "proof": None},
        messages=(
            *beside,
            note_row(case, f"alarm:{case.round}", notes.alarm(first, case, policy.pen)),
            Message(key=f"alarm_status:{case.round}", body=StatusTarget.ALARM),
            *mail_rows(case, f"not_me:{case.round}", MailKind.NOT_ME, reported_at=first.at.isoformat()),
        ),
        facts=facts,
    )


def secured(case: Case, *, password: bool, facts: Mapping[str, str]) -> Record:
    """Done. `password`: it was replaced, not only the sessions ended."""
    return Record(
        event=Event.SECURED,
        changes={"due_at": None},
        messages=(note_row(case, f"secured:{case.round}", notes.secured(case, password=password)),),
        facts={**facts, "password": "replaced" if password else "left"},
    )


def not_secured(case: Case, why: str) -> Record:
    """A person has to do it. `why`: a whole sentence for the agent."""
    return Record(
        event=Event.NOT_SECURED,
        changes={"due_at": None},
        messages=(note_row(case, f"not_secured:{case.round}", notes.not_secured(case, why)),),
        facts={"reason": why},
    )


def delayed(case: Case, why: str) -> Message:
    """Told once, while it is still tried: an agent must not wait for it."""
    return note_row(case, f"not_secured_yet:{case.round}", notes.not_secured_yet(why))
