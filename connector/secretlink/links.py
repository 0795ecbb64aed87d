"""What the vault takes and gives: links, reveals, refusals, pages of events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from connector.core.secret import Secret
from connector.secretlink.chain import Event, Head
from connector.secretlink.seal import Terms

ACTIVE: Final = "active"


class Conflict(Exception):
    """A link with this id or this token exists already and is another one."""


@dataclass(frozen=True)
class NewLink:
    """What the connector sends to make a link.

    Attributes:
        lookup: See `seal.lookup_of`; 32 bytes.
        sealed: See `seal.seal`.
        ref: The connector's own word for the case; given back in every event.
        mode: Who opens the sealed bytes; only `path` (the link service) now.
        display_name: Whose password it is, for the page.
        ticket: The ticket's number, for the page.
        time_zone: Zone of the times on the page, such as `Europe/London`.
        brand: JSON of the name, phone, address and colour to show; `None` for the service's own.
    """

    terms: Terms
    lookup: bytes
    sealed: bytes
    ref: str
    mode: str
    display_name: str
    ticket: str
    time_zone: str
    brand: str | None

    def canonical(self) -> bytes:
        """The bytes by which a repeated create is told from a clash."""
        values = [
            self.terms.associated_data().decode(), self.lookup.hex(), self.sealed.hex(), self.ref, self.mode,
            self.display_name, self.ticket, self.time_zone, self.brand,
        ]  # fmt: skip
        return json.dumps(values, separators=(",", ":")).encode()


@dataclass(frozen=True)
class LinkRecord:
    """What is known of a link without opening it. No secret in it."""

    terms: Terms
    state: str
    views: int
    created_ms: int
    first_view_ms: int | None
    last_view_ms: int | None
    ended_ms: int | None
    ref: str
    display_name: str
    ticket: str
    time_zone: str
    brand: str | None

    @property
    def views_left(self) -> int:
        """Views that can still be used; 0 for a link that has ended."""
        return self.terms.max_views - self.views if self.state == ACTIVE else 0


@dataclass(frozen=True)
class Revealed:
    """One view.

    Attributes:
        counted: Whether this answer used a view; `False` for the same click again.
        link: The link as it is after this view.
    """

    password: Secret
    link: LinkRecord
    counted: bool


@dataclass(frozen=True)
class Refused:
    """No view, and none used.

    Attributes:
        reason: `unknown`, `consumed`, `expired`, `revoked`, `damaged` (does not decrypt) or `repeated` (this nonce had
            its answer and the time for asking again is over).
        link: The tombstone; `None` for an unknown token.
    """

    reason: str
    link: LinkRecord | None


@dataclass(frozen=True)
class EventPage:
    """Events after a cursor, oldest first.

    Attributes:
        head: The newest event of the whole chain.
        anchor: The mac of the event at the cursor itself, by which a reader sees that history was not rewritten;
            `None` where that event was purged or never existed.
        more: Whether there are events beyond these.
    """

    events: tuple[Event, ...]
    head: Head
    anchor: bytes | None
    more: bool
