"""Request Tracker, against a real server of our own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from connector.core.ports import Level, Note, Push, StatusTarget
from connector.errors import PushRefused, TemporaryError
from connector.psa.requesttracker.adapter import RequestTracker
from sandbox.stage import free_port
from tests.e2e.request_tracker import (
    APPROVER,
    CONNECTOR,
    CONNECTOR_IN_COPENHAGEN,
    HELPDESK,
    ODD_QUEUE,
    Desk,
    Server,
    request_tracker_or_skip,
    running_request_tracker,
)
from tests.psa.requesttracker_desk import (
    STATUSES,
    Border,
    RequestTrackerContract,
    RequestTrackerDesk,
    wait_for_the_next_second,
)
from tests.psa.requesttracker_oddities import FIELDS, Build, Oddities, build_adapter

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "docs" / "psa" / "requesttracker.md"
ROUNDS, TRIES = 15, 2
"""Of the race for a ticket, and of each connector in it."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    request_tracker_or_skip()
    with running_request_tracker() as running:
        yield running


class OnARunningServer:
    @pytest.fixture
    def desk(self, server: Server) -> Desk:
        server.reset()
        return server.desk()

    @pytest.fixture
    def build(self, server: Server, tmp_path: Path) -> Build:
        def build(user: str | None = CONNECTOR, **changed: Any) -> RequestTracker:
            token = server.tokens[user] if user else secrets.token_urlsafe(24)
            return build_adapter(tmp_path, server.base_url, token, **changed)

        return build


class Taking:
    def test_of_two_connectors_that_take_a_ticket_at_once_one_wins(self, desk: Desk, build: Build) -> None:
        users = (CONNECTOR, CONNECTOR_IN_COPENHAGEN)
        connectors = [(user, build(user=user, claim=True)) for user in users for _ in range(TRIES)]
        with ThreadPoolExecutor(len(connectors)) as pool:
            for _ in range(ROUNDS):
                ticket = desk.request()
                start = Barrier(len(connectors))
                said = list(pool.map(partial(taken, ticket, start), (psa for _, psa in connectors)))
                owner = desk.owner(ticket)
                assert owner in users
                for (user, psa), won in zip(connectors, said, strict=True):
                    # Whoever came too late to see the ticket as it was asks again, and is then told who has it.
                    assert (psa.move(ticket, StatusTarget.WORKING) if won is None else won) == (user == owner)
                    assert bool(psa.read(ticket).taken_by) == (user != owner)
                assert desk.owner(ticket) == owner


def taken(ticket: str, start: Barrier, psa: RequestTracker) -> bool | None:
    """What taking it said; `None` for "it changed meanwhile, try again"."""
    start.wait(30)
    try:
        return psa.move(ticket, StatusTarget.WORKING)
    except TemporaryError:
        return None


class Page:
    """docs/psa/requesttracker.md says what the program says."""

    page = " ".join(PAGE.read_text(encoding="utf-8").split())

    @pytest.mark.parametrize(
        ("user", "changed", "about"),
        [
            (CONNECTOR, {"requests": [{"queue": "Servicedesk", **FIELDS}]}, "there is no queue 'Servicedesk'"),
            (HELPDESK, {}, "cannot see the queue ___Approvals"),
            (HELPDESK, {}, "No approval is visible"),
            (APPROVER, {}, "may write into approvals"),
        ],
    )
    def test_its_typical_mistakes_are_quoted_as_check_tells_them(
        self, desk: Desk, build: Build, user: str, changed: dict[str, Any], about: str
    ) -> None:
        desk.request()
        [finding] = [one for one in build(user=user, **changed).check() if about in one.text]
        level = {Level.ERROR: "ERROR", Level.WARNING: "warn"}[finding.level]
        # Its test server has a second queue, which the page leaves out.
        text = finding.text.replace("O'Brien \\ Sons (4), ", "")
        assert f"{level} {finding.about}: {text} -> {finding.todo}" in self.page


class TestRequestTracker(OnARunningServer, Oddities, Taking, Page):
    """One class, for each that another worker plays warms up a server of its own."""


def test_the_mapping_of_the_page_is_a_right_one(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [mapping] = [block for block in blocks if block.startswith("requests:")]
    psa = build_adapter(tmp_path, "https://rt.example.com", secrets.token_hex(16), **yaml.safe_load(mapping))
    assert psa.rules.time_spent.total_seconds() == 300
    assert psa.rules.public_notes == {"recognised"}


class Telling(NamedTuple):
    """A server with the scrip, and where that posts to: nobody listens there unless a test does."""

    server: Server
    port: int


@pytest.fixture(scope="module")
def telling() -> Iterator[Telling]:
    request_tracker_or_skip()
    port = free_port()
    with running_request_tracker(workers=1, nudge=f"http://127.0.0.1:{port}/nudge/rt") as server:
        yield Telling(server, port)


@pytest.fixture
def pushes(telling: Telling) -> Iterator[list[Push]]:
    """What the server has posted in this test."""
    heard: list[Push] = []
    with listening(heard, telling.port):
        yield heard


class TestBeingTold:
    """The scrip of docs/psa/requesttracker.md, in a server of its own."""

    def test_what_people_do_arrives_with_the_token_and_the_ticket_s_id(
        self, telling: Telling, pushes: list[Push], tmp_path: Path
    ) -> None:
        server = telling.server
        desk = server.desk()
        psa = adapter_with_push(tmp_path, server, server.nudge_token)

        def told() -> set[str]:
            ids = {one for push in pushes for one in psa.heard(push)}
            pushes.clear()
            return ids

        ticket = desk.request()
        assert told() == {ticket}
        desk.approve(desk.approvals_of(ticket)[0], words="Fine.")
        assert told() == {ticket}
        desk.reopen(desk.approvals_of(ticket)[0])
        assert told() == {ticket}, "which changes nothing on the ticket itself"
        desk.fill(ticket, Target_user="paul@contoso.example")
        assert told() == {ticket}
        psa.add_note(ticket, Note("Recognised.", "c1-recognised"))
        assert told() == set(), "what we do ourselves is no news"
        desk.request("Other", queue=ODD_QUEUE)
        assert told() == set(), "a queue that the scrip does not name"

    def test_a_push_to_a_connector_with_another_token_is_refused(
        self, telling: Telling, pushes: list[Push], tmp_path: Path
    ) -> None:
        telling.server.desk().request()
        assert pushes
        psa = adapter_with_push(tmp_path, telling.server, secrets.token_hex(24))
        for push in pushes:
            with pytest.raises(PushRefused):
                psa.heard(push)

    def test_a_connector_that_is_away_holds_nobody_up(self, telling: Telling) -> None:
        desk = telling.server.desk()
        ticket = desk.request()
        assert desk.status(ticket) == "new"
        assert "The connector was not told" in (telling.server.home / "server.log").read_text(encoding="utf-8")


def adapter_with_push(folder: Path, server: Server, token: str) -> RequestTracker:
    (folder / "push.token").write_text(token)
    return build_adapter(
        folder, server.base_url, server.tokens[CONNECTOR], section={"push": {"token": {"file": "push.token"}}}
    )


@contextmanager
def listening(heard: list[Push], port: int) -> Iterator[None]:
    """Note what is posted to this port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            heard.append(Push(headers=headers, query=dict(parse_qsl(parts.query)), body=body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestContract(RequestTrackerContract):
    @pytest.fixture
    def desk(self, server: Server, tmp_path: Path) -> Iterator[RequestTrackerDesk]:
        server.reset()
        token = server.tokens[CONNECTOR]
        with Border(server.base_url).open() as border:
            yield RequestTrackerDesk(
                server.desk(),
                border,
                lambda **changed: build_adapter(tmp_path, border.url, token, **{"statuses": STATUSES, **changed}),
                wait_for_the_next_second,
            )
