"""Waiting at the link service for news: one call, held open, that nothing repeats."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import pytest

from connector.core.ports import LinkService
from connector.core.secret import Secret
from connector.errors import AuthenticationError, TemporaryError
from tests.contracts.links import read_on
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, options_for
from tests.secretlink.test_client import client, wish


@pytest.fixture
def address(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[str]:
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        yield url


@pytest.fixture
def links(address: str, api_key: str, clock: FakeClock) -> LinkService:
    return client(address, api_key, clock)


def test_a_wait_ends_as_soon_as_there_is_news(links: LinkService) -> None:
    links.create(wish(), Secret(secrets.token_urlsafe()))
    _, cursor = read_on(links)
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        waiting = pool.submit(links.await_news, cursor, timedelta(seconds=25))
        links.create(wish(), Secret(secrets.token_urlsafe()))
        assert waiting.result(timeout=20)
        assert time.monotonic() - started < 20


def test_a_wait_in_vain_ends_with_its_time_and_what_is_there_already_is_not_waited_for(links: LinkService) -> None:
    assert not links.await_news("", timedelta(milliseconds=1))
    links.create(wish(), Secret(secrets.token_urlsafe()))
    assert links.await_news("", timedelta(seconds=25))


class Counting:
    """A server that answers everything alike, and counts."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize(
    ("status", "headers"),
    [(503, {"Retry-After": "1"}), (503, {}), (429, {"Retry-After": "1"}), (502, {}), (500, {"Retry-After": "0"})],
)
def test_a_wait_is_sent_once_whatever_comes_of_it(clock: FakeClock, status: int, headers: dict[str, str]) -> None:
    with Counting(status, headers) as server:
        links = client(server.url, secrets.token_urlsafe(32), clock)
        with pytest.raises(TemporaryError):
            links.await_news("", timedelta(seconds=25))
        assert server.asked == 1


def test_a_wait_with_a_wrong_key_is_an_authentication_error(address: str, clock: FakeClock) -> None:
    with pytest.raises(AuthenticationError):
        client(address, secrets.token_urlsafe(32), clock).await_news("", timedelta(seconds=25))
