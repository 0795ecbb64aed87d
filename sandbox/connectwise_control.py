"""The control port's side of ConnectWise: playing customer, approver, technician, workflow rule, e-mail connector."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.connectwise_control_call import TECHNICIAN, ConnectWisePlay
from sandbox.connectwise_control_view import shown_ticket
from sandbox.connectwise_records import Contact, Ticket
from sandbox.control_call import Handler, object_of
from sandbox.desk_records import NotThere

ACCOUNT, WHAT, APPROVAL = 41, 42, 43
"""The custom fields "Reset account", "Reset what" and "Approval"."""


class ConnectWiseTickets(ConnectWisePlay):
    """The handlers; one instance per world."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        base = "/control/connectwise"
        ticket = f"{base}/tickets/{{id:int}}"
        return [
            ("POST", f"{base}/tickets", self.raise_ticket),
            ("GET", f"{base}/tickets", self.list_tickets),
            ("GET", ticket, self.get_ticket),
            ("PATCH", ticket, self.patch_ticket),
            ("DELETE", ticket, self.delete_ticket),
            ("POST", f"{ticket}/approve", partial(self.decide, "Approved")),
            ("POST", f"{ticket}/reject", partial(self.decide, "Denied")),
            ("POST", f"{ticket}/deny", partial(self.decide, "Denied")),
            ("POST", f"{ticket}/close", self.close),
            ("POST", f"{ticket}/merge", self.merge),
            ("POST", f"{ticket}/notes", self.add_note),
            ("POST", f"{base}/bulk-tickets", self.bulk_tickets),
        ]

    # -- tickets ------------------------------------------------------------------------------------------------

    async def raise_ticket(self, request: Request) -> Response:
        """Play the requester; `requester` is an address or a contact's id. See `sandbox/README.md` for the keys.

        An address that no contact has, as in a mail from a stranger, leaves the ticket without a contact.
        """
        body = await object_of(request)
        desk = self.desk
        wanted = body.get("requester", "ben@contoso.com")
        contact = desk.contacts.get(wanted) if isinstance(wanted, int) else desk.contact_with(str(wanted))
        if contact is None and not body.get("company"):
            raise NotThere(f"contact {wanted!r}; say the company for a ticket without one")
        company = desk.company_named(body["company"]).id if body.get("company") else _company_of(contact)
        board = desk.board_named(body.get("board", "Service Desk"))
        kind = desk.type_named(board.id, body.get("type", "Password Reset"))
        status = body.get("status", "Waiting Approval")
        by = body.get("by", "contact" if contact else "email")
        ticket = desk.raise_ticket(
            actor=self.actor(str(body.get("actor", wanted)), by),
            board_id=board.id,
            company_id=company,
            type_id=kind.id,
            status_id=desk.status_named(board.id, status).id,
            contact=contact,
            contact_email=None if contact else str(wanted),
            summary=str(body.get("summary", kind.name)),
            details=str(body.get("details", "")),
            custom=_custom_of(body),
            source_id=2 if contact else 1,
        )
        ticket.record_type = str(body.get("record_type", ticket.record_type))
        return JSONResponse({"id": ticket.id}, status_code=201)

    async def list_tickets(self, request: Request) -> Response:
        """All tickets, or those of one `type`; 500 at most, newest first."""
        kind = request.query_params.get("type")
        found = (
            ticket
            for ticket in self.desk.tickets.newest_first()
            if kind is None or (ticket.type_id is not None and self.desk.types[ticket.type_id].name == kind)
        )
        return JSONResponse([shown_ticket(self.desk, ticket) for ticket in islice(found, 500)])

    async def get_ticket(self, request: Request) -> Response:
        return JSONResponse(shown_ticket(self.desk, self._ticket(request)))

    async def patch_ticket(self, request: Request) -> Response:
        """Change what is named, as `actor` (`by`); `quiet` leaves the date, the trail's entries stay."""
        body = await object_of(request)
        desk, ticket = self.desk, self._ticket(request)
        actor = self.actor(str(body.pop("actor", TECHNICIAN)), body.pop("by", None))
        quiet, before = bool(body.pop("quiet", False)), ticket.updated_at
        known = {"board", "type", "status", "company", "requester", "summary", "owner", "team", *_FIELDS}
        if set(body) - known:
            raise ValueError(f"Unknown: {', '.join(sorted(set(body) - known))}. There are: {', '.join(sorted(known))}")
        if "board" in body:
            desk.set_board(ticket, desk.board_named(body["board"]).id, actor)
        if "type" in body:
            desk.set_type(ticket, desk.type_named(ticket.board_id, body["type"]).id, actor)
        if "company" in body:
            desk.set_company(ticket, desk.company_named(body["company"]).id, actor)
        if "requester" in body:
            desk.set_contact(ticket, self.contact(body["requester"]).id if body["requester"] else None, actor)
        if "summary" in body:
            desk.trail(ticket, "Summary", ticket.summary, str(body["summary"]), actor)
            ticket.summary = str(body["summary"])
        if "owner" in body:
            desk.set_owner(ticket, self.member(body["owner"]).id if body["owner"] else None, actor)
        if "team" in body:
            ticket.team_id = desk.team_named(ticket.board_id, body["team"]).id
        for name, field_id in _FIELDS.items():
            if name in body:
                desk.set_custom(ticket, field_id, None if body[name] is None else str(body[name]), actor)
        if "status" in body:
            desk.set_status(ticket, desk.status_named(ticket.board_id, body["status"]).id, actor)
        desk.touch(ticket, actor)
        if quiet:
            desk.tickets.touch(ticket, before)
        return JSONResponse(shown_ticket(desk, ticket))

    async def delete_ticket(self, request: Request) -> Response:
        self.desk.delete(self._ticket(request), self.actor(TECHNICIAN))
        return JSONResponse({})

    async def decide(self, word: str, request: Request) -> Response:
        """Approve or deny: `{actor, by, via, status, comment}`, all optional.

        `via` is `status` (default), `field` (the custom field Approval) or `both`. Without `actor` it is the company's
        first approver. A comment becomes a discussion note of that person.
        """
        body = await object_of(request)
        desk, ticket = self.desk, self._ticket(request)
        asked = desk.approvers_of(ticket.company_id)
        name = body.get("actor") or (asked[0].email if asked else TECHNICIAN)
        actor = self.actor(str(name), body.get("by"))
        via = body.get("via", "status")
        if via not in ("status", "field", "both"):
            raise ValueError(f"via is status, field or both, not {via!r}")
        if body.get("comment"):
            desk.add_note(ticket, actor, str(body["comment"]), discussion=True)
        if via in ("field", "both"):
            desk.set_custom(ticket, APPROVAL, word, actor)
        if via in ("status", "both"):
            desk.set_status(ticket, desk.status_named(ticket.board_id, body.get("status", word)).id, actor)
        desk.touch(ticket, actor)
        return JSONResponse(shown_ticket(desk, ticket))

    async def close(self, request: Request) -> Response:
        body = await object_of(request)
        desk, ticket = self.desk, self._ticket(request)
        actor = self.actor(str(body.get("actor", TECHNICIAN)), body.get("by"))
        desk.set_status(ticket, desk.status_named(ticket.board_id, "Closed").id, actor)
        desk.touch(ticket, actor)
        return JSONResponse(shown_ticket(desk, ticket))

    async def merge(self, request: Request) -> Response:
        body = await object_of(request)
        ticket, into = self._ticket(request), self.desk.ticket(int(body["into"]))
        self.desk.merge(ticket, into, self.actor(str(body.get("actor", TECHNICIAN)), body.get("by")))
        return JSONResponse(shown_ticket(self.desk, ticket))

    async def add_note(self, request: Request) -> Response:
        """`{text, actor, by, place}`: place is `discussion` (default), `internal` or `resolution`."""
        body = await object_of(request)
        place = str(body.get("place", "discussion"))
        if place not in ("discussion", "internal", "resolution"):
            raise ValueError(f"place is discussion, internal or resolution, not {place!r}")
        actor = self.actor(str(body.get("actor", TECHNICIAN)), body.get("by"))
        note = self.desk.add_note(
            self._ticket(request),
            actor,
            str(body["text"]),
            discussion=place == "discussion",
            internal=place == "internal",
            resolution=place == "resolution",
        )
        return JSONResponse({"id": note.id}, status_code=201)

    async def bulk_tickets(self, request: Request) -> Response:
        """Many tickets at once: `{count, type, status, requester, subject, what, days_old}`.

        By default incidents that changed last at some time in the past 1 to 30 days; `days_old` 0 is just now.
        """
        body = await object_of(request)
        desk = self.desk
        contact = self.contact(body.get("requester", "ben@contoso.com"))
        board = desk.board_named(body.get("board", "Service Desk"))
        kind = desk.type_named(board.id, body.get("type", "Incident"))
        status = desk.status_named(board.id, body.get("status", "New")).id
        count, oldest = int(body.get("count", 100)), float(body.get("days_old", 30))
        custom, now, identifier = _custom_of(body), desk.now(), contact.email or contact.name
        first = desk.next_ticket
        for number in range(count):
            age = timedelta(days=min(1, oldest) + (oldest - min(1, oldest)) * (count - number) / count)
            moment = now - age if oldest else now
            desk.tickets.add(
                Ticket(
                    id=first + number,
                    summary=f"{kind.name} {number + 1}",
                    board_id=board.id,
                    status_id=status,
                    company_id=contact.company_id,
                    created_at=moment,
                    updated_at=moment,
                    entered_by=identifier,
                    updated_by=identifier,
                    type_id=kind.id,
                    contact_id=contact.id,
                    contact_name=contact.name,
                    contact_email=contact.email,
                    custom=dict(custom),
                )
            )
        desk.next_ticket += count
        return JSONResponse({"ids": list(range(first, first + count))}, status_code=201)

    def _ticket(self, request: Request) -> Ticket:
        return self.desk.ticket(request.path_params["id"])


_FIELDS = {"subject": ACCOUNT, "what": WHAT, "approval": APPROVAL}


def _custom_of(body: dict[str, Any]) -> dict[int, str]:
    return {number: str(body[name]) for name, number in _FIELDS.items() if body.get(name) is not None}


def _company_of(contact: Contact | None) -> int:
    if contact is None:
        raise NotThere("contact")
    return contact.company_id
