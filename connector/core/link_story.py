"""From the mail with the link to its end: reveals, expiry, silence, and what the directory shows of the reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connector.core import alarm, notes, proof, refusals
from connector.core.case import Case, Outcome, Proof, State
from connector.core.machine import Event
from connector.core.messages import close_row, letter_to_requester, mail_rows, note_row, whole_minutes
from connector.core.notice import NOBODY, Told, messages_for, who_is_told
from connector.core.ports import AuditEntry, Letter, Link, LinkEvent, LinkEventKind, MailKind, Message
from connector.core.records import hand_off
from connector.core.steps import Policy, Record, Seen, Step, Wait

LATE_EXPIRY = timedelta(seconds=5)
"""How long after a link's end its service is asked for the last events, if it has not told by itself."""


ASK_AGAIN = timedelta(seconds=30)
"""How often it is asked then: its clock may be behind ours."""


LONGEST_SILENCE = timedelta(minutes=15)
"""After that nobody believes any more that the end will be told."""


TELLING = frozenset({LinkEventKind.REVEALED, LinkEventKind.EXPIRED, LinkEventKind.REVOKED})
"""Events that move a case; where one of them is there, nobody waits for the directory."""


ENDS = frozenset({LinkEventKind.EXPIRED, LinkEventKind.REVOKED})
"""Events after which a link shows nothing any more."""


def has_ended(link_id: str, events: Sequence[LinkEvent]) -> bool:
    """Whether the link service has told the end of this link."""
    return any(event.link_id == link_id and event.kind in ENDS for event in events)


def wait_for_link(case: Case, now: datetime) -> Step:
    """No news of the link. Its end is the link service's to tell: by its clock, and from all events up to now."""
    if case.link_expires_at is None:
        return Wait(None)
    overdue = now - case.link_expires_at
    if overdue < LATE_EXPIRY:
        return Wait(_next_look(case))
    if overdue < LONGEST_SILENCE:
        return Wait(now + ASK_AGAIN)
    return hand_off(
        case,
        refusals.link_silent(notes.span(LONGEST_SILENCE)),
    )


def _next_look(case: Case) -> datetime | None:
    """When a case whose link is out is looked at, if nothing happens before."""
    end = case.link_expires_at + LATE_EXPIRY if case.link_expires_at else None
    look = case.proof.look_at if case.proof else None
    return min((moment for moment in (end, look) if moment is not None), default=None)


def look_for_proof(case: Case, open_one: Proof, seen: Seen, now: datetime) -> Record:
    """The directory's word on what it accepted. Nothing depends on it but what the agent is told."""
    left = proof.look_again(open_one, seen.account, now=now)
    if left is None:
        changes = {"proof": None}
        facts = {"shown": ", ".join(open_one.missing)}
        return Record(event=Event.CONFIRMED, changes={**changes, "due_at": _next_look(replace(case, proof=None))},
                      facts=facts)  # fmt: skip
    if not proof.is_given_up(left):
        due = _next_look(replace(case, proof=left))
        return Record(event=Event.NOT_CONFIRMED, changes={"proof": left, "due_at": due},
                      facts={"missing": ", ".join(left.missing), "look": str(left.looks)})  # fmt: skip
    return Record(
        event=Event.NOT_CONFIRMED,
        changes={"proof": None, "due_at": _next_look(replace(case, proof=None))},
        messages=(note_row(case, f"unproven:{case.link_id}", notes.not_confirmed(left.missing)),),
        facts={"missing": ", ".join(left.missing), "look": str(left.looks)},
    )


def made_for(case: Case, entries: Sequence[AuditEntry]) -> Mapping[str, str]:
    """For which account each link of a case was made, where its ticket names another one by now. See `Seen.made_for`.

    Args:
        entries: The audit of the case.
    """
    return {
        entry.facts["link_id"]: entry.facts["upn"]
        for entry in entries
        if "link_id" in entry.facts and "upn" in entry.facts and entry.facts["account"] != case.subject_id
    }


def tell_link_story(case: Case, seen: Seen, policy: Policy) -> Record | None:
    """What new link events mean. Alarms and reveals come before everything else; at most one record per call."""
    events = [event for event in seen.link_events if event.seq > case.link_seq]
    if not events:
        return None
    seq = max(event.seq for event in events)
    reveals = [event for event in events if event.kind is LinkEventKind.REVEALED]
    own = [event for event in reveals if event.link_id == case.link_id]
    messages = tuple(message for event in reveals for message in _reveal_messages(case, event, seen, policy))
    changes: dict[str, Any] = {"link_seq": seq, "views_used": max([case.views_used, *(event.view for event in own)])}
    facts = {"ip": reveals[-1].ip, "place": reveals[-1].place, "views": str(len(reveals))} if reveals else {}
    reports = alarm.reports_in(events)
    if reports:
        return alarm.raised(case, reports, policy, changes=changes, beside=messages)
    if case.state is State.LINK_OUT:
        if own:
            return Record(
                event=Event.OPENED,
                changes={**changes, "outcome": Outcome.OPENED, "explanation": "the link was opened"},
                messages=(*messages, close_row(case)),
                facts=facts,
            )
        ended = next((e for e in events if e.link_id == case.link_id and e.kind is LinkEventKind.EXPIRED), None)
        if ended is not None:
            return Record(
                event=Event.EXPIRED,
                changes={**changes, "outcome": Outcome.EXPIRED, "explanation": "the link expired unopened"},
                messages=(
                    *messages,
                    note_row(case, f"expired:{case.round}", notes.expired(ended.at, policy.pen)),
                    *mail_rows(
                        case, f"expired_mail:{case.round}", MailKind.LINK_EXPIRED, expired_at=ended.at.isoformat()
                    ),
                    close_row(case),
                ),
                facts={"expired_at": ended.at.isoformat()},
            )
        if any(e.link_id == case.link_id and e.kind is LinkEventKind.REVOKED for e in events):
            withdrawn = hand_off(
                case,
                refusals.link_revoked(),
                changes=changes,
            )
            return replace(withdrawn, messages=(*messages, *withdrawn.messages))
    if not messages:
        return None
    due: Mapping[str, Any]
    match case.state:
        case State.CLOSED | State.NEEDS_PERSON:
            due = {"due_at": None}
        case State.ALARMED:
            due = alarm.unmoved(case)
        case State.LINK_OUT:  # an earlier link, of a process that died after its mail
            due = {"due_at": _next_look(case)}
        case _:
            return None
    return Record(event=Event.LATE_REVEAL, changes={**changes, **due}, messages=messages, facts=facts)


def after_delivery(
    case: Case,
    link: Link,
    policy: Policy,
    *,
    open_proof: Proof | None = None,
    shown: bool = False,
    told: Told = NOBODY,
    now: datetime,
) -> Record:
    """What to write down after the mail with the link was accepted.

    Args:
        open_proof: What the directory has not shown yet.
        shown: It shows everything already.
        told: Who hears of it beside the requester.
    """
    case = replace(case, link_expires_at=link.expires_at, proof=open_proof)
    changes = {
        "link_expires_at": link.expires_at,
        "views_allowed": link.views,
        "views_used": 0,
        "written_at": case.written_at or now,
        "proof": open_proof,
        "due_at": _next_look(case),
    }
    beside, aside = who_is_told(told, case, policy.public_notes, topic="link_sent")
    text = notes.password_set(
        case, expires_at=link.expires_at, views=link.views, shown=shown, told=beside, pen=policy.pen
    )
    facts = {"link_id": link.id, "expires_at": link.expires_at.isoformat(), "views": str(link.views)}
    return Record(
        event=Event.LINK_SENT,
        changes=changes,
        messages=(note_row(case, f"link_sent:{link.id}", text), *aside, *messages_for(told, case, now=now)),
        facts={**facts, **told.facts},
    )


def password_letter(case: Case, link_id: str, expires_at: datetime, policy: Policy, *, now: datetime) -> Letter | None:
    """The mail that carries the link; `None` when the requester has no address (the guard refuses that before).

    It says how long the link works from now on, which another link service may have made shorter than it was to be.
    """
    return letter_to_requester(
        case,
        f"password_ready:{link_id}",
        MailKind.PASSWORD_READY,
        expires_at=expires_at.isoformat(),
        lifetime_minutes=whole_minutes(expires_at - now),
        views=str(policy.views),
        kept="\n".join(case.mfa_kept),
    )


def _reveal_messages(case: Case, event: LinkEvent, seen: Seen, policy: Policy) -> Sequence[Message]:
    account = seen.made_for.get(event.link_id, "")
    if account:
        case = replace(case, subject=account, subject_name=account)
    return (
        note_row(case, f"reveal:{event.seq}", notes.opened(event, policy.pen, account=account)),
        *mail_rows(
            case,
            f"accessed:{event.seq}",
            MailKind.LINK_ACCESSED,
            opened_at=event.at.isoformat(),
            ip=event.ip,
            place=event.place,
            agent=event.agent,
            views_left=str(event.views_left),
            view=str(event.view),
        ),
    )
