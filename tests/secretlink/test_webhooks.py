"""Webhooks: what independent libraries accept, in order, at least once, and never in anybody's way."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import standardwebhooks
import structlog
import svix.webhooks
import trustme
import yaml
from sqlalchemy import event as sql_event

from connector.config import load_link_server
from connector.errors import ConfigError
from connector.secretlink.seal import Pepper
from connector.secretlink.service.news import News
from connector.secretlink.service.options import LinkServiceOptions, WebhookOptions
from connector.secretlink.service.signature import read_secret, signed_headers
from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.store.webhook_cursor import LEASE_MS, WebhookCursor
from connector.secretlink.service.webhooks import FIRST_WAIT, GIVE_UP_AFTER, LONGEST_WAIT, TIMEOUT, Webhooks, wait_after
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, Made, encode, make_link, new_nonce, open_page, options_for

KINDS = frozenset({"revealed", "expired", "revoked", "reported"})
PATIENCE = 20  # seconds until a test gives up


def new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@dataclass(frozen=True)
class Delivery:
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """A web server that takes deliveries and answers what it was told to; 204 when nothing is left to say."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.drips: list[bytes] = []
        """How answers begin that go on, bit by bit, until nobody listens."""
        self.let_go: list[float] = []
        self.hang = threading.Event()
        self.hang.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.deliveries.append(Delivery(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                receiver.hang.wait(PATIENCE)
                if receiver.drips:
                    self._drip(receiver.drips.pop(0))
                    return
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _drip(self, beginning: bytes) -> None:
                began = time.monotonic()
                self.close_connection = True
                with suppress(OSError):
                    self.wfile.write(beginning)
                    while time.monotonic() - began < PATIENCE:
                        self.wfile.write(b"X-Drip: x\r\n" if beginning.endswith(b"\n") else b"x")
                        time.sleep(0.01)
                receiver.let_go.append(time.monotonic() - began)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}/hooks/path-of-the-receiver"

    def seconds_until_let_go(self, count: int) -> list[float]:
        """How long so many dripping answers were listened to."""
        ends = time.monotonic() + PATIENCE
        while len(self.let_go) < count and time.monotonic() < ends:
            time.sleep(0.005)
        assert len(self.let_go) == count
        return self.let_go

    def close(self) -> None:
        self.hang.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@dataclass
class Bench:
    """A vault, its news, and what tells a receiver of them."""

    database: str
    pepper: bytes
    clock: Callable[[], datetime]
    secrets: tuple[str, ...]
    news: News = field(default_factory=News)
    ca_bundle: str | None = None
    proxy: str | None = None
    timeout: timedelta = TIMEOUT

    def __post_init__(self) -> None:
        self.vault = Vault(self.database, Pepper(self.pepper), clock=self.clock, on_event=self.news.announce)

    def options(self, url: str) -> WebhookOptions:
        return WebhookOptions(url, tuple(read_secret(one) for one in self.secrets), KINDS, self.ca_bundle, self.proxy)

    def made(self) -> Made:
        link = make_link(now=self.clock())
        self.vault.create(link.to_new_link())
        return link

    def reveal(self, link: Made) -> None:
        self.vault.claim(link.lookup, token=link.key, nonce=new_nonce(), visitor=Visitor(ip="203.0.113.9"))

    async def tell(self, url: str, *, until: Callable[[], bool], acts: tuple[Callable[[], object], ...] = ()) -> None:
        """Run the webhooks, act, and stop as soon as something is so."""
        self.news = self.news if not self.news.closed else News()
        self.vault._on_event = self.news.announce
        webhooks = Webhooks(
            self.options(url), self.vault, self.news, clock=self.clock, first_wait=timedelta(milliseconds=20),
            timeout=self.timeout,
        )  # fmt: skip
        task = asyncio.create_task(webhooks.run())
        await asyncio.sleep(0)
        for act in acts:
            act()
        ends = time.monotonic() + PATIENCE
        while not until() and time.monotonic() < ends:
            await asyncio.sleep(0.005)
        done = until()
        self.news.close()
        await asyncio.wait_for(task, PATIENCE)
        assert done, "it never came to be"


@pytest.fixture
def bench(either_database: str, pepper: bytes) -> Iterator[Bench]:
    made = Bench(either_database, pepper, lambda: datetime.now(UTC), (new_secret(),))
    yield made
    made.vault.close()


def run(bench: Bench, receiver: Receiver, count: int, *acts: Callable[[], object]) -> list[Delivery]:
    """Tell until the receiver has seen so many deliveries; those."""
    asyncio.run(bench.tell(receiver.url, until=lambda: len(receiver.deliveries) >= count, acts=acts))
    return receiver.deliveries


def test_two_independent_libraries_accept_a_delivery_and_refuse_a_changed_one(bench: Bench, receiver: Receiver) -> None:
    link = bench.made()
    (delivery,) = run(bench, receiver, 1, lambda: bench.reveal(link))
    checkers = (
        (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
        (svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
    )
    for checker, refusal in checkers:
        headers = dict(delivery.headers)
        checker(bench.secrets[0]).verify(delivery.body, headers)
        changed = delivery.body.replace(b"revealed", b"revoked!", 1)
        old = str(int(delivery.headers["webhook-timestamp"]) - 3600)
        again = signed_headers(
            delivery.body, message_id=delivery.id, now=datetime.now(UTC) - timedelta(hours=1),
            secrets=[read_secret(bench.secrets[0])],
        )  # fmt: skip
        for secret, body, shown in (
            (bench.secrets[0], changed, headers),
            (new_secret(), delivery.body, headers),
            (bench.secrets[0], delivery.body, headers | {"webhook-timestamp": old}),
            (bench.secrets[0], delivery.body, headers | {"webhook-id": "evt_other"}),
            (bench.secrets[0], delivery.body, headers | dict(again)),
        ):
            with pytest.raises(refusal):
                checker(secret).verify(body, shown)


def test_while_secrets_are_rotated_a_receiver_needs_only_one_of_them(bench: Bench, receiver: Receiver) -> None:
    bench.secrets = (new_secret(), new_secret())
    link = bench.made()
    (delivery,) = run(bench, receiver, 1, lambda: bench.reveal(link))
    assert len(delivery.headers["webhook-signature"].split()) == 2
    for secret in bench.secrets:
        standardwebhooks.Webhook(secret).verify(delivery.body, dict(delivery.headers))
        svix.webhooks.Webhook(secret).verify(delivery.body, dict(delivery.headers))


def test_what_was_chosen_is_told_in_order_and_without_a_secret(bench: Bench, receiver: Receiver) -> None:
    first, second = bench.made(), bench.made()
    deliveries = run(
        bench, receiver, 5,
        lambda: bench.reveal(first), bench.made, lambda: bench.vault.revoke(first.terms.link_id),
        lambda: bench.reveal(second), lambda: bench.vault.report_link(second.lookup, visitor=Visitor()),
    )  # fmt: skip
    assert [(one.content["type"], one.content["data"]["link_id"]) for one in deliveries] == [
        ("link.revealed", first.terms.link_id),
        ("link.revoked", first.terms.link_id),
        ("link.revealed", second.terms.link_id),
        ("link.reported", second.terms.link_id),
        ("link.revoked", second.terms.link_id),
    ]
    revealed = deliveries[0].content
    assert revealed.keys() == {"type", "timestamp", "data"}
    assert revealed["timestamp"] == revealed["data"]["at"]
    assert (revealed["data"]["view"], revealed["data"]["views_left"], revealed["data"]["ip"]) == (1, 1, "203.0.113.9")
    assert len({one.id for one in deliveries}) == len(deliveries)
    for link in (first, second):
        for secret in (link.password.reveal(), link.token.reveal(), encode(link.lookup), encode(link.sealed)):
            assert not any(secret in one.body.decode() or secret in str(one.headers) for one in deliveries)


def test_what_happens_while_something_is_delivered_is_told_right_after(bench: Bench, receiver: Receiver) -> None:
    first, second = bench.made(), bench.made()
    receiver.hang.clear()

    async def story() -> None:
        telling = asyncio.create_task(bench.tell(receiver.url, until=lambda: len(receiver.deliveries) == 2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.reveal(first)
        while not receiver.deliveries:
            await asyncio.sleep(0.005)
        bench.reveal(second)
        receiver.hang.set()
        await telling

    asyncio.run(story())
    assert receiver.deliveries[1].content["data"]["link_id"] == second.terms.link_id


def test_what_another_process_wrote_is_told_too(links_postgres: str, pepper: bytes, receiver: Receiver) -> None:
    bench = Bench(links_postgres, pepper, lambda: datetime.now(UTC), (new_secret(),))
    other = Bench(links_postgres, pepper, bench.clock, bench.secrets)
    link = other.made()
    run(bench, receiver, 1, lambda: other.reveal(link))
    assert receiver.deliveries[0].content["data"]["link_id"] == link.terms.link_id
    for one in (bench, other):
        one.vault.close()


def test_between_two_parts_of_a_long_history_everybody_else_has_a_turn(bench: Bench, receiver: Receiver) -> None:
    link = bench.made()
    run(bench, receiver, 1, lambda: bench.reveal(link))
    for _ in range(170):  # which are told to nobody, in more than three parts
        open_page(bench.vault, bench.made().lookup, Visitor())
    bench.reveal(link)
    turns = 0
    read_at: list[int] = []

    def note(*call: Any) -> None:
        if "FROM event" in call[2] and "LIMIT" in call[2] and "seq >" in call[2]:
            read_at.append(turns)

    async def story() -> None:
        async def take_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        everybody_else = asyncio.create_task(take_turns())
        sql_event.listen(bench.vault.engine, "before_cursor_execute", note)
        await bench.tell(receiver.url, until=lambda: len(receiver.deliveries) == 2)
        everybody_else.cancel()

    asyncio.run(story())
    of_parts = read_at[1:]  # the first one looks for the end of the history
    assert len(of_parts) >= 4
    assert len(set(of_parts)) == len(of_parts)


def test_what_happened_before_the_first_start_is_not_told(bench: Bench, receiver: Receiver) -> None:
    old, new = bench.made(), bench.made()
    bench.reveal(old)
    (delivery,) = run(bench, receiver, 1, lambda: bench.reveal(new))
    assert delivery.content["data"]["link_id"] == new.terms.link_id


def test_a_receiver_that_fails_gets_the_same_again_before_anything_else(bench: Bench, receiver: Receiver) -> None:
    receiver.answers += [(500, {}), (404, {}), (302, {"Location": "/elsewhere"}), (429, {"Retry-After": "0"})]
    first, second = bench.made(), bench.made()
    with structlog.testing.capture_logs() as logged:
        deliveries = run(bench, receiver, 6, lambda: bench.reveal(first), lambda: bench.reveal(second))
    assert [one.content["data"]["link_id"] for one in deliveries] == [first.terms.link_id] * 5 + [second.terms.link_id]
    assert len({one.id for one in deliveries}) == 2
    assert len({one.body for one in deliveries}) == 2
    assert {one.path for one in deliveries} == {"/hooks/path-of-the-receiver"}, "a redirect was followed"
    said = [entry["event"] for entry in logged if entry["event"].startswith("webhook")]
    assert said == ["webhook_away", "webhook_back"]
    assert "path-of-the-receiver" not in json.dumps(logged)


def test_a_restart_loses_nothing_that_was_not_delivered(bench: Bench, receiver: Receiver) -> None:
    receiver.answers += [(503, {})] * 1000
    first, second = bench.made(), bench.made()
    run(bench, receiver, 3, lambda: bench.reveal(first), lambda: bench.reveal(second))
    receiver.answers.clear()
    bench.reveal(first)  # while nobody tells
    before = len(receiver.deliveries)
    after = run(bench, receiver, before + 3)[before:]
    assert [one.content["data"]["link_id"] for one in after] == [
        first.terms.link_id, second.terms.link_id, first.terms.link_id
    ]  # fmt: skip
    assert after[0].id == receiver.deliveries[0].id
    again = len(receiver.deliveries)
    run(bench, receiver, again + 1, lambda: bench.reveal(second))
    assert len(receiver.deliveries) == again + 1, "what was delivered is not told again"


def test_a_receiver_that_is_gone_for_good_is_asked_no_more(bench: Bench, receiver: Receiver) -> None:
    receiver.answers += [(410, {})]
    first, second = bench.made(), bench.made()
    with structlog.testing.capture_logs() as logged:
        asyncio.run(
            bench.tell(
                receiver.url,
                until=lambda: any(entry["event"] == "webhook_off" for entry in logged),
                acts=(lambda: bench.reveal(first), lambda: bench.reveal(second)),
            )
        )
    assert len(receiver.deliveries) == 1
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("webhook_off", "error")]


def test_a_receiver_is_believed_only_with_a_certificate_of_a_known_authority(bench: Bench, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    receiver = Receiver(tls)
    link = bench.made()
    with structlog.testing.capture_logs() as logged:
        asyncio.run(
            bench.tell(
                receiver.url,
                until=lambda: any(entry["event"] == "webhook_away" for entry in logged),
                acts=(lambda: bench.reveal(link),),
            )
        )
    assert receiver.deliveries == []
    bench.ca_bundle = str(tmp_path / "ca.pem")
    (delivery,) = run(bench, receiver, 1)
    assert delivery.content["data"]["link_id"] == link.terms.link_id
    receiver.close()
    (told,) = (entry for entry in logged if entry["event"] == "webhook_away")
    assert "showed a certificate that we do not trust" in told["text"]
    assert "webhook.ca_bundle" in told["text"], "as it is called in this service's file"
    assert "/hooks/" not in str(logged)


@pytest.mark.parametrize("way", ["plain", "tls", "proxy"])
@pytest.mark.parametrize(
    "beginning", [b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 2", b""], ids=["headers", "status", "-"]
)
def test_a_receiver_that_drips_is_cut_off_and_gets_the_same_again(
    database: str, pepper: bytes, tmp_path: Path, way: str, beginning: bytes
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    receiver = Receiver(tls if way == "tls" else None)
    url, bench = receiver.url, Bench(database, pepper, lambda: datetime.now(UTC), (new_secret(),))
    bench.timeout, bench.ca_bundle = timedelta(seconds=0.3), str(tmp_path / "ca.pem")
    if way == "proxy":
        url, bench.proxy = "http://receiver.example.com/hooks", receiver.url.removesuffix("/hooks/path-of-the-receiver")
    receiver.drips = [beginning] * 2
    first, second = bench.made(), bench.made()
    with structlog.testing.capture_logs() as logged:
        acts = (lambda: bench.reveal(first), lambda: bench.reveal(second))
        asyncio.run(bench.tell(url, until=lambda: len(receiver.deliveries) >= 4, acts=acts))
    assert [one.content["data"]["link_id"] for one in receiver.deliveries] == [first.terms.link_id] * 3 + [
        second.terms.link_id
    ]
    assert len({one.id for one in receiver.deliveries}) == 2
    said = [(entry["event"], entry.get("why")) for entry in logged if entry["event"].startswith("webhook")]
    assert said == [("webhook_away", "too_slow"), ("webhook_back", None)]
    with bench.vault.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT seq FROM webhook").scalar_one() == bench.vault.newest_event()
    assert max(receiver.seconds_until_let_go(2)) < 5, "its connection was closed, too"
    receiver.close()
    bench.vault.close()


def test_a_receiver_that_drips_does_not_hold_up_the_end(database: str, pepper: bytes, receiver: Receiver) -> None:
    bench = Bench(database, pepper, lambda: datetime.now(UTC), (new_secret(),))
    receiver.drips = [b"HTTP/1.1 2"]
    link = bench.made()

    async def story() -> None:
        webhooks = Webhooks(bench.options(receiver.url), bench.vault, bench.news, clock=bench.clock)
        task = asyncio.create_task(webhooks.run())
        await asyncio.sleep(0)
        bench.reveal(link)
        while not receiver.deliveries:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(story(), PATIENCE))
    assert receiver.seconds_until_let_go(1)[0] < 5
    again = run(bench, receiver, 2)
    assert again[0].id == again[1].id
    bench.vault.close()


@dataclass
class Names:
    """The addresses of `hook.example`, as the system's resolver gives them."""

    addresses: list[tuple[str, int]]
    answers: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    known = Names([])
    known.answers.set()
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **options: Any) -> Any:
        if host != "hook.example":
            return resolve(host, *more, **options)
        known.answers.wait(PATIENCE)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", one) for one in known.addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """An address that nobody answers at: so many wait to be let in that the system lets no more wait."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        yield hole.getsockname()


def at_hook_example(receiver: Receiver) -> tuple[str, tuple[str, int]]:
    """The receiver's URL by another name, and its true address."""
    return receiver.url.replace("127.0.0.1", "hook.example"), ("127.0.0.1", urlsplit(receiver.url).port or 0)


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere a full queue refuses connections")


@linux_only
@pytest.mark.parametrize("holes", [1, 2])
def test_a_receiver_is_reached_though_its_first_addresses_swallow_everything(
    database: str, pepper: bytes, receiver: Receiver, names: Names, black_hole: tuple[str, int], holes: int
) -> None:
    bench = Bench(database, pepper, lambda: datetime.now(UTC), (new_secret(),), timeout=timedelta(seconds=2))
    url, address = at_hook_example(receiver)
    names.addresses = [black_hole] * holes + [address]
    link = bench.made()
    with structlog.testing.capture_logs() as logged:
        asyncio.run(bench.tell(url, until=lambda: bool(receiver.deliveries), acts=(lambda: bench.reveal(link),)))
    assert logged == [], "by the first try"
    bench.vault.close()


@linux_only
def test_connecting_is_cut_off_like_everything_else(
    database: str, pepper: bytes, receiver: Receiver, names: Names, black_hole: tuple[str, int]
) -> None:
    bench = Bench(database, pepper, lambda: datetime.now(UTC), (new_secret(),), timeout=timedelta(seconds=0.5))
    url, address = at_hook_example(receiver)
    names.addresses = [black_hole] * 100 + [address]
    link = bench.made()
    began = time.monotonic()
    with structlog.testing.capture_logs() as logged:
        acts = (lambda: bench.reveal(link),)
        asyncio.run(bench.tell(url, until=lambda: any("why" in entry for entry in logged), acts=acts))
    assert time.monotonic() - began < 5
    assert [(entry["event"], entry["why"]) for entry in logged] == [("webhook_away", "too_slow")]
    assert receiver.deliveries == []
    bench.vault.close()


def test_nothing_is_sent_when_a_name_was_found_only_after_the_time_was_over(
    database: str, pepper: bytes, receiver: Receiver, names: Names
) -> None:
    bench = Bench(database, pepper, lambda: datetime.now(UTC), (new_secret(),), timeout=timedelta(seconds=0.2))
    url, address = at_hook_example(receiver)
    names.addresses = [address]
    names.answers.clear()
    threading.Timer(0.6, names.answers.set).start()
    link = bench.made()
    seen: list[int] = []
    with structlog.testing.capture_logs() as logged:

        def told() -> bool:
            if not seen and any("why" in entry for entry in logged):
                seen.append(len(receiver.deliveries))
            return bool(receiver.deliveries)

        asyncio.run(bench.tell(url, until=told, acts=(lambda: bench.reveal(link),)))
    assert [entry.get("why") for entry in logged] == ["too_slow", None]
    assert seen == [0]
    assert len(receiver.deliveries) == 1
    bench.vault.close()


def test_a_delivery_ends_long_before_another_process_may_take_over() -> None:
    # A lease that is half over is taken anew before the next delivery.
    assert timedelta(milliseconds=LEASE_MS) / 2 > 2 * TIMEOUT


def test_nobody_listening_at_the_url_is_a_failure_like_others(bench: Bench) -> None:
    receiver = Receiver()
    receiver.close()
    link = bench.made()
    with structlog.testing.capture_logs() as logged:
        asyncio.run(
            bench.tell(
                receiver.url,
                until=lambda: any(entry["event"] == "webhook_away" for entry in logged),
                acts=(lambda: bench.reveal(link),),
            )
        )
    assert [(entry["event"], entry["why"]) for entry in logged] == [("webhook_away", "no_answer")]
    assert "cannot be reached or cut the connection" in logged[0]["text"]
    assert "/hooks/" not in str(logged), "of the address, its host alone"


def test_news_that_grew_too_old_is_dropped_with_a_line_and_the_rest_is_told(
    database: str, pepper: bytes, receiver: Receiver
) -> None:
    clock = FakeClock()
    bench = Bench(database, pepper, clock, (new_secret(),))
    link, other = bench.made(), make_link(now=clock() + GIVE_UP_AFTER)
    receiver.answers += [(503, {})] * 1000
    run(bench, receiver, 1, lambda: bench.reveal(link))
    clock.now += GIVE_UP_AFTER + timedelta(seconds=1)
    bench.vault.create(other.to_new_link())
    bench.reveal(other)
    receiver.answers.clear()
    before = len(receiver.deliveries)
    with structlog.testing.capture_logs() as logged:
        after = run(bench, receiver, before + 1)[before:]
    assert [one.content["data"]["link_id"] for one in after] == [other.terms.link_id]
    assert [(entry["event"], entry["events"]) for entry in logged if entry["log_level"] == "error"] == [
        ("webhook_dropped", 1)
    ]
    bench.vault.close()


def test_of_two_processes_one_delivers_and_the_other_takes_over(bench: Bench, receiver: Receiver) -> None:
    link = bench.made()
    other = Bench(bench.database, bench.pepper, bench.clock, bench.secrets)

    async def story() -> None:
        fast = timedelta(milliseconds=20)
        one = Webhooks(bench.options(receiver.url), bench.vault, bench.news, clock=bench.clock, first_wait=fast)
        two = Webhooks(other.options(receiver.url), other.vault, other.news, clock=other.clock, first_wait=fast)
        tasks = [asyncio.create_task(one.run())]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(two.run()))
        await asyncio.sleep(0)
        bench.reveal(link)
        other.news.announce()
        while not receiver.deliveries:
            await asyncio.sleep(0.005)
        bench.news.close()
        await tasks[0]
        bench.vault._on_event = other.news.announce
        bench.reveal(link)
        while len(receiver.deliveries) < 2:
            await asyncio.sleep(0.005)
        other.news.close()
        await tasks[1]

    asyncio.run(asyncio.wait_for(story(), PATIENCE))
    assert [one.content["data"]["view"] for one in receiver.deliveries] == [1, 2]
    other.vault.close()


def test_a_process_that_went_silent_is_replaced_and_says_nothing_more(
    bench: Bench, receiver: Receiver, clock: FakeClock
) -> None:
    silent = WebhookCursor(bench.vault.engine, holder="silent")
    next_one = WebhookCursor(bench.vault.engine, holder="next")
    assert silent.take(now_ms=0, head=7, done=None) == 7
    assert silent.save(8, now_ms=0)
    assert next_one.take(now_ms=LEASE_MS - 1, head=9, done=None) is None
    assert next_one.take(now_ms=LEASE_MS, head=9, done=None) == 8
    assert not silent.save(9, now_ms=LEASE_MS)
    assert silent.take(now_ms=LEASE_MS, head=9, done=9) is None
    silent.give_back()
    assert next_one.save(10, now_ms=LEASE_MS)
    next_one.give_back()
    assert silent.take(now_ms=LEASE_MS, head=20, done=9) == 10, "what it thought was done is not what counts"


def test_who_held_the_cursor_by_a_clock_that_was_ahead_is_replaced_by_one_that_is_right(bench: Bench) -> None:
    killed, next_one = (WebhookCursor(bench.vault.engine, holder=name) for name in ("killed", "next"))
    year_ms = 365 * 86_400_000
    assert killed.take(now_ms=year_ms + 100_000, head=7, done=None) == 7
    assert next_one.take(now_ms=year_ms, head=7, done=None) is None, "clocks of machines may differ by some minutes"
    assert next_one.take(now_ms=0, head=7, done=None) == 7
    assert not killed.save(9, now_ms=year_ms)


def test_a_restored_backup_does_not_silence_the_webhook(bench: Bench, receiver: Receiver) -> None:
    link = bench.made()
    run(bench, receiver, 1, lambda: bench.reveal(link))
    with bench.vault.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE webhook SET seq = 5000")
    with structlog.testing.capture_logs() as logged:
        deliveries = run(bench, receiver, 2, lambda: bench.reveal(link))
    assert [one.content["data"]["view"] for one in deliveries] == [1, 2]
    assert [entry["event"] for entry in logged] == ["webhook_history_shorter"]


def test_waits_grow_up_to_an_hour_and_listen_to_the_receiver() -> None:
    waits = [wait_after(failures) for failures in range(1, 100)]
    assert waits[:4] == [FIRST_WAIT * factor for factor in (1, 2, 4, 8)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT
    assert wait_after(1, timedelta(minutes=7)) == timedelta(minutes=7)


def test_a_receiver_that_hangs_holds_up_nobodys_request_and_not_the_end(
    database: str, pepper: bytes, api_key: str, receiver: Receiver
) -> None:
    receiver.hang.clear()
    webhook = WebhookOptions(receiver.url, (read_secret(new_secret()),), KINDS | {"created"})
    options = options_for(database, pepper, api_key, webhook=webhook)
    with running(options, clock=lambda: datetime.now(UTC)) as url:
        headers = {"Authorization": f"Bearer {api_key}"}
        link = make_link(now=datetime.now(UTC))
        assert requests.post(f"{url}/api/v1/links", json=link.to_body(), headers=headers, timeout=10).status_code == 201
        ends = time.monotonic() + PATIENCE
        while not receiver.deliveries and time.monotonic() < ends:
            time.sleep(0.005)
        assert len(receiver.deliveries) == 1
        began = time.monotonic()
        assert requests.get(url + link.path, timeout=10).status_code == 200
        shown = requests.get(f"{url}/api/v1/links/{link.terms.link_id}", headers=headers, timeout=10)
        assert shown.json()["state"] == "active"
        assert time.monotonic() - began < 5
        began = time.monotonic()
    assert time.monotonic() - began < 5


def settings_with(tmp_path: Path, webhook: dict[str, Any]) -> LinkServiceOptions:
    (tmp_path / "key").write_text(secrets.token_urlsafe(48))
    for name in ("first", "second"):
        (tmp_path / name).write_text(new_secret())
    (tmp_path / "short").write_text("whsec_c2hvcnQ=")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----")
    settings = {
        "database": f"sqlite:///{(tmp_path / 'links.db').as_posix()}",
        "pepper": {"file": "key"},
        "url": "https://links.example.com",
        "api_keys": [{"file": "key"}],
        "webhook": webhook,
    }
    (tmp_path / "links.yaml").write_text(yaml.safe_dump(settings))
    return LinkServiceOptions.from_settings(load_link_server(tmp_path / "links.yaml"), folder=tmp_path)


def test_the_file_names_the_receiver(tmp_path: Path) -> None:
    section = {
        "url": "https://receiver.example.com/hooks/1",
        "secret": {"file": "first"},
        "old_secrets": [{"file": "second"}],
        "kinds": ["revealed"],
        "ca_bundle": "ca.pem",
        "proxy": "http://proxy.example.com:3128",
    }
    webhook = settings_with(tmp_path, section).webhook
    assert webhook is not None
    assert webhook.secrets == tuple(read_secret((tmp_path / name).read_text()) for name in ("first", "second"))
    assert (webhook.url, webhook.kinds) == ("https://receiver.example.com/hooks/1", {"revealed"})
    assert (webhook.ca_bundle, webhook.proxy) == (str(tmp_path / "ca.pem"), "http://proxy.example.com:3128")
    shown = repr(webhook)
    for hidden in ("hooks/1", "first", str(webhook.secrets[0])):
        assert hidden not in shown
    few = settings_with(tmp_path, {"url": "http://127.0.0.1:9000/hook", "secret": {"file": "first"}}).webhook
    assert few is not None
    assert few.kinds == KINDS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "http://receiver.example.com/hooks"}, "https in production"),
        ({"url": "https://user:pass@receiver.example.com/hooks"}, "credentials"),
        ({"secret": "whsec_inline"}, "never written here"),
        ({"secret": {"file": "short"}}, "24 to 64 bytes"),
        ({"secret": {"file": "key"}}, "begins with whsec_"),
        ({"old_secrets": [{"file": "key"}]}, "webhook.old_secrets"),
        ({"ca_bundle": "nowhere.pem"}, r"webhook.ca_bundle: .*nowhere\.pem cannot be used \(No such file"),
        ({"ca_bundle": "garbage.pem"}, r"webhook.ca_bundle: .*garbage\.pem cannot be used"),
        ({"ca_bundle": "short"}, r"webhook.ca_bundle: .*short cannot be used"),
        ({"kinds": []}, "kinds"),
        ({"kinds": ["revealed", "opened"]}, "opened: there is no such event"),
        ({"surprise": 1}, "unknown key"),
        ({"proxy": "socks5://127.0.0.1:1080"}, "webhook.proxy: this is no HTTP proxy"),
        ({"url": "https://receiver.example.com:99999/hooks"}, "webhook.url: .* is not an address"),
    ],
    ids=range(14),
)
def test_a_wrong_webhook_in_the_file_is_refused_in_words(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    section = {"url": "https://receiver.example.com/hooks", "secret": {"file": "first"}}
    with pytest.raises(ConfigError, match=words) as refusal:
        settings_with(tmp_path, section | change)
    for name in ("key", "short", "first"):
        assert (tmp_path / name).read_text() not in str(refusal.value)
