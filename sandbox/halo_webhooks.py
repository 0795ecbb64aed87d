"""HaloPSA's webhooks: real deliveries over HTTP when something happens to a ticket, and the log of them.

The body is that of a live tenant of 2026-09 ("ticket status changed", told in a test of the product DotMarc): `id`
(of the delivery), `webhook_id`, `notification_id`, `escmsg_id`, `event`, `message`, `object_id`, `agent_id`,
`timestamp` and, unless the payload is *event information only*, `ticket`. Payload kinds, Basic authentication and the
deliveries tab: Halo guide 838, read 2026-11-22. *The shape of a batch (here an array), the words of other events, and
that a vote fires one at all, are guesses.* Nothing is sent a second time by itself.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import ipaddress
import json
import time
import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.desk_records import NotThere, Ticket
from sandbox.halo_json import detail_date, ticket_detail, without_empty
from sandbox.halo_request import query_of
from sandbox.halo_settings import Handler
from sandbox.world import World

PAYLOADS = ("small", "full", "event", "batch")
EVENTS = {
    "new ticket logged": "A new Ticket has been logged. Ticket ID: {number}.",
    "ticket status changed": "The status has been changed for Ticket ID: {number}.",
    "ticket approval updated": "An Approval has been updated for Ticket ID: {number}.",
}
SMALL = ("id", "summary", "status_id", "tickettype_id", "client_id", "team_id", "agent_id", "customfields",
         "hasbeenclosed")  # fmt: skip
TIMEOUT_SECONDS = 5


@dataclass
class Webhook:
    """Where to send what.

    `types` are ids of ticket types; empty: all. A batch goes out `batch_seconds` after its first event.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    payload: str = "small"
    events: tuple[str, ...] = ("new ticket logged", "ticket status changed")
    types: tuple[int, ...] = ()
    batch_seconds: float = 0.2
    active: bool = True
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    waiting: list[dict[str, Any]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname or not ipaddress.ip_address(parts.hostname).is_loopback:
            raise ValueError("url is http to a loopback address; the sandbox talks to nobody else")
        if parts.username or parts.password:
            raise ValueError("username and password have keys of their own and do not belong in the url")
        if self.payload not in PAYLOADS:
            raise ValueError(f"payload is one of {', '.join(PAYLOADS)}, not {self.payload!r}")
        if unknown := set(self.events) - set(EVENTS):
            raise ValueError(f"events are some of {', '.join(EVENTS)}, not {', '.join(sorted(unknown))}")


@dataclass
class Delivery:
    """One body on its way. `answer` is the HTTP status it got, None while it is under way and when nobody answered.

    `state` is `under way`, `answered`, `unreachable`, or `lost` on purpose.
    """

    id: str
    webhook_id: str
    event: str
    ticket_id: int
    body: Any
    at: str
    state: str = "under way"
    answer: int | None = None
    milliseconds: float = 0.0
    fault: str | None = None


@dataclass
class Postman:
    """Sends what the desk announces. It lives as long as its desk; a reset of the world forgets it."""

    world: World
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    log: list[Delivery] = field(default_factory=list)
    under_way: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    count: int = 40

    def add(self, webhook: Webhook) -> None:
        self.webhooks[webhook.id] = webhook
        self.world.desk.outbox = self.announce

    def announce(self, event: str, ticket: Ticket) -> None:
        for webhook in self.webhooks.values():
            wanted = webhook.active and event in webhook.events
            if wanted and (not webhook.types or ticket.type_id in webhook.types):
                body = self._body(webhook, event, ticket)
                if webhook.payload == "batch":
                    self._into_batch(webhook, body)
                else:
                    self._send(webhook, body)

    def resend(self, delivery_id: str) -> Delivery:
        """Send a logged body once more, unchanged, as the deliveries tab can."""
        before = next((one for one in self.log if one.id == delivery_id), None)
        if before is None or before.webhook_id not in self.webhooks:
            raise NotThere(f"delivery {delivery_id!r}")
        return self._send(self.webhooks[before.webhook_id], before.body)

    def _body(self, webhook: Webhook, event: str, ticket: Ticket) -> dict[str, Any]:
        self.count += 1
        detail = ticket_detail(self.world.desk, ticket)
        body = {
            "id": str(uuid.uuid4()),
            "webhook_id": webhook.id,
            "notification_id": self.count,
            "escmsg_id": str(uuid.uuid4()),
            "event": event,
            "message": EVENTS[event].format(number=f"{ticket.id:07}"),
            "object_id": ticket.id,
            "agent_id": ticket.agent_id or 0,
            "timestamp": detail_date(self.world.now()),
        }
        if webhook.payload in ("small", "batch"):
            body["ticket"] = {name: detail[name] for name in SMALL if name in detail}
        if webhook.payload == "full":
            # Whoever may answer by a mail's link must not learn the link's token from a webhook.
            body["ticket"] = detail | {
                name: [{key: value for key, value in row.items() if key != "token"} for row in detail[name]]
                for name in ("approvers", "approvers_history")
                if name in detail
            }
        return body

    def _into_batch(self, webhook: Webhook, body: dict[str, Any]) -> None:
        webhook.waiting.append(body)
        if len(webhook.waiting) == 1:
            self._begin(self._send_batch(webhook))

    async def _send_batch(self, webhook: Webhook) -> None:
        await asyncio.sleep(webhook.batch_seconds)
        bodies, webhook.waiting = webhook.waiting, []
        if bodies:
            self._send(webhook, bodies)

    def _send(self, webhook: Webhook, body: Any) -> Delivery:
        first = body[0] if isinstance(body, list) else body
        now = self.world.now().isoformat()
        delivery = Delivery(str(uuid.uuid4()), webhook.id, first["event"], first["object_id"], body, now)
        self.log.append(delivery)
        fault = self.world.faults.next_for("webhook", f"POST {first['event']}", chance=False)
        delivery.fault = fault.kind if fault else self.bad_luck()
        if delivery.fault == "lost":
            delivery.state = "lost"
            return delivery
        wait = (fault.seconds if fault else 1.0) if delivery.fault == "late" else 0.0
        self._begin(self._deliver(webhook, delivery, wait))
        if delivery.fault == "twice":
            again = replace(delivery, id=str(uuid.uuid4()))
            self.log.append(again)
            self._begin(self._deliver(webhook, again, 0.0))
        return delivery

    def bad_luck(self) -> str | None:
        """What goes wrong with this delivery by chance; None in a gentle world."""
        chances = (("lost", 0.03), ("twice", 0.03), ("late", 0.05))
        return next((kind for kind, odds in chances if self.world.faults.chance(f"webhook {kind}", odds)), None)

    def _begin(self, work: Any) -> None:
        # The loop keeps weak references only; without this one a delivery could vanish half way.
        task = asyncio.get_running_loop().create_task(work)
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def _deliver(self, webhook: Webhook, delivery: Delivery, wait: float) -> None:
        if wait:
            await asyncio.sleep(wait)
        started = time.perf_counter()
        delivery.answer = await asyncio.to_thread(partial(_post, webhook, json.dumps(delivery.body).encode()))
        delivery.milliseconds = round((time.perf_counter() - started) * 1000, 1)
        delivery.state = "unreachable" if delivery.answer is None else "answered"


def _post(webhook: Webhook, body: bytes) -> int | None:
    """The status that came back; None when nobody answered. Redirections are not followed."""
    parts = urlsplit(webhook.url)
    headers = {"Content-Type": "application/json", "User-Agent": "Halo-Webhook"}
    if webhook.username or webhook.password:
        pair = base64.b64encode(f"{webhook.username}:{webhook.password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", parts.path + (f"?{parts.query}" if parts.query else "") or "/", body, headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return None
    else:
        return answer.status
    finally:
        connection.close()


def postman_of(world: World) -> Postman:
    """The world's postman; a new one after a reset."""
    held = world.desk.postman
    if not isinstance(held, Postman):
        held = Postman(world)
        world.desk.postman = held
    return held


class Deliveries:
    """The API's side: what is configured and what was sent. Never a password."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/webhook", self.list_webhooks),
            ("GET", "/api/webhook/{id}", self.get_webhook),
            ("GET", "/api/webhookevent", self.list_events),
        ]

    async def list_webhooks(self, _request: Request) -> Response:
        return JSONResponse([_webhook_row(webhook) for webhook in postman_of(self.world).webhooks.values()])

    async def get_webhook(self, request: Request) -> Response:
        webhook = postman_of(self.world).webhooks.get(request.path_params["id"])
        if webhook is None:
            raise NotThere("webhook")
        return JSONResponse(_webhook_row(webhook))

    async def list_events(self, request: Request) -> Response:
        wanted = query_of(request).get("webhook_id")
        log = postman_of(self.world).log
        return JSONResponse([_event_row(one) for one in log if one.webhook_id == wanted or not wanted])


def _webhook_row(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "name": "Reset connector",
        "type": 0,
        "url": webhook.url,
        "content_type": "application/json",
        "authentication_type": 1 if webhook.username or webhook.password else 0,
        "basic_username": webhook.username,
        "method": 0,
        "active": webhook.active,
        "payload_type": PAYLOADS.index(webhook.payload),
        "events": [{"name": name} for name in webhook.events],
    }


def _event_row(delivery: Delivery) -> dict[str, Any]:
    return without_empty(
        {
            "id": delivery.id,
            "webhook_id": delivery.webhook_id,
            "timestamp": delivery.at,
            "duration": delivery.milliseconds / 1000,
            "requestbody": json.dumps(delivery.body),
            "responsestatus": delivery.answer,
            "entity_id": delivery.ticket_id,
            "error": delivery.answer is None or delivery.answer >= 400,
        }
    )
