"""The imitated Microsoft Graph v1.0: what a reset needs, and the refusals it meets.

Every handler is given a `Call`, so that a request that came alone and one that came inside a $batch take the same way.
Sources are cited at the rules; the rest is Microsoft's published Graph v1.0 reference, read 2026-11-22.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import graph_batch
from sandbox.graph_call import Call, Caller, GraphError, Handler, Reply, no_segment
from sandbox.graph_mail import Mailboxes
from sandbox.graph_methods import Methods
from sandbox.graph_query import UnsupportedQuery
from sandbox.graph_reports import Reports
from sandbox.graph_users import Users
from sandbox.graph_writes import Writes
from sandbox.outside import SPOILT
from sandbox.tokens import Issuer
from sandbox.world import World


class Graph:
    """Routing, permissions and handlers; one instance per world."""

    def __init__(self, world: World, issuer: Issuer) -> None:
        self.world, self.issuer = world, issuer
        self.shuffle = random.Random(world.seed)
        user = r"/users/(?P<user>[^/]+)"
        routes: list[tuple[str, str, Handler]] = [
            *Users(world).routes(user),
            *Writes(world).routes(user),
            *Methods(world).routes(user),
            *Mailboxes(world).routes(user),
            *Reports(world).routes(),
        ]
        self.routes = [(method, re.compile(f"^{path}$", re.IGNORECASE), handler) for method, path, handler in routes]

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1.0/$batch", self.batch, methods=["POST"]),
                Route("/{path:path}", self.single, methods=["GET", "POST", "PATCH", "PUT", "DELETE"]),
            ]
        )

    # -- the way in ---------------------------------------------------------------------------------------------

    async def single(self, request: Request) -> Response:
        raw = request.scope.get("raw_path", request.scope["path"].encode()).decode("latin-1")
        body = await request.body()
        headers = {key.lower(): value for key, value in request.headers.items()}
        version, url = _target(raw, request.url.query)
        reply = self._admitted(request, lambda caller: self.answer(
            request.method, url, headers, _json(body), caller, version=version
        ))  # fmt: skip
        return self._response(reply, headers)

    async def batch(self, request: Request) -> Response:
        """Up to 20 calls in one. Source: learn.microsoft.com/graph/json-batching, read 2026-11-22."""
        body = _json(await request.body())
        headers = {key.lower(): value for key, value in request.headers.items()}
        reply = self._admitted(request, lambda caller: graph_batch.run(self, body, caller=caller))
        if reply.spoilt:
            request.scope[SPOILT] = "status"
        return self._response(reply, headers)

    def _admitted(self, request: Request, then: Callable[[Caller], Reply]) -> Reply:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        claims = self.issuer.claims_of(token, now=self.world.now()) if scheme.lower() == "bearer" else None
        tenant = self.world.directory.tenant(claims["tid"]) if claims else None
        application = self.world.directory.application(claims["appid"]) if claims else None
        if claims is None or tenant is None or application is None:
            message = "Access token is missing, has expired or is not yet valid."
            return self.error_reply(GraphError(401, "InvalidAuthenticationToken", message))
        root = f"{str(request.base_url).rstrip('/')}/v1.0"
        caller = Caller(tenant, tenant.enrolments[application.key], frozenset(claims.get("roles", ())), root)
        try:
            return then(caller)
        except GraphError as error:
            return self.error_reply(error)

    def answer(
        self, method: str, url: str, headers: dict[str, str], body: Any, caller: Caller, *, version: str = "v1.0"
    ) -> Reply:
        """Answer one call; never raises for what a caller can do wrong.

        Args:
            url: Path and query behind the version, still percent-encoded.
        """
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        call = Call(method, parts.path.rstrip("/"), query, headers, body, caller, version)
        try:
            known = False
            for verb, pattern, handler in self.routes:
                match = pattern.match(call.path)
                if match and verb == method:
                    return handler(call, **{k: unquote(v) for k, v in match.groupdict().items() if v is not None})
                known = known or match is not None
            if known:
                raise GraphError(
                    405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target."
                )
            raise no_segment(call.path.rsplit("/", 1)[-1])
        except GraphError as error:
            return self.error_reply(error)
        except UnsupportedQuery as error:
            return self.error_reply(GraphError(400, "Request_UnsupportedQuery", str(error)))

    def error_reply(self, error: GraphError) -> Reply:
        request_id = str(uuid.uuid4())
        inner: dict[str, Any] = {
            # Sent without an offset, as Microsoft does.
            "date": f"{self.world.now():%Y-%m-%dT%H:%M:%S}",
            "request-id": request_id,
            "client-request-id": request_id,
        }
        # The MFA service writes its codes in lower case and repeats the message inside. Source: GitHub
        # microsoftgraph/microsoft-graph-docs#14470 and #18091, read 2026-11-22.
        if error.code[:1].islower():
            inner["message"] = error.message
        body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
        if self.world.faults.chance("an error in its other spelling", 0.2):
            # Seen from older services: lower case, and a code of its own inside.
            body = {"error": {"code": error.code, "message": error.message, "innererror": inner | {"code": error.code}}}
        return Reply(error.status, body, error.headers)

    def _response(self, reply: Reply, headers: dict[str, str]) -> Response:
        ids = {
            "request-id": str(uuid.uuid4()),
            "client-request-id": headers.get("client-request-id", str(uuid.uuid4())),
        }
        media_type = "application/json" if reply.body is not None else None
        content = b"" if reply.body is None else json.dumps(reply.body)
        return Response(content, reply.status, headers=ids | (reply.headers or {}), media_type=media_type)


def _json(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def _target(raw_path: str, query: str) -> tuple[str, str]:
    """The version, and path and query behind it.

    Of beta only the authentication methods are known here, so that any other use of it shows; such a path becomes one
    that no route has.
    """
    path = raw_path.partition("?")[0]
    version, inner = "v1.0", "/unknown-version"
    if path.lower().startswith("/v1.0/"):
        inner = path[len("/v1.0") :]
    elif path.lower().startswith("/beta/users/") and "/authentication/" in path:
        version, inner = "beta", path[len("/beta") :]
    return version, f"{inner}?{query}" if query else inner
