"""The process: it says when it is ready, ends when told, and keeps no secret on disk or in its logs."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog.testing
from sqlalchemy import event as sql_event

from connector.errors import ConfigError
from connector.secretlink.seal import Pepper
from connector.secretlink.service.answers import UNIFORM_HEADERS
from connector.secretlink.service.news import News
from connector.secretlink.service.store.events import EventKind, Visitor
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.web import _keep_writing, create_app, open_listener
from tests.secretlink.support import (
    Made,
    encode,
    full_disk,
    make_database,
    make_link,
    new_nonce,
    options_for,
)

# Everything that can be logged is, to the standard error.
SERVE = """
import logging, sys
import structlog
from connector.secretlink.service.web import LinkServiceOptions, serve

logging.basicConfig(level=logging.DEBUG)
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
database, pepper, key = sys.stdin.readline().split()
options = LinkServiceOptions(
    database=database, listen_host="127.0.0.1", listen_port=0, url="http://127.0.0.1",
    pepper=bytes.fromhex(pepper), api_keys=(key,),
)
serve(options, ready=lambda host, port: print(port, flush=True))
print("ended", flush=True)
"""

EARLY = """
import signal
from connector.secretlink.service import web

listen = web.open_listener
def told_to_end(host, port):
    signal.raise_signal(signal.SIGTERM)
    return listen(host, port)
web.open_listener = told_to_end
"""


class Process:
    """A link service of its own."""

    def __init__(self, database: str, pepper: bytes, api_key: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{database} {pepper.hex()} {api_key}\n")
        self.process.stdin.flush()
        self.address = ("127.0.0.1", int(self.process.stdout.readline()))
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.api = {"Authorization": f"Bearer {api_key}"}

    def create(self, link: Made) -> None:
        answer = requests.post(f"{self.url}/api/v1/links", headers=self.api, json=link.to_body(), timeout=10)
        assert answer.status_code == 201, answer.status_code

    def open(self, link: Made) -> str:
        """Everything that a person does; gives the password."""
        page = requests.get(self.url + link.path, timeout=10).text
        challenge = page.split('data-challenge="', 1)[1].split('"', 1)[0]
        headers = {"X-Reveal": "1"}
        step = requests.post(f"{self.url}{link.path}/step", headers=headers, json={"challenge": challenge}, timeout=10)
        # A real pace over a real network: the one thing that cannot be hurried.
        time.sleep(0.85)
        content = {"challenge": step.json()["challenge"], "nonce": new_nonce()}
        shown = requests.post(f"{self.url}{link.path}/reveal", headers=headers, json=content, timeout=10)
        assert shown.status_code == 200, shown.status_code
        return str(shown.json()["password"])

    def stop(self, number: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, log = self.process.communicate(timeout=30)
        return self.process.returncode, out, log


@contextmanager
def process(database: str, pepper: bytes, api_key: str) -> Iterator[Process]:
    started = Process(database, pepper, api_key)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to one process of ours alone")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_in_peace_even_while_somebody_waits_for_events(
    tmp_path: Path, pepper: bytes, api_key: str, number: signal.Signals
) -> None:
    with process(make_database(tmp_path), pepper, api_key) as service:
        answers: list[requests.Response] = []
        url = f"{service.url}/api/v1/events?after=0&wait=30"
        waiting = threading.Thread(target=lambda: answers.append(requests.get(url, headers=service.api, timeout=60)))
        waiting.start()
        while requests.get(f"{service.url}/healthz", timeout=10).json() != {"status": "ok"}:
            pass
        began = time.monotonic()
        code, out, _ = service.stop(number)
        waiting.join()
    assert (code, out.strip()) == (0, "ended")
    assert time.monotonic() - began < 10
    assert answers[0].json()["events"] == []


def test_who_tells_it_to_end_before_it_takes_requests_is_heard(tmp_path: Path, pepper: bytes, api_key: str) -> None:
    told = f"{make_database(tmp_path)} {pepper.hex()} {api_key}"
    program = [sys.executable, "-c", EARLY + SERVE]
    ended = subprocess.run(program, input=told, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "ended")  # and no port before it
    assert "link_service_stopped" in ended.stderr


def test_a_whole_story_leaves_no_secret_on_disk_or_in_the_logs(tmp_path: Path, pepper: bytes, api_key: str) -> None:
    database = make_database(tmp_path)
    with process(database, pepper, api_key) as service:
        link = make_link(views=2, now=datetime.now(UTC))
        unopened = make_link(now=datetime.now(UTC))
        service.create(link)
        service.create(unopened)
        assert service.open(link) == link.password.reveal()
        alive = b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
        assert service.open(link) == link.password.reveal()
        requests.get(service.url + link.path, timeout=10)
        requests.post(service.url + link.path + "/reveal", data=b"nonsense", timeout=10)
        if sys.platform == "win32":
            service.process.kill()
            _, log = service.process.communicate()
        else:
            _, _, log = service.stop(signal.SIGTERM)
    left = b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
    assert link.terms.link_id.encode() in left
    assert "DEBUG" in log
    assert "link_service_stopped" in log
    for made in (link, unopened):
        for secret in (made.password.reveal(), made.token.reveal(), encode(made.lookup), encode(made.sealed), api_key):
            assert secret.encode() not in alive + left
            assert secret not in log
        for secret_bytes in (made.key, made.lookup, made.sealed, pepper):
            assert secret_bytes not in alive + left


def test_a_link_that_runs_out_while_nobody_asks_is_expired_by_the_timer(
    tmp_path: Path, pepper: bytes, api_key: str
) -> None:
    with process(make_database(tmp_path), pepper, api_key) as service:
        link = make_link(now=datetime.now(UTC), lifetime=timedelta(seconds=1.5))
        service.create(link)
        url = f"{service.url}/api/v1/events?after=1&wait=20"
        (event,) = requests.get(url, headers=service.api, timeout=30).json()["events"]
        assert (event["kind"], event["link_id"]) == ("expired", link.terms.link_id)
        assert json.dumps(event).count(link.token.reveal()) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to one process of ours alone")
def test_half_a_request_does_not_hold_up_the_end(tmp_path: Path, pepper: bytes, api_key: str) -> None:
    with (
        process(make_database(tmp_path), pepper, api_key) as service,
        socket.create_connection(service.address, timeout=10) as line,
    ):
        line.sendall(b"GET /s/half HTTP/1.1\r\nHos")
        # Asked later on another connection: by its answer the half has come, too.
        assert requests.get(f"{service.url}/healthz", timeout=10).ok
        began = time.monotonic()
        code, out, _ = service.stop(signal.SIGTERM)
        assert line.recv(100) == b""
    assert (code, out.strip()) == (0, "ended")
    assert time.monotonic() - began < 5


def test_a_request_without_end_is_refused_by_the_service_itself_and_not_logged(
    tmp_path: Path, pepper: bytes, api_key: str
) -> None:
    with process(make_database(tmp_path), pepper, api_key) as service:
        with socket.create_connection(service.address, timeout=10) as line:
            line.sendall(b"GET /s/" + b"endless" * 2**11 + b"endless" * 2**9)
            answer = line.recv(65536)
        service.process.kill()
        _, log = service.process.communicate()
    assert answer.startswith(b"HTTP/1.1 431 ")
    for name, value in UNIFORM_HEADERS.items():
        assert f"\r\n{name.lower()}: {value}\r\n".encode() in answer
    assert b"endless" not in answer
    assert "DEBUG" in log
    assert "endless" not in log


def test_a_service_that_ends_while_the_disk_is_full_still_lets_go_of_everything(
    database: str, pepper: bytes, api_key: str
) -> None:
    app = create_app(options_for(database, pepper, api_key))
    vault: Vault = app.state.vault
    for _ in range(40):
        vault.create(make_link(now=datetime.now(UTC)).to_new_link())

    async def live() -> None:
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)
            assert vault.engine.pool.checkedin()  # type: ignore[attr-defined]

    with structlog.testing.capture_logs() as logs, full_disk(room=1):
        asyncio.run(live())
    assert vault.engine.pool.checkedin() == 0  # type: ignore[attr-defined]
    assert {line["event"] for line in logs} == {"link_database_away"}


def test_openings_are_written_on_after_an_error_that_nobody_foresaw(database: str, pepper: bytes) -> None:
    openings = News()
    vault = Vault(database, Pepper(pepper), clock=lambda: datetime.now(UTC), on_opening=openings.announce)
    record, _ = vault.create(make_link(now=datetime.now(UTC)).to_new_link())

    async def until(something: Callable[[], bool]) -> None:
        ends = time.monotonic() + 10
        while not something() and time.monotonic() < ends:
            await asyncio.sleep(0.01)
        assert something()

    def fail(*_: Any) -> None:
        raise ArithmeticError("nobody foresaw this")

    async def live(logs: Sequence[Mapping[str, object]]) -> None:
        writing = asyncio.create_task(_keep_writing(vault, openings))
        await asyncio.sleep(0)
        sql_event.listen(vault.engine, "begin", fail)
        vault.visit(record, EventKind.PAGE_OPENED, visitor=Visitor())
        await until(lambda: bool(logs) or writing.done())
        sql_event.remove(vault.engine, "begin", fail)
        vault.visit(record, EventKind.PAGE_OPENED, visitor=Visitor())
        await until(lambda: vault.newest_event() == 3)
        writing.cancel()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(live(logs))
    assert [(line["event"], line["error"]) for line in logs] == [("link_service_bug", "ArithmeticError")]
    vault.close()


def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="another program"):
        open_listener("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", "nowhere.invalid"])
def test_where_nobody_can_listen_it_is_not_said_that_the_port_is_taken(host: str) -> None:
    with pytest.raises(ConfigError, match="it names an address of this machine") as refusal:
        open_listener(host, 8081)
    assert "another program" not in str(refusal.value)


def test_answers_on_a_kept_connection_do_not_wait_for_the_clients_acknowledgement() -> None:
    """asyncio switches Nagle's algorithm off only on sockets that say that they are TCP."""
    with open_listener("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
