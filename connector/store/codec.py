"""Values as JSON text and back, field by field, so that a renamed attribute cannot change what is stored unseen.

Reading leaves aside keys that it does not know and takes defaults for those that are missing: a row written by a newer
or older version can still be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.core.case import Action, Approval, Case, Outcome, Person, Proof, State
from connector.core.ports import Letter, MailKind, Message, MessageKind, Note, StatusTarget

Json = dict[str, Any]
MICROSECOND = timedelta(microseconds=1)


def to_text(value: object) -> str:
    """Canonical JSON: sorted keys, no blanks, ASCII only, so that any character survives any database."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def instant_text(value: datetime) -> str:
    """ISO 8601 in UTC, always with microseconds: the same instant is always the same text."""
    if value.tzinfo is None:
        raise ValueError("an instant without a time zone")
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _from_instant(value: datetime | None) -> str | None:
    return None if value is None else instant_text(value)


def _to_instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


# ---------------------------------------------------------------- case


def _from_person(person: Person | None) -> Json | None:
    if person is None:
        return None
    return {"name": person.name, "email": person.email, "ids": sorted(person.ids)}


def _to_person(json_: Json | None) -> Person | None:
    if json_ is None:
        return None
    return Person(name=json_["name"], email=json_.get("email"), ids=frozenset(json_.get("ids", ())))


def _from_approval(approval: Approval) -> Json:
    return {
        "approver": _from_person(approval.approver),
        "approved": approval.approved,
        "decided_at": instant_text(approval.decided_at),
        "comment": approval.comment,
        "step": approval.step,
        "overridden": approval.overridden,
        "delegated_by": _from_person(approval.delegated_by),
        "evidence": approval.evidence,
        "digest": approval.digest,
    }


def _to_approval(json_: Json) -> Approval:
    approver = _to_person(json_["approver"])
    decided_at = _to_instant(json_["decided_at"])
    if approver is None or decided_at is None:
        raise ValueError("a stored approval without approver or time")
    return Approval(
        approver=approver,
        approved=json_["approved"],
        decided_at=decided_at,
        comment=json_.get("comment", ""),
        step=json_.get("step", ""),
        overridden=json_.get("overridden", False),
        delegated_by=_to_person(json_.get("delegated_by")),
        evidence=json_.get("evidence", ""),
        digest=json_.get("digest", ""),
    )


def _from_proof(proof: Proof | None) -> Json | None:
    if proof is None:
        return None
    return {
        "missing": list(proof.missing),
        "look_at": instant_text(proof.look_at),
        "password_was": _from_instant(proof.password_was),
        "sessions_were": _from_instant(proof.sessions_were),
        "looks": proof.looks,
    }


def _to_proof(json_: Json | None) -> Proof | None:
    look_at = _to_instant(json_["look_at"]) if json_ is not None else None
    if json_ is None or look_at is None:
        return None
    return Proof(
        missing=tuple(json_["missing"]),
        look_at=look_at,
        password_was=_to_instant(json_.get("password_was")),
        sessions_were=_to_instant(json_.get("sessions_were")),
        looks=json_.get("looks", 0),
    )


def case_details(case: Case) -> str:
    """Everything of a case that has no column of its own."""
    return to_text(
        {
            "client_id": case.client_id,
            "client_name": case.client_name,
            "tenant": case.tenant,
            "requester": _from_person(case.requester),
            "action": case.action,
            "subject": case.subject,
            "subject_id": case.subject_id,
            "subject_name": case.subject_name,
            "reason": case.reason,
            "request_since": _from_instant(case.request_since),
            "approvals": [_from_approval(approval) for approval in case.approvals],
            "waiting_since": _from_instant(case.waiting_since),
            "reminders": case.reminders,
            "link_id": case.link_id,
            "link_handle": case.link_handle,
            "link_expires_at": _from_instant(case.link_expires_at),
            "views_allowed": case.views_allowed,
            "views_used": case.views_used,
            "link_seq": case.link_seq,
            "mfa_removed": list(case.mfa_removed),
            "mfa_left": list(case.mfa_left),
            "mfa_kept": list(case.mfa_kept),
            "mfa_done": case.mfa_done,
            "proof": _from_proof(case.proof),
            "written_at": _from_instant(case.written_at),
            "attempts": case.attempts,
            "failing_since": _from_instant(case.failing_since),
            "round": case.round,
            "void_said": case.void_said,
            "requester_ids": sorted(case.requester_ids),
            "in_earnest": case.in_earnest,
            "outcome": case.outcome,
            "explanation": case.explanation,
        }
    )


def case_from(columns: Mapping[str, Any]) -> Case:
    """A case from its columns, `details` among them."""
    details: Json = json.loads(columns["details"])
    action, outcome = details.get("action"), details.get("outcome")
    return Case(
        id=columns["id"],
        psa=columns["psa"],
        ticket_id=columns["ticket_id"],
        number=columns["number"],
        state=State(columns["state"]),
        created_at=columns["created_at"],
        due_at=columns["due_at"],
        version=columns["version"],
        client_id=details.get("client_id", ""),
        client_name=details.get("client_name", ""),
        tenant=details.get("tenant", ""),
        requester=_to_person(details.get("requester")),
        action=None if action is None else Action(action),
        subject=details.get("subject", ""),
        subject_id=details.get("subject_id", ""),
        subject_name=details.get("subject_name", ""),
        reason=details.get("reason", ""),
        request_since=_to_instant(details.get("request_since")),
        approvals=tuple(_to_approval(one) for one in _approvals_in(details)),
        waiting_since=_to_instant(details.get("waiting_since")),
        reminders=details.get("reminders", 0),
        link_id=details.get("link_id", ""),
        link_handle=details.get("link_handle", ""),
        link_expires_at=_to_instant(details.get("link_expires_at")),
        views_allowed=details.get("views_allowed", 0),
        views_used=details.get("views_used", 0),
        link_seq=details.get("link_seq", 0),
        mfa_removed=tuple(details.get("mfa_removed", ())),
        mfa_left=tuple(details.get("mfa_left", ())),
        mfa_kept=tuple(details.get("mfa_kept", ())),
        mfa_done=details.get("mfa_done", False),
        proof=_to_proof(details.get("proof")),
        written_at=_to_instant(details.get("written_at")),
        attempts=details.get("attempts", 0),
        failing_since=_to_instant(details.get("failing_since")),
        round=details.get("round", 1),
        void_said=details.get("void_said", ""),
        requester_ids=frozenset(details.get("requester_ids", ())),
        # Before 0.2 there was no dry run.
        in_earnest=details.get("in_earnest", columns["state"] != State.RECEIVED.value),
        outcome=None if outcome is None else Outcome(outcome),
        explanation=details.get("explanation", ""),
    )


def _approvals_in(details: Json) -> list[Json]:
    """Rows of before 0.2 hold one approval, or none."""
    one = details.get("approval")
    approvals: list[Json] = details.get("approvals", [one] if one else [])
    return approvals


# ---------------------------------------------------------------- message


def message_body(message: Message) -> str:
    """The body of a message; its kind is stored beside it."""
    body = message.body
    match body:
        case Note():
            return to_text(
                {
                    "text": body.text,
                    "marker": body.marker,
                    "public": body.public,
                    "time_spent_us": body.time_spent // MICROSECOND,
                }
            )
        case StatusTarget():
            return to_text({"target": body.value})
        case Letter():
            return to_text(
                {
                    "id": body.id,
                    "kind": body.kind,
                    "to": body.to,
                    "to_name": body.to_name,
                    "ticket": body.ticket,
                    "tenant": body.tenant,
                    "facts": dict(body.facts),
                }
            )


def message_from(*, key: str, kind: str, body: str) -> Message:
    """The message of an outbox row."""
    json_: Json = json.loads(body)
    match MessageKind(kind):
        case MessageKind.NOTE:
            note = Note(
                text=json_["text"],
                marker=json_["marker"],
                public=json_.get("public", False),
                time_spent=json_.get("time_spent_us", 0) * MICROSECOND,
            )
            return Message(key=key, body=note)
        case MessageKind.STATUS:
            return Message(key=key, body=StatusTarget(json_["target"]))
        case MessageKind.MAIL:
            letter = Letter(
                id=json_["id"],
                kind=MailKind(json_["kind"]),
                to=json_["to"],
                to_name=json_.get("to_name", ""),
                ticket=json_.get("ticket", ""),
                tenant=json_.get("tenant", ""),
                facts=dict(json_.get("facts", {})),
            )
            return Message(key=key, body=letter)


def facts_from(text: str) -> dict[str, str]:
    """The facts of an audit entry."""
    facts: dict[str, str] = json.loads(text)
    return facts
