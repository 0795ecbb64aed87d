"""A service that keeps one-time links, and the way to say "that was not me".

**Alarm**: what stands behind "this was not me" in a mail: an address of its own that shows nothing and opens nothing.
Whoever acts on its page ends the link and tells us; see `core.alarm` for what follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from connector.core.ports.findings import Finding
from connector.core.secret import Secret


class LinkMode(StrEnum):
    """Who opens the sealed password."""

    PATH = "path"
    """The link service, at the moment of the reveal: the token is a part of the address."""
    FRAGMENT = "fragment"
    """The browser alone: the token stands behind `#` and is never sent."""


class HumanCheck(StrEnum):
    """What is asked of whoever wants to see the password."""

    OFF = "off"
    TICKET_NUMBER = "ticket_number"
    """To type the ticket's number, which the page then does not show."""


class AlarmSource(StrEnum):
    """Which mail an alarm went out with."""

    ACCESSED = "accessed"
    NOTICE = "notice"


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
        locale: Language of the page, such as `en` or `de`; one that the service does not know becomes its own default.
        mode: Who opens the sealed password.
        human_check: What is asked of whoever wants to see the password.
    """

    id: str
    ref: str
    display_name: str
    ticket: str
    views: int
    lifetime: timedelta
    time_zone: str = "UTC"
    locale: str = "en"
    mode: LinkMode = LinkMode.PATH
    human_check: HumanCheck = HumanCheck.OFF


@dataclass(frozen=True)
class Link:
    """A link that exists. `url` opens the password: it goes into one mail and nowhere else.

    Attributes:
        handle: By what the service knows the link, where that is not our id; kept with the case. Whoever reads it can
            do nothing with it: never an address, and nothing that opens one.
    """

    id: str
    url: Secret
    expires_at: datetime
    views: int
    handle: str = ""


@dataclass(frozen=True)
class Watched:
    """A link of ours that can still be opened or run out, for services that do not tell by themselves."""

    id: str
    handle: str
    expires_at: datetime
    views: int


ALARM_REFERENCE: Final = re.compile(r"alarm-[0-9a-f]{32}", re.ASCII)
"""The form of what `CaseStore.alarm_reference` gives; no link of ours is called like that."""


@dataclass(frozen=True)
class AlarmWish:
    """What "this was not me" in one mail is to stand for.

    Attributes:
        mail: The id of the letter that it goes into.
        about: The case's alarm reference; it comes back as `LinkEvent.link_id`.
        link_id: The link that the press ends at once, before anybody here hears of it; empty: none.
        source: Which mail it goes into.
        display_name, ticket, time_zone, locale: As in `LinkWish`.
        since: When the mail was due.
        lifetime: Counted from then; see `ends_at`.
    """

    mail: str
    about: str
    link_id: str
    source: AlarmSource
    display_name: str
    ticket: str
    since: datetime
    lifetime: timedelta
    time_zone: str = "UTC"
    locale: str = "en"

    def ends_at(self, now: datetime) -> datetime:
        """Until when it can be pressed, if its mail goes out now: a lifetime after the mail was due.

        For a mail that is late it is moved on by half a lifetime at a time. So the tries of one mail agree on it for
        long, and whichever of them is accepted, at least half of the lifetime is left.
        """
        half = self.lifetime / 2
        late = max(now - self.since, timedelta(0))
        return min(self.since, now) + self.lifetime + (late // half) * half


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a link service can do. The defaults are those of our own.

    Attributes:
        shortest: The shortest lifetime that it gives.
        most_views: How many views a link can have.
        tells_ip, tells_agent, tells_place: What a reveal comes with.
        scanner_proof: Opening the page, following what is on it and sending its forms uses no view.
        alarms: Whether it has pages for "this was not me".
        modes: Who can open the password.
        human_check: Whether it can ask for something typed.
        locales: Languages of its page that it can be asked for; empty: it chooses by itself.
        announces: `await_news` really waits.
        needs_watched: `news` wants to know the links that are still of interest.
    """

    shortest: timedelta = timedelta(seconds=1)
    most_views: int = 20
    tells_ip: bool = True
    tells_agent: bool = True
    tells_place: bool = True
    scanner_proof: bool = True
    alarms: bool = True
    modes: frozenset[LinkMode] = frozenset(LinkMode)
    human_check: bool = True
    locales: frozenset[str] = frozenset()
    announces: bool = True
    needs_watched: bool = False


class LinkEventKind(StrEnum):
    """What the link service tells. Kinds that we do not know are skipped by the adapter."""

    CREATED = "created"
    PAGE_OPENED = "page_opened"
    REVEALED = "revealed"
    REFUSED = "refused"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REPORTED = "reported"
    """Somebody said "this was not me"."""


@dataclass(frozen=True, kw_only=True)
class LinkEvent:
    """One thing that happened to a link.

    Attributes:
        seq: Grows; no two events of one service share it.
        link_id: The link; for `REPORTED` by an alarm, what that was about (`AlarmWish.about`).
        view: Which view of the link a reveal used up, counted from 1; 0 for one that used up none, and other kinds.
        views_left: After this event.
        ip: The visitor's address, or empty.
        place: Approximate, never finer than its source: `United Kingdom (approx.)`; or empty.
        agent: Browser and system in words; or empty.
        reason: Why a link was revoked by the service itself (`check_failed`: too many wrong answers), or through what
            it was reported (`accessed`, `notice`: which mail; `page`: the page of the used link); or empty.
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
    reason: str = ""


@dataclass(frozen=True)
class LinkNews:
    """What one call brought.

    Attributes:
        events: Oldest first; some may be old news (overlap).
        cursor: Opaque; give it back at the next call. Saved only after the events were.
        more: Ask again at once: there is more than fits into one answer.
    """

    events: tuple[LinkEvent, ...]
    cursor: str
    more: bool = False


class LinkService(Protocol):
    """Where one-time links live."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; the same for as long as the object lives. Asks nobody."""

    def create(self, wish: LinkWish, password: Secret) -> Link:
        """Seal the password and store it behind a new link.

        Raises:
            TemporaryError: The service is away; nothing was stored, or it was stored and nobody has its address.
            AuthenticationError (scope `links`), PermanentError.
        """

    def revoke(self, link_id: str, *, handle: str = "") -> bool:
        """Make the link dead. Repeating it, or naming a link that was never made, changes nothing and is fine.

        Args:
            handle: As `create` gave it, where it is still known.

        Returns:
            Whether the service knows of the link: then it is dead, whatever ended it. `False` where it was not found,
            so that nothing was ended: it was never made, or by another service or account, or is long forgotten.

        Raises:
            TemporaryError, AuthenticationError (scope `links`).
        """

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        """What happened since `cursor`; the empty one: ever.

        Args:
            watched: For a service with `needs_watched`.

        Raises:
            PermanentError: The history does not go on where it was left: it was replaced, shortened or rewritten.
            TemporaryError, AuthenticationError (scope `links`): Ask again with the same cursor.
        """

    def await_news(self, cursor: str, timeout: timedelta) -> bool:
        """Wait until there is something newer than `cursor`, at most for `timeout`; `False` when there is not.

        Only ever a hint to ask for `news`. A service that cannot wait answers `False` at once.

        Raises:
            TemporaryError, AuthenticationError (scope `links`).
        """

    def arm(self, wish: AlarmWish) -> Secret:
        """Make an alarm, and give the address to be mailed. It opens nothing.

        A repeat of the same wish gives the same address and makes no other alarm, as long as the process lives and the
        wish ends at the same time (`AlarmWish.ends_at`).

        Raises:
            PermanentError: This service has no alarms.
            TemporaryError, AuthenticationError (scope `links`).
        """

    def check(self) -> Iterable[Finding]: ...
