"""What every answer of the link service has in common: the headers, the limits, the words of an error."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT: Final = 4096
API_BODY_LIMIT: Final = 16 * 1024
"""The longest body that the API's schemas allow, each letter escaped as two halves of six letters."""
BODY_TIME: Final = timedelta(seconds=10)

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
UNIFORM_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store, max-age=0",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "clipboard-write=(self), camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow, noarchive, nosnippet",
}
"""On every answer. An answer may set its own `Cache-Control` (static files do); nothing else is ever replaced."""
_RAW_HEADERS: Final = tuple(
    (name.lower().encode("ascii"), text.encode("ascii")) for name, text in UNIFORM_HEADERS.items()
)
_NAMES: Final = frozenset(name for name, _ in _RAW_HEADERS)
_CACHE_CONTROL: Final = b"cache-control"

log = structlog.get_logger(__name__)


class BodyTooLarge(Exception):
    """A request's body is above its limit, in bytes; the rest of it was not read."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit


class BodyTooSlow(Exception):
    """A request's body did not come in time; the rest of it was not read."""


class BadBody(Exception):
    """A request's body is not what it must be. The message says how, and never quotes it."""


class WrongContentType(BadBody):
    """A request's body is not declared as JSON; it was not read."""


class UniformAnswers:
    """Puts the headers on whatever the application answers, and turns a bug into a plain 500.

    A bug is logged by its type and place alone: the message of an exception, and the address of the request, could hold
    a token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = _with_uniform(message.get("headers", ()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            return
        except Exception as error:
            say_failure(error)
            if not started:
                await _answer_to_a_bug(scope["path"])(scope, receive, send_with_headers)


def _answer_to_a_bug(path: str) -> Response:
    words = "Something went wrong here. Try again in a moment."
    return error_answer(500, "internal", words) if path.startswith("/api/") else PlainTextResponse(words, 500)


def _with_uniform(given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    own = [header for header in given if header[0] not in _NAMES or header[0] == _CACHE_CONTROL]
    if any(name == _CACHE_CONTROL for name, _ in own):
        return [*own, *(header for header in _RAW_HEADERS if header[0] != _CACHE_CONTROL)]
    return [*own, *_RAW_HEADERS]


def say_failure(error: Exception) -> None:
    """Say in the log that the database is away, or that there is a bug: what it is and where, without any value."""
    where = {"error": type(error).__name__, "where": _place_of(error)}
    if isinstance(error, SQLAlchemyError):
        log.error("link_database_away", code=database_code(error), **where)
    else:
        log.error("link_service_bug", **where)


def database_code(error: SQLAlchemyError) -> str | None:
    """What the database itself calls its trouble: `SQLITE_READONLY`, a SQLSTATE; `None` where it says nothing."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"


async def read_body(request: Request, *, limit: int = BODY_LIMIT, within: timedelta = BODY_TIME) -> bytes:
    """Read a request's body, up to so many bytes.

    Raises:
        BodyTooLarge: It is longer, or says that it will be.
        BodyTooSlow: Not all of it came within that time. Whoever sends a letter a minute, a thousand times at once,
            would else take every connection that this process may have.
    """
    announced = request.headers.get("content-length", "0")
    # Length first: a row of thousands of digits is not turned into a number at all.
    if not announced.isdecimal() or len(announced) > 9 or int(announced) > limit:
        raise BodyTooLarge(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(within.total_seconds()):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise BodyTooLarge(limit)
    except TimeoutError:
        raise BodyTooSlow from None
    return bytes(body)


async def read_json(request: Request, *, limit: int = BODY_LIMIT) -> Mapping[str, object]:
    """Read a JSON object, of up to so many bytes.

    Raises:
        BodyTooLarge, BodyTooSlow: See `read_body`.
        WrongContentType: It is not declared as JSON.
        BadBody: It is not JSON, or not an object, or has a key twice: two readers may each take another one.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongContentType("send Content-Type: application/json")
    body = await read_body(request, limit=limit)
    try:
        content = json.loads(body, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise BadBody("the body is not JSON") from None
    if not isinstance(content, dict):
        raise BadBody("the body must be a JSON object")
    return content


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise BadBody("the body has a key twice")
    return content


def error_answer(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error for programs: a code to decide by and a sentence for people."""
    return JSONResponse({"error": code, "message": message}, status, headers=headers)
