"""What the vault takes and gives: links, reveals, refusals, alarms, pages of events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from connector.core.secret import Secret
from connector.secretlink.seal import Terms
from connector.secretlink.service.store.chain import Event, Head

ACTIVE: Final = "active"
PATH: Final = "path"
FRAGMENT: Final = "fragment"
ARMED: Final = "armed"
RAISED: Final = "raised"
_REPORTABLE: Final = timedelta(days=7)
"""An old mailbox must not lock people out for as long as links are remembered."""


class Conflict(Exception):
    """A link with this id or this token exists already and is another one."""


@dataclass(frozen=True)
class NewLink:
    """What the connector sends to make a link.

    Attributes:
        lookup: See `seal.lookup_of`; 32 bytes.
        sealed: See `seal.seal`.
        ref: The connector's own word for the case; given back in every event.
        mode: Who opens the sealed bytes: the link service (`PATH`) or the browser alone (`FRAGMENT`).
        display_name: Whose password it is, for the page.
        ticket: The ticket's number, for the page.
        time_zone: Zone of the times on the page, such as `Europe/London`.
        brand: JSON of the name, phone, address and colour to show; `None` for the service's own.
        locale: Language of the page, such as `en`.
        check: See `seal.check_of`; `None`: nothing has to be typed.
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
    locale: str = "en"
    check: bytes | None = field(default=None, repr=False)

    def canonical(self, *, form: int = 2) -> bytes:
        """What was authenticated of a link when it was made, before there was a digest; see `genuine`.

        Args:
            form: 1: as before there were languages and checks; only links of then are that.
        """
        values = [
            self.terms.associated_data().decode(), self.lookup.hex(), self.sealed.hex(), self.ref, self.mode,
            self.display_name, self.ticket, self.time_zone, self.brand, self.locale,
            self.check.hex() if self.check else None,
        ]  # fmt: skip
        if form == 1:
            values = values[:-2]
        return json.dumps(values, separators=(",", ":")).encode()


@dataclass(frozen=True)
class LinkRecord:
    """What is known of a link without opening it. No secret in it.

    Attributes:
        checked: Whether something has to be typed before the password is shown.
        check_failures: How many wrong answers were typed so far.
        proven: Whether its row was checked to be what was made. Else it holds nothing but terms, state and counts; see
            `genuine.unproven`.
    """

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
    mode: str = PATH
    locale: str = "en"
    checked: bool = False
    check_failures: int = 0
    proven: bool = True

    @property
    def views_left(self) -> int:
        """Views that can still be used; 0 for a link that has ended."""
        return self.terms.max_views - self.views if self.state == ACTIVE else 0

    def can_be_reported(self, now: datetime, *, views: Sequence[Event]) -> bool:
        """Whether who has its token may say "that was not me": once it was opened, and until it is long over.

        Args:
            views: Its reveals, each checked against the chain (`Vault.views_of`); `last_view_ms` proves nothing.
        """
        if not views or not self.proven:
            return False
        lives = self.state == ACTIVE and now.timestamp() < self.terms.expires_at
        return lives or now - datetime.fromtimestamp(views[-1].at_ms / 1000, UTC) < _REPORTABLE


@dataclass(frozen=True)
class Revealed:
    """One view.

    Attributes:
        password: `None` when nobody showed the token: then the browser opens `sealed`.
        link: The link as it is after this view.
        counted: Whether this answer used a view; `False` for the same click again.
        sealed: The sealed bytes; `None` when they were opened here.
    """

    password: Secret | None
    link: LinkRecord
    counted: bool
    sealed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Refused:
    """No view, and none used.

    Attributes:
        reason: `unknown`, `consumed`, `expired`, `revoked`, `damaged` (does not decrypt), `repeated` (this nonce had
            its answer and the time for asking again is over), `check` (what was typed is wrong or missing) or `mode`
            (nobody showed the token, but the link is not one that the browser opens).
        link: The link or its tombstone; `None` for an unknown token.
        tries_left: For `check`: how many wrong answers the link still bears.
    """

    reason: str
    link: LinkRecord | None
    tries_left: int | None = None


@dataclass(frozen=True)
class NewAlarm:
    """What the connector sends to arm an alarm.

    Attributes:
        id: Made by the caller, of the form of a link's id.
        lookup: Of the alarm's own token; see `seal.lookup_of`.
        about: What it is about, in the caller's words; comes back as the `ref` of the event.
        link_id: The link that it ends when it is raised; `None` for none.
        source: Which mail it goes out with: `accessed` or `notice`.
        expires_at: Seconds since 1970-01-01 UTC; from this second on it cannot be raised.
        display_name, ticket, time_zone, locale, brand: As for a link.
    """

    id: str
    lookup: bytes = field(repr=False)
    about: str
    link_id: str | None
    source: str
    display_name: str
    ticket: str
    time_zone: str
    locale: str
    brand: str | None
    expires_at: int

    def canonical(self) -> bytes:
        """The bytes by which a repeated arming is told from a clash."""
        values = [
            "alarm", self.id, self.lookup.hex(), self.about, self.link_id, self.source, self.display_name, self.ticket,
            self.time_zone, self.locale, self.brand, self.expires_at,
        ]  # fmt: skip
        return json.dumps(values, separators=(",", ":")).encode()


@dataclass(frozen=True)
class AlarmRecord:
    """An alarm as it is. It opens nothing and there is no secret in it.

    Attributes:
        state: `armed`, `raised` or `expired`.
        raised_ms: When it was raised; `None` before.
    """

    id: str
    about: str
    link_id: str | None
    source: str
    state: str
    created_ms: int
    expires_at: int
    raised_ms: int | None
    display_name: str
    ticket: str
    time_zone: str
    locale: str
    brand: str | None


@dataclass(frozen=True)
class EventPage:
    """Events after a cursor, oldest first.

    Attributes:
        head: The newest event of the whole chain.
        anchor: The mac of the event at the cursor itself, by which a reader sees that history was not rewritten;
            `None` where that event was purged or never existed.
        more: Whether there are events beyond these.
        next_mac: The mac of the last event of this page; of the event at the cursor when the page is empty. `None`
            only where `anchor` is.
    """

    events: tuple[Event, ...]
    head: Head
    anchor: bytes | None
    more: bool
    next_mac: bytes | None
