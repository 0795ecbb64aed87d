"""Notes, mails and moves for the outbox: keys are the same at each repeat, and a note is found again by its marker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from connector.core import notes
from connector.core.case import Action, Approval, Case, Person
from connector.core.ports import Letter, MailKind, Message, Note, StatusTarget

PUBLIC_TOPICS = frozenset(
    {"recognised", "changed", "reminder", "timed_out", "rejected", "link_sent", "methods", "expired"}
)
"""Topics of notes that a mapping may show to the requester. They say what the mails to the requester do, and who was
asked and who decided, with their addresses; all others may hold what helps an attacker (why an account is protected,
from where a link was opened, which other tickets there are for the account)."""


def topic_of(key: str) -> str:
    """What a message is about: the first word of its key."""
    return key.partition(":")[0]


def is_what_was_done(case: Case, key: str) -> bool:
    """Whether this note tells the reset itself: once a round, and the one that time is booked with."""
    return topic_of(key) == ("methods" if case.action is Action.MFA else "link_sent")


def note_row(case: Case, key: str, text: str) -> Message:
    """A note of ours, with the marker by which it is found again."""
    return Message(key=key, body=Note(text=text, marker=marker(case, key)))


def marker(case: Case, key: str) -> str:
    """A short word by which a note of ours is found again."""
    return hashlib.sha256(f"{case.id}/{key}".encode()).hexdigest()[:12]


def close_row(case: Case) -> Message:
    """The move that closes the ticket."""
    return Message(key=f"close:{case.round}", body=StatusTarget.CLOSED)


def mail_rows(case: Case, key: str, kind: MailKind, **facts: str) -> tuple[Message, ...]:
    """A mail to the requester; empty where there is nobody to write to. See `letter_to_requester` for the facts."""
    letter = letter_to_requester(case, key, kind, **facts)
    return (Message(key=key, body=letter),) if letter else ()


def letter_to_requester(case: Case, key: str, kind: MailKind, **facts: str) -> Letter | None:
    """A letter with the facts that every kind has; `None` where the requester has no address."""
    if case.requester is None or not case.requester.email:
        return None
    return letter_about(case, key, kind, case.requester, **facts)


def letter_about(case: Case, key: str, kind: MailKind, to: Person, **facts: str) -> Letter:
    """A letter to anybody, with the facts that every kind has."""
    action = case.action
    return Letter(
        id=f"{case.id}/{key}",
        kind=kind,
        to=to.email or "",
        to_name=to.name,
        ticket=case.number,
        tenant=case.tenant,
        facts={
            "subject_name": case.subject_name or case.subject,
            "subject_upn": case.subject,
            "action": str(action) if action else "",
            "request_words": action.words if action else "reset",
            **facts,
        },
    )


def approval_facts(approvals: Sequence[Approval]) -> dict[str, str]:
    """Decisions for the audit: who (with every identity), when, step, words, how we know; the second from `_2` on."""
    facts: dict[str, str] = {}
    for number, approval in enumerate(approvals, start=1):
        more = {
            "approver": notes.name(approval.approver),
            "approver_ids": " ".join(sorted(approval.approver.identities)),
            "decided_at": approval.decided_at.isoformat(),
            "step": notes.quote(approval.step),
            "comment": notes.quote(approval.comment),
            "evidence": approval.evidence,
            "digest": approval.digest,
            "overridden": yes_or_nothing(approval.overridden),
            "delegated_by": notes.name(approval.delegated_by) if approval.delegated_by else "",
        }
        suffix = "" if number == 1 else f"_{number}"
        facts |= {f"{key}{suffix}": value for key, value in more.items() if value or key in ("comment", "evidence")}
    return facts


def yes_or_nothing(so: bool) -> str:
    """A fact that is a flag."""
    return "yes" if so else ""


def whole_minutes(length: timedelta) -> str:
    """A length of time as mails say it: at least one minute."""
    return str(max(1, round(length.total_seconds() / 60)))
