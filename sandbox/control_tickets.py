"""The control port's tickets: playing requester, approver and agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import desk_approvals
from sandbox.control_call import Handler, object_of
from sandbox.control_view import shown_ticket
from sandbox.desk import Desk
from sandbox.desk_records import NotThere, Ticket
from sandbox.halo_tickets import stored_text
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
            ("POST", "/control/tickets/{id:int}/delegate", self.delegate),
            ("POST", "/control/tickets/{id:int}/approvers", self.add_approver),
            ("POST", "/control/tickets/{id:int}/merge", self.merge),
            ("POST", "/control/bulk-tickets", self.bulk_tickets),
        ]

    async def raise_ticket(self, request: Request) -> Response:
        """Play the requester. `requester` is an e-mail address or a user id; `what` is Password, MFA or Both.

        `custom` sets any custom field by name: a user's by address or id. `logged_by` is the agent who logged it.
        With `created_at` it happened then.
        """
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
            custom=custom_fields_of(desk, body, contact.client_id),
            process_id=desk.process_named(str(body["approval_process"])).id if body.get("approval_process") else None,
            approvers=body.get("approvers"),
            logged_by=body.get("logged_by"),
        )
        if body.get("created_at"):
            desk.backdate(ticket, moment_of(body["created_at"]))
        return JSONResponse({"id": ticket.id}, status_code=201)

    async def list_tickets(self, _request: Request) -> Response:
        return JSONResponse([self._ticket(ticket) for ticket in self.world.desk.tickets.values() if not ticket.deleted])

    async def get_ticket(self, request: Request) -> Response:
        return JSONResponse(self._ticket(self._wanted(request)))

    async def patch_ticket(self, request: Request) -> Response:
        """Edit as an agent would: `status`, `type`, `subject`, `what`, `custom`, `summary`, `details`, `client_id`,
        `requester`, `team`, `agent_id`, `open_appointment`; `created_at`, `updated_at` and `closed_at` for the past.

        A custom field set to null is removed. `quiet: true` keeps the date of the last change.
        """
        body = await object_of(request)
        desk, ticket = self.world.desk, self._wanted(request)
        before = ticket.updated_at
        if body.get("type"):
            desk.retype(ticket, desk.type_named(str(body["type"])).id)
        if body.get("client_id"):
            ticket.client_id = desk.clients[int(body["client_id"])].id
        if body.get("requester"):
            contact = desk.contact_with(str(body["requester"]))
            if contact is None:
                raise NotThere(f"contact {body['requester']!r}")
            ticket.contact_id = contact.id
        ticket.summary = str(body.get("summary", ticket.summary))
        ticket.details = str(body.get("details", ticket.details))
        ticket.custom |= custom_fields_of(desk, body, ticket.client_id)
        removed = {name for name, value in (body.get("custom") or {}).items() if value is None}
        removed |= {name for name, key in NAMED_FIELDS.items() if key in body and body[key] is None}
        for name in removed:
            ticket.custom.pop(name, None)
        if body.get("team"):
            ticket.team = desk.team_named(str(body["team"])).name
        if "agent_id" in body:
            ticket.agent_id = None if body["agent_id"] is None else desk.agents[int(body["agent_id"])].id
        ticket.open_appointment = bool(body.get("open_appointment", ticket.open_appointment))
        if body.get("status"):
            desk.set_status(ticket, desk.status_named(str(body["status"])).id)
        desk.touch(ticket)
        if body.get("quiet"):
            ticket.updated_at = before
        for name in ("created_at", "updated_at", "closed_at"):
            if body.get(name):
                setattr(ticket, name, moment_of(body[name]))
        return JSONResponse(self._ticket(ticket))

    async def delete_ticket(self, request: Request) -> Response:
        self._wanted(request).deleted = True
        return JSONResponse({})

    async def vote(self, approve: bool, request: Request) -> Response:
        """Play the approver: all optional.

        `{approver, comment, at, admin_overridden, override_agent, delegated_by}`.
        """
        body = await object_of(request)
        ticket = self._wanted(request)
        self.world.desk.vote(
            ticket,
            approve=approve,
            approver=body.get("approver"),
            comment=str(body.get("comment", "")),
            at=moment_of(body["at"]) if body.get("at") else None,
            overridden=bool(body.get("admin_overridden")),
            override_agent=body.get("override_agent"),
            delegated_by=body.get("delegated_by"),
        )
        return JSONResponse(self._ticket(ticket))

    async def restart_approval(self, request: Request) -> Response:
        """`{approval_process, approvers, keep}`, all optional; `keep` leaves the former rows as history."""
        body = await object_of(request)
        desk, ticket = self.world.desk, self._wanted(request)
        desk_approvals.restart(
            desk,
            ticket,
            process_id=desk.process_named(str(body["approval_process"])).id if body.get("approval_process") else None,
            approvers=body.get("approvers"),
            keep=bool(body.get("keep")),
        )
        return JSONResponse(self._ticket(ticket))

    async def delegate(self, request: Request) -> Response:
        """`{to, of}`: somebody else is to answer the open row of `of` (default: the first)."""
        body = await object_of(request)
        ticket = self._wanted(request)
        desk_approvals.delegate(self.world.desk, ticket, to=str(body["to"]), of=body.get("of"))
        return JSONResponse(self._ticket(ticket))

    async def add_approver(self, request: Request) -> Response:
        """`{approver}`: ask one more person, where the step allows ad-hoc approvers."""
        body = await object_of(request)
        ticket = self._wanted(request)
        desk_approvals.add_approver(self.world.desk, ticket, str(body["approver"]))
        return JSONResponse(self._ticket(ticket), status_code=201)

    async def merge(self, request: Request) -> Response:
        ticket, into = self._wanted(request), self.world.desk.ticket(int((await object_of(request))["into"]))
        self.world.desk.merge(ticket, into)
        return JSONResponse(self._ticket(ticket))

    async def bulk_tickets(self, request: Request) -> Response:
        """Many tickets at once, by default unrelated ones: `{count, type, subject, requester, client_id}`.

        `days` spreads them evenly over so many days before now, oldest first, and `closed` (0 to 1) is the part of them
        that is closed. `ids: false` leaves the long list out of the answer.
        """
        body = await object_of(request)
        desk = self.world.desk
        contact = desk.contact_with(str(body.get("requester", "ben@contoso.com")))
        if contact is None:
            raise NotThere(f"contact {body['requester']!r}")
        ticket_type = desk.type_named(str(body.get("type", "Incident")))
        custom = custom_fields_of(desk, body, contact.client_id)
        count, days, closed = int(body.get("count", 100)), float(body.get("days", 0)), float(body.get("closed", 0))
        if not 0 <= closed <= 1:
            raise ValueError("closed is a part, from 0 to 1")
        ids, begin = [], self.world.now() - timedelta(days=days)
        for number in range(count):
            ticket = desk.raise_ticket(
                type_id=ticket_type.id,
                client_id=int(body.get("client_id") or contact.client_id),
                contact_id=contact.id,
                summary=f"{ticket_type.name} {number + 1}",
                custom=custom,
            )
            # Evenly: of ten with 0.3, the 4th, the 7th and the 10th.
            if int((number + 1) * closed) > int(number * closed):
                desk.set_status(ticket, desk.closed_status)
            if days:
                desk.backdate(ticket, begin + timedelta(days=days * number / count))
            ids.append(ticket.id)
        shown = {"ids": ids} if body.get("ids", True) else {"first": ids[0], "last": ids[-1]} if ids else {}
        return JSONResponse(shown | {"count": count}, status_code=201)

    def _wanted(self, request: Request) -> Ticket:
        return self.world.desk.ticket(request.path_params["id"])

    def _ticket(self, ticket: Ticket) -> dict[str, Any]:
        return shown_ticket(self.world.desk, ticket)


def moment_of(text: object) -> datetime:
    """A moment from a control call; without an offset it is UTC."""
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


NAMED_FIELDS = {"CFSubject": "subject", "CFResetWhat": "what"}
"""The fields that have a key of their own."""


def custom_fields_of(desk: Desk, body: dict[str, Any], client_id: int) -> dict[str, str]:
    """The custom fields that a body sets, as they are kept; an unknown name is a mistake."""
    wanted = {name: body.get(key) for name, key in NAMED_FIELDS.items()} | (body.get("custom") or {})
    known = {one.name: one for one in desk.fields.values()}
    if unknown := set(wanted) - set(known):
        raise NotThere(f"custom field {', '.join(sorted(unknown))}; there is: {', '.join(known)}")
    kept = {}
    for name, value in wanted.items():
        if value is None:
            continue
        if known[name].sort == "user" and not str(value).isdigit():
            contact = desk.contact_with(str(value), client_id=client_id)
            if contact is None:
                raise NotThere(f"contact {value!r}")
            value = contact.id
        kept[name] = stored_text(known[name], value)
    return kept
