"""The daemon's small HTTP side: `/healthz`, `/metrics` and `POST /nudge/{psa}`, where PSAs push.

Only `/nudge/` is meant to be reached from outside, and by anybody: a push is bounded in size, number and time, is
handed to the adapter of its PSA for proof, and nothing of it is ever answered, logged or believed. See `nudges` for
what comes of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from connector.core.ports import Push
from connector.errors import ConfigError, ConnectorError, PushRefused
from connector.telemetry import report
from connector.telemetry.metrics import PUSHES

log = structlog.get_logger(__name__)

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
LONGEST_PUSH = 256 * 1024
"""Bytes of a body. A HaloPSA ticket with everything in it is about a tenth of that."""
READ_SECONDS = 10.0
ANSWER_SECONDS = 4.0
"""ConnectWise gives up after 5 s. Source: its developer guide on callbacks, read 2026-11-22."""
CHECKS_AT_ONCE = 2
MOST_IN_HAND = 32
"""Pushes of one PSA that are being read, wait for their check or are checked."""
LOG_EVERY_SECONDS = 60.0
HEAD_SECONDS = 10.0
"""How long a connection may rest without a whole request; uvicorn by itself waits for ever."""
MOST_CONNECTIONS = 256
"""More would take the daemon the file handles that it needs for its work."""


@dataclass(frozen=True)
class Health:
    """What `/healthz` tells.

    Attributes:
        well: The loop turns and the database answers.
        down: Systems that are away or refuse us, with the reason; they do not make us unwell.
        paused: Why writing is paused, or empty.
    """

    well: bool
    down: Mapping[str, str]
    paused: str


class Heard(StrEnum):
    """What became of a push; for the metrics."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNCHECKED = "unchecked"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    TOO_MANY = "too_many"
    BUG = "bug"


ANSWERS: Mapping[Heard, tuple[int, str, Mapping[str, str]]] = {
    Heard.TAKEN: (202, "heard", {}),
    # The challenge: some clients send their credentials only after it.
    Heard.REFUSED: (401, "refused", {"WWW-Authenticate": 'Basic realm="nudge"'}),
    Heard.UNCHECKED: (503, "not now", {"Retry-After": "30"}),
    Heard.TOO_LARGE: (413, "too large", {"Connection": "close"}),
    Heard.TOO_SLOW: (408, "too slow", {"Connection": "close"}),
    # ConnectWise repeats what was answered 429, and nothing that was answered 5xx. Source: as above.
    Heard.TOO_MANY: (429, "too many", {"Retry-After": "2", "Connection": "close"}),
    Heard.BUG: (503, "not now", {"Retry-After": "30"}),
}
"""Status, word and headers: the same whatever the push said."""


def create_app(*, health: Callable[[], Health], psas: Collection[str], hear: Callable[[str, Push], None]) -> Starlette:
    """The application.

    Args:
        psas: The names under which PSAs may push.
        hear: Takes a push in, in some other thread than the server's; raises `PushRefused` when it does not prove
            itself, and another of our errors when that cannot be said now. In both cases nothing may come of it.
    """
    doors = {name: Door(name, hear) for name in psas}

    def healthz(_: Request) -> Response:
        state = health()
        body = {"status": "ok" if state.well else "unwell", "down": dict(state.down), "paused": state.paused}
        return JSONResponse(body, status_code=200 if state.well else 503, headers=HEADERS)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST, headers=HEADERS)

    async def nudge(request: Request) -> Response:
        door = doors.get(request.path_params["psa"])
        if door is None:
            unknown = {"error": "no PSA of this name is configured"}
            return JSONResponse(unknown, status_code=404, headers={**HEADERS, "Connection": "close"})
        status, word, headers = ANSWERS[await door.take(request)]
        return JSONResponse({"status": word}, status_code=status, headers={**HEADERS, **headers})

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/metrics", metrics),
            Route("/nudge/{psa}", nudge, methods=["POST"]),
        ]
    )


class Door:
    """Where the pushes of one PSA come in. A flood of one PSA's pushes leaves the others' alone.

    Used by one event loop; only the check of a push runs in threads of its own, because it may call the PSA.

    Args:
        read_seconds: How long a body may take to come.
        answer_seconds: How long the check is waited for before the answer.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        psa: str,
        hear: Callable[[str, Push], None],
        *,
        read_seconds: float = READ_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._psa = psa
        self._hear = hear
        self._read_seconds = read_seconds
        self._answer_seconds = answer_seconds
        self._now = now
        self._checks = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix=f"push-{psa}")
        self._in_hand = 0
        self._told_at = float("-inf")
        self._untold = 0

    async def take(self, request: Request) -> Heard:
        """Read, check and pass on one push."""
        heard = await self._take(request)
        PUSHES.labels(self._psa, heard.value).inc()
        if heard is not Heard.TAKEN:
            self._tell(heard)
        return heard

    async def _take(self, request: Request) -> Heard:
        if self._in_hand >= MOST_IN_HAND:
            return Heard.TOO_MANY
        self._in_hand += 1
        try:
            body = await asyncio.wait_for(_read(request), self._read_seconds)
            push = Push(headers=_headers(request), query=dict(request.query_params), body=body)
            check = asyncio.get_running_loop().run_in_executor(self._checks, self._check, push)
        except (TimeoutError, ClientDisconnect):
            self._leave()
            return Heard.TOO_SLOW
        except _TooLarge:
            self._leave()
            return Heard.TOO_LARGE
        except BaseException:
            self._leave()
            raise
        check.add_done_callback(self._leave)
        await asyncio.wait({check}, timeout=self._answer_seconds)
        # A check that takes longer goes on, and the push still counts if it proves itself.
        return check.result() if check.done() else Heard.UNCHECKED

    def _leave(self, _: object = None) -> None:
        self._in_hand -= 1

    def _check(self, push: Push) -> Heard:
        try:
            self._hear(self._psa, push)
        except PushRefused:
            return Heard.REFUSED
        except ConnectorError:
            return Heard.UNCHECKED
        except Exception as bug:
            # Its place, but not its words: those of a parser quote what it could not read.
            quiet = RuntimeError(f"a push of {self._psa} could not be read ({type(bug).__name__})")
            report(quiet.with_traceback(bug.__traceback__), job="push")
            return Heard.BUG
        return Heard.TAKEN

    def _tell(self, heard: Heard) -> None:
        """One line a minute, however many there are; which they were, the metrics say."""
        self._untold += 1
        if self._now() - self._told_at >= LOG_EVERY_SECONDS:
            log.warning("push_not_taken", psa=self._psa, because=heard.value, since_last_line=self._untold)
            self._told_at, self._untold = self._now(), 0


class _TooLarge(Exception):
    """The body is longer than a push may be; the rest of it was not read."""


async def _read(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    if len(announced) > 9 or not announced.isascii() or not announced.isdigit() or int(announced) > LONGEST_PUSH:
        raise _TooLarge  # before anything of it is read
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > LONGEST_PUSH:
            raise _TooLarge
        body += chunk
    return bytes(body)


def _headers(request: Request) -> Mapping[str, str]:
    """By lower-case name. A header that comes twice is joined, so that a second proof spoils the first."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class Impatient(H11Protocol):
    """A connection that ends when nobody asks anything on it; who keeps many half-open must not stop the daemon."""

    patience = HEAD_SECONDS
    most = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._wait_for_more_than(None)

    def _wait_for_more_than(self, cycle: object) -> None:
        self.loop.call_later(self.patience, self._look, cycle)

    def _look(self, before: object) -> None:
        if self.transport.is_closing():
            return
        resting = getattr(self.cycle, "response_complete", True)  # there is none before the first request
        if resting and self.cycle is before:
            self.transport.abort()
        else:
            self._wait_for_more_than(self.cycle)


class Inbound:
    """The server in a thread of its own.

    Raises:
        ConfigError: From `start`, when the address is taken or not ours.
    """

    def __init__(self, app: Starlette, *, host: str, port: int) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app, host=host, port=port, log_config=None, access_log=False, server_header=False, proxy_headers=False,
            lifespan="off", timeout_graceful_shutdown=2, http=Impatient,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="inbound", daemon=True)

    def start(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With the protocol named: without it asyncio leaves Nagle's algorithm on, and each answer takes 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name != "nt":  # there it would let two programs share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise ConfigError(
                f"inbound.listen: {self._host}:{self._port} cannot be used: another program listens there, or the "
                "address is not of this machine. Choose another."
            ) from None
        self._socket = listener
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket] if self._socket else None)
