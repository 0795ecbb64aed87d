"""A service that keeps one-time links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from connector.core.ports.findings import Finding
from connector.core.secret import Secret


@dataclass(frozen=True)
class LinkWish:
    """What a link is to be.

    Attributes:
        id: Made by the caller before the link is, so that it can be revoked whatever happens.
        ref: Who the link is for, in words that may be stored at the link service: `halo/4242`.
        display_name: Whose password, shown on the page.
        ticket: The ticket number, shown on the page.
        views: 1 to 20.
        lifetime: Counted from now.
        time_zone: IANA name in which the page shows times.
    """

    id: str
    ref: str
    display_name: str
    ticket: str
    views: int
    lifetime: timedelta
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Link:
    """A link that exists. `url` opens the password: it goes into one mail and nowhere else."""

    id: str
    url: Secret
    expires_at: datetime
    views: int


class LinkEventKind(StrEnum):
    """What the link service tells. Kinds that we do not know are skipped by the adapter."""

    CREATED = "created"
    PAGE_OPENED = "page_opened"
    REVEALED = "revealed"
    REFUSED = "refused"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, kw_only=True)
class LinkEvent:
    """One thing that happened to a link.

    Attributes:
        seq: Grows without gaps that matter; the cursor.
        view: Which reveal this was, counted from 1; 0 for other kinds.
        views_left: After this event.
        ip: The visitor's address, or empty.
        place: Approximate, never finer than its source: `United Kingdom (approx.)`; or empty.
        agent: Browser and system in words; or empty.
    """

    seq: int
    link_id: str
    kind: LinkEventKind
    at: datetime
    view: int = 0
    views_left: int = 0
    ip: str = ""
    place: str = ""
    agent: str = ""


class LinkService(Protocol):
    """Where one-time links live."""

    def create(self, wish: LinkWish, password: Secret) -> Link:
        """Seal the password and store it behind a new link.

        Raises:
            TemporaryError: The service is away; nothing was stored, or it was stored and nobody has its address.
            AuthenticationError (scope `links`), PermanentError.
        """

    def revoke(self, link_id: str) -> None:
        """Make the link dead. Repeating it, or naming a link that was never made, changes nothing and is fine."""

    def events(self, after: int) -> Sequence[LinkEvent]:
        """Events with `seq` greater than `after`, oldest first; empty when there is nothing new.

        Long histories come in several calls: ask again with the newest `seq` until it answers empty.
        """

    def check(self) -> Iterable[Finding]: ...
