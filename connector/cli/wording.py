"""A case and its time line in words for people, and as plain facts for scripts."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from connector.cli.printing import print_wrapped

if TYPE_CHECKING:
    from connector.core.case import Case
    from connector.core.ports import AuditEntry

SENTENCES = {
    "recognised": "recognised: {action} for {subject}, asked for by {requester} (tenant {tenant})",
    "approved": "approved by {approver} at {decided_at}, read from {evidence}",
    "rejected": "rejected by {approver} at {decided_at}: {comment}",
    "approval_void": "the approval does not count: {reason}",
    "request_changed": "the request was changed ({changed}); everything read before is void",
    "reminded": "reminder {reminder} sent",
    "removing_methods": "about to remove the authentication methods of {upn} (object {account})",
    "removal_failed": "removing the methods stopped half-way; removed so far: {removed}",
    "methods_removed": "methods removed: {removed}; sessions ended",
    "mfa_reset": "MFA reset done; methods removed: {removed}; sessions ended",
    "setting_password": "about to set the password of {upn} (object {account})",
    "password_set": "password set, sessions ended",
    "confirmed": "Microsoft's directory shows {shown}",
    "not_confirmed": "Microsoft's directory does not show {missing} yet (look {look})",
    "link_sent": "link {link_id} mailed: {views} views until {expires_at}",
    "opened": "the link was opened from {ip} {place}",
    "late_reveal": "the link was opened again from {ip} {place}",
    "expired": "the link expired unopened at {expired_at}",
    "handed_off": "handed to a person: {reason}",
    "ticket_ended": "{reason}",
    "finished": "closed",
}
"""How the time line says each event of `core.machine` and of the reconciler. Scripts take the JSON."""


def case_facts(case: Case) -> dict[str, object]:
    def when(moment: datetime | None) -> str | None:
        return moment.isoformat() if moment else None

    return {
        "id": case.id,
        "ticket": case.number,
        "ticket_id": case.ticket_id,
        "psa": case.psa,
        "state": case.state.value,
        "outcome": case.outcome.value if case.outcome else None,
        "action": case.action.value if case.action else None,
        "subject": case.subject,
        "subject_id": case.subject_id,
        "subject_name": case.subject_name,
        "requester": case.requester.email if case.requester else None,
        "approver": case.approval.approver.email or case.approval.approver.name if case.approval else None,
        "approved_at": when(case.approval.decided_at) if case.approval else None,
        "tenant": case.tenant,
        "client_id": case.client_id,
        "created_at": when(case.created_at),
        "link_expires_at": when(case.link_expires_at),
        "views_used": case.views_used,
        "views_allowed": case.views_allowed,
        "mfa_removed": list(case.mfa_removed),
        "mfa_left": list(case.mfa_left),
        "explanation": case.explanation,
        "attempts": case.attempts,
        "due_at": when(case.due_at),
    }


def print_case(case: Case) -> None:
    rows = [
        ("Ticket", f"{case.psa}:{case.number}"),
        ("State", case.state.value + (f" ({case.outcome.value})" if case.outcome else "")),
        ("Action", case.action.words if case.action else "unknown"),
        ("Account", f"{case.subject_name} ({case.subject})" if case.subject_name else case.subject or "unknown"),
        ("Requester", f"{case.requester.name} ({case.requester.email})" if case.requester else "unknown"),
        ("Approver", f"{case.approval.approver.name} ({case.approval.approver.email})" if case.approval else ""),
        ("Customer", f"{case.client_name or case.client_id} -> {case.tenant or 'no tenant'}"),
        ("Link until", f"{case.link_expires_at.astimezone():%d %b %H:%M}" if case.link_expires_at else ""),
        ("Views", f"{case.views_used} of {case.views_allowed}" if case.views_allowed else ""),
        ("MFA removed", ", ".join(case.mfa_removed)),
        ("Why", case.explanation),
    ]
    for name, value in rows:
        if value:
            typer.echo(f"{name:<12} {value}")


def in_words(entry: AuditEntry) -> str:
    """One line of the time line for people; what has no sentence of its own shows its facts."""
    sentence = SENTENCES.get(entry.event)
    if sentence is not None:
        known = defaultdict(lambda: "?", entry.facts)
        return sentence.format_map(known)
    facts = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in entry.facts.items() if value)
    return entry.event.replace("_", " ") + (f": {facts}" if facts else "")


def print_moment(when: str, what: str) -> None:
    print_wrapped(f"{when}  ", what)
