"""The control port's tickets: playing requester, approver and agent."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.control_call import Handler, object_of
from sandbox.control_view import shown_ticket
from sandbox.desk_records import NotThere, Ticket
from sandbox.world import World


class Tickets:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/control/tickets", self.raise_ticket),
            ("GET", "/control/tickets", self.list_tickets),
            ("GET", "/control/tickets/{id:int}", self.get_ticket),
            ("PATCH", "/control/tickets/{id:int}", self.patch_ticket),
            ("DELETE", "/control/tickets/{id:int}", self.delete_ticket),
            ("POST", "/control/tickets/{id:int}/approve", partial(self.vote, True)),
            ("POST", "/control/tickets/{id:int}/reject", partial(self.vote, False)),
            ("POST", "/control/tickets/{id:int}/restart-approval", self.restart_approval),
            ("POST", "/control/tickets/{id:int}/merge", self.merge),
            ("POST", "/control/bulk-tickets", self.bulk_tickets),
        ]

    async def raise_ticket(self, request: Request) -> Response:
        """Play the requester. `requester` is an e-mail address or a user id; `what` is Password, MFA or Both."""
        body = await object_of(request)
        desk = self.world.desk
        wanted = body.get("requester", 101)
        contact = desk.contacts.get(wanted) if isinstance(wanted, int) else desk.contact_with(str(wanted))
        if contact is None:
            raise NotThere(f"contact {wanted!r}")
        ticket_type = desk.type_named(str(body.get("type", "Password Reset")))
        ticket = desk.raise_ticket(
            type_id=ticket_type.id,
            client_id=int(body.get("client_id") or contact.client_id),
            contact_id=contact.id,
            summary=str(body.get("summary", ticket_type.name)),
            details=str(body.get("details", "")),
            custom=custom_fields_of(body),
            process_id=desk.process_named(str(body["approval_process"])).id if body.get("approval_process") else None,
            approvers=body.get("approvers"),
        )
        return JSONResponse({"id": ticket.id}, status_code=201)

    async def list_tickets(self, _request: Request) -> Response:
        return JSONResponse([self._ticket(ticket) for ticket in self.world.desk.tickets.values() if not ticket.deleted])

    async def get_ticket(self, request: Request) -> Response:
        return JSONResponse(self._ticket(self._wanted(request)))

    async def patch_ticket(self, request: Request) -> Response:
        """Edit as an agent would: `status`, `type`, `subject`, `what`, `summary`, `details`, `client_id`, `requester`.

        A custom field set to null is removed. `quiet: true` keeps the date of the last change.
        """
        body = await object_of(request)
        desk, ticket = self.world.desk, self._wanted(request)
        before = ticket.updated_at
        if body.get("type"):
            ticket.type_id = desk.type_named(str(body["type"])).id
        if body.get("client_id"):
            ticket.client_id = desk.clients[int(body["client_id"])].id
        if body.get("requester"):
            contact = desk.contact_with(str(body["requester"]))
            if contact is None:
                raise NotThere(f"contact {body['requester']!r}")
            ticket.contact_id = contact.id
        ticket.summary = str(body.get("summary", ticket.summary))
        ticket.details = str(body.get("details", ticket.details))
        ticket.custom |= custom_fields_of(body)
        for name, key in (("CFSubject", "subject"), ("CFResetWhat", "what")):
            if key in body and body[key] is None:
                ticket.custom.pop(name, None)
        if body.get("status"):
            desk.set_status(ticket, desk.status_named(str(body["status"])).id)
        desk.touch(ticket)
        if body.get("quiet"):
            ticket.updated_at = before
        return JSONResponse(self._ticket(ticket))

    async def delete_ticket(self, request: Request) -> Response:
        self._wanted(request).deleted = True
        return JSONResponse({})

    async def vote(self, approve: bool, request: Request) -> Response:
        """Play the approver: `{approver, comment, at, admin_overridden, delegated_by}`, all optional."""
        body = await object_of(request)
        ticket = self._wanted(request)
        self.world.desk.vote(
            ticket,
            approve=approve,
            approver=body.get("approver"),
            comment=str(body.get("comment", "")),
            at=datetime.fromisoformat(body["at"]) if body.get("at") else None,
            overridden=bool(body.get("admin_overridden")),
            delegated_by=body.get("delegated_by"),
        )
        return JSONResponse(self._ticket(ticket))

    async def restart_approval(self, request: Request) -> Response:
        ticket = self._wanted(request)
        self.world.desk.restart_approval(ticket)
        return JSONResponse(self._ticket(ticket))

    async def merge(self, request: Request) -> Response:
        ticket, into = self._wanted(request), self.world.desk.ticket(int((await object_of(request))["into"]))
        self.world.desk.merge(ticket, into)
        return JSONResponse(self._ticket(ticket))

    async def bulk_tickets(self, request: Request) -> Response:
        """Many tickets at once, by default unrelated ones: `{count, type, subject, requester, client_id}`."""
        body = await object_of(request)
        desk = self.world.desk
        contact = desk.contact_with(str(body.get("requester", "ben@contoso.com")))
        if contact is None:
            raise NotThere(f"contact {body['requester']!r}")
        ticket_type = desk.type_named(str(body.get("type", "Incident")))
        tickets = [
            desk.raise_ticket(
                type_id=ticket_type.id,
                client_id=int(body.get("client_id") or contact.client_id),
                contact_id=contact.id,
                summary=f"{ticket_type.name} {number}",
                custom=custom_fields_of(body),
            )
            for number in range(1, int(body.get("count", 100)) + 1)
        ]
        return JSONResponse({"ids": [ticket.id for ticket in tickets]}, status_code=201)

    def _wanted(self, request: Request) -> Ticket:
        return self.world.desk.ticket(request.path_params["id"])

    def _ticket(self, ticket: Ticket) -> dict[str, Any]:
        return shown_ticket(self.world.desk, ticket)


def custom_fields_of(body: dict[str, Any]) -> dict[str, str]:
    named = {"CFSubject": body.get("subject"), "CFResetWhat": body.get("what")}
    return {name: str(value) for name, value in named.items() if value is not None}
