"""Readers that wait, over real connections."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests
import uvicorn
from starlette.applications import Starlette

from connector.secretlink.service.news import MOST_WAITING_PER_KEY
from connector.secretlink.service.web import create_app, open_listener
from connector.secretlink.service.wire import bounded_http
from tests.secretlink.support import FakeClock, make_link, options_for

PATIENCE = 20  # seconds until a test gives up


@contextmanager
def serving(app: Starlette) -> Iterator[int]:
    """Serve an application on a port of its own until the block ends."""
    listener = open_listener("127.0.0.1", 0)
    config = uvicorn.Config(app, http=bounded_http(), proxy_headers=False, access_log=False, log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        app.state.news.close()
        server.should_exit = True
        thread.join()
        listener.close()


def until(fact: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.005)


def test_connections_that_are_cut_give_their_places_back_while_others_go_on_waiting(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    cut, kept = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    app = create_app(options_for(database, pepper, "", api_keys=(cut, kept)), clock=clock)
    places = app.state.api.places
    with serving(app) as port:
        wait = "GET /api/v1/events?wait=30 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n"
        readers = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_WAITING_PER_KEY)]
        for reader in readers:
            reader.sendall(wait.format(cut).encode())
        other = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        other.sendall(wait.format(kept).encode())
        until(lambda: places.taken == MOST_WAITING_PER_KEY + 1)
        for reader in readers:
            reader.close()
        until(lambda: places.taken == 1)
        headers = {"Authorization": f"Bearer {kept}"}
        links = f"http://127.0.0.1:{port}/api/v1/links"
        made = requests.post(links, json=make_link().to_body(), headers=headers, timeout=PATIENCE)
        assert made.status_code == 201
        answer = b""
        while b'"kind":"created"' not in answer:
            answer += (part := other.recv(65536))
            assert part, "it was sent away"
        other.close()
        until(lambda: places.taken == 0)
