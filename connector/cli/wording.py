"""A case and its time line in words for people, and as plain facts for scripts."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector.cli.printing import print_wrapped

if TYPE_CHECKING:
    from connector.core.case import Approval, Case
    from connector.core.ports import AuditEntry

SENTENCES = {
    "recognised": "recognised: {action} for {subject}, asked for by {requester} (tenant {tenant})",
    "rejected": "rejected by {approver} at {decided_at}: {comment}",
    "rehearsed": "dry run: {would} would have been done; nothing was changed",
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
    "link_revoked_by_hand": "link {link_id} revoked by {by}",
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
        "approvals": [approval_record(approval) for approval in case.approvals],
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


def approval_record(approval: Approval) -> dict[str, object]:
    """A decision with everything by which it can be found again."""
    delegated_by = approval.delegated_by
    return {
        "approved": approval.approved,
        "name": approval.approver.name,
        "email": approval.approver.email,
        "ids": sorted(approval.approver.ids),
        "decided_at": approval.decided_at.isoformat(),
        "step": approval.step,
        "comment": approval.comment,
        "overridden": approval.overridden,
        "delegated_by": delegated_by.email or delegated_by.name if delegated_by else None,
        "evidence": approval.evidence,
        "digest": approval.digest,
    }


def print_case(case: Case) -> None:
    from connector.core.notes import Pen, decision

    zone = datetime.now().astimezone().tzinfo or UTC
    rows = [
        ("Ticket", f"{case.psa}:{case.number}"),
        ("State", case.state.value + (f" ({case.outcome.value})" if case.outcome else "")),
        ("Action", case.action.words if case.action else "unknown"),
        ("Account", f"{case.subject_name} ({case.subject})" if case.subject_name else case.subject or "unknown"),
        ("Requester", f"{case.requester.name} ({case.requester.email})" if case.requester else "unknown"),
        *(
            ("Approved by" if approval.approved else "Rejected by", decision(approval, Pen(zone)))
            for approval in case.approvals
        ),
        ("Customer", f"{case.client_name or case.client_id} -> {case.tenant or 'no tenant'}"),
        ("Link until", f"{case.link_expires_at.astimezone():%d %b %H:%M}" if case.link_expires_at else ""),
        ("Views", f"{case.views_used} of {case.views_allowed}" if case.views_allowed else ""),
        ("MFA removed", ", ".join(case.mfa_removed)),
        ("Why", case.explanation),
    ]
    for name, value in rows:
        if value:
            print_wrapped(f"{name:<12} ", value)


def in_words(entry: AuditEntry) -> str:
    """One line of the time line for people; what has no sentence of its own shows its facts."""
    if entry.event == "approved":
        return _approved_in_words(entry)
    sentence = SENTENCES.get(entry.event)
    if sentence is not None:
        known = defaultdict(lambda: "?", entry.facts)
        return sentence.format_map(known) + _told_in_words(entry)
    facts = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in entry.facts.items() if value)
    return entry.event.replace("_", " ") + (f": {facts}" if facts else "")


def _told_in_words(entry: AuditEntry) -> str:
    """How the account's owner was told of what this entry is about; empty where nobody was to be told."""
    if entry.facts.get("not_told"):
        return f"; the owner could not be told: {entry.facts['not_told']}"
    return f"; the owner is told by {entry.facts['told']}" if entry.facts.get("told") else ""


def _approved_in_words(entry: AuditEntry) -> str:
    """One decision after the other; the facts of the second one end with `_2`, and so on."""
    told = []
    for suffix in ("", *(f"_{number}" for number in range(2, 20))):
        wanted = ("approver", "decided_at", "step", "evidence")
        facts = {name: entry.facts.get(f"{name}{suffix}", "") for name in wanted}
        if not facts["approver"]:
            break
        step = f", step {facts['step']}" if facts["step"] else ""
        told.append(f"{facts['approver']} at {facts['decided_at']}{step}, read from {facts['evidence'] or '?'}")
    return f"approved by {'; and by '.join(told) or '?'}"


def print_moment(when: str, what: str) -> None:
    print_wrapped(f"{when}  ", what)
