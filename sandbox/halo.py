"""HaloPSA's HTTP side: the authorisation server (`/auth`) and the resource server (`/api`).

Routes work in any case, unknown query parameters are ignored, and a write is an array that answers one object
with 201. Sources: the public Halo swagger; HaloAPI, CIPP and n8n as clients that real tenants accept; read 2026-11-22.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.desk_records import NotThere, Refusal
from sandbox.halo_actions import Actions
from sandbox.halo_approvals import Approvals
from sandbox.halo_request import Denied, ModelState
from sandbox.halo_settings import Handler, Settings
from sandbox.halo_tickets import Tickets
from sandbox.halo_webhooks import Deliveries
from sandbox.world import World


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
            *Tickets(self.world).routes(),
            *Actions(self.world).routes(),
            *Approvals(self.world).routes(),
            *Settings(self.world).routes(),
            *Deliveries(self.world).routes(),
        ]
        routes = [
            Route("/{place:path}/token", self.token, methods=["POST"]),
            Route("/api/authinfo", self.auth_info, methods=["GET"]),
            *(Route(path, self._guarded(handler), methods=[method]) for method, path, handler in guarded),
        ]
        return LowerCasePaths(Starlette(routes=routes))

    # -- authorisation server -----------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        """Client credentials, with or without `?tenant=`. A wrong secret answers 401 `invalid_client`."""
        if f"/{request.path_params['place']}" != self.world.desk.habits.auth_path.lower():
            return PlainTextResponse("Not found", status_code=404)
        wanted, named = self.world.desk.habits.tenant, request.query_params.get("tenant")
        if wanted and named is not None and named != wanted:
            return PlainTextResponse("Internal Server Error", status_code=500)
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
        """Where the token endpoint is: an installation of one's own, or HaloITSM, may have it elsewhere."""
        base = str(request.base_url).rstrip("/")
        return JSONResponse({"auth_url": f"{base}{self.world.desk.habits.auth_path}", "tenant_id": "sandbox"})

    def _guarded(self, handler: Handler) -> Handler:
        """Token, rate limit and HaloPSA's two shapes of a 400 around a handler."""

        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            expires = self.world.halo_tokens.get(token)
            if scheme.lower() != "bearer" or expires is None or expires <= self.world.now():
                return Response(status_code=401)
            limits = self.world.limits
            wait = self.world.throttled(
                "halo", requests=limits.halo_requests, window_seconds=limits.halo_window_seconds
            )
            if wait is not None:
                # No Retry-After unless the habit says so: clients look for one and nobody has seen it.
                headers = {"Retry-After": str(wait)} if self.world.desk.habits.retry_after else None
                minutes = limits.halo_window_seconds // 60
                text = f"Rate Limit Reached - {limits.halo_requests} Requests per rolling {minutes} minute window"
                return PlainTextResponse(text, status_code=429, headers=headers)
            try:
                return await handler(request)
            except Refusal as refusal:
                return JSONResponse({"ClassName": "System.Exception", "Message": str(refusal)}, status_code=400)
            except ModelState as state:
                return JSONResponse({state.path: [state.message]}, status_code=400)
            except Denied as denied:
                return Response(status_code=denied.status)
            except NotThere:
                return PlainTextResponse("Not found", status_code=404)

        return guarded
