"""ConnectWise's callbacks: registered, delivered, checked as public code checks them, lost and forged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.stage import wait_for
from tests.sandbox.conftest import Stage


@dataclass
class Heard:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> Any:
        return json.loads(self.body)


@dataclass
class Ear:
    """A listener that answers with `statuses` in turn, then 200."""

    url: str
    heard: queue.Queue[Heard] = field(default_factory=queue.Queue)
    statuses: list[int] = field(default_factory=list)

    def next(self) -> Heard:
        return self.heard.get(timeout=10)


@pytest.fixture
def ear() -> Iterator[Ear]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listening.heard.put(Heard(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(listening.statuses.pop(0) if listening.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening = Ear(f"http://127.0.0.1:{server.server_port}/push?recordId=")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield listening
    server.shutdown()
    thread.join()
    server.server_close()


def entry(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": 0,
        "description": "resets",
        "url": url,
        "objectId": 0,
        "type": "ticket",
        "level": "owner",
        "payloadVersion": "3.0.0",
        "memberId": 0,
        "inactiveFlag": False,
        "isSelfSuppressedFlag": False,
        "connectWiseID": "",
    } | changes


def register(stage: Stage, url: str, **changes: Any) -> Any:
    answer = stage.connectwise("POST", "system/callbacks", json=entry(url, **changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


def deliveries(stage: Stage) -> Any:
    return stage.control("GET", "connectwise/deliveries")


def settled(stage: Stage, count: int = 1) -> list[Any]:
    """The last deliveries, none of them under way."""

    def all_done() -> list[Any] | None:
        rows = deliveries(stage)[-count:]
        return rows if len(rows) == count and all(row["outcome"] != "waiting" for row in rows) else None

    return list(wait_for("the deliveries' end", all_done, every=0.01))


def key_of(stage: Stage, message: Any, *, login: bool = True) -> Any:
    """Fetch the signing key by host and path of the site that we know, as a careful client does."""
    parts = urlsplit(message["Metadata"]["key_url"])
    assert f"{parts.scheme}://{parts.netloc}" == stage.addresses.connectwise
    known = stage.world.credentials
    user = f"{known.connectwise_company}+{known.connectwise_public_key}"
    return stage.http.get(
        f"{stage.addresses.connectwise}{parts.path}",
        params=parse_qs(parts.query),
        auth=(user, known.connectwise_private_key) if login else None,
        headers={"clientId": known.connectwise_client_id} if login else {},
        timeout=10,
    )


def signature(body: bytes, key: str) -> str:
    """As the Developer Guide describes it, written without the sandbox's help."""
    digest = hmac.new(hashlib.sha256(key.encode()).digest(), body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def test_a_registration_is_answered_listed_and_deleted(stage: Stage, ear: Ear) -> None:
    made = register(stage, ear.url)
    assert (made["objectId"], made["memberId"], made["_info"]["updatedBy"]) == (1, 150, "ResetConnector")
    assert [one["id"] for one in stage.connectwise("GET", "system/callbacks").json()] == [made["id"]]
    assert stage.connectwise("GET", "system/callbacks/count").json() == {"count": 1}
    assert stage.connectwise("GET", f"system/callbacks/{made['id']}").json()["url"] == ear.url
    assert stage.connectwise("DELETE", f"system/callbacks/{made['id']}").status_code == 204
    assert stage.connectwise("DELETE", f"system/callbacks/{made['id']}").status_code == 404


def test_the_same_registration_twice_has_the_real_refusal(stage: Stage, ear: Ear) -> None:
    register(stage, ear.url)
    answer = stage.connectwise("POST", "system/callbacks", json=entry(ear.url, objectId=1))
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "InvalidObject",
        "message": "callbackEntry object is invalid",
        "errors": [
            {
                "code": "ObjectExists",
                "message": "A matching callback entry already exists",
                "resource": "callbackEntry",
                "field": "objectId",
            }
        ],
    }
    assert stage.connectwise("GET", "system/callbacks/count").json() == {"count": 1}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"url": "not a url", "level": "galaxy"}, ["url", "level"]),
        ({"url": "ftp://example.com"}, ["url"]),
        ({"type": "moon"}, ["level"]),
        ({"level": None, "objectId": None}, ["objectId", "level"]),
        ({"description": "x" * 101}, ["description"]),
        ({"objectId": "one"}, ["objectId"]),
    ],
)
def test_a_wrong_registration_names_every_mistake(stage: Stage, changes: dict[str, Any], fields: list[str]) -> None:
    answer = stage.connectwise("POST", "system/callbacks", json=entry("https://example.com/x") | changes)
    assert (answer.status_code, [row["field"] for row in answer.json()["errors"]]) == (400, fields)
    assert stage.connectwise("GET", "system/callbacks").json() == []


def test_a_registration_may_be_answered_with_200(stage: Stage, ear: Ear) -> None:
    stage.control("POST", "connectwise/habits", callback_created_status=200)
    assert stage.connectwise("POST", "system/callbacks", json=entry(ear.url)).status_code == 200


def test_a_change_is_delivered_and_its_signature_can_be_checked(stage: Stage, ear: Ear) -> None:
    callback = register(stage, ear.url)
    number = stage.connectwise_ticket()
    heard = ear.next()
    assert heard.path == f"/push?recordId={number}&action=added"
    stage.control("POST", f"connectwise/tickets/{number}/approve")
    heard = ear.next()
    message = heard.message
    assert (message["Action"], message["ID"], message["Type"], message["MemberId"]) == (
        "updated",
        number,
        "ticket",
        "AnnaA",
    )
    assert (message["CompanyId"], message["CallbackObjectRecId"]) == ("msp", callback["id"])
    assert json.loads(message["Entity"])["status"]["name"] == "Approved", "JSON inside JSON"
    key = key_of(stage, message).json()["signing_key"]
    assert heard.headers["x-content-signature"] == signature(heard.body, key)
    assert [row["outcome"] for row in settled(stage, 2)] == ["delivered", "delivered"]


def test_a_deletion_has_no_entity(stage: Stage, ear: Ear) -> None:
    number = stage.connectwise_ticket()
    register(stage, ear.url)
    stage.control("DELETE", f"connectwise/tickets/{number}")
    message = ear.next().message
    assert (message["Action"], message["Entity"]) == ("deleted", None)


def test_the_key_takes_a_login_or_not(stage: Stage, ear: Ear) -> None:
    register(stage, ear.url)
    stage.connectwise_ticket()
    message = ear.next().message
    assert key_of(stage, message, login=False).status_code == 401
    stage.control("POST", "connectwise/habits", callback_key_needs_login=False)
    assert key_of(stage, message, login=False).ok
    message["Metadata"]["key_url"] = message["Metadata"]["key_url"].partition("&id=")[0] + "&id=guessed"
    assert key_of(stage, message).status_code == 404


def test_the_key_is_in_no_list_and_no_record(stage: Stage, ear: Ear) -> None:
    register(stage, ear.url)
    stage.connectwise_ticket()
    key = key_of(stage, ear.next().message).json()["signing_key"]
    for path in ("connectwise/callbacks", "connectwise/deliveries", "exchanges"):
        assert key not in json.dumps(stage.control("GET", path))


@pytest.mark.parametrize(
    ("level", "object_id", "heard"),
    [("board", 1, True), ("board", 2, False), ("status", 503, True), ("status", 504, False), ("ticket", 7600, True)],
)
def test_levels_choose(stage: Stage, ear: Ear, level: str, object_id: int, heard: bool) -> None:
    register(stage, ear.url, level=level, objectId=object_id)
    assert stage.connectwise_ticket() == 7600
    assert len(deliveries(stage)) == heard


def test_one_s_own_changes_can_be_left_out(stage: Stage, ear: Ear) -> None:
    register(stage, ear.url, isSelfSuppressedFlag=True)
    number = stage.connectwise_ticket()
    body = [{"op": "replace", "path": "summary", "value": "mine"}]
    assert stage.connectwise("PATCH", f"service/tickets/{number}", json=body).ok
    assert [row["action"] for row in deliveries(stage)] == ["added"]


@pytest.mark.parametrize("status", [404, 409, 419, 429])
def test_some_refusals_are_tried_again(stage: Stage, ear: Ear, status: int) -> None:
    stage.control("POST", "connectwise/habits", retry_seconds=[0, 0])
    ear.statuses = [status, status]
    register(stage, ear.url)
    stage.connectwise_ticket()
    bodies = {ear.next().body for _ in range(3)}
    assert len(bodies) == 1, "the same message"
    assert (settled(stage)[0]["outcome"], settled(stage)[0]["attempts"]) == ("delivered", 3)


@pytest.mark.parametrize(
    ("statuses", "attempts"), [([500], 1), ([503], 1), ([401], 1), ([404, 404, 404], 3), ([404, 500], 2)]
)
def test_others_are_not_and_the_event_is_lost(stage: Stage, ear: Ear, statuses: list[int], attempts: int) -> None:
    stage.control("POST", "connectwise/habits", retry_seconds=[0, 0])
    ear.statuses = [*statuses, 200]
    register(stage, ear.url)
    stage.connectwise_ticket()
    assert (settled(stage)[0]["outcome"], settled(stage)[0]["attempts"]) == ("refused", attempts)


def test_a_message_can_be_lost_doubled_and_late(stage: Stage, ear: Ear) -> None:
    register(stage, ear.url)
    stage.fault("webhook", "lost", match="POST connectwise added")
    number = stage.connectwise_ticket()
    stage.fault("webhook", "twice", match="updated")
    stage.control("PATCH", f"connectwise/tickets/{number}", summary="twice")
    first, second = ear.next(), ear.next()
    assert first.body == second.body
    assert first.message["Action"] == "updated"
    stage.fault("webhook", "late", match="updated", delay=0.05)
    stage.control("PATCH", f"connectwise/tickets/{number}", summary="late")
    assert ear.next().message["Action"] == "updated"
    stage.control("POST", "connectwise/habits", callbacks="lose")
    stage.control("PATCH", f"connectwise/tickets/{number}", summary="lost")
    rows = settled(stage, 4)
    assert [(row["fault"], row["outcome"]) for row in rows] == [
        ("lost", "lost"),
        ("twice", "delivered"),
        ("late", "delivered"),
        ("lost", "lost"),
    ]
    assert ear.heard.empty()


@pytest.mark.parametrize("forged", ["bad_signature", "no_signature", "foreign_key", "other_company", "not_json"])
def test_a_forged_message_is_sent_on_demand(stage: Stage, ear: Ear, forged: str) -> None:
    register(stage, ear.url)
    number = stage.connectwise_ticket()
    real = ear.next()
    key = key_of(stage, real.message).json()["signing_key"]
    elsewhere = "http://127.0.0.1:9/key"
    own = secrets.token_urlsafe()
    wish = {"ticket": number, "forged": forged}
    if forged == "foreign_key":
        wish |= {"key_url": elsewhere, "signing_key": own}
    stage.control("POST", "connectwise/deliveries", **wish)
    heard = ear.next()
    well_signed = heard.headers.get("x-content-signature") == signature(heard.body, key)
    assert well_signed == (forged in ("other_company", "not_json"))
    fits_the_forger = heard.headers.get("x-content-signature") == signature(heard.body, own)
    assert fits_the_forger == (forged == "foreign_key")
    if forged == "not_json":
        assert heard.body.startswith(b"<")
    else:
        assert (heard.message["Metadata"]["key_url"] == elsewhere) == (forged == "foreign_key")
        assert (heard.message["CompanyId"] == "msp") == (forged != "other_company")


def test_nothing_leaves_the_machine(stage: Stage) -> None:
    register(stage, "https://psa-listener.example.com/push?recordId=")
    stage.connectwise_ticket()
    row = settled(stage)[0]
    assert (row["outcome"], row["attempts"]) == ("not loopback", 0)


def test_nobody_listening_loses_the_message(stage: Stage, ear: Ear) -> None:
    register(stage, "http://127.0.0.1:9/push")
    stage.connectwise_ticket()
    row = settled(stage)[0]
    assert (row["outcome"], row["url"].endswith("/push7600&action=added")) == ("lost", True)
