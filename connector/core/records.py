"""What is written down at the turns that several states share: hand-off, void approval, a new round, the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.core import notes, refusals
from connector.core.case import Action, Case, Outcome, State
from connector.core.guard import Refusal
from connector.core.machine import Event
from connector.core.messages import close_row, mail_rows, note_row
from connector.core.notice import NOBODY, Told, messages_for, who_is_told
from connector.core.ports import MailKind, Message, MethodsReport, StatusTarget, Ticket
from connector.core.request import nothing_done, parts_of
from connector.core.steps import Policy, Record, Seen

BY_A_DEAD_TRY = "whatever an interrupted earlier try removed"


def void(case: Case, ticket: Ticket, refusal: Refusal) -> Record:
    """An approval does not count, but a new one would: back to waiting. The agent is told once per set of decisions."""
    said = hashlib.sha256(
        repr([(d.evidence, d.decided_at, d.approved) for d in ticket.approval.decisions]).encode()
        + refusal.reason.encode()
    ).hexdigest()[:12]
    return Record(
        event=Event.VOIDED,
        changes={"void_said": said, "approvals": ()},
        messages=(note_row(case, f"void:{case.round}:{said}", notes.approval_void(refusal)),),
        facts={"reason": refusal.reason, "code": refusal.code},
    )


def start_over(case: Case, ticket: Ticket, different: Sequence[str]) -> Record:
    """The request is not what was recognised: begin again, with every approval of before the change void."""
    return Record(
        event=Event.CHANGED,
        changes={**parts_of(ticket), **nothing_done(case, ticket), "round": case.round + 1, "explanation": ""},
        messages=(note_row(case, f"changed:{case.round}", notes.changed(different)),),
        facts={"changed": ", ".join(different)},
    )


def retry(case: Case) -> Record:
    """Begin a new round after a hand-off."""
    # The explanation stays until the request is recognised: who was told it once need not be told the same again.
    changes = {"round": case.round + 1, "outcome": None}
    return Record(
        event=Event.RETRIED,
        changes=changes,
        messages=(note_row(case, f"retried:{case.round}", notes.retried(case.round + 1)),),
    )


def end(case: Case, ticket: Ticket | None, seen: Seen) -> Record:
    """The ticket is closed by somebody, of another type, or gone. A ticket that we never wrote to stays untouched."""
    if ticket is None:
        why, tell = seen.gone or "The ticket is gone.", False
    elif ticket.closed:
        # Closed in the middle of a reset: the account may have a password by now that nobody was given.
        why, tell = "The ticket was closed by somebody.", case.written_at is not None
    else:
        why, tell = "The ticket is no longer of a type for resets.", case.waiting_since is not None
    return Record(
        event=Event.TICKET_ENDED,
        changes={"outcome": Outcome.CANCELLED, "explanation": why},
        messages=(note_row(case, f"ended:{case.round}", notes.ended(why, written=case.written_at is not None)),)
        if tell
        else (),
        facts={"reason": why},
    )


def cancel(case: Case, who: str) -> Record:
    """An admin ends the case. The caller revokes a link that is out."""
    why = f"Cancelled by {who}."
    return Record(
        event=Event.CANCELLED,
        changes={"outcome": Outcome.CANCELLED, "explanation": why},
        messages=(note_row(case, f"cancelled:{case.round}", notes.ended(why, written=case.written_at is not None)),),
        facts={"reason": why},
    )


def rehearsed(case: Case) -> Record:
    """The end of a dry run: everything says yes, and nothing is done."""
    would = "a new password behind a one-time link, sessions ended"
    if case.action is Action.MFA:
        would = "authentication methods removed, sessions ended"
    elif case.action is Action.BOTH:
        would = f"authentication methods removed, {would}"
    return Record(
        event=Event.REHEARSED,
        changes={"outcome": Outcome.DRY_RUN, "explanation": f"dry run: {would}", "due_at": None},
        messages=(note_row(case, f"rehearsed:{case.round}", notes.rehearsed(case, would)),),
        facts={"would": would},
    )


def hand_off(case: Case, refusal: Refusal, *, changes: Mapping[str, Any] | None = None) -> Record:
    """A person must take over: note with reason and what to do, the mapped status, a mail to the requester.

    No mail where a retry has brought the very same reason again: the requester knows.
    """
    changes = dict(changes or {})
    known = case.state is State.RECEIVED and case.explanation == refusal.reason
    case = replace(case, **changes)
    return Record(
        event=Event.HANDED_OFF,
        changes={**changes, "explanation": refusal.reason, "due_at": None},
        messages=(
            note_row(case, f"hand_off:{case.round}:{case.state.value}", notes.handed_off(refusal, case)),
            Message(key=f"hand_off_status:{case.round}:{case.state.value}", body=StatusTarget.HAND_OFF),
            *(
                ()
                if known
                else mail_rows(
                    case,
                    f"hand_off_mail:{case.round}:{case.state.value}",
                    MailKind.HANDED_TO_PERSON,
                    reason=refusal.told,
                )
            ),
        ),
        facts={"code": refusal.code, "reason": refusal.reason},
    )


def after_methods(
    case: Case,
    report: MethodsReport,
    policy: Policy,
    *,
    shown: bool = False,
    interrupted: bool = False,
    told: Told = NOBODY,
    now: datetime,
) -> Record:
    """What to write down after the authentication methods were removed, wholly or in part.

    Args:
        told: Who hears of it beside the requester, if this was the whole reset.
        shown: The directory shows the end of the sessions.
        interrupted: An earlier try died before it could write down what it had removed.
    """
    removed = (*case.mfa_removed, *([BY_A_DEAD_TRY] if interrupted else []), *report.removed)
    left = tuple(f"{method.kind}: {method.reason}" for method in report.left)
    changes: dict[str, Any] = {
        "mfa_removed": removed,
        "mfa_left": left,
        "mfa_kept": report.kept,
        "written_at": case.written_at or now,
    }
    case = replace(case, **changes)
    facts = {"removed": ", ".join(removed), "left": ", ".join(left), "kept": ", ".join(report.kept)}
    if left:
        refusal = refusals.methods_left(removed, left, report.kept)
        handed_off = hand_off(case, refusal, changes=changes)
        return replace(handed_off, facts={**handed_off.facts, **facts})
    last = case.action is Action.MFA
    beside, aside = who_is_told(told if last else NOBODY, case, policy.public_notes, topic="methods")
    text = notes.methods_removed(case, last=last, shown=shown, told=beside, pen=policy.pen)
    note = note_row(case, f"methods:{case.round}", text)
    if not last:
        return Record(event=Event.METHODS_REMOVED, changes={**changes, "mfa_done": True}, messages=(note,), facts=facts)
    return Record(
        event=Event.MFA_DONE,
        changes={
            **changes,
            "mfa_done": True,
            "outcome": Outcome.MFA_RESET,
            "explanation": "the authentication methods were removed",
            "due_at": None,
        },
        messages=(
            note,
            *mail_rows(
                case,
                f"mfa_done:{case.round}",
                MailKind.MFA_RESET_DONE,
                removed="\n".join(removed),
                left="\n".join(left),
                kept="\n".join(report.kept),
            ),
            close_row(case),
            *aside,
            *messages_for(told, case, now=now),
        ),
        facts={**facts, **told.facts},
    )
