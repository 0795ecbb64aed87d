"""A ticket and its notes: from HaloPSA's words into ours and back."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from uuid import UUID

from connector.core.case import Action, Person
from connector.core.ports import ApprovalReading, Note, StatusTarget, Ticket
from connector.errors import TemporaryError
from connector.psa.halopsa_approval import ApprovalFacts
from connector.psa.halopsa_json import (
    Record,
    as_record,
    field_texts,
    field_value,
    flag,
    identifier,
    moment,
    number,
    text,
)
from connector.psa.halopsa_names import Names
from connector.psa.halopsa_votes import Vote
from connector.psa.mapping import HaloApprovalRules, HaloRequest

_TAG = re.compile(r"<[^<>]*>")
_BLANKS = re.compile(r"\s+")


def read_ticket(psa: str, detail: Record, names: Names, approval: ApprovalReading, *, url: str) -> Ticket:
    """The answer of GET /Tickets/{id} as a ticket.

    Raises:
        TemporaryError: The answer lacks what every ticket has; it is no ticket, or only half of one.
    """
    id_, status = identifier(detail, "id"), number(detail.get("status_id"))
    # `datecreated` is when the row was made; `dateoccurred` can be set back by an agent.
    created_at = moment(detail, "datecreated", "dateoccurred")
    if id_ is None or status is None or created_at is None:
        raise TemporaryError(
            f"HaloPSA answered ticket {text(detail, 'id') or '?'} without number, status or date. "
            "It is tried again; if it lasts, look at the ticket in HaloPSA."
        )
    request = names.requests.get(number(detail.get("tickettype_id")) or 0)
    return Ticket(
        psa=psa,
        id=str(id_),
        number=str(id_),
        title=text(detail, "summary"),
        mapped=request is not None,
        client_id=str(number(detail.get("client_id")) or ""),
        client_name=text(detail, "client_name"),
        requester=read_requester(detail),
        subject_text=field_value(detail, request.subject.field) if request else "",
        action=_action(detail, request),
        reason=field_value(detail, request.reason.field) if request and request.reason else "",
        status=names.statuses.get(status, text(detail, "status_name") or str(status)),
        closed=flag(detail, "hasbeenclosed") or status == names.targets.get(StatusTarget.CLOSED),
        retry_requested=names.retry is not None and status == names.retry,
        handed_off=status == names.targets.get(StatusTarget.HAND_OFF),
        approval=approval,
        created_at=created_at,
        updated_at=moment(detail, "last_update", "flastupdate", "lastactiondate"),
        request_changed_at=None,
        url=url,
    )


def read_requester(detail: Record) -> Person | None:
    """Who raised the ticket, with every identity that HaloPSA knows of them.

    A contact may be an agent, too (`linked_agent_id`), and may come from Entra (`azureoid`): both tell that requester
    and approver, or requester and subject, are the same person. `reportedby` is typed by anybody and not used.
    """
    user = as_record(detail.get("user")) or {}
    user_id = identifier(detail, "user_id") or identifier(user, "id")
    if user_id is None:
        return None
    if identifier(user, "id") != user_id:
        user = {}
    email = (text(user, "emailaddress") or text(detail, "user_email")).strip()
    ids = {f"halo.user:{user_id}"}
    if agent := identifier(user, "linked_agent_id"):
        ids.add(f"halo.agent:{agent}")
    if entra := _object_id(text(user, "azureoid")):
        ids.add(f"entra:{entra}")
    name = text(user, "name") or text(detail, "user_name")
    return Person(name=name or email or f"user {user_id}", email=email or None, ids=frozenset(ids))


def approval_facts(
    detail: Record,
    votes: tuple[Vote, ...],
    names: Names,
    rules: HaloApprovalRules,
    automatic: Callable[[int], tuple[str, ...] | None],
) -> ApprovalFacts:
    """What decides about the approval of this ticket."""
    status = number(detail.get("status_id"))
    process_id = identifier(detail, "approval_process_id")
    return ApprovalFacts(
        ticket_id=identifier(detail, "id") or 0,
        votes=votes,
        status_approved=status in names.approved,
        status_rejected=status in names.rejected,
        failed=flag(detail, "faultapprovalfailed"),
        process_ids=frozenset({process_id} if process_id else ()),
        automatic=automatic,
        allow_override=rules.allow_override,
        allow_automatic=rules.allow_auto_approval,
    )


# ---------------------------------------------------------------- notes


def note_html(note: Note) -> str:
    """A note as HaloPSA's editor would write it: escaped, lines broken, the marker small at its end."""
    lines = "<br>".join(html.escape(line) for line in note.text.split("\n"))
    return f'<p>{lines}</p><p><span style="font-size:smaller">{html.escape(_mark(note.marker))}</span></p>'


def is_ours(action: Record, marker: str) -> bool:
    """Whether this action is our note with that marker.

    `actionby_application_id` holds the name of the API application; people's own actions have none, so a marker that
    somebody quotes does not count. Source: a real action in uktrade/help-desk-service, read 2026-11-22.
    """
    if not text(action, "actionby_application_id").strip():
        return False
    wanted = _mark(marker)
    return any(
        wanted in _BLANKS.sub(" ", html.unescape(_TAG.sub(" ", text(action, key)))) for key in ("note_html", "note")
    )


def _mark(marker: str) -> str:
    return f"[ref {marker}]"


def _action(detail: Record, request: HaloRequest | None) -> Action | None:
    if request is None:
        return None
    source = request.action
    return source.action_for(*(field_texts(detail, source.field) if source.field else ()))


def _object_id(value: str) -> str:
    try:
        found = UUID(value.strip())
    except ValueError:
        return ""
    return str(found) if found.int else ""
