"""The layer around every imitated HTTP system: header, latency, bad days and the record.

It buffers a whole request and a whole answer, so that an answer can be lost after its effect happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import jwt
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.faults import Fault
from sandbox.odd_answers import odd_text
from sandbox.record import Exchange, masked, template_of
from sandbox.world import World

Connections = MutableMapping[tuple[str, int, int], asyncio.Transport]
"""Open connections by the client's address and the server's port; filled by the server, used to cut one."""

SPOILT = "sandbox.spoilt"
"""Where an application tells in the scope that it spoilt a part of its answer on purpose."""

_NOT_RECORDED = {"authorization", "cookie", "proxy-authorization"}


@dataclass
class _Answer:
    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def collect(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


class Outside:
    """ASGI middleware around one imitated system.

    Args:
        system: `halo`, `connectwise`, `graph` or `authority`.
        unkind: Whether random unkindness may hit this system; targeted faults always may.
    """

    def __init__(
        self, app: ASGIApp, *, world: World, system: str, connections: Connections, unkind: bool = True
    ) -> None:
        self.app, self.world, self.system = app, world, system
        self.connections, self.unkind = connections, unkind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        body = await _whole_body(receive)
        if self.world.latency_seconds:
            await asyncio.sleep(self.world.latency_seconds)
        fault = self.world.faults.next_for(
            self.system, f"{scope['method']} {scope['path']}", chance=self.unkind, tenant=self._tenant(scope)
        )
        answer: _Answer | None = await self._answer(scope, body, fault)
        cut = fault is not None and fault.kind in ("cut_before", "cut_after", "timeout")
        if cut:
            answer = None
        self._record(scope, body, answer, fault, started)
        if answer is None:
            await self._cut(scope)
            return
        answer.headers.append((b"x-sandbox", b"1"))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, body: bytes, fault: Fault | None) -> _Answer:
        answer = _Answer()
        if fault and fault.kind in ("slow", "timeout"):
            await asyncio.sleep(fault.seconds)
        if fault and fault.kind in ("cut_before", "timeout"):
            return answer
        if fault and fault.kind in ("status", "not_json"):
            await _faulty_response(self.system, fault)(scope, _replay(b""), answer.collect)
            return answer
        try:
            await self.app(scope, _replay(body), answer.collect)
        except Exception:
            # A mistake of the sandbox's own: what was answered so far (a 500) still carries the header.
            logging.getLogger("sandbox").exception("The sandbox failed at %s %s", scope["method"], scope["path"])
        if fault and fault.kind == "status_after":
            answer = _Answer()
            await _faulty_response(self.system, fault)(scope, _replay(b""), answer.collect)
        return answer

    async def _cut(self, scope: Scope) -> None:
        transport = self.connections.get((*scope["client"], scope["server"][1]))
        if transport:
            transport.abort()
        # Let the server notice, so that it does not complain about a missing answer.
        await asyncio.sleep(0.01)

    def _tenant(self, scope: Scope) -> frozenset[str]:
        """What the customer is called for whom this call is made; nothing where the call does not say."""
        named = ""
        if self.system == "authority":
            named = scope["path"].split("/")[1]
        elif self.system == "graph":
            named = _tenant_in_token(scope)
        tenant = self.world.directory.tenant(named)
        return tenant.names if tenant else frozenset()

    def _template(self, path: str) -> str:
        if self.system == "connectwise":
            # Counted without the codebase, so that an upgrade changes no counter's name.
            path = (path.partition("/apis/3.0")[2] or path).rstrip("/")
        # HaloPSA's routes work in any case; counted they are one.
        return template_of(path.lower() if self.system == "halo" else path)

    def _record(self, scope: Scope, body: bytes, answer: _Answer | None, fault: Fault | None, started: float) -> None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        url = f"{scope['scheme']}://{headers.get('host', '')}{scope['path']}{'?' + query if query else ''}"
        answer_headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in answer.headers} if answer else {}
        self.world.record.add(
            Exchange(
                system=self.system,
                method=scope["method"],
                url=url,
                path=scope["path"],
                template=self._template(scope["path"]),
                query=dict(parse_qsl(query, keep_blank_values=True)),
                request_headers={k: v for k, v in headers.items() if k not in _NOT_RECORDED},
                request_body=parsed(body, headers.get("content-type", "")),
                status=answer.status if answer else None,
                response_headers=answer_headers | ({"x-sandbox": "1"} if answer else {}),
                response_body=parsed(answer.body, answer_headers.get("content-type", "")) if answer else None,
                at=self.world.now().isoformat(),
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                fault=fault.kind if fault else scope.get(SPOILT),
            )
        )


def parsed(body: bytes, content_type: str) -> Any:
    """A body as a test wants to see it: JSON, form fields or text, with secrets masked; None when empty."""
    if not body:
        return None
    if "x-www-form-urlencoded" in content_type:
        return masked(dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True)))
    if "json" in content_type:
        with contextlib.suppress(ValueError):
            return masked(json.loads(body))
    return body.decode(errors="replace")


def _tenant_in_token(scope: Scope) -> str:
    """The tenant that a token claims; whether the token is any good is decided elsewhere."""
    for name, value in scope["headers"]:
        if name.lower() == b"authorization":
            with contextlib.suppress(jwt.PyJWTError):
                claims = jwt.decode(value.decode("latin-1").partition(" ")[2], options={"verify_signature": False})
                return str(claims.get("tid", ""))
    return ""


def _faulty_response(system: str, fault: Fault) -> Response:
    if fault.kind == "not_json":
        page = fault.body or "<html><body><h1>Bad Gateway</h1></body></html>"
        # A page with status 200 is the nastier case, so it is the default.
        status = 200 if fault.status == 503 else fault.status
        return Response(page, status_code=status, media_type="text/html", headers=fault.headers)
    if fault.body is not None:
        media_type = "application/json" if fault.body.lstrip().startswith(("{", "[")) else "text/plain"
        return Response(fault.body, status_code=fault.status, media_type=media_type, headers=fault.headers)
    if fault.shape is not None:
        text, media_type = odd_text(fault.shape, fault.status)
        return Response(text, status_code=fault.status, media_type=media_type, headers=fault.headers)
    if system == "graph":
        codes = {429: "TooManyRequests", 503: "serviceUnavailable", 404: "Request_ResourceNotFound"}
        code = codes.get(fault.status, "UnknownError")
        content = json.dumps({"error": {"code": code, "message": "The sandbox was told to fail this call."}})
        return Response(content, status_code=fault.status, media_type="application/json", headers=fault.headers)
    if system == "connectwise":
        body = {"code": "ConnectWiseApi", "message": "The sandbox was told to fail this call."}
        if fault.status == 429:
            # A shape of its own. Source: ConnectWise's Developer Guide, read 2026-11-22.
            wait = fault.headers.get("Retry-After", "30")
            body = {"error": "ConnectWiseAPI", "message": f"Too many requests. Please try again in {wait} seconds."}
        return JSONResponse(body, status_code=fault.status, headers=fault.headers)
    text = "Rate Limit Reached" if fault.status == 429 else "The sandbox was told to fail this call."
    return Response(text, status_code=fault.status, media_type="text/plain", headers=fault.headers)


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _whole_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body
