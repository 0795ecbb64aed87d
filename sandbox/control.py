"""The control port: what a customer, an approver, an agent or a bad day would do, as JSON calls, and the console page.

It is the sandbox's own and imitates nobody. Demo, end-to-end tests and benchmarks drive the world through it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.desk import Desk, NotThere, Refusal, Ticket
from sandbox.directory import Account, Tenant
from sandbox.faults import Fault
from sandbox.halo_json import ticket_detail
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

Handler = Callable[[Request], Awaitable[Response]]


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
            ("GET", "/control/mails", self.list_mails),
            ("DELETE", "/control/mails", self.delete_mails),
            ("GET", "/control/mails/{id:int}/html", self.mail_html),
            ("GET", "/control/accounts", self.list_accounts),
            ("GET", "/control/accounts/{upn}", self.get_account),
            ("PATCH", "/control/accounts/{upn}", self.patch_account),
            ("POST", "/control/accounts/{upn}/check-password", self.check_password),
            ("GET", "/control/tenants", self.list_tenants),
            ("PATCH", "/control/tenants/{key}", self.patch_tenant),
            ("POST", "/control/certificates", self.add_certificate),
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
        ]
        routes = [
            Route("/", self.console),
            Route("/console.js", partial(self.asset, "console.js")),
            Route("/console.css", partial(self.asset, "console.css")),
            *(Route(path, _careful(handler), methods=[method]) for method, path, handler in calls),
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
                "tickets": [self._ticket(ticket) for ticket in reversed(desk.tickets.values()) if not ticket.deleted][
                    :50
                ],
                "mails": [asdict(mail) for mail in reversed(self.world.mails[-50:])],
                "accounts": [_account(tenant, account) for tenant, account in self.world.directory.accounts()],
            }
        )

    async def reset(self, _request: Request) -> Response:
        self.world.reset()
        return JSONResponse({})

    # -- tickets ------------------------------------------------------------------------------------------------

    async def raise_ticket(self, request: Request) -> Response:
        """Play the requester. `requester` is an e-mail address or a user id; `what` is Password, MFA or Both."""
        body = await _object(request)
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
            custom=_custom(body),
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
        body = await _object(request)
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
        ticket.custom |= _custom(body)
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
        body = await _object(request)
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
        ticket, into = self._wanted(request), self.world.desk.ticket(int((await _object(request))["into"]))
        self.world.desk.merge(ticket, into)
        return JSONResponse(self._ticket(ticket))

    async def bulk_tickets(self, request: Request) -> Response:
        """Many tickets at once, by default unrelated ones: `{count, type, subject, requester, client_id}`."""
        body = await _object(request)
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
                custom=_custom(body),
            )
            for number in range(1, int(body.get("count", 100)) + 1)
        ]
        return JSONResponse({"ids": [ticket.id for ticket in tickets]}, status_code=201)

    def _wanted(self, request: Request) -> Ticket:
        return self.world.desk.ticket(request.path_params["id"])

    def _ticket(self, ticket: Ticket) -> dict[str, Any]:
        return _shown_ticket(self.world.desk, ticket)

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

    # -- accounts and tenants -----------------------------------------------------------------------------------

    async def list_accounts(self, _request: Request) -> Response:
        return JSONResponse([_account(tenant, account) for tenant, account in self.world.directory.accounts()])

    async def get_account(self, request: Request) -> Response:
        return JSONResponse(_account(*self._found(request)))

    async def patch_account(self, request: Request) -> Response:
        """Change Graph's `properties`, the administrator `roles`, or which kinds of `methods` are kept."""
        body = await _object(request)
        tenant, account = self._found(request)
        account.properties |= body.get("properties") or {}
        if "roles" in body:
            tenant.direct_roles[account.id] = [str(name) for name in body["roles"]]
        if "methods" in body:
            kept = set(body["methods"]) | {"passwordAuthenticationMethod"}
            account.methods = [method for method in account.methods if method.kind in kept]
        return JSONResponse(_account(tenant, account))

    async def check_password(self, request: Request) -> Response:
        """Whether this password opens the account now; the only thing that can be asked about a password."""
        _, account = self._found(request)
        fits = account.password.opens_with(str((await _object(request)).get("password", "")))
        enabled = bool(account.properties["accountEnabled"])
        return JSONResponse({"opens": fits and enabled, "must_change": account.must_change})

    def _found(self, request: Request) -> tuple[Tenant, Account]:
        found = self.world.directory.find(request.path_params["upn"])
        if found is None:
            raise NotThere(f"account {request.path_params['upn']!r}")
        return found

    async def list_tenants(self, _request: Request) -> Response:
        return JSONResponse([_tenant(tenant) for tenant in self.world.directory.tenants.values()])

    async def patch_tenant(self, request: Request) -> Response:
        """What the tenant's administrator granted: `{permissions: […], application_roles: […], consented: bool}`."""
        body = await _object(request)
        tenant = self.world.directory.tenant(request.path_params["key"])
        if tenant is None:
            raise NotThere(f"tenant {request.path_params['key']!r}")
        tenant.permissions = set(body.get("permissions", tenant.permissions))
        tenant.application_roles = set(body.get("application_roles", tenant.application_roles))
        tenant.consented = bool(body.get("consented", tenant.consented))
        return JSONResponse(_tenant(tenant))

    async def add_certificate(self, request: Request) -> Response:
        """Register a certificate (PEM) with which the connector's application may sign assertions."""
        pem = str((await _object(request))["pem"]).encode()
        x509.load_pem_x509_certificate(pem)
        self.world.directory.certificates.append(pem)
        return JSONResponse({}, status_code=201)

    async def expire_tokens(self, _request: Request) -> Response:
        """Forget every HaloPSA token; the next call with one answers 401."""
        self.world.halo_tokens.clear()
        return JSONResponse({})

    # -- calls, faults, limits ----------------------------------------------------------------------------------

    async def calls(self, _request: Request) -> Response:
        record = self.world.record
        return JSONResponse(
            {"systems": dict(record.by_system), "calls": dict(record.by_call), "batch_items": dict(record.batch_items)}
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
        self.world.latency_seconds = float((await _object(request))["ms"]) / 1000
        return JSONResponse({})

    async def add_fault(self, request: Request) -> Response:
        self.world.faults.add(Fault(**await _object(request)))
        return JSONResponse({}, status_code=201)

    async def list_faults(self, _request: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self.world.faults.waiting])

    async def delete_faults(self, _request: Request) -> Response:
        self.world.faults.clear()
        return JSONResponse({})

    async def limits(self, request: Request) -> Response:
        """Set any of `world.Limits`, and `notes_on_closed`; 0 switches a limit off."""
        body = await _object(request)
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


def _careful(handler: Handler) -> Handler:
    """Mistakes in a control call are answered in words, not with a stack trace."""

    async def careful(request: Request) -> Response:
        try:
            return await handler(request)
        except NotThere as error:
            return JSONResponse({"error": f"There is no {error}"}, status_code=404)
        except (Refusal, KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)

    return careful


async def _object(request: Request) -> dict[str, Any]:
    text = await request.body()
    body = json.loads(text) if text else {}
    if not isinstance(body, dict):
        raise ValueError("a JSON object is wanted")
    return body


def _custom(body: dict[str, Any]) -> dict[str, str]:
    named = {"CFSubject": body.get("subject"), "CFResetWhat": body.get("what")}
    return {name: str(value) for name, value in named.items() if value is not None}


def _shown_ticket(desk: Desk, ticket: Ticket) -> dict[str, Any]:
    detail = ticket_detail(desk, ticket)
    return {
        "id": ticket.id,
        "type": desk.types[ticket.type_id].name,
        "client_id": ticket.client_id,
        "client": desk.clients[ticket.client_id].name,
        "requester": detail.get("user_email"),
        "summary": ticket.summary,
        "details": ticket.details,
        "subject": ticket.custom.get("CFSubject"),
        "what": ticket.custom.get("CFResetWhat"),
        "status": desk.statuses[ticket.status_id].name,
        "closed": desk.is_closed(ticket),
        "created_at": ticket.created_at.isoformat(),
        "updated_at": ticket.updated_at.isoformat(),
        "merged_into": ticket.merged_into,
        "approvals": [_plain(asdict(row)) for row in ticket.approvals],
        "actions": [_plain(asdict(action)) for action in ticket.actions],
    }


def _account(tenant: Tenant, account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "upn": account.upn,
        "tenant": tenant.key,
        "display_name": account.properties["displayName"],
        "enabled": account.properties["accountEnabled"],
        "synchronised": bool(account.properties["onPremisesSyncEnabled"]),
        "federated": tenant.is_federated(account),
        "guest": account.properties["userType"] == "Guest",
        "roles": tenant.roles_of(account.id),
        "groups": [group.name for group in tenant.groups_of(account.id)],
        "methods": [
            {"id": method.id, "kind": method.kind, "default": method.id == account.default_method}
            for method in account.methods
            if method.kind != "passwordAuthenticationMethod"
        ],
        "must_change": account.must_change,
        "password_set_at": account.password_set_at.isoformat() if account.password_set_at else None,
        "sessions_revoked_at": account.sessions_revoked_at.isoformat() if account.sessions_revoked_at else None,
        "writes": len(account.writes),
        "write_log": account.writes,
    }


def _tenant(tenant: Tenant) -> dict[str, Any]:
    return {
        "key": tenant.key,
        "id": tenant.id,
        "domains": [domain.name for domain in tenant.domains],
        "groups": {group.name: group.id for group in tenant.groups.values()},
        "permissions": sorted(tenant.permissions),
        "application_roles": sorted(tenant.application_roles),
        "consented": tenant.consented,
    }


def _plain(value: Any) -> Any:
    """The same with datetimes as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
