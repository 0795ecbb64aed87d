"""The control port: what a customer, an approver, an agent or a bad day would do, as JSON calls, and the console page.

It is the sandbox's own and imitates nobody. Demo, end-to-end tests and benchmarks drive the world through it.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.connectwise_control import ConnectWiseTickets
from sandbox.connectwise_control_setup import ConnectWiseSetup
from sandbox.control_call import Handler, careful_with, object_of
from sandbox.control_customers import Customers
from sandbox.control_halo import HaloControl
from sandbox.control_tickets import Tickets
from sandbox.control_view import shown_account, shown_ticket
from sandbox.control_webhooks import Webhooks
from sandbox.desk_records import NotThere
from sandbox.faults import Fault
from sandbox.world import World

if TYPE_CHECKING:
    from sandbox.server import Addresses

CONSOLE = Path(__file__).parent / "console"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self';"
    " sandbox allow-popups allow-popups-to-escape-sandbox"
)


class _Marked:
    """Adds `X-Sandbox` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-sandbox", b"1")]
            await send(message)

        await self.app(scope, receive, marked)


class Control:
    """The handlers; one instance per world."""

    def __init__(self, world: World, addresses: Addresses) -> None:
        self.world, self.addresses = world, addresses

    def app(self) -> ASGIApp:
        calls: list[tuple[str, str, Handler]] = [
            ("GET", "/control/overview", self.overview),
            ("POST", "/control/reset", self.reset),
            *Tickets(self.world).routes(),
            *HaloControl(self.world).routes(),
            *Webhooks(self.world).routes(),
            *ConnectWiseTickets(self.world).routes(),
            *ConnectWiseSetup(self.world).routes(),
            ("GET", "/control/mails", self.list_mails),
            ("DELETE", "/control/mails", self.delete_mails),
            ("GET", "/control/mails/{id:int}/html", self.mail_html),
            *Customers(self.world).routes(),
            ("POST", "/control/expire-tokens", self.expire_tokens),
            ("GET", "/control/calls", self.calls),
            ("DELETE", "/control/calls", self.delete_calls),
            ("GET", "/control/exchanges", self.exchanges),
            ("DELETE", "/control/exchanges", self.delete_exchanges),
            ("POST", "/control/latency", self.latency),
            ("POST", "/control/faults", self.add_fault),
            ("GET", "/control/faults", self.list_faults),
            ("DELETE", "/control/faults", self.delete_faults),
            ("POST", "/control/limits", self.limits),
            ("POST", "/control/habits", self.habits),
        ]
        routes = [
            Route("/", self.console),
            Route("/console.js", partial(self.asset, "console.js")),
            Route("/console.css", partial(self.asset, "console.css")),
            *(Route(path, careful_with(handler), methods=[method]) for method, path, handler in calls),
        ]
        # A page on the internet must not reach this port through a name that points at loopback.
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
        return _Marked(Starlette(routes=routes, middleware=[hosts]))

    # -- the console --------------------------------------------------------------------------------------------

    async def console(self, _request: Request) -> Response:
        return FileResponse(CONSOLE / "console.html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    async def asset(self, name: str, _request: Request) -> Response:
        return FileResponse(CONSOLE / name)

    async def overview(self, _request: Request) -> Response:
        """What the console needs in one call."""
        desk = self.world.desk
        return JSONResponse(
            {
                "gentle": self.world.gentle,
                "types": [record.name for record in desk.types.values()],
                "statuses": [record.name for record in desk.statuses.values()],
                "clients": [
                    {"id": c.id, "name": c.name, "approvers": desk.approvers.get(c.id, [])}
                    for c in desk.clients.values()
                ],
                "contacts": [
                    {"id": c.id, "client_id": c.client_id, "name": c.name, "email": c.email}
                    for c in desk.contacts.values()
                ],
                "tickets": [
                    shown_ticket(desk, ticket)
                    for ticket in islice((one for one in reversed(desk.tickets.values()) if not one.deleted), 50)
                ],
                "mails": [asdict(mail) for mail in reversed(self.world.mails[-50:])],
                "accounts": [shown_account(tenant, account) for tenant, account in self.world.directory.accounts()],
            }
        )

    async def reset(self, _request: Request) -> Response:
        self.world.reset()
        return JSONResponse({})

    # -- mails --------------------------------------------------------------------------------------------------

    async def list_mails(self, _request: Request) -> Response:
        return JSONResponse([asdict(mail) for mail in self.world.mails])

    async def mail_html(self, request: Request) -> Response:
        """A mail as its reader sees it: no scripts, nothing loaded from elsewhere, links open in a new tab."""
        for mail in self.world.mails:
            if mail.id == request.path_params["id"]:
                page = f'<base target="_blank">{mail.html}'
                return HTMLResponse(page, headers={"Content-Security-Policy": MAIL_POLICY})
        raise NotThere(f"mail {request.path_params['id']}")

    async def delete_mails(self, _request: Request) -> Response:
        self.world.mails.clear()
        return JSONResponse({})

    # -- calls, faults, limits ----------------------------------------------------------------------------------

    async def expire_tokens(self, _request: Request) -> Response:
        """Forget every HaloPSA token; the next call with one answers 401."""
        self.world.halo_tokens.clear()
        return JSONResponse({})

    async def calls(self, _request: Request) -> Response:
        record = self.world.record
        return JSONResponse(
            {
                "systems": dict(record.by_system),
                "calls": dict(record.by_call),
                "batch_items": dict(record.batch_items),
                "throttled": dict(record.throttled),
            }
        )

    async def delete_calls(self, _request: Request) -> Response:
        self.world.record.clear_counts()
        return JSONResponse({})

    async def exchanges(self, request: Request) -> Response:
        system = request.query_params.get("system")
        shown = [one.as_dict() for one in self.world.record.exchanges if system in (None, one.system)]
        return JSONResponse(shown)

    async def delete_exchanges(self, _request: Request) -> Response:
        self.world.record.clear()
        return JSONResponse({})

    async def latency(self, request: Request) -> Response:
        self.world.latency_seconds = float((await object_of(request))["ms"]) / 1000
        return JSONResponse({})

    async def add_fault(self, request: Request) -> Response:
        self.world.faults.add(Fault(**await object_of(request)))
        return JSONResponse({}, status_code=201)

    async def list_faults(self, _request: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self.world.faults.waiting])

    async def delete_faults(self, _request: Request) -> Response:
        self.world.faults.clear()
        return JSONResponse({})

    async def limits(self, request: Request) -> Response:
        """Set any of `world.Limits`, and `notes_on_closed`; 0 switches a limit off."""
        body = await object_of(request)
        if "notes_on_closed" in body:
            self.world.desk.notes_on_closed = bool(body.pop("notes_on_closed"))
        known = {one.name for one in fields(self.world.limits)}
        if set(body) - known:
            raise ValueError(
                f"Unknown limits: {', '.join(sorted(set(body) - known))}. There are: {', '.join(sorted(known))}"
            )
        for name, value in body.items():
            setattr(self.world.limits, name, int(value))
        return JSONResponse(asdict(self.world.limits))

    async def habits(self, request: Request) -> Response:
        """Set any of `world.Habits`."""
        self.world.habits = replace(self.world.habits, **await object_of(request))
        return JSONResponse(asdict(self.world.habits))
