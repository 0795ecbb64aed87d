"""The imitated HaloPSA sends webhooks for real, and they can go wrong in every way that a post can."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import pytest
import requests

from sandbox.halo_webhooks import Postman
from sandbox.server import running
from sandbox.world import World
from tests.sandbox.conftest import DANA, Stage

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "halopsa"
SOON = 20
"""Seconds within which a delivery arrives; a test that passes never waits for long."""


@dataclass
class Receiver:
    """Takes deliveries and answers `status`."""

    url: str = ""
    status: int = 200
    came: Queue[tuple[dict[str, str], Any]] = field(default_factory=Queue)

    def next(self) -> Any:
        return self.came.get(timeout=SOON)[1]

    def is_empty(self) -> bool:
        try:
            self.came.get_nowait()
        except Empty:
            return True
        return False


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.came.put(({k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook/long-and-unguessable"
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


def settled(stage: Stage, count: int) -> list[Any]:
    """The log once `count` deliveries are no longer under way."""
    for _ in range(2000):
        log = stage.control("GET", "halo/deliveries")
        if len(log) >= count and not any(one["state"] == "under way" for one in log):
            return list(log)
    raise AssertionError(f"still under way: {log}")


def test_a_status_change_is_sent_in_the_form_that_a_live_tenant_sent(stage: Stage, receiver: Receiver) -> None:
    number = stage.ticket()
    stage.control("POST", "halo/webhooks", url=receiver.url)
    stage.control("PATCH", f"tickets/{number}", status="In Progress")
    body = receiver.next()
    sample = json.loads((SAMPLES / "webhook-ticket-status-changed.live-2026-09.json").read_text())
    assert set(body) == set(sample)
    assert (body["event"], body["object_id"]) == (sample["event"], number)
    assert body["message"] == f"The status has been changed for Ticket ID: {number:07}."
    assert set(body["ticket"]) <= set(sample["ticket"])
    for name, value in body.items():
        assert type(value) is type(sample[name]), name


def test_a_new_ticket_and_its_first_status_are_told(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url)
    number = stage.ticket()
    bodies = [receiver.next(), receiver.next()]
    assert {(one["event"], one["object_id"]) for one in bodies} == {
        ("new ticket logged", number),
        ("ticket status changed", number),
    }
    assert len({one["id"] for one in bodies}) == 2


def test_user_and_password_go_with_it_and_are_shown_to_nobody(stage: Stage, receiver: Receiver) -> None:
    password = secrets.token_urlsafe(16)
    shown = stage.control("POST", "halo/webhooks", url=receiver.url, username="halo", password=password)
    stage.ticket()
    headers, _ = receiver.came.get(timeout=SOON)
    assert headers["authorization"] == "Basic " + base64.b64encode(f"halo:{password}".encode()).decode()
    settled(stage, 2)
    told = [shown, stage.control("GET", "halo/webhooks"), stage.control("GET", "halo/deliveries")]
    told += [stage.halo("GET", path).json() for path in ("Webhook", f"Webhook/{shown['id']}", "WebhookEvent")]
    assert password not in json.dumps(told)
    assert password not in repr(stage.world)


def test_event_only_has_no_ticket_and_full_has_the_approvers_without_their_tokens(
    stage: Stage, receiver: Receiver
) -> None:
    number = stage.ticket()
    hook = stage.control("POST", "halo/webhooks", url=receiver.url, payload="event")
    stage.control("PATCH", f"tickets/{number}", status="In Progress")
    assert "ticket" not in receiver.next()
    stage.control("PATCH", f"halo/webhooks/{hook['id']}", payload="full")
    stage.control("PATCH", f"tickets/{number}", status="On Hold")
    ticket = receiver.next()["ticket"]
    assert ticket["approvers"][0]["emailaddress"] == "anna@contoso.com"
    assert stage.world.desk.tickets[number].approvals[0].token not in json.dumps(ticket)


def test_a_batch_holds_what_happened_meanwhile(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url, payload="batch", events=["new ticket logged"])
    numbers = stage.control("POST", "bulk-tickets", count=3)["ids"]
    batch = receiver.next()
    assert [one["object_id"] for one in batch] == numbers
    settled(stage, 1)


def test_a_vote_is_told_only_to_who_asked_for_it(stage: Stage, receiver: Receiver) -> None:
    number = stage.ticket(approval_process="Two-step reset approval")
    hook = stage.control("POST", "halo/webhooks", url=receiver.url, events=["ticket approval updated"])
    stage.control("POST", f"tickets/{number}/approve")
    assert receiver.next()["event"] == "ticket approval updated"
    stage.control("PATCH", f"halo/webhooks/{hook['id']}", events=["new ticket logged"])
    stage.control("POST", f"tickets/{number}/approve")
    settled(stage, 1)
    assert receiver.is_empty()


def test_other_types_are_not_told(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url, types=["Password Reset"], events=["new ticket logged"])
    stage.control("POST", "bulk-tickets", count=2)
    number = stage.ticket()
    assert receiver.next()["object_id"] == number
    assert len(settled(stage, 1)) == 1


@pytest.mark.parametrize("status", [204, 401, 500])
def test_the_answer_is_kept_and_nothing_is_sent_again(stage: Stage, receiver: Receiver, status: int) -> None:
    receiver.status = status
    hook = stage.control("POST", "halo/webhooks", url=receiver.url, events=["new ticket logged"])
    number = stage.ticket()
    receiver.next()
    log = settled(stage, 1)
    assert [(one["answer"], one["state"], one["ticket_id"]) for one in log] == [(status, "answered", number)]
    events = stage.halo("GET", f"WebhookEvent?webhook_id={hook['id']}").json()
    assert [one["responsestatus"] for one in events] == [status]
    assert receiver.is_empty()


def test_a_delivery_can_be_sent_again_by_hand_unchanged(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url, events=["new ticket logged"])
    stage.ticket()
    first = receiver.next()
    stage.control("POST", f"halo/deliveries/{settled(stage, 1)[0]['id']}/resend")
    assert receiver.next() == first


def test_a_delivery_can_be_lost(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url, events=["new ticket logged"])
    stage.fault("webhook", "lost", "new ticket")
    stage.ticket()
    assert [one["state"] for one in stage.control("GET", "halo/deliveries")] == ["lost"]
    second = stage.ticket()
    assert receiver.next()["object_id"] == second


def test_a_delivery_can_come_twice_with_the_same_id(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url, events=["new ticket logged"])
    stage.fault("webhook", "twice")
    stage.ticket()
    assert receiver.next()["id"] == receiver.next()["id"]
    settled(stage, 2)


def test_a_late_delivery_comes_after_a_later_one(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url, events=["new ticket logged"])
    stage.fault("webhook", "late", delay=0.5)
    late, prompt = stage.ticket(), stage.ticket()
    assert [receiver.next()["object_id"] for _ in range(2)] == [prompt, late]


def test_nobody_at_home_is_written_down(stage: Stage, receiver: Receiver) -> None:
    # Port 9 of loopback has nobody who listens; asking for a free one and closing it could be overtaken.
    stage.control("POST", "halo/webhooks", url="http://127.0.0.1:9/", events=["new ticket logged"])
    stage.ticket()
    assert [(one["state"], one["answer"]) for one in settled(stage, 1)] == [("unreachable", None)]


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://192.0.2.1/hook"},
        {"url": "https://127.0.0.1/hook"},
        {"url": "http://example.com/hook"},
        {"url": "http://user:secret@127.0.0.1/hook"},
        {"url": "http://127.0.0.1:1/", "payload": "poetry"},
        {"url": "http://127.0.0.1:1/", "events": ["full moon"]},
        {"url": "http://127.0.0.1:1/", "types": ["No such type"]},
    ],
)
def test_a_wrong_webhook_is_refused_and_sends_nothing(stage: Stage, body: dict[str, object]) -> None:
    answer = stage.http.post(f"{stage.addresses.control}/control/halo/webhooks", json=body, timeout=10)
    assert answer.status_code in (400, 404)
    stage.ticket(subject=DANA)
    assert stage.control("GET", "halo/webhooks") == []
    assert stage.control("GET", "halo/deliveries") == []


def test_a_reset_of_the_world_forgets_webhooks(stage: Stage, receiver: Receiver) -> None:
    stage.control("POST", "halo/webhooks", url=receiver.url)
    stage.control("POST", "reset")
    stage.ticket()
    assert stage.control("GET", "halo/deliveries") == []
    assert receiver.is_empty()


def test_a_deleted_or_switched_off_webhook_sends_nothing(stage: Stage, receiver: Receiver) -> None:
    hooks = [stage.control("POST", "halo/webhooks", url=receiver.url) for _ in range(2)]
    stage.control("DELETE", f"halo/webhooks/{hooks[0]['id']}")
    stage.control("PATCH", f"halo/webhooks/{hooks[1]['id']}", active=False)
    stage.ticket()
    assert stage.control("GET", "halo/deliveries") == []


def test_bad_luck_hits_webhooks_in_an_unkind_world_only() -> None:
    postman = Postman(World(seed=2))
    unkind = [postman.bad_luck() for _ in range(400)]
    assert {None, "lost", "twice", "late"} == set(unkind)
    assert unkind.count(None) > 300
    gentle = Postman(World(seed=2, gentle=True))
    assert {gentle.bad_luck() for _ in range(400)} == {None}


def test_the_world_ends_while_a_delivery_is_late_and_a_batch_waits() -> None:
    world = World(gentle=True)
    with running(world) as addresses, requests.Session() as http:
        url = f"{addresses.control}/control"
        for payload in ("small", "batch"):
            hook = {"url": "http://127.0.0.1:9/", "payload": payload, "batch_seconds": 3600}
            assert http.post(f"{url}/halo/webhooks", json=hook, timeout=10).ok
        late = {"system": "webhook", "kind": "late", "delay": 3600, "times": 0}
        assert http.post(f"{url}/faults", json=late, timeout=10).ok
        assert http.post(f"{url}/tickets", json={"subject": DANA}, timeout=10).ok
        log = http.get(f"{url}/halo/deliveries", timeout=10).json()
        assert [one["state"] for one in log] == ["under way"] * 2
