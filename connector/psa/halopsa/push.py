"""HaloPSA's webhooks: whether a push proves itself, and which tickets it is about.

HaloPSA signs nothing that we could rely on, so a push proves itself by HTTP Basic. Its body comes small, full or as
event information only, one event or a batch (whose shape is UNVERIFIED), or as an own template; of all of them only
ticket numbers are taken. Sources: Halo guide 838, a real body of a changed status; read 2026-11-22.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Iterator

from pydantic import field_validator

from connector.config import SecretValue, Section
from connector.core.ports import Push
from connector.errors import PushRefused
from connector.psa.halopsa.values import as_record, identifier

MOST_TICKETS = 200
DEEPEST = 4
LARGEST = 10**18
"""No ticket number is as large; beyond it a number is no key of ours."""


class PushSection(Section):
    """`psa.<name>.push`: what the webhook in HaloPSA is set to under *Basic* authentication."""

    username: str
    password: SecretValue

    @field_validator("username", mode="after")
    @classmethod
    def _one_word(cls, username: str) -> str:
        # With a colon in it, HTTP Basic could not tell where the password begins.
        if not username or ":" in username:
            raise ValueError("write a user name without a colon")
        return username


def heard(proof: PushSection | None, push: Push, *, where: str) -> tuple[str, ...]:
    """The numbers of the tickets that a push is about, each once; none: poll.

    Without a configured proof the body is not looked at: anybody could make us read tickets at will.

    Args:
        where: The PSA in messages: `psa.halo`.

    Raises:
        PushRefused: Name or password is missing or wrong.
    """
    if proof is None:
        return ()
    if not _is_proved(proof, push.headers.get("authorization", "")):
        raise PushRefused(
            f"A push to {where} came without the right user name and password. Set the webhook in HaloPSA to Basic "
            f"authentication with those of {where}.push."
        )
    try:
        body = json.loads(push.body)
    except (ValueError, RecursionError):
        return ()  # an own template of the customer's: something changed, so poll
    return tuple(dict.fromkeys(str(number) for number in _tickets(body, DEEPEST)))[:MOST_TICKETS]


def _is_proved(proof: PushSection, header: str) -> bool:
    scheme, _, given = header.partition(" ")
    try:
        said = base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        said = b""
    expected = f"{proof.username}:{proof.password.reveal()}".encode()
    # Both are compared whatever the other says, and in constant time.
    return hmac.compare_digest(said, expected) & (scheme.casefold() == "basic")


def _tickets(value: object, depth: int) -> Iterator[int]:
    """Ticket numbers in one event, or in a batch of them: a list, or an object with a list in it.

    `object_id` of an event about something else (a user) names no ticket of ours, and looking costs one call.
    """
    if isinstance(value, list) and depth:
        for one in value:
            yield from _tickets(one, depth - 1)
    event = as_record(value)
    if event is None or not depth:
        return
    ticket = as_record(event.get("ticket")) or {}
    found = identifier(event, "object_id") or identifier(ticket, "id") or identifier(event, "ticket_id")
    if found is not None:
        if found < LARGEST:
            yield found
        return
    for inner in event.values():
        if isinstance(inner, list):
            yield from _tickets(inner, depth - 1)
