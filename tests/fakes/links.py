"""A `LinkService` in memory. It passes `tests.contracts.links.LinkServiceContract`, like the real ones.

Trouble is ordered, not patched in: `raise_before` and `raise_after` make one coming call fail without or with its
effect; `on_call` sees every call twice (before and after its effect) and may raise whatever it likes.
"""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from connector.core.ports import (
    AlarmWish,
    Capabilities,
    Clock,
    Finding,
    Level,
    Link,
    LinkEvent,
    LinkEventKind,
    LinkNews,
    LinkWish,
    Watched,
)
from connector.core.secret import Secret
from connector.errors import AuthenticationError, PermanentError, TemporaryError

Call = Literal["create", "revoke", "news", "await_news", "arm", "check"]
Moment = Literal["before", "after"]

ADDRESS = "https://links.example.com"


class LinkGone(LookupError):
    """What a person sees who opens a link that is used up, expired, revoked or was never made."""


@dataclass
class _Kept:
    wish: LinkWish
    url: Secret
    password: Secret
    expires_at: datetime
    views: int = 0
    ended: LinkEventKind | None = None

    @property
    def alive(self) -> bool:
        return self.ended is None and self.views < self.wish.views


class FakeLinks:
    """Links in memory. Safe to share between threads.

    Attributes:
        calls: Every call in order, refused ones too: its name and the link's id (or the cursor, or empty).
        history: Every event so far. A test may take some away, as a service does that loses its database.
        down: The service is away.
        key_refused: The service does not accept our key (any more).
        asleep: Its timer does not come: links whose time is over are dead, but it does not say so.
        page: How many events one call of `news` brings at most.
        capabilities: May be changed by a test before it begins.
        on_call: Called before and after the effect of each call; what it raises is what the caller sees.
    """

    def __init__(self, *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self.calls: list[tuple[Call, str]] = []
        self.history: list[LinkEvent] = []
        self.down = False
        self.key_refused = False
        self.asleep = False
        self.page = 200
        self.capabilities = Capabilities(announces=False)
        self.on_call: Callable[[Call, Moment], None] | None = None
        self._clock = clock
        self._links: dict[str, _Kept] = {}
        self._alarms: dict[Secret, tuple[AlarmWish, datetime]] = {}
        self._pressed: set[Secret] = set()
        self._ordered: dict[tuple[Call, Moment], deque[Exception]] = defaultdict(deque)
        self._seq = 0
        self._lock = threading.RLock()
        self._told = threading.Condition(self._lock)

    # -- orders

    def raise_before(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name fail one after the other, without an effect."""
        self._ordered[call, "before"].extend(errors)

    def raise_after(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name have their effect and fail all the same."""
        self._ordered[call, "after"].extend(errors)

    # -- what people and time do

    def open(self, url: Secret, *, ip: str = "203.0.113.9", place: str = "United Kingdom (approx.)") -> Secret:
        """A person opens the link and has the password shown: one view, and one event.

        Raises:
            LinkGone: There is nothing to show (any more).
        """
        with self._lock:
            self.expire(self._clock())
            kept = self._find(url)
            if kept is None:
                raise LinkGone("unknown")
            if not kept.alive or kept.expires_at <= self._clock():
                self._tell(kept, LinkEventKind.REFUSED, ip=ip)
                raise LinkGone(kept.ended or "used up")
            kept.views += 1
            self._tell(kept, LinkEventKind.REVEALED, view=kept.views, ip=ip, place=place, agent="Firefox on Windows")
            return kept.password

    def look(self, url: Secret) -> None:
        """A person, or a mail scanner, opens the page and goes no further."""
        with self._lock:
            kept = self._find(url)
            if kept is not None and kept.alive:
                self._tell(kept, LinkEventKind.PAGE_OPENED)

    def is_armed(self, url: Secret) -> bool:
        """Whether the page at an alarm's address offers to press it."""
        with self._lock:
            _, end = self._alarms.get(url, (None, None))
            return end is not None and end > self._clock() and url not in self._pressed

    def press(self, url: Secret, *, ip: str = "203.0.113.77", place: str = "United Kingdom (approx.)") -> bool:
        """A person says "this was not me" at an alarm's address. `False`: there is no such alarm, or its time is over.

        A second press of the same alarm tells nothing new.
        """
        with self._lock:
            wish, end = self._alarms.get(url, (None, None))
            if wish is None or end is None or end <= self._clock():
                return False
            if url in self._pressed:
                return True
            self._pressed.add(url)
            self._end(wish.link_id)
            self._seq += 1
            self.history.append(
                LinkEvent(
                    seq=self._seq, link_id=wish.about, kind=LinkEventKind.REPORTED, at=self._clock(), ip=ip,
                    place=place, agent="Firefox on Windows", reason=wish.source.value,
                )
            )  # fmt: skip
            self._told.notify_all()
            return True

    def expire(self, now: datetime) -> None:
        """The service's own timer: end every link whose time is over."""
        with self._lock:
            for kept in self._links.values():
                if kept.alive and kept.expires_at <= now and not self.asleep:
                    kept.ended = LinkEventKind.EXPIRED
                    self._tell(kept, LinkEventKind.EXPIRED, at=kept.expires_at)

    # -- what only a test may see

    def alive(self) -> list[str]:
        """The ids of the links that would show a password now, oldest first."""
        with self._lock:
            return [link_id for link_id, kept in self._links.items() if kept.alive and kept.expires_at > self._clock()]

    def made(self) -> list[str]:
        """The ids of all links ever made, oldest first."""
        return list(self._links)

    def behind(self, link_id: str) -> Secret:
        """The password that was put behind this link, dead or alive. No view, no event."""
        return self._links[link_id].password

    def wish_behind(self, alarm: Secret) -> AlarmWish:
        """What the alarm at this address was made for."""
        return self._alarms[alarm][0]

    def wish_for(self, link_id: str) -> LinkWish:
        """What this link was wished to be."""
        return self._links[link_id].wish

    def armed(self) -> list[AlarmWish]:
        """Every alarm that was ever armed, oldest first."""
        return [wish for wish, _ in self._alarms.values()]

    def url_of(self, link_id: str) -> Secret:
        return self._links[link_id].url

    # -- the port

    def create(self, wish: LinkWish, password: Secret) -> Link:
        self._at("create", "before", wish.id)
        with self._lock:
            if not 1 <= wish.views <= self.capabilities.most_views:
                raise PermanentError(f"A link has 1 to {self.capabilities.most_views} views here.")
            if wish.id in self._links:
                raise PermanentError(f"There is another link {wish.id} already. Retry the case: it gets a new id.")
            url = Secret(f"{ADDRESS}/s/{secrets.token_urlsafe(24)}")
            kept = _Kept(wish, url, password, self._clock() + wish.lifetime)
            self._links[wish.id] = kept
            self._tell(kept, LinkEventKind.CREATED)
        self._at("create", "after", wish.id)
        return Link(id=wish.id, url=url, expires_at=kept.expires_at, views=wish.views)

    def revoke(self, link_id: str, *, handle: str = "") -> bool:
        self._at("revoke", "before", link_id)
        with self._lock:
            known = link_id in self._links
            self._end(link_id)
        self._at("revoke", "after", link_id)
        return known

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        self._at("news", "before", cursor)
        with self._lock:
            newer = [event for event in self.history if event.seq > int(cursor or 0)]
        found = newer[: self.page]
        self._at("news", "after", cursor)
        return LinkNews(tuple(found), str(found[-1].seq) if found else cursor, more=len(newer) > len(found))

    def await_news(self, cursor: str, timeout: timedelta) -> bool:
        self._at("await_news", "before", cursor)
        if not self.capabilities.announces:
            return False
        with self._told:
            after = int(cursor or 0)
            heard = self._told.wait_for(
                lambda: any(event.seq > after for event in self.history), timeout.total_seconds()
            )
        self._at("await_news", "after", cursor)
        return heard

    def arm(self, wish: AlarmWish) -> Secret:
        self._at("arm", "before", wish.about)
        if not self.capabilities.alarms:
            raise PermanentError("This link service has no alarms.")
        armed = (wish, wish.ends_at(self._clock()))
        with self._lock:
            same = (url for url, known in self._alarms.items() if known == armed)
            url = next(same, Secret(f"{ADDRESS}/n/{secrets.token_urlsafe(24)}"))
            self._alarms[url] = armed
        self._at("arm", "after", wish.about)
        return url

    def check(self) -> Iterable[Finding]:
        try:
            self._at("check", "before", "")
        except (TemporaryError, AuthenticationError) as trouble:
            yield Finding(Level.ERROR, "links", str(trouble), "Start the link service.")
        else:
            yield Finding(Level.OK, "links", "The link service answers.")

    # -- inside

    def _end(self, link_id: str) -> None:
        kept = self._links.get(link_id)
        if kept is not None and kept.alive:
            kept.ended = LinkEventKind.REVOKED
            self._tell(kept, LinkEventKind.REVOKED)

    def _find(self, url: Secret) -> _Kept | None:
        return next((kept for kept in self._links.values() if kept.url == url), None)

    def _tell(
        self,
        kept: _Kept,
        kind: LinkEventKind,
        *,
        at: datetime | None = None,
        view: int = 0,
        ip: str = "",
        place: str = "",
        agent: str = "",
    ) -> None:
        self._seq += 1
        self.history.append(
            LinkEvent(
                seq=self._seq,
                link_id=kept.wish.id,
                kind=kind,
                at=at or self._clock(),
                view=view,
                views_left=max(0, kept.wish.views - kept.views),
                ip=ip,
                place=place,
                agent=agent,
            )
        )
        self._told.notify_all()

    def _at(self, call: Call, moment: Moment, about: str) -> None:
        if moment == "before":
            self.calls.append((call, about))
        if self.on_call:
            self.on_call(call, moment)
        if moment == "before" and self.down:
            raise TemporaryError("The link service cannot be reached. It is tried again by itself.")
        if moment == "before" and self.key_refused:
            raise AuthenticationError("The link service does not accept our key. Check links.api_key.", scope="links")
        if self._ordered[call, moment]:
            raise self._ordered[call, moment].popleft()
