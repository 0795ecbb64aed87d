"""HaloPSA's HTTP side: the authorisation server (`/auth`) and the resource server (`/api`).

Routes work in any case, unknown query parameters are ignored, and a write is an array that answers one object
with 201. Sources: the public Halo swagger; HaloAPI, CIPP and n8n as clients that real tenants accept; read 2026-11-22.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox import halo_json as spell
from sandbox.desk import NotThere, Outcome, Refusal, Ticket
from sandbox.world import World

APPLICATION = "Reset connector"
AGENT = "Reset Connector (API)"
PAGE_LIMIT = 100
DEFAULT_COUNT = 50

_Record = TypeVar("_Record")
Handler = Callable[[Request], Awaitable[Response]]


class ModelState(Exception):
    """A value that does not parse; answered as ASP.NET's map of field paths to messages."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path, self.message = path, message


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
            ("GET", "/api/tickettype", self.list_types),
            ("GET", "/api/tickettype/{id}", self.get_type),
            ("GET", "/api/status", self.list_statuses),
            ("GET", "/api/status/{id}", self.get_status),
            ("GET", "/api/outcome", self.list_outcomes),
            ("GET", "/api/outcome/{id}", self.get_outcome),
            ("GET", "/api/approvalprocess", self.list_processes),
            ("GET", "/api/approvalprocess/{id}", self.get_process),
            ("GET", "/api/fieldinfo", self.list_fields),
            ("GET", "/api/fieldinfo/{id}", self.get_field),
            ("GET", "/api/client", self.list_clients),
            ("GET", "/api/client/{id}", self.get_client),
            ("GET", "/api/users", self.list_users),
            ("GET", "/api/users/{id}", self.get_user),
            ("GET", "/api/agent/me", self.agent_me),
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
        query = _query(request)
        found = [ticket for ticket in self.world.desk.tickets.values() if not ticket.deleted]
        found = [ticket for ticket in found if self._wanted(ticket, query)]
        self._sort(found, query)
        fields = set(_numbers(query.get("include_custom_fields", "")))
        status = _true(query.get("includestatus"))
        rows = [spell.ticket_row(self.world.desk, ticket, status=status, fields=fields) for ticket in found]
        return JSONResponse(self.paged("tickets", rows, query))

    def _wanted(self, ticket: Ticket, query: dict[str, str]) -> bool:
        closed = self.world.desk.is_closed(ticket)
        tests = (
            _in(query, ("requesttype_id", "requesttype"), ticket.type_id),
            _in(query, ("status_id", "status"), ticket.status_id),
            _in(query, ("client_id", "client_ids"), ticket.client_id),
            _in(query, ("user_id",), ticket.contact_id),
            _in(query, ("ticketids",), ticket.id),
            not (_true(query.get("open_only")) and closed),
            not (_true(query.get("closed_only")) and not closed),
            self._changed_in(ticket, query),
            query.get("search", "").lower() in ticket.summary.lower() or query.get("search") == str(ticket.id),
            query.get("search_summary", "").lower() in ticket.summary.lower(),
        )
        return all(tests)

    def _changed_in(self, ticket: Ticket, query: dict[str, str]) -> bool:
        since, until = _moment(query, "lastupdatefromdate"), _moment(query, "lastupdatetodate")
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
        descending = _true(query.get("orderdesc")) if order in keys else True
        tickets.sort(key=keys.get(order, keys["id"]), reverse=descending)

    def paged(self, name: str, rows: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        """One page. Without `pageinate`, `page_size` means nothing and `count` or the agent's default applies."""
        envelope: dict[str, Any] = {"record_count": len(rows)}
        if not _true(query.get("pageinate")):
            return envelope | {name: rows[: _number(query, "count", DEFAULT_COUNT)]}
        size = min(max(_number(query, "page_size", DEFAULT_COUNT), 1), PAGE_LIMIT)
        page = max(_number(query, "page_no", 1), 1)
        start = (page - 1) * size
        shown = rows[start : start + size]
        # A ticket logged between two pages pushes the rest down, so the last row of a page comes again on the next.
        room = 0 < len(shown) < size and page > 1
        if room and name == "tickets" and self.world.faults.chance("twice on two pages", 0.3):
            shown = [rows[start - 1], *shown]
        return envelope | {"page_no": page, "page_size": size, name: shown}

    async def get_ticket(self, request: Request) -> Response:
        ticket = self.world.desk.ticket(_path_id(request))
        return JSONResponse(
            spell.ticket_detail(self.world.desk, ticket, details=_true(_query(request).get("includedetails")))
        )

    async def post_tickets(self, request: Request) -> Response:
        """Create or update; each object with an `id` is an update. The answer is the last one."""
        answer: dict[str, Any] = {}
        for index, body in enumerate(await _array(request)):
            ticket = self._update_ticket(index, body) if body.get("id") else self._create_ticket(index, body)
            answer = spell.ticket_detail(self.world.desk, ticket)
        return JSONResponse(answer, status_code=201)

    def _update_ticket(self, index: int, body: dict[str, Any]) -> Ticket:
        desk = self.world.desk
        ticket = desk.ticket(_whole(body, "id", index))
        if body.get("status_id") is not None:
            desk.set_status(ticket, _whole(body, "status_id", index))
        if isinstance(body.get("summary"), str):
            ticket.summary = body["summary"]
        if isinstance(body.get("team"), str):
            ticket.team = body["team"]
        if body.get("agent_id") is not None:
            ticket.agent_id = _whole(body, "agent_id", index)
        self._set_custom_fields(ticket, body)
        desk.touch(ticket)
        return ticket

    def _create_ticket(self, index: int, body: dict[str, Any]) -> Ticket:
        desk = self.world.desk
        if not body.get("summary"):
            raise Refusal("A Summary must be entered for this Ticket")
        contact = desk.contacts.get(_whole(body, "user_id", index)) if body.get("user_id") else None
        client_id = (
            _whole(body, "client_id", index) if body.get("client_id") else (contact.client_id if contact else 12)
        )
        ticket = desk.raise_ticket(
            type_id=_whole(body, "tickettype_id", index) if body.get("tickettype_id") else 1,
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
        query = _query(request)
        desk = self.world.desk
        tickets = [desk.ticket(_number(query, "ticket_id", 0))] if "ticket_id" in query else list(desk.tickets.values())
        html = _true(query.get("includehtmlnote"))
        rows = [
            spell.action_row(ticket, action, html=html)
            for ticket in tickets
            for action in reversed(ticket.actions)
            if not (_true(query.get("excludesys")) and action.system)
            and not (_true(query.get("excludeprivate")) and action.hidden)
        ]
        return JSONResponse({"record_count": len(rows), "actions": rows[: _number(query, "count", DEFAULT_COUNT)]})

    async def get_action(self, request: Request) -> Response:
        query = _query(request)
        if "ticket_id" not in query:
            raise Refusal("ticket_id must be specified")
        ticket = self.world.desk.ticket(_number(query, "ticket_id", 0))
        wanted = _path_id(request)
        for action in ticket.actions:
            if action.id == wanted:
                return JSONResponse(spell.action_row(ticket, action))
        raise NotThere("action")

    async def post_actions(self, request: Request) -> Response:
        answers = [self._post_action(index, body) for index, body in enumerate(await _array(request))]
        everything = _true(_query(request).get("returnall"))
        return JSONResponse(answers if everything else (answers or [{}])[-1], status_code=201)

    def _post_action(self, index: int, body: dict[str, Any]) -> dict[str, Any]:
        desk = self.world.desk
        if not body.get("ticket_id"):
            raise Refusal("An Action must be associated with a ticket_id")
        ticket = desk.ticket(_whole(body, "ticket_id", index))
        note, html = str(body.get("note") or ""), str(body.get("note_html") or "")
        if body.get("id"):
            wanted = _whole(body, "id", index)
            action = next((action for action in ticket.actions if action.id == wanted), None)
            if action is None:
                raise NotThere("action")
            action.note, action.note_html = note or html or action.note, html or note or action.note_html
            desk.touch(ticket)
            return spell.action_row(ticket, action)
        outcome = self._outcome_of(index, body)
        new_status = _whole(body, "new_status", index) if body.get("new_status") is not None else None
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
            outcome = desk.outcomes.get(_whole(body, "outcome_id", index))
        elif body.get("outcome"):
            outcome = desk.outcome_named(str(body["outcome"]))
        if outcome is None:
            raise Refusal("An Outcome must be entered for this Action")
        if not outcome.allowed:
            raise Refusal("You do not have access to this Action at the moment")
        return outcome

    # -- approvals ----------------------------------------------------------------------------------------------

    async def list_approvals(self, request: Request) -> Response:
        query = _query(request)
        desk = self.world.desk
        tickets = [desk.ticket(_number(query, "ticket_id", 0))] if "ticket_id" in query else list(desk.tickets.values())
        return JSONResponse([spell.approval_row(desk, ticket, row) for ticket in tickets for row in ticket.approvals])

    async def get_approval(self, request: Request) -> Response:
        wanted = _path_id(request)
        for ticket in self.world.desk.tickets.values():
            for row in ticket.approvals:
                if row.id == wanted:
                    return JSONResponse(spell.approval_row(self.world.desk, ticket, row))
        raise NotThere("approval")

    async def post_approvals(self, request: Request) -> Response:
        """The API agent answers somebody's approval: recorded as overridden. A connector must never do this."""
        answer: dict[str, Any] = {}
        for index, body in enumerate(await _array(request)):
            ticket = self.world.desk.ticket(_whole(body, "ticket_id", index))
            row = next((r for r in ticket.approvals if r.seq == body.get("seq") and r.result is None), None)
            if row is None:
                raise NotThere("approval")
            approve = _whole(body, "result", index) == 1
            voted = self.world.desk.vote(ticket, approve=approve, approver=row.email, overridden=True)
            answer = spell.approval_row(self.world.desk, ticket, voted)
        return JSONResponse(answer, status_code=201)

    # -- configuration ------------------------------------------------------------------------------------------

    async def list_types(self, _request: Request) -> Response:
        return JSONResponse([spell.type_row(self.world.desk, record) for record in self.world.desk.types.values()])

    async def get_type(self, request: Request) -> Response:
        return JSONResponse(spell.type_row(self.world.desk, _record(self.world.desk.types, request), details=True))

    async def list_statuses(self, _request: Request) -> Response:
        return JSONResponse([spell.status_row(record) for record in self.world.desk.statuses.values()])

    async def get_status(self, request: Request) -> Response:
        return JSONResponse(spell.status_row(_record(self.world.desk.statuses, request)))

    async def list_outcomes(self, _request: Request) -> Response:
        return JSONResponse([spell.outcome_row(record) for record in self.world.desk.outcomes.values()])

    async def get_outcome(self, request: Request) -> Response:
        return JSONResponse(spell.outcome_row(_record(self.world.desk.outcomes, request)))

    async def list_processes(self, _request: Request) -> Response:
        return JSONResponse([spell.process_row(record, details=False) for record in self.world.desk.processes.values()])

    async def get_process(self, request: Request) -> Response:
        return JSONResponse(spell.process_row(_record(self.world.desk.processes, request), details=True))

    async def list_fields(self, _request: Request) -> Response:
        return JSONResponse([spell.field_row(record) for record in self.world.desk.fields.values()])

    async def get_field(self, request: Request) -> Response:
        return JSONResponse(spell.field_row(_record(self.world.desk.fields, request)))

    async def list_clients(self, request: Request) -> Response:
        rows = [{"id": c.id, "name": c.name, "inactive": False} for c in self.world.desk.clients.values()]
        return JSONResponse(self.paged("clients", rows, _query(request)))

    async def get_client(self, request: Request) -> Response:
        client = _record(self.world.desk.clients, request)
        return JSONResponse({"id": client.id, "name": client.name, "inactive": False})

    async def list_users(self, request: Request) -> Response:
        query = _query(request)
        search = query.get("search", "").lower()
        rows = [
            spell.contact_row(self.world.desk, contact)
            for contact in self.world.desk.contacts.values()
            if _in(query, ("client_id",), contact.client_id)
            # The plain search does not cover `azureoid`.
            and (search in contact.name.lower() or search in contact.email.lower())
        ]
        return JSONResponse(self.paged("users", rows, query))

    async def get_user(self, request: Request) -> Response:
        return JSONResponse(spell.contact_row(self.world.desk, _record(self.world.desk.contacts, request)))

    async def agent_me(self, _request: Request) -> Response:
        return JSONResponse({"id": 1, "name": AGENT, "email": "", "isapionly": True})


# -- reading requests -------------------------------------------------------------------------------------------


def _query(request: Request) -> dict[str, str]:
    return {key.lower(): value for key, value in request.query_params.items()}


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip().isdigit()]


def _in(query: dict[str, str], names: tuple[str, ...], value: int) -> bool:
    return all(value in _numbers(query[name]) for name in names if query.get(name))


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.lstrip("-").isdigit():
        raise ModelState(name, f"The value '{text}' is not valid.")
    return int(text)


def _moment(query: dict[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ModelState(name, f"The value '{text}' is not valid.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _path_id(request: Request) -> int:
    text = request.path_params["id"]
    if not text.isdigit():
        raise ModelState("id", f"The value '{text}' is not valid.")
    return int(text)


def _record(records: dict[int, _Record], request: Request) -> _Record:
    record = records.get(_path_id(request))
    if record is None:
        raise NotThere(request.url.path)
    return record


async def _array(request: Request) -> list[dict[str, Any]]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise ModelState("", "A non-empty request body is required.") from None
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise ModelState("", "Cannot deserialize the current JSON object because the type requires a JSON array.")
    return body


def _whole(body: dict[str, Any], name: str, index: int) -> int:
    """A whole number; text that reads as one is taken, as HaloPSA's own pages send it."""
    try:
        return int(body[name])
    except (KeyError, TypeError, ValueError):
        message = (
            f"Could not convert string to integer: {body.get(name)}. Path '[{index}].{name}', line 1, position 12."
        )
        raise ModelState(f"[{index}].{name}", message) from None
