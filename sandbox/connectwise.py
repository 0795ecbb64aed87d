"""ConnectWise's HTTP side: the public company information, and everything under `/{codebase}/apis/3.0`.

Sources, read 2026-11-22: the Developer Guide; OpenAPI 2026.4; ConnectWiseManageAPI (PowerShell) and django-connectwise
as clients that real servers accept. What each 401 says, and the page behind an old codebase, are UNVERIFIED.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.connectwise_call import Handler, answer, refused
from sandbox.connectwise_callbacks import Callbacks
from sandbox.connectwise_records import Rejected
from sandbox.connectwise_settings import Settings
from sandbox.connectwise_tickets import Tickets
from sandbox.desk_records import NotThere
from sandbox.world import World

ALIAS = "v4_6_release"
"""Always right on premises, and the usual alias in the cloud."""

_PATH = re.compile(r"/(?P<codebase>[^/]+)/+(?P<area>apis/3\.0|system/callbackkey)(?P<rest>/.*)", re.IGNORECASE)
LONGEST_QUERY = 10_000
"""From here on the guide wants POST; what a longer one is answered is UNVERIFIED."""

_NO_ENDPOINT = {"code": "ConnectWiseApi", "message": "The endpoint does not exist."}


class _Codebase:
    """Takes the codebase and doubled or trailing slashes off the path; an old codebase is a 404."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self.app, self.world = app, world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if len(scope["query_string"]) > LONGEST_QUERY:
            await answer({"code": "UriTooLong", "message": "The request URI is too long."}, 414)(scope, receive, send)
            return
        match = _PATH.fullmatch(scope["path"])
        if match is None:
            inner = scope["path"].rstrip("/")
        elif match["codebase"].lower() not in (ALIAS, self.world.connectwise.codebase.lower()):
            page = HTMLResponse("<html><body><h1>404 - File or directory not found.</h1></body></html>", 404)
            await page(scope, receive, send)
            return
        else:
            area = "" if match["area"].lower() == "apis/3.0" else "/callbackkey"
            inner = area + re.sub("/{2,}", "/", match["rest"]).rstrip("/")
        await self.app(dict(scope, path=inner or "/", outer_path=scope["path"]), receive, send)


class ConnectWise:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.callbacks = Callbacks(world)

    def app(self) -> ASGIApp:
        calls = [*Tickets(self.world).routes(), *Settings(self.world).routes(), *self.callbacks.routes()]
        by_path: dict[str, dict[str, Handler]] = {}
        for method, path, handler in calls:
            by_path.setdefault(path, {})[method] = handler
        routes = [
            Route("/login/companyinfo/{company}", self.company_info, methods=["GET"]),
            Route("/callbackkey/index.rails", self.key, methods=["GET"]),
            *(Route(path, self._guarded(handlers), methods=list(handlers)) for path, handlers in by_path.items()),
        ]
        return _Codebase(Starlette(routes=routes, exception_handlers={HTTPException: _unknown}), self.world)

    # -- without a login ----------------------------------------------------------------------------------------

    async def company_info(self, request: Request) -> Response:
        """The discovery; an unknown company answers 200 and `null` (django-connectwise)."""
        wanted, desk = request.path_params["company"], self.world.connectwise
        if wanted.lower() != self.world.credentials.connectwise_company.lower():
            return JSONResponse(None)
        return JSONResponse(
            {
                "CompanyName": "MSP",
                "Codebase": f"{desk.codebase}/",
                "VersionCode": desk.codebase.replace("_", "."),
                "VersionNumber": "v4.6.98765",
                "CompanyID": self.world.credentials.connectwise_company,
                "IsCloud": True,
            }
        )

    async def key(self, request: Request) -> Response:
        """A callback's signing key. Whether it takes a login is a CONFLICT between two clients, so it is a habit."""
        try:
            if self.world.connectwise.habits.callback_key_needs_login:
                self._check(request)
            return await self.callbacks.key(request)
        except Rejected as rejected:
            return refused(rejected)
        except NotThere:
            return answer(_NO_ENDPOINT, 404)

    # -- with one -----------------------------------------------------------------------------------------------

    def _guarded(self, handlers: dict[str, Handler]) -> Handler:
        """Login, role, rate limit and the error envelope around the handlers of a path."""

        async def guarded(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            try:
                self._check(request)
                limited = self._limited()
                if limited is not None:
                    return limited
                self._check_role(request)
                return await handlers[method](request)
            except Rejected as rejected:
                return refused(rejected)
            except NotThere as missing:
                return answer({"code": "NotFound", "message": f"{missing} not found"}, 404)

        return guarded

    def _check(self, request: Request) -> None:
        """Basic `company+public:private` and the `clientId` header, on every call."""
        known = self.world.credentials
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(token, validate=True) if scheme.lower() == "basic" else b""
        except binascii.Error:
            given = b""
        wanted = f"{known.connectwise_company}+{known.connectwise_public_key}:{known.connectwise_private_key}"
        if not secrets.compare_digest(given, wanted.encode()):
            status = self.world.connectwise.habits.wrong_login_status
            raise Rejected(status, "Unauthorized", "Please provide valid credentials.")
        client = request.headers.get("clientid", "")
        if not secrets.compare_digest(client.encode(), known.connectwise_client_id.encode()):
            raise Rejected(401, "ConnectWiseApi", "UserNotAuthenticated: a valid clientId header is required.")

    def _check_role(self, request: Request) -> None:
        call = f"{request.method} {request.url.path}"
        if any(call.startswith(beginning) for beginning in self.world.connectwise.habits.forbidden):
            raise Rejected(403, "ConnectWiseApi", "You do not have security permission to perform this action.")

    def _limited(self) -> Response | None:
        """Over 1,000 requests a minute; this body has a shape of its own."""
        limits = self.world.limits
        seconds = self.world.throttled(
            "connectwise", requests=limits.connectwise_requests, window_seconds=limits.connectwise_window_seconds
        )
        if seconds is None:
            return None
        message = f"Too many requests. Please try again in {seconds} seconds."
        return answer({"error": "ConnectWiseAPI", "message": message}, 429, {"Retry-After": str(seconds)})


async def _unknown(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        return answer({"code": "MethodNotAllowed", "message": "The method is not allowed."}, 405)
    return answer(_NO_ENDPOINT, status)
