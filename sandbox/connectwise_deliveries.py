"""The sending side of ConnectWise's callbacks, and false ones that the control port asks for.

A POST to the registered address with record and action appended, signed in `x-content-signature` with the base64 of
HMAC-SHA256 under the SHA-256 of the signing key, over the raw body. Tried again only after 404, 409, 419 and 429, two
more times; a 5xx, a refused connection or 5 seconds of silence lose it. Sources, read 2026-11-22: the Developer Guide;
amp-labs/connectors (a real delivery about a contact; none about a ticket was found, so the ticket in `Entity` is a
guess).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.connectwise_json import ticket_row
from sandbox.connectwise_records import Actor, Callback, Ticket
from sandbox.faults import Faults

TIMEOUT_SECONDS = 5
TRIED_AGAIN = (404, 409, 419, 429)
FORGERIES = ("none", "bad_signature", "no_signature", "foreign_key", "other_company", "not_json")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Delivery:
    """One message. `outcome` is `waiting`, `delivered`, `lost`, `refused` or `not loopback`.

    `fault` is what was done to it on purpose: `lost`, `twice` or `late`.
    """

    callback_id: int
    ticket_id: int
    action: str
    message_id: str
    url: str
    attempts: int = 0
    status: int | None = None
    outcome: str = "waiting"
    forged: str = "none"
    fault: str | None = None


class Deliveries:
    """Sends in the background of the event loop that made the change; without one, messages are lost.

    Args:
        desk: Gives the desk of today: a reset makes a new one.
        site: Gives the address under which this ConnectWise answers.
        company: The login company.
        faults: Gives the faults of today: system `webhook`, matched in "POST connectwise updated 7600".
    """

    def __init__(
        self,
        desk: Callable[[], ConnectWiseDesk],
        site: Callable[[], str],
        company: str,
        faults: Callable[[], Faults],
    ) -> None:
        self.desk, self.site, self.company, self.faults = desk, site, company, faults
        self.sent: deque[Delivery] = deque(maxlen=1000)
        self._tasks: set[asyncio.Task[None]] = set()

    def announce(self, ticket: Ticket, action: str, actor: Actor) -> None:
        """Tell every callback that wants to know of this change."""
        for callback in list(self.desk().callbacks.values()):
            if self._wants(callback, ticket) and not (
                callback.self_suppressed and actor.identifier == callback.created_by
            ):
                self.send(callback, ticket.id, action, actor.identifier)

    def send(
        self,
        callback: Callback,
        ticket_id: int,
        action: str,
        member: str,
        *,
        forged: str = "none",
        key_url: str = "",
        signing_key: str = "",
    ) -> Delivery:
        """Send one message, a false one if so wished.

        `forged`: `bad_signature` and `no_signature`; `foreign_key` is well signed with `signing_key`, which its
        maker keeps at `key_url`; `other_company` names another login company; `not_json` is no JSON at all.
        """
        delivery = Delivery(
            callback.id,
            ticket_id,
            action,
            str(uuid.uuid4()),
            # Simply appended, which is why an address has to end in `?recordId=` or the like.
            f"{callback.url}{ticket_id}&action={action}",
            forged=forged,
        )
        self.sent.append(delivery)
        wait = self._suffer(delivery) if forged == "none" else 0.0
        if delivery.fault == "lost":
            delivery.outcome = "lost"
            return delivery
        body = self.body_of(callback, delivery, member, key_url)
        headers = {"Content-Type": "application/json"}
        key = secrets.token_urlsafe() if forged == "bad_signature" else signing_key or callback.signing_key
        if forged != "no_signature":
            headers["x-content-signature"] = signature_of(body, key)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            delivery.outcome = "lost"
            return delivery
        for _ in range(2 if delivery.fault == "twice" else 1):
            task = loop.create_task(self._deliver(delivery, body, headers, wait))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return delivery

    def _suffer(self, delivery: Delivery) -> float:
        """Let a fault or bad luck befall it; the seconds that it is late."""
        if self.desk().habits.callbacks == "lose":
            delivery.fault = "lost"
            return 0.0
        faults = self.faults()
        fault = faults.next_for("webhook", f"POST connectwise {delivery.action} {delivery.ticket_id}", chance=False)
        if fault is not None:
            delivery.fault = fault.kind
        else:
            odds = (("lost", 0.03), ("twice", 0.03), ("late", 0.05))
            delivery.fault = next((kind for kind, chance in odds if faults.chance(f"callback {kind}", chance)), None)
        return (fault.seconds if fault else 1.0) if delivery.fault == "late" else 0.0

    def _wants(self, callback: Callback, ticket: Ticket) -> bool:
        if callback.type != "ticket" or callback.inactive:
            return False
        at_level = {"owner": 1, "board": ticket.board_id, "status": ticket.status_id, "ticket": ticket.id}
        return at_level.get(callback.level) == callback.object_id

    def body_of(self, callback: Callback, delivery: Delivery, member: str, key_url: str = "") -> bytes:
        """The message as it is sent and signed."""
        if delivery.forged == "not_json":
            return b"<html></html>"
        desk, site = self.desk(), self.site()
        ticket = desk.tickets.get(delivery.ticket_id)
        company = "another" if delivery.forged == "other_company" else self.company
        own_key = f"{site}/{desk.codebase}//system/callbackkey/index.rails?companyName={company}&id={callback.key_id}"
        message: dict[str, Any] = {
            "Action": delivery.action,
            "CallbackObjectRecId": callback.id,
            "CompanyId": company,
            "Entity": json.dumps(ticket_row(desk, ticket)) if ticket and delivery.action != "deleted" else None,
            "FromUrl": urlsplit(site).netloc,
            "ID": delivery.ticket_id,
            "MemberId": member,
            "MessageId": delivery.message_id,
            "Metadata": {"key_url": key_url or own_key},
            "PartnerId": uuid.uuid5(uuid.NAMESPACE_DNS, "partner").hex[:24],
            "ProductInstanceId": uuid.uuid5(uuid.NAMESPACE_DNS, "product").hex[:24],
            "Type": callback.type,
        }
        return json.dumps(message).encode()

    async def _deliver(self, delivery: Delivery, body: bytes, headers: dict[str, str], late: float) -> None:
        await asyncio.sleep(late)
        if not _is_loopback(delivery.url):
            delivery.outcome = "not loopback"
            return
        for wait in [*self.desk().habits.retry_seconds, None]:
            delivery.attempts += 1
            delivery.status = await asyncio.to_thread(_post, delivery.url, body, headers)
            if delivery.status is not None and 200 <= delivery.status < 300:
                delivery.outcome = "delivered"
                return
            if delivery.status not in TRIED_AGAIN or wait is None:
                break
            await asyncio.sleep(wait)
        delivery.outcome = "refused" if delivery.status else "lost"


def signature_of(body: bytes, signing_key: str) -> str:
    """What `x-content-signature` says about these bytes."""
    key = hashlib.sha256(signing_key.encode()).digest()
    return base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()).decode()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _post(url: str, body: bytes, headers: dict[str, str]) -> int | None:
    """The answer's status; None when there is none."""
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - loopback, checked
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return int(refusal.code)
    except (OSError, ValueError):
        return None
