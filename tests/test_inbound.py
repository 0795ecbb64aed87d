"""The daemon's small HTTP side."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse

import pytest
import structlog
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from connector.core.ports import Push
from connector.errors import AuthenticationError, ConfigError, PushRefused, TemporaryError
from connector.inbound import LOG_EVERY_SECONDS, LONGEST_PUSH, MOST_IN_HAND, Door, Health, Heard, Inbound, create_app
from connector.telemetry.metrics import PASSES
from sandbox.stage import call, free_port, wait_for


class Daemon:
    """What the HTTP side asks."""

    def __init__(self) -> None:
        self.state = Health(True, {}, "")
        self.heard: list[tuple[str, Push]] = []
        self.trouble: dict[str, Exception] = {}
        self.busy: dict[str, threading.Event] = {}

    def hear(self, name: str, push: Push) -> None:
        if name in self.busy:
            self.busy[name].wait(20)
        if name in self.trouble:
            raise self.trouble[name]
        self.heard.append((name, push))

    def app(self) -> Starlette:
        return create_app(health=lambda: self.state, psas=["halo", "cw"], hear=self.hear)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def address(daemon: Daemon) -> Iterator[str]:
    port = free_port()
    inbound = Inbound(daemon.app(), host="127.0.0.1", port=port)
    inbound.start()
    url = f"http://127.0.0.1:{port}"
    wait_for("the first answer", lambda: _status("GET", f"{url}/healthz"))
    yield url
    inbound.stop()


def _status(method: str, url: str) -> int:
    from urllib.error import HTTPError

    try:
        call(method, url)
    except HTTPError as refusal:
        with refusal:
            return refusal.code
    except OSError:
        return 0
    return 200


def test_health_names_what_is_down_and_stays_well(daemon: Daemon, address: str) -> None:
    daemon.state = Health(True, {"psa.halo": "it is away"}, "by an administrator")
    assert call("GET", f"{address}/healthz") == {
        "status": "ok",
        "down": {"psa.halo": "it is away"},
        "paused": "by an administrator",
    }


def test_a_stuck_daemon_is_unwell(daemon: Daemon, address: str) -> None:
    daemon.state = Health(False, {}, "")
    assert _status("GET", f"{address}/healthz") == 503


def test_metrics_are_prometheus_text(address: str) -> None:
    PASSES.labels("done").inc()
    text = call("GET", f"{address}/metrics")
    assert "# TYPE connector_passes_total counter" in text
    assert 'connector_passes_total{result="done"}' in text


def push(
    address: str, body: bytes = b"", *, to: str = "/nudge/halo", headers: Mapping[str, str] | None = None
) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers (lower-case names) of the answer."""
    with ExitStack() as stack:
        connection = HTTPConnection(address.removeprefix("http://"), timeout=20)
        stack.callback(connection.close)
        connection.request("POST", to, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}


def counted(result: Heard, psa: str = "halo") -> float:
    return REGISTRY.get_sample_value("connector_pushes_total", {"psa": psa, "result": result.value}) or 0.0


def test_a_push_is_handed_over_as_it_came(daemon: Daemon, address: str) -> None:
    body, before = secrets.token_bytes(2000), counted(Heard.TAKEN)
    status, said, _ = push(
        address, body, to="/nudge/halo?recordId=7&recordId=8&action=", headers={"X-Content-Signature": "abc="}
    )
    assert (status, json.loads(said)) == (202, {"status": "heard"})
    ((name, heard),) = daemon.heard
    assert (name, heard.body, heard.query) == ("halo", body, {"recordId": "8", "action": ""})
    assert heard.headers["x-content-signature"] == "abc="
    assert counted(Heard.TAKEN) == before + 1


def test_only_posts_to_psas_of_the_configuration_are_heard(daemon: Daemon, address: str) -> None:
    stranger = f"stranger-{secrets.token_hex(8)}"
    for path in (f"/nudge/{stranger}", "/nudge/halo/more", "/nudge/", "/nudge/../metrics", "/nudge/%2e%2e/metrics"):
        assert push(address, to=path)[0] == 404
    assert _status("GET", f"{address}/nudge/halo") == 405
    assert daemon.heard == []
    assert stranger not in call("GET", f"{address}/metrics"), "strangers make no metrics"


def test_a_header_that_comes_twice_cannot_hide_behind_the_first(daemon: Daemon, address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    lines = ["POST /nudge/halo HTTP/1.1", "Host: x", "Authorization: one", "Authorization: two", "Content-Length: 0"]
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        assert line.recv(100).startswith(b"HTTP/1.1 202")
    assert daemon.heard[0][1].headers["authorization"] == "one, two"


def test_a_push_that_proves_nothing_is_refused_in_the_same_words_whatever_it_says(daemon: Daemon, address: str) -> None:
    word = secrets.token_urlsafe(20)
    proof = "Basic " + base64.b64encode(f"halo:{word}".encode()).decode()
    daemon.trouble["halo"] = PushRefused(f"a message that quotes {word}")
    before = counted(Heard.REFUSED)
    with structlog.testing.capture_logs() as logs:
        answers = [
            push(address, word.encode(), to=f"/nudge/halo?word={word}", headers={"Authorization": proof})[:2],
            push(address)[:2],
        ]
    assert answers == [(401, '{"status":"refused"}')] * 2
    assert counted(Heard.REFUSED) == before + 2
    assert logs == [
        {"event": "push_not_taken", "log_level": "warning", "psa": "halo", "because": "refused", "since_last_line": 1}
    ]


@pytest.mark.parametrize(
    "trouble", [TemporaryError("the key cannot be fetched"), AuthenticationError("no", scope="psa.halo")]
)
def test_a_push_whose_proof_cannot_be_checked_is_put_off(daemon: Daemon, address: str, trouble: Exception) -> None:
    daemon.trouble["halo"] = trouble
    status, said, headers = push(address)
    assert (status, said, headers["retry-after"]) == (503, '{"status":"not now"}', "30")
    assert daemon.heard == []


def test_a_push_that_breaks_the_adapter_shows_nothing_of_itself(daemon: Daemon, address: str) -> None:
    word = secrets.token_urlsafe(20)
    daemon.trouble["halo"] = ValueError(f"cannot read {word}")
    with structlog.testing.capture_logs() as logs:
        assert push(address, word.encode())[:2] == (503, '{"status":"not now"}')
    assert [log["because"] for log in logs] == ["bug"]
    assert word not in str(logs)


def test_a_push_that_says_it_is_too_long_is_not_read(daemon: Daemon, address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        # Nothing follows the headers: an answer proves that nothing was waited for.
        line.sendall(f"POST /nudge/halo HTTP/1.1\r\nHost: x\r\nContent-Length: {LONGEST_PUSH + 1}\r\n\r\n".encode())
        answer = HTTPResponse(line)
        answer.begin()
        assert (answer.status, answer.getheader("Connection")) == (413, "close")
        answer.close()
    assert daemon.heard == []


def test_a_push_without_a_length_is_read_no_further_than_the_limit(daemon: Daemon, address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(b"POST /nudge/halo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(LONGEST_PUSH // 0x8000):
            line.sendall(piece)
        line.sendall(b"1\r\nx\r\n")  # one byte too many, and no end
        answer = HTTPResponse(line)
        answer.begin()
        assert answer.status == 413
        answer.close()
    assert daemon.heard == []
    assert push(address, b"x" * LONGEST_PUSH)[0] == 202, "a body of just the limit is taken"


def test_a_flood_of_one_psas_pushes_is_turned_away_and_holds_up_nobody_else(daemon: Daemon, address: str) -> None:
    daemon.busy["cw"] = threading.Event()
    statuses: list[int] = []

    def flood() -> None:
        statuses.append(push(address, to="/nudge/cw")[0])

    crowd = [threading.Thread(target=flood) for _ in range(MOST_IN_HAND)]
    for one in crowd:
        one.start()
    try:
        # The next ones hear at once that there are too many; the earlier ones are still being checked.
        wait_for("a full house", lambda: push(address, to="/nudge/cw")[0] == 429)
        status, _, headers = push(address, to="/nudge/cw")
        assert (status, headers["retry-after"]) == (429, "2")
        assert push(address, to="/nudge/halo")[0] == 202
        assert call("GET", f"{address}/healthz")["status"] == "ok"
    finally:
        daemon.busy["cw"].set()
        for one in crowd:
            one.join(20)
    assert set(statuses) <= {202, 503, 429}
    wait_for("room again", lambda: push(address, to="/nudge/cw")[0] == 202)


def request_of(body: Callable[[], Awaitable[Message]]) -> Request:
    return Request({"type": "http", "method": "POST", "headers": [], "query_string": b""}, body)


async def empty_body() -> Message:
    return {"type": "http.request", "body": b""}


def test_refused_pushes_are_told_in_one_line_a_minute() -> None:
    clock = [100.0]

    def refuse(name: str, push: Push) -> None:
        raise PushRefused("no proof")

    async def flood() -> None:
        door = Door("halo", refuse, now=lambda: clock[0])
        for moment in [*range(100, 150), 100 + LOG_EVERY_SECONDS]:
            clock[0] = moment
            assert await door.take(request_of(empty_body)) is Heard.REFUSED

    with structlog.testing.capture_logs() as logs:
        asyncio.run(flood())
    assert [log["since_last_line"] for log in logs] == [1, 50]


def test_bodies_that_never_come_give_their_places_back() -> None:
    heard: list[Push] = []

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def crowd() -> None:
        door = Door("halo", lambda _, push: heard.append(push), read_seconds=0.05)
        slow = await asyncio.gather(*(door.take(request_of(never)) for _ in range(MOST_IN_HAND + 3)))
        assert slow.count(Heard.TOO_SLOW) == MOST_IN_HAND
        assert slow.count(Heard.TOO_MANY) == 3
        for _ in range(MOST_IN_HAND + 1):
            assert await door.take(request_of(gone)) is Heard.TOO_SLOW
        assert heard == []
        assert await door.take(request_of(empty_body)) is Heard.TAKEN

    asyncio.run(crowd())
    assert len(heard) == 1


def test_a_check_that_takes_long_is_answered_meanwhile_and_still_counts() -> None:
    go_on, done = threading.Event(), threading.Event()

    def slow(name: str, push: Push) -> None:
        go_on.wait(20)
        done.set()

    async def ask() -> Heard:
        return await Door("halo", slow, answer_seconds=0.05).take(request_of(empty_body))

    async def both() -> None:
        assert await ask() is Heard.UNCHECKED
        go_on.set()
        assert await asyncio.to_thread(done.wait, 20)

    asyncio.run(both())


def test_a_taken_port_is_a_sentence(daemon: Daemon) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"inbound.listen: 127.0.0.1:{port} cannot be used"):
            Inbound(daemon.app(), host="127.0.0.1", port=port).start()
