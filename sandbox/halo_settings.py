"""HaloPSA's configuration and people: what a connector reads to check its own settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import halo_json as spell
from sandbox.halo_request import is_in, is_true, number_in, query_of, record_of
from sandbox.world import World

AGENT = "Reset Connector (API)"
PAGE_LIMIT = 100
DEFAULT_COUNT = 50

Handler = Callable[[Request], Awaitable[Response]]


def paged(world: World, name: str, rows: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """One page. Without `pageinate`, `page_size` means nothing and `count` or the agent's default applies."""
    envelope: dict[str, Any] = {"record_count": len(rows)}
    if not is_true(query.get("pageinate")):
        return envelope | {name: rows[: number_in(query, "count", DEFAULT_COUNT)]}
    size = min(max(number_in(query, "page_size", DEFAULT_COUNT), 1), PAGE_LIMIT)
    page = max(number_in(query, "page_no", 1), 1)
    start = (page - 1) * size
    shown = rows[start : start + size]
    # A ticket logged between two pages pushes the rest down, so the last row of a page comes again on the next.
    room = 0 < len(shown) < size and page > 1
    if room and name == "tickets" and world.faults.chance("twice on two pages", 0.3):
        shown = [rows[start - 1], *shown]
    return envelope | {"page_no": page, "page_size": size, name: shown}


class Settings:
    """The handlers for everything that is configured rather than worked on."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
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

    async def list_types(self, _request: Request) -> Response:
        return JSONResponse([spell.type_row(self.world.desk, record) for record in self.world.desk.types.values()])

    async def get_type(self, request: Request) -> Response:
        return JSONResponse(spell.type_row(self.world.desk, record_of(self.world.desk.types, request), details=True))

    async def list_statuses(self, _request: Request) -> Response:
        return JSONResponse([spell.status_row(record) for record in self.world.desk.statuses.values()])

    async def get_status(self, request: Request) -> Response:
        return JSONResponse(spell.status_row(record_of(self.world.desk.statuses, request)))

    async def list_outcomes(self, _request: Request) -> Response:
        return JSONResponse([spell.outcome_row(record) for record in self.world.desk.outcomes.values()])

    async def get_outcome(self, request: Request) -> Response:
        return JSONResponse(spell.outcome_row(record_of(self.world.desk.outcomes, request)))

    async def list_processes(self, _request: Request) -> Response:
        return JSONResponse([spell.process_row(record, details=False) for record in self.world.desk.processes.values()])

    async def get_process(self, request: Request) -> Response:
        return JSONResponse(spell.process_row(record_of(self.world.desk.processes, request), details=True))

    async def list_fields(self, _request: Request) -> Response:
        return JSONResponse([spell.field_row(record) for record in self.world.desk.fields.values()])

    async def get_field(self, request: Request) -> Response:
        return JSONResponse(spell.field_row(record_of(self.world.desk.fields, request)))

    async def list_clients(self, request: Request) -> Response:
        rows = [{"id": c.id, "name": c.name, "inactive": False} for c in self.world.desk.clients.values()]
        return JSONResponse(paged(self.world, "clients", rows, query_of(request)))

    async def get_client(self, request: Request) -> Response:
        client = record_of(self.world.desk.clients, request)
        return JSONResponse({"id": client.id, "name": client.name, "inactive": False})

    async def list_users(self, request: Request) -> Response:
        query = query_of(request)
        search = query.get("search", "").lower()
        rows = [
            spell.contact_row(self.world.desk, contact)
            for contact in self.world.desk.contacts.values()
            if is_in(query, ("client_id",), contact.client_id)
            # The plain search does not cover `azureoid`.
            and (search in contact.name.lower() or search in contact.email.lower())
        ]
        return JSONResponse(paged(self.world, "users", rows, query))

    async def get_user(self, request: Request) -> Response:
        return JSONResponse(spell.contact_row(self.world.desk, record_of(self.world.desk.contacts, request)))

    async def agent_me(self, _request: Request) -> Response:
        return JSONResponse({"id": 1, "name": AGENT, "email": "", "isapionly": True})
