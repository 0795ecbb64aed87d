"""What can happen to a link, and what one event tells."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final

from sqlalchemy import RowMapping

from connector.secretlink.place import Place, network_in

# Kept: making one takes longer than what it writes, and each event that is read is written so again.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


class EventKind(StrEnum):
    """What can happen. Only `REVEALED` uses a view."""

    CREATED = "created"
    PAGE_OPENED = "page_opened"
    STEP_OPENED = "step_opened"
    REVEALED = "revealed"
    REFUSED = "refused"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CHECK_FAILED = "check_failed"
    REPORTED = "reported"
    PURGED = "purged"
    UNKNOWN_TOKEN_BURST = "unknown_token_burst"  # noqa: S105 - the name of an event


@dataclass(frozen=True)
class Visitor:
    """Who asked, as far as an HTTP request tells. Used to label events, never to decide.

    Attributes:
        ip: Address in plain notation; `None` where it is not known.
        place: Roughly where that address is registered or sits; `None` where nothing is known.
        user_agent: What the browser calls itself, cut to 300 characters.
        agent: The same for people: `Edge 156 on Windows`.
        suspect: Why this looks like a machine (`head_request`, `robot_name`, `no_name`) and what network it came from
            (a key of `place.NETWORKS`), with a comma between the two; `none` for neither.
    """

    ip: str | None = None
    place: Place | None = None
    user_agent: str | None = None
    agent: str | None = None
    suspect: str = "none"


def mask(ip: str | None) -> str | None:
    """An address without the part that tells machines of one network apart: the first 24 bits of IPv4, 48 of IPv6.

    What cannot be read as an address is left out altogether.
    """
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    network = ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)
    return str(network.network_address)


@dataclass(frozen=True)
class Event:
    """One thing that happened. Holds no secret: no token, no lookup, no password.

    Attributes:
        seq: Place in the chain, from 1, without gaps.
        link_id: `None` for what concerns no single link.
        ref: What the connector wrote on the link when it made it.
        at_ms: Milliseconds since 1970-01-01 UTC.
        view: For `revealed`: which view this was, from 1. For `expired` and `revoked`: how many had been used.
        views_left: Views left after it; `None` where it says nothing.
        reason: Why something was refused or revoked; for `reported`, through what (`accessed` or `notice`: which mail;
            `page`: the page of the used link); for `purged`, what was removed.
        nonce: The reveal's nonce; only for `revealed`.
    """

    seq: int
    link_id: str | None
    ref: str | None
    kind: str
    at_ms: int
    view: int | None = None
    views_left: int | None = None
    reason: str | None = None
    nonce: str | None = None
    ip: str | None = None
    country: str | None = None
    city: str | None = None
    place_source: str | None = None
    user_agent: str | None = None
    agent: str | None = None
    suspect: str | None = None

    @property
    def place(self) -> Place | None:
        """Where the visitor roughly was."""
        if self.country is None or self.place_source is None:
            return None
        return Place(self.country, self.city, self.place_source, network_in(self.suspect))

    def canonical(self, *, form: int, pepper_id: str | None, salt: bytes | None) -> bytes:
        """The bytes that the chain authenticates: every field, in the order of this class.

        Args:
            form: 1: nothing but the fields; 2: form, pepper and salt in front of them.
        """
        values = [getattr(self, name) for name in _NAMES]
        if form != 1:
            values = [f"event {form}", pepper_id, salt.hex() if salt else None, *values]
        return _ENCODER.encode(values).encode()

    @property
    def is_personal(self) -> bool:
        """Whether anything in it is about one person."""
        return any(value is not None for value in (self.ip, self.user_agent, self.city))

    def blanked(self) -> Event:
        """The same without what is personal; country, kind of browser and everything that happened stay."""
        return replace(self, ip=None, user_agent=None, city=None)


_NAMES: Final = tuple(field.name for field in fields(Event))


def event_from(row: RowMapping) -> Event:
    """An event as the table holds it."""
    return Event(**{name: row[name] for name in _NAMES})
