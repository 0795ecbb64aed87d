"""Somebody said "this was not me": what follows, in words. Pure; the reconciler acts.

An alarm is a yes of its own kind: it needs no approval, because it opens nothing. It may only ever undo what the very
case has done: an account that the case never wrote to (nor was about to) is left alone, whatever its ticket names by
now, and so is one that became protected since (`guard.ALARM_RULES`). Raised twice, or by two mails of one case, it acts
once.

What can be expected of it when other systems are away: the link is ended by the link service in the moment of the
press; the account is secured without waiting for the PSA; the ticket is moved and noted without waiting for Microsoft.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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


def unmoved(case: Case) -> dict[str, Any]:
    """What stays as it is though something more was heard: when the next try is, and how many have failed.

    Whoever presses again and again neither hurries the tries nor keeps the failed ones from being told.
    """
    return {"due_at": case.due_at, "attempts": case.attempts, "failing_since": case.failing_since}


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
            changes={**changes, **unmoved(case)},
            messages=(*beside, *again),
            facts=facts,
        )
    return Record(
        event=Event.REPORTED,
        changes={**changes, "outcome": Outcome.NOT_ME, "explanation": EXPLANATION, "proof": None},
        messages=(
            # The move first: some PSAs take no note on a closed ticket.
            Message(key=f"alarm_status:{case.round}", body=StatusTarget.ALARM),
            *beside,
            note_row(case, f"alarm:{case.round}", notes.alarm(first, case, policy.pen)),
            *mail_rows(case, f"not_me:{case.round}", MailKind.NOT_ME, reported_at=first.at.isoformat()),
        ),
        facts=facts,
    )


@dataclass(frozen=True)
class Secured:
    """What was done to one account after an alarm.

    Attributes:
        account: Its user principal name; its id where it is gone.
        password: The password was replaced by one that nobody has; where not, and there is no problem, only the
            sessions were ended, because the password is kept elsewhere.
        problem: Why a person has to act; empty where all is well.
        calls: By which the directory's own log shows it.
    """

    account: str
    password: bool = False
    problem: str = ""
    calls: Mapping[str, str] = field(default_factory=dict)


def answered(case: Case, done: Sequence[Secured], *, beside: Sequence[str] = ()) -> Record:
    """What to write down when everything was tried.

    Args:
        done: One for each account that the case wrote to; none: it never wrote to any.
        beside: Other tickets about the same accounts, whose passwords are void as well.
    """
    if not done:
        return not_secured(case, "This case never changed anything on any account.")
    problems = [f"{one.account}: {one.problem.rstrip('.')}." for one in done if one.problem]
    well = [one for one in done if not one.problem]
    text = notes.secured(
        replaced=[one.account for one in well if one.password],
        signed_out=[one.account for one in well if not one.password],
        beside=beside,
    )
    facts = {
        "accounts": ", ".join(one.account for one in done),
        **{f"{name}_{number}" if number > 1 else name: value for number, one in enumerate(done, start=1)
           for name, value in one.calls.items()},
    }  # fmt: skip
    if problems:
        failed = not_secured(case, " ".join(problems))
        rest = (note_row(case, f"secured:{case.round}", text),) if well else ()
        return replace(failed, messages=(*rest, *failed.messages), facts={**failed.facts, **facts})
    return Record(
        event=Event.SECURED,
        changes={"due_at": None},
        messages=(note_row(case, f"secured:{case.round}", text),),
        facts=facts,
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


def paused(case: Case, reason: str) -> Message:
    """Told once: nothing is written to the account before somebody lifts the pause."""
    why = f"nothing is written to any account while it is paused ({notes.quote(reason)})."
    return note_row(case, f"paused_alarm:{case.round}", notes.not_secured_while_paused(why))
