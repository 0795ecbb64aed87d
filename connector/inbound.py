"""The daemon's small HTTP side: `/healthz`, `/metrics` and `POST /nudge/{psa}`.

A nudge means "poll this PSA now" and nothing else: its body is not read, so nobody gains anything by forging one.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connector.errors import ConfigError

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


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


def create_app(*, health: Callable[[], Health], nudge: Callable[[str], bool]) -> Starlette:
    """The application.

    Args:
        nudge: Takes the name of a PSA; `False` when there is none of that name.
    """

    def healthz(_: Request) -> Response:
        state = health()
        body = {"status": "ok" if state.well else "unwell", "down": dict(state.down), "paused": state.paused}
        return JSONResponse(body, status_code=200 if state.well else 503, headers=HEADERS)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST, headers=HEADERS)

    def nudged(request: Request) -> Response:
        if nudge(request.path_params["psa"]):
            return JSONResponse({"status": "polling"}, status_code=202, headers=HEADERS)
        return JSONResponse({"error": "no PSA of this name is configured"}, status_code=404, headers=HEADERS)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/metrics", metrics),
            Route("/nudge/{psa}", nudged, methods=["POST"]),
        ]
    )


class Inbound:
    """The server in a thread of its own.

    Raises:
        ConfigError: From `start`, when the address is taken or not ours.
    """

    def __init__(self, app: Starlette, *, host: str, port: int) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app, host=host, port=port, log_config=None, access_log=False, server_header=False, proxy_headers=False,
            lifespan="off", timeout_graceful_shutdown=2,
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
