"""HaloPSA's HTTP side: the authorisation server (`/auth`) and the resource server (`/api`).

Routes work in any case, unknown query parameters are ignored, and a write is an array that answers one object
with 201. Sources: the public Halo swagger; HaloAPI, CIPP and n8n as clients that real tenants accept; read 2026-11-22.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox import halo_json as spell
from sandbox.desk_records import NotThere, Outcome, Refusal, Ticket
from sandbox.halo_request import (
    ModelState,
    array_of,
    is_in,
    is_true,
    moment_in,
    number_in,
    numbers_in,
    path_id,
    query_of,
    whole,
)
from sandbox.halo_settings import AGENT, DEFAULT_COUNT, Handler, Settings, paged
from sandbox.world import World

APPLICATION = "Reset connector"


class LowerCasePaths:
    """HaloPSA routes without regard to case."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = dict(scope, path=scope["path"].lower().rstrip("/"))
        await self.app(scope, receive, send)


class Halo:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def app(self) -> ASGIApp:
        guarded: list[tuple[str, str, Handler]] = [
            ("GET", "/api/tickets", self.list_tickets),
            ("POST", "/api/tickets", self.post_tickets),
            ("GET", "/api/tickets/{id}", self.get_ticket),
            ("GET", "/api/actions", self.list_actions),
            ("POST", "/api/actions", self.post_actions),
            ("GET", "/api/actions/{id}", self.get_action),
            ("GET", "/api/ticketapproval", self.list_approvals),
            ("POST", "/api/ticketapproval", self.post_approvals),
            ("GET", "/api/ticketapproval/{id}", self.get_approval),
            *Settings(self.world).routes(),
        ]
        routes = [
            Route("/auth/token", self.token, methods=["POST"]),
            Route("/api/authinfo", self.auth_info, methods=["GET"]),
            *(Route(path, self._guarded(handler), methods=[method]) for method, path, handler in guarded),
        ]
        return LowerCasePaths(Starlette(routes=routes))

    # -- authorisation server -----------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        """Client credentials, with or without `?tenant=`. A wrong secret answers 401 `invalid_client`."""
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        known = self.world.credentials
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        # The id is compared first only because both answers are the same.
        id_fits = secrets.compare_digest(form.get("client_id", "").encode(), known.halo_client_id.encode())
        secret_fits = secrets.compare_digest(form.get("client_secret", "").encode(), known.halo_client_secret.encode())
        if not (id_fits and secret_fits):
            return JSONResponse(
                {"error": "invalid_client", "error_description": "The client credentials are invalid."}, status_code=401
            )
        token = secrets.token_urlsafe(32)
        lifetime = self.world.limits.halo_token_seconds
        self.world.halo_tokens[token] = self.world.now() + timedelta(seconds=lifetime)
        return JSONResponse(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": lifetime,
                "scope": form.get("scope", "all"),
                "refresh_token": secrets.token_urlsafe(16),
                "id_token": secrets.token_urlsafe(16),
            }
        )

    async def auth_info(self, request: Request) -> Response:
        return JSONResponse({"auth_url": f"{str(request.base_url).rstrip('/')}/auth", "tenant_id": "sandbox"})

    def _guarded(self, handler: Handler) -> Handler:
        """Token, rate limit and HaloPSA's two shapes of a 400 around a handler."""

        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            expires = self.world.halo_tokens.get(token)
            if scheme.lower() != "bearer" or expires is None or expires <= self.world.now():
                return Response(status_code=401)
            limits = self.world.limits
            if self.world.throttled("halo", requests=limits.halo_requests, window_seconds=limits.halo_window_seconds):
                # No Retry-After: clients look for one and nobody has seen it.
                minutes = limits.halo_window_seconds // 60
                text = f"Rate Limit Reached - {limits.halo_requests} Requests per rolling {minutes} minute window"
                return PlainTextResponse(text, status_code=429)
            try:
                return await handler(request)
            except Refusal as refusal:
                return JSONResponse({"ClassName": "System.Exception", "Message": str(refusal)}, status_code=400)
            except ModelState as state:
                return JSONResponse({state.path: [state.message]}, status_code=400)
            except NotThere:
                return PlainTextResponse("Not found", status_code=404)

        return guarded

    # -- tickets ------------------------------------------------------------------------------------------------

    async def list_tickets(self, request: Request) -> Response:
        query = query_of(request)
        found = [ticket for ticket in self.world.desk.tickets.values() if not ticket.deleted]
        found = [ticket for ticket in found if self._wanted(ticket, query)]
        self._sort(found, query)
        fields = set(numbers_in(query.get("include_custom_fields", "")))
        status = is_true(query.get("includestatus"))
        rows = [spell.ticket_row(self.world.desk, ticket, status=status, fields=fields) for ticket in found]
        return JSONResponse(paged(self.world, "tickets", rows, query))

    def _wanted(self, ticket: Ticket, query: dict[str, str]) -> bool:
        closed = self.world.desk.is_closed(ticket)
        tests = (
            is_in(query, ("requesttype_id", "requesttype"), ticket.type_id),
            is_in(query, ("status_id", "status"), ticket.status_id),
            is_in(query, ("client_id", "client_ids"), ticket.client_id),
            is_in(query, ("user_id",), ticket.contact_id),
            is_in(query, ("ticketids",), ticket.id),
            not (is_true(query.get("open_only")) and closed),
            not (is_true(query.get("closed_only")) and not closed),
            self._changed_in(ticket, query),
            query.get("search", "").lower() in ticket.summary.lower() or query.get("search") == str(ticket.id),
            query.get("search_summary", "").lower() in ticket.summary.lower(),
        )
        return all(tests)

    def _changed_in(self, ticket: Ticket, query: dict[str, str]) -> bool:
        since, until = moment_in(query, "lastupdatefromdate"), moment_in(query, "lastupdatetodate")
        # List rows carry three decimals, so the comparison does too. Whether the bound is inclusive is not known.
        updated = ticket.updated_at.replace(microsecond=ticket.updated_at.microsecond // 1000 * 1000)
        return (since is None or updated >= since) and (until is None or updated <= until)

    def _sort(self, tickets: list[Ticket], query: dict[str, str]) -> None:
        keys: dict[str, Callable[[Ticket], Any]] = {
            "id": lambda ticket: ticket.id,
            "dateoccurred": lambda ticket: ticket.created_at,
            "last_update": lambda ticket: ticket.updated_at,
            "lastactiondate": lambda ticket: ticket.updated_at,
            "summary": lambda ticket: ticket.summary.lower(),
            "status_id": lambda ticket: ticket.status_id,
        }
        order = query.get("order", "").lower()
        descending = is_true(query.get("orderdesc")) if order in keys else True
        tickets.sort(key=keys.get(order, keys["id"]), reverse=descending)

    async def get_ticket(self, request: Request) -> Response:
        ticket = self.world.desk.ticket(path_id(request))
        return JSONResponse(
            spell.ticket_detail(self.world.desk, ticket, details=is_true(query_of(request).get("includedetails")))
        )

    async def post_tickets(self, request: Request) -> Response:
        """Create or update; each object with an `id` is an update. The answer is the last one."""
        answer: dict[str, Any] = {}
        for index, body in enumerate(await array_of(request)):
            ticket = self._update_ticket(index, body) if body.get("id") else self._create_ticket(index, body)
            answer = spell.ticket_detail(self.world.desk, ticket)
        return JSONResponse(answer, status_code=201)

    def _update_ticket(self, index: int, body: dict[str, Any]) -> Ticket:
        desk = self.world.desk
        ticket = desk.ticket(whole(body, "id", index))
        if body.get("status_id") is not None:
            desk.set_status(ticket, whole(body, "status_id", index))
        if isinstance(body.get("summary"), str):
            ticket.summary = body["summary"]
        if isinstance(body.get("team"), str):
            ticket.team = body["team"]
        if body.get("agent_id") is not None:
            ticket.agent_id = whole(body, "agent_id", index)
        self._set_custom_fields(ticket, body)
        desk.touch(ticket)
        return ticket

    def _create_ticket(self, index: int, body: dict[str, Any]) -> Ticket:
        desk = self.world.desk
        if not body.get("summary"):
            raise Refusal("A Summary must be entered for this Ticket")
        contact = desk.contacts.get(whole(body, "user_id", index)) if body.get("user_id") else None
        client_id = whole(body, "client_id", index) if body.get("client_id") else (contact.client_id if contact else 12)
        ticket = desk.raise_ticket(
            type_id=whole(body, "tickettype_id", index) if body.get("tickettype_id") else 1,
            client_id=client_id,
            contact_id=contact.id if contact else 0,
            summary=str(body["summary"]),
            details=str(body.get("details", "")),
        )
        self._set_custom_fields(ticket, body)
        return ticket

    def _set_custom_fields(self, ticket: Ticket, body: dict[str, Any]) -> None:
        for entry in body.get("customfields") or []:
            for custom_field in self.world.desk.fields.values():
                if entry.get("id") == custom_field.id or entry.get("name") == custom_field.name:
                    ticket.custom[custom_field.name] = str(entry.get("value", ""))

    # -- actions ------------------------------------------------------------------------------------------------

    async def list_actions(self, request: Request) -> Response:
        query = query_of(request)
        desk = self.world.desk
        tickets = (
            [desk.ticket(number_in(query, "ticket_id", 0))] if "ticket_id" in query else list(desk.tickets.values())
        )
        html = is_true(query.get("includehtmlnote"))
        rows = [
            spell.action_row(ticket, action, html=html)
            for ticket in tickets
            for action in reversed(ticket.actions)
            if not (is_true(query.get("excludesys")) and action.system)
            and not (is_true(query.get("excludeprivate")) and action.hidden)
        ]
        return JSONResponse({"record_count": len(rows), "actions": rows[: number_in(query, "count", DEFAULT_COUNT)]})

    def _tickets_in(self, query: dict[str, str]) -> list[Ticket]:
        """The ticket that `ticket_id` names; every ticket without it."""
        if "ticket_id" in query:
            return [self.world.desk.ticket(number_in(query, "ticket_id", 0))]
        return list(self.world.desk.tickets.values())

    async def get_action(self, request: Request) -> Response:
        query = query_of(request)
        if "ticket_id" not in query:
            raise Refusal("ticket_id must be specified")
        ticket = self.world.desk.ticket(number_in(query, "ticket_id", 0))
        wanted = path_id(request)
        for action in ticket.actions:
            if action.id == wanted:
                return JSONResponse(spell.action_row(ticket, action))
        raise NotThere("action")

    async def post_actions(self, request: Request) -> Response:
        answers = [self._post_action(index, body) for index, body in enumerate(await array_of(request))]
        everything = is_true(query_of(request).get("returnall"))
        return JSONResponse(answers if everything else (answers or [{}])[-1], status_code=201)

    def _post_action(self, index: int, body: dict[str, Any]) -> dict[str, Any]:
        desk = self.world.desk
        if not body.get("ticket_id"):
            raise Refusal("An Action must be associated with a ticket_id")
        ticket = desk.ticket(whole(body, "ticket_id", index))
        note, html = str(body.get("note") or ""), str(body.get("note_html") or "")
        if body.get("id"):
            wanted = whole(body, "id", index)
            action = next((action for action in ticket.actions if action.id == wanted), None)
            if action is None:
                raise NotThere("action")
            action.note, action.note_html = note or html or action.note, html or note or action.note_html
            desk.touch(ticket)
            return spell.action_row(ticket, action)
        outcome = self._outcome_of(index, body)
        new_status = whole(body, "new_status", index) if body.get("new_status") is not None else None
        action = desk.add_action(
            ticket,
            outcome,
            who=str(body.get("who") or AGENT),
            note=note or html,
            note_html=html or note,
            hidden=bool(body.get("hiddenfromuser", outcome.hidden)),
            new_status=new_status,
            application=APPLICATION,
        )
        action.sendemail = bool(body.get("sendemail"))
        return spell.action_row(ticket, action)

    def _outcome_of(self, index: int, body: dict[str, Any]) -> Outcome:
        desk = self.world.desk
        outcome = None
        if body.get("outcome_id"):
            outcome = desk.outcomes.get(whole(body, "outcome_id", index))
        elif body.get("outcome"):
            outcome = desk.outcome_named(str(body["outcome"]))
        if outcome is None:
            raise Refusal("An Outcome must be entered for this Action")
        if not outcome.allowed:
            raise Refusal("You do not have access to this Action at the moment")
        return outcome

    # -- approvals ----------------------------------------------------------------------------------------------

    async def list_approvals(self, request: Request) -> Response:
        query = query_of(request)
        desk = self.world.desk
        tickets = (
            [desk.ticket(number_in(query, "ticket_id", 0))] if "ticket_id" in query else list(desk.tickets.values())
        )
        return JSONResponse([spell.approval_row(desk, ticket, row) for ticket in tickets for row in ticket.approvals])

    async def get_approval(self, request: Request) -> Response:
        wanted = path_id(request)
        for ticket in self.world.desk.tickets.values():
            for row in ticket.approvals:
                if row.id == wanted:
                    return JSONResponse(spell.approval_row(self.world.desk, ticket, row))
        raise NotThere("approval")

    async def post_approvals(self, request: Request) -> Response:
        """The API agent answers somebody's approval: recorded as overridden. A connector must never do this."""
        answer: dict[str, Any] = {}
        for index, body in enumerate(await array_of(request)):
            ticket = self.world.desk.ticket(whole(body, "ticket_id", index))
            row = next((r for r in ticket.approvals if r.seq == body.get("seq") and r.result is None), None)
            if row is None:
                raise NotThere("approval")
            approve = whole(body, "result", index) == 1
            voted = self.world.desk.vote(ticket, approve=approve, approver=row.email, overridden=True)
            answer = spell.approval_row(self.world.desk, ticket, voted)
        return JSONResponse(answer, status_code=201)
