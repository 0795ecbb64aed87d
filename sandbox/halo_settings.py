"""HaloPSA's configuration and people: what a connector reads to check its own settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import halo_json_settings as spell
from sandbox import halo_query
from sandbox.desk_records import Client
from sandbox.halo_json import contact_row
from sandbox.halo_request import Denied, is_true, number_in, query_of, record_of
from sandbox.world import World

AGENT = "Reset Connector (API)"
PAGE_LIMIT = 100
DEFAULT_COUNT = 50

APPLICATION = "Reset connector"
API_AGENT = 1

_Record = TypeVar("_Record")

Handler = Callable[[Request], Awaitable[Response]]


def paged(
    world: World,
    name: str,
    records: Sequence[_Record],
    query: dict[str, str],
    build: Callable[[_Record], object] = lambda record: record,
) -> dict[str, Any]:
    """One page. Without `pageinate`, `page_size` means nothing and `count` or the agent's default applies.

    Rows are built for that page only.
    """
    envelope: dict[str, Any] = {"record_count": len(records)}
    if not is_true(query.get("pageinate")):
        count = max(number_in(query, "count", DEFAULT_COUNT), 0)
        return envelope | {name: [build(one) for one in records[:count]]}
    size = min(max(number_in(query, "page_size", DEFAULT_COUNT), 1), PAGE_LIMIT)
    page = max(number_in(query, "page_no", 1), 1)
    start = (page - 1) * size
    shown = list(records[start : start + size])
    # A ticket logged between two pages pushes the rest down, so the last row of a page comes again on the next.
    room = 0 < len(shown) < size and page > 1
    if room and name == "tickets" and world.faults.chance("twice on two pages", 0.3):
        shown = [records[start - 1], *shown]
    return envelope | {"page_no": page, "page_size": size, name: [build(one) for one in shown]}


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
            ("GET", "/api/field", self.list_fields),
            ("GET", "/api/field/{id}", self.get_field),
            ("GET", "/api/workflow", self.list_workflows),
            ("GET", "/api/workflow/{id}", self.get_workflow),
            ("GET", "/api/priority", self.list_priorities),
            ("GET", "/api/team", self.list_teams),
            ("GET", "/api/team/{id}", self.get_team),
            ("GET", "/api/client", self.list_clients),
            ("GET", "/api/client/{id}", self.get_client),
            ("GET", "/api/users", self.list_users),
            ("GET", "/api/users/{id}", self.get_user),
            ("GET", "/api/agent/me", self.agent_me),
            ("GET", "/api/agent", self.list_agents),
            ("GET", "/api/agent/{id}", self.get_agent),
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
        process = record_of(self.world.desk.processes, request)
        if process.refused:
            raise Denied(process.refused)
        return JSONResponse(spell.process_row(process, details=True))

    async def list_fields(self, _request: Request) -> Response:
        return JSONResponse([spell.field_row(record) for record in self.world.desk.fields.values()])

    async def get_field(self, request: Request) -> Response:
        return JSONResponse(spell.field_row(record_of(self.world.desk.fields, request)))

    async def list_clients(self, request: Request) -> Response:
        clients = list(self.world.desk.clients.values())
        return JSONResponse(paged(self.world, "clients", clients, query_of(request), _client_row))

    async def get_client(self, request: Request) -> Response:
        return JSONResponse(_client_row(record_of(self.world.desk.clients, request)))

    async def list_users(self, request: Request) -> Response:
        query = query_of(request)
        found = halo_query.users(self.world.desk, query)
        return JSONResponse(paged(self.world, "users", found, query, partial(contact_row, self.world.desk)))

    async def get_user(self, request: Request) -> Response:
        return JSONResponse(contact_row(self.world.desk, record_of(self.world.desk.contacts, request)))

    async def list_workflows(self, _request: Request) -> Response:
        desk = self.world.desk
        return JSONResponse([spell.workflow_row(desk, record, details=False) for record in desk.workflows.values()])

    async def get_workflow(self, request: Request) -> Response:
        desk = self.world.desk
        return JSONResponse(spell.workflow_row(desk, record_of(desk.workflows, request), details=True))

    async def list_priorities(self, request: Request) -> Response:
        """Those of every agreement, or of the one that `slaid` names."""
        wanted = number_in(query_of(request), "slaid", 0)
        found = [one for one in self.world.desk.priorities if wanted in (0, one.agreement)]
        return JSONResponse([spell.priority_row(one) for one in found])

    async def list_teams(self, _request: Request) -> Response:
        return JSONResponse([spell.team_row(record) for record in self.world.desk.teams.values()])

    async def get_team(self, request: Request) -> Response:
        return JSONResponse(spell.team_row(record_of(self.world.desk.teams, request)))

    async def list_agents(self, request: Request) -> Response:
        """Whoever can be given a ticket; disabled agents where `includedisabled` asks for them."""
        disabled = is_true(query_of(request).get("includedisabled"))
        agents = self.world.desk.agents.values()
        return JSONResponse([spell.agent_row(record) for record in agents if disabled or not record.inactive])

    async def get_agent(self, request: Request) -> Response:
        return JSONResponse(spell.agent_row(record_of(self.world.desk.agents, request)))

    async def agent_me(self, _request: Request) -> Response:
        return JSONResponse({"id": API_AGENT, "name": AGENT, "email": "", "isapionly": True})


def _client_row(client: Client) -> dict[str, Any]:
    return {"id": client.id, "name": client.name, "inactive": False}
