"""A ticket and its notes: from HaloPSA's words into ours and back."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from connector.core.case import Action, Person
from connector.core.ports import ApprovalReading, Note, StatusTarget, Ticket
from connector.errors import TemporaryError
from connector.psa.halopsa.mapping import HaloApprovalRules, HaloRequest
from connector.psa.halopsa.moves import is_closed
from connector.psa.halopsa.names import Names
from connector.psa.halopsa.people import Subject, object_id
from connector.psa.halopsa.process import Process
from connector.psa.halopsa.rules import ApprovalFacts
from connector.psa.halopsa.values import (
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
from connector.psa.halopsa.votes import Vote

_TAG = re.compile(r"<[^<>]*>")
_BLANKS = re.compile(r"\s+")

PARTS = {
    "created_by": "who logged the ticket",
    "loggedonbehalfby": "who logged the ticket for somebody",
    "reportedby": "who reported the ticket",
}
"""Properties of a ticket that tell who had a part in raising it. Named in the public Halo swagger, read 2026-11-22."""


def read_ticket(
    psa: str,
    detail: Record,
    names: Names,
    *,
    approval: ApprovalReading,
    subject: Subject,
    also_not_approvers: tuple[Person, ...] = (),
    url: str,
) -> Ticket:
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
    request = request_of(detail, names)
    return Ticket(
        psa=psa,
        id=str(id_),
        number=str(id_),
        title=text(detail, "summary"),
        mapped=request is not None,
        client_id=str(number(detail.get("client_id")) or ""),
        client_name=text(detail, "client_name"),
        requester=read_requester(detail),
        subject_text=subject.text,
        subject_id=subject.entra,
        subject_problem=subject.problem,
        action=_action(detail, request),
        reason=field_value(detail, request.reason.field) if request and request.reason else "",
        status=names.statuses.get(status, text(detail, "status_name") or str(status)),
        closed=is_closed(detail, names),
        retry_requested=names.retry is not None and status == names.retry,
        handed_off=status == names.targets.get(StatusTarget.HAND_OFF),
        approval=approval,
        also_not_approvers=also_not_approvers,
        created_at=created_at,
        updated_at=moment(detail, "last_update", "flastupdate", "lastactiondate"),
        request_changed_at=None,
        url=url,
    )


def request_of(detail: Record, names: Names) -> HaloRequest | None:
    """What the mapping says about tickets of this type; `None` for types that are not ours."""
    return names.requests.get(number(detail.get("tickettype_id")) or 0)


def who_else_had_a_part(
    detail: Record, votes: tuple[Vote, ...], subject: Subject, logged_by: Person | None
) -> tuple[Person, ...]:
    """Who must not approve besides the requester: whoever logged or reported the ticket or asked for its approval, and
    the user to be reset by the numbers of HaloPSA.

    The texts hold a number, an address or a name (UNVERIFIED); a name alone cannot be compared and is left out. They
    only serve to refuse, so it does not matter that anybody may have typed them.
    """
    people = [vote.asked_by for vote in votes]
    people += [_named_in(detail, key, words) for key, words in PARTS.items()]
    people += [logged_by, subject.person]
    requester = read_requester(detail)
    known = requester.identities if requester else frozenset[str]()
    return tuple(dict.fromkeys(person for person in people if person is not None and not person.identities <= known))


def _named_in(detail: Record, key: str, words: str) -> Person | None:
    said = text(detail, key).strip()
    if said.isascii() and said.isdigit() and int(said) > 0:
        return Person(name=words, ids=frozenset({f"halo.agent:{int(said)}"}))
    return Person(name=words, email=said) if "@" in said else None


def logged_by(actions: list[Record]) -> Person | None:
    """The agent who wrote the first of a ticket's actions; `None` where it was none, or the first is not among them.

    The ids of actions count from 1 within a ticket, and the first one is its opening (inferred from real answers,
    UNVERIFIED). It only serves to refuse.
    """
    first = next((action for action in actions if identifier(action, "id") == 1), None)
    agent = first and (identifier(first, "who_agentid") or identifier(first, "actionby_agent_id"))
    if not first or not agent:
        return None
    return Person(name=text(first, "who") or f"agent {agent}", ids=frozenset({f"halo.agent:{agent}"}))


def read_requester(detail: Record) -> Person | None:
    """Who raised the ticket, with every identity that HaloPSA knows of them.

    A contact may be an agent, too (`linked_agent_id`), and may come from Entra (`azureoid`): both tell that requester
    and approver, or requester and subject, are the same person. `reportedby` is typed by anybody and does not make a
    requester.
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
    if entra := object_id(text(user, "azureoid")):
        ids.add(f"entra:{entra}")
    name = text(user, "name") or text(detail, "user_name")
    return Person(name=name or email or f"user {user_id}", email=email or None, ids=frozenset(ids))


def approval_facts(
    detail: Record,
    votes: tuple[Vote, ...],
    names: Names,
    rules: HaloApprovalRules,
    process: Callable[[int], Process | None],
) -> ApprovalFacts:
    """What decides about the approval of this ticket."""
    status = number(detail.get("status_id"))
    process_id = identifier(detail, "approval_process_id")
    ours = {names.retry, *names.targets.values()}
    return ApprovalFacts(
        ticket_id=identifier(detail, "id") or 0,
        votes=votes,
        status=None if status in ours else status,
        status_approved=status in names.approved,
        status_rejected=status in names.rejected,
        failed=flag(detail, "faultapprovalfailed"),
        process_ids=frozenset({process_id} if process_id else ()),
        process=process,
        counted_processes=names.processes,
        allow_override=rules.allow_override,
        allow_automatic=rules.allow_auto_approval,
        hand_picked_count=rules.approvers.who == "listed" or rules.allow_adhoc,
    )


# ---------------------------------------------------------------- notes


def action_of(note: Note, ticket_id: int, outcome: int) -> Record:
    """A note as an action: with the mapped outcome, hidden from users unless it is public, without a mail from HaloPSA.

    `timetaken` is in decimal hours. Source: the agent UI's own posts, read 2026-11-22.
    """
    action: dict[str, object] = {
        "ticket_id": ticket_id,
        "outcome_id": outcome,
        "note_html": note_html(note),
        "hiddenfromuser": not note.public,
        "sendemail": False,
    }
    if note.time_spent:
        action["timetaken"] = round(note.time_spent.total_seconds() / 3600, 4)
    return action


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
