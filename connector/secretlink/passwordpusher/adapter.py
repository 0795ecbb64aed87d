"""The `LinkService` of Password Pusher. The words, and what was read where, are in this package's docstring."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import structlog

from connector.adapter import Surroundings
from connector.config import LinksSection, validate
from connector.core.ports import (
    AlarmWish,
    Capabilities,
    Clock,
    Finding,
    Link,
    LinkEvent,
    LinkNews,
    LinkWish,
    Watched,
)
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConnectorError, PermanentError
from connector.secretlink.fitness import refuse_unfit
from connector.secretlink.foreign import events_of_all
from connector.secretlink.passwordpusher import story
from connector.secretlink.passwordpusher.api import PushApi
from connector.secretlink.passwordpusher.pushes import Order, Push, kept
from connector.secretlink.passwordpusher.section import CAPABILITIES, LONGEST_LIFE, PasswordPusherSection, findings
from connector.secretlink.place import Places
from connector.secretlink.telling import Teller

log = structlog.get_logger(__name__)

LOOK_FOR_FORGOTTEN_EVERY: Final = timedelta(minutes=5)
"""How often pushes of ours are looked for that nobody watches: left by a process that died between two steps."""

UNWATCHED_FOR: Final = timedelta(minutes=15)
"""How long after its creation a link may take to be watched; then it was given up, and its address is forgotten."""


READ_AGAIN_EVERY: Final = timedelta(minutes=3)
"""How often an audit is read of which the list shows nothing new: a look by somebody signed in there moves no count."""

MOST_READ_AGAIN: Final = 5
"""So many of them in one call of `news`, those first that waited longest: with polls of 15 s, 20 calls a minute."""


@dataclass(frozen=True)
class _Known:
    """What this process knows of a link.

    Attributes:
        views_left: As the list showed it when the audit was read; `None`: read it again.
        dead: The push was seen to be dead.
        since: When this process came to know it.
        read_at: When its audit was last read, or its turn was to be read again; `None` before.
    """

    token: Secret
    since: datetime
    read_at: datetime | None = None
    events: tuple[LinkEvent, ...] = ()
    views_left: int | None = None
    dead: bool = False
    over: bool = False


class PasswordPusher:
    """Makes and follows pushes. Safe to use from several threads.

    A push's address is kept nowhere but in memory, and there only as long as the link is watched. The connector is what
    ends a push in time: while it does not run, a push of the self-hosted edition lives on for up to a day.
    """

    def __init__(self, *, api: PushApi, url: str, clock: Clock, places: Places) -> None:
        """Nothing is sent yet.

        Args:
            url: What people open, without a slash at its end.
            places: Where visitors' addresses are; Password Pusher does not tell.
        """
        self._api = api
        self._url = url
        self._clock = clock
        self._places = places
        self._teller = Teller()
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._looked_at: datetime | None = None
        self._lost: dict[str, datetime] = {}

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build it from `links` of the configuration.

        Raises:
            ConfigError: With every problem of the section.
        """
        settings = validate(PasswordPusherSection, LinksSection.adapters_part(section), surroundings.place, where=name)
        api = PushApi(
            http=surroundings.http_for(system="Password Pusher", scope="links"),
            url=settings.url,
            token=settings.token,
            account_id="" if settings.account_id is None else str(settings.account_id),
        )
        return cls(api=api, url=settings.url, clock=surroundings.clock, places=Places())

    @property
    def capabilities(self) -> Capabilities:
        """What is true of every edition."""
        return CAPABILITIES

    def create(self, wish: LinkWish, password: Secret) -> Link:
        """Push the password. See `core.ports.LinkService`.

        Ids are compared within this process only: Password Pusher would take one twice. After a `TemporaryError` a push
        may exist whose address nobody has; `revoke` finds it by its note, and so does `news` once its end has come.

        Raises:
            PermanentError: The push did not come out as ordered, and was ended at once.
        """
        refuse_unfit(wish, CAPABILITIES, "Password Pusher")
        with self._lock:
            if wish.id in self._known:
                raise PermanentError(
                    f"There is a push with the id {wish.id} already. Retry the case: it gets a new id."
                )
        end = datetime.fromtimestamp(math.ceil((self._clock() + wish.lifetime).timestamp()), UTC)
        order = Order(password, story.write_note(wish.id, end, wish.ref), wish.views, wish.lifetime)
        edition = self._api.edition()
        push, answer = self._api.create(order)
        if not kept(order, edition, answer, end=end):
            self._api.forget()
            self._api.expire(push.token)
            raise PermanentError(
                "Password Pusher made the push with other views, another end or without its retrieval step, so it was "
                "ended at once. Look at its limits (PWP__PW__…) and at links.views and links.lifetime, then run: "
                "connector check"
            )
        with self._lock:
            self._known[wish.id] = _Known(push.token, since=self._clock())
        return Link(
            id=wish.id,
            # With `/r`: the page in front of the password, which uses no view.
            url=Secret(f"{self._url}/p/{push.token.reveal()}/r"),
            expires_at=end,
            views=wish.views,
        )

    def revoke(self, link_id: str, *, handle: str = "") -> None:  # noqa: ARG002 - the note has our id
        """End the push. See `core.ports.LinkService`."""
        with self._lock:
            known = self._known.get(link_id)
        if known is not None:
            if not known.dead:
                self._api.expire(known.token)
                self._died(link_id)
            return
        # A second look where the first shows none: pages shift while they are read.
        found = self._ours(self._clock()).get(link_id) or self._ours(self._clock()).get(link_id, [])
        for push in found:
            self._api.expire(push.token)

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        """What happened to the watched links; and the end of every push of ours whose time is over.

        One list a call; one audit for each link of which the list shows something new, and for up to `MOST_READ_AGAIN`
        of those whose audit was not read for `READ_AGAIN_EVERY`.
        """
        now = self._clock()
        if not watched and not self._is_time_for_forgotten(now):
            return self._teller.tell(cursor, ())
        alive = self._end_what_is_over(self._ours(now))
        with self._lock:
            self._looked_at = now
        self._find_dead({link.id for link in watched} - alive.keys(), now)
        again = self._take_turns([link.id for link in watched], now)
        events = events_of_all(watched, lambda link: self._events_of(link, alive.get(link.id), again=link.id in again))
        news = self._teller.tell(cursor, events)
        self._forget_all_but({link.id for link in watched})
        return news

    def await_news(self, cursor: str, timeout: timedelta) -> bool:  # noqa: ARG002
        """See `core.ports.LinkService`; it cannot wait."""
        return False

    def arm(self, wish: AlarmWish) -> Secret:  # noqa: ARG002
        """See `core.ports.LinkService`; it has no pages for that."""
        raise PermanentError("Password Pusher has no pages for 'this was not me'. Use links.kind: builtin for them.")

    def check(self) -> Iterable[Finding]:
        """Whether it is there, which edition it is, and whether it takes our token."""
        return findings(self._api, self._url, now=self._clock())

    # -- inside

    def _ours(self, now: datetime) -> dict[str, list[Push]]:
        """The living pushes that have a note of ours, by our id."""
        found: dict[str, list[Push]] = {}
        for push in self._api.active(since=now - LONGEST_LIFE):
            note = story.read_note(push.note)
            if note is not None:
                found.setdefault(note.link_id, []).append(push)
        return found

    def _is_time_for_forgotten(self, now: datetime) -> bool:
        with self._lock:
            return self._looked_at is None or now - self._looked_at >= LOOK_FOR_FORGOTTEN_EVERY

    def _end_what_is_over(self, pushes: Mapping[str, Sequence[Push]]) -> dict[str, Push]:
        """End every push whose time is over, watched or not. Returns those that live on, by our id.

        One that cannot be ended is not left aside unseen: `_events_of` tries it again and says so.
        """
        now = self._clock()
        alive: dict[str, Push] = {}
        for link_id, group in pushes.items():
            for push in group:
                note = story.read_note(push.note)
                if note is None or note.end > now:
                    alive[link_id] = push
                    continue
                try:
                    self._api.expire(push.token)
                except AuthenticationError:
                    raise
                except ConnectorError as failure:
                    log.warning("link_not_ended", link=link_id, error=str(failure))
                    alive[link_id] = push
                else:
                    self._died(link_id)
        return alive

    def _take_turns(self, watched: Sequence[str], now: datetime) -> frozenset[str]:
        """The links whose audit is to be read again though nothing may be new; each has had its turn by that.

        So one that cannot be read is not before the others each time.
        """
        with self._lock:
            read = {link_id: known.read_at for link_id, known in self._known.items() if known.read_at}
            due = [link_id for link_id in watched if link_id in read and now - read[link_id] >= READ_AGAIN_EVERY]
            turns = sorted(due, key=lambda link_id: read[link_id])[:MOST_READ_AGAIN]
            for link_id in turns:
                self._known[link_id] = replace(self._known[link_id], read_at=now)
        return frozenset(turns)

    def _events_of(self, link: Watched, push: Push | None, *, again: bool) -> tuple[LinkEvent, ...]:
        now = self._clock()
        with self._lock:
            known = self._known.get(link.id) or (_Known(push.token, since=now) if push else None)
        if known is None or known.over:
            return known.events if known else ()
        surely_dead, gone = known.dead, push is None
        nothing_new = push is not None and not known.dead and push.views_left == known.views_left is not None
        if now >= link.expires_at and not surely_dead:
            # Even when no list shows it any more: its end is told only after somebody has seen to it.
            self._api.expire(known.token)
            surely_dead = True
        elif nothing_new and not again:
            return known.events
        try:
            rows = self._api.audit(known.token)
        except ConnectorError as failure:
            if isinstance(failure, AuthenticationError) or surely_dead or not nothing_new:
                raise
            # A poll that fails for that would be followed by a longer wait, and end links late.
            log.info("link_unread", link=link.id, error=str(failure))
            return known.events
        told = story.tell(link, rows, self._places, dead=surely_dead or gone, now=now)
        views_left = push.views_left if push else None
        # That a list left it out proves nothing: lists come in pages, which shift while they are read.
        fresh = replace(known, events=told.events, views_left=views_left, dead=surely_dead, over=told.over, read_at=now)
        with self._lock:
            self._known[link.id] = fresh
        return told.events

    def _find_dead(self, wanted: set[str], now: datetime) -> None:
        """After a start: find those watched links again that have ended meanwhile.

        One without any trace is looked for again after a while. Nothing is concluded from its absence: its case is
        handed to a person when nobody has told its end.
        """
        with self._lock:
            missing = {link_id for link_id in wanted - self._known.keys() if self._lost.get(link_id, now) <= now}
        if not missing:
            return
        for push in self._api.expired(since=now - LONGEST_LIFE):
            note = story.read_note(push.note)
            if note is not None and note.link_id in missing:
                missing.discard(note.link_id)
                with self._lock:
                    self._known.setdefault(note.link_id, _Known(push.token, since=now, dead=True))
            if not missing:
                break
        with self._lock:
            self._lost = {link_id: until for link_id, until in self._lost.items() if link_id in wanted}
            self._lost |= dict.fromkeys(missing, now + LOOK_FOR_FORGOTTEN_EVERY)
        for link_id in missing:
            log.warning("link_not_found", link=link_id)

    def _died(self, link_id: str) -> None:
        with self._lock:
            known = self._known.get(link_id)
            if known is not None:
                self._known[link_id] = replace(known, dead=True, views_left=None)

    def _forget_all_but(self, watched: set[str]) -> None:
        """Addresses of links that nobody watches any more; those that were just made are not watched yet."""
        with self._lock:
            for link_id in [link_id for link_id in self._known if link_id not in watched]:
                known = self._known[link_id]
                if known.over or known.dead or self._clock() - known.since > UNWATCHED_FOR:
                    del self._known[link_id]
