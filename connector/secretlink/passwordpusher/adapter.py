"""The `LinkService` of Password Pusher. The words, and what was read where, are in this package's docstring."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Self

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
from connector.secretlink.foreign import NotShown, events_of_all, without_history
from connector.secretlink.passwordpusher import story
from connector.secretlink.passwordpusher.api import PushApi
from connector.secretlink.passwordpusher.memory import Known, Memory
from connector.secretlink.passwordpusher.pushes import Order, Push, kept
from connector.secretlink.passwordpusher.section import CAPABILITIES, LONGEST_LIFE, PasswordPusherSection, findings
from connector.secretlink.place import Places
from connector.secretlink.telling import Teller

log = structlog.get_logger(__name__)


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
        self._memory = Memory()

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
        if self._memory.of(wish.id) is not None:
            raise PermanentError(f"There is a push with the id {wish.id} already. Retry the case: it gets a new id.")
        edition = self._api.edition()
        order = Order(password, "", wish.views, wish.lifetime)
        end = datetime.fromtimestamp(math.ceil((self._clock() + order.open_for(edition)).timestamp()), UTC)
        order = replace(order, note=story.write_note(wish.id, end, wish.ref))
        push, answer = self._api.create(order, edition)
        if not kept(order, edition, answer, end=end):
            self._api.forget()
            self._api.expire(push.token)
            raise PermanentError(
                "Password Pusher made the push with other views, another end or note, or without its retrieval step, "
                "so it was ended at once. Look at its limits (PWP__PW__…), links.views and links.lifetime, then run: "
                "connector check"
            )
        self._memory.keep(wish.id, Known(push.token, since=self._clock()))
        return Link(
            id=wish.id,
            # With `/r`: the page in front of the password, which uses no view.
            url=Secret(f"{self._url}/p/{push.token.reveal()}/r"),
            expires_at=end,
            views=wish.views,
        )

    def revoke(self, link_id: str, *, handle: str = "") -> bool:  # noqa: ARG002 - the note has our id
        """End the push, and any other that has its note. See `core.ports.LinkService`.

        Pushes older than `LONGEST_LIFE` count as forgotten.
        """
        known = self._memory.of(link_id)
        if known is not None and not known.dead:
            self._api.expire(known.token)
            self._memory.died(link_id)
        now = self._clock()
        found = self._ours(now).get(link_id, [])
        if not found and known is None:
            # A second look where the first shows none: pages shift while they are read.
            found = self._ours(now).get(link_id, [])
        for push in found:
            self._api.expire(push.token)
        return bool(known or found or self._dead({link_id}, now))

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        """What happened to the watched links; and the end of every push of ours whose time is over.

        One list a call; one audit for each link of which the list shows something new, and for some of those whose
        audit was not read for a while (`memory.MOST_READ_AGAIN`, `memory.READ_AGAIN_EVERY`).
        """
        with without_history():
            return self._news(cursor, watched, self._clock())

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

    def _news(self, cursor: str, watched: Sequence[Watched], now: datetime) -> LinkNews:
        if not watched and not self._memory.is_time_to_look(now):
            return self._teller.tell(cursor, ())
        alive = self._end_what_is_over(self._ours(now))
        self._memory.looked(now)
        self._find_dead({link.id for link in watched} - alive.keys(), now)
        again = self._memory.take_turns([link.id for link in watched], now)
        events = events_of_all(watched, lambda link: self._events_of(link, alive.get(link.id), again=link.id in again))
        news = self._teller.tell(cursor, events)
        self._memory.forget_all_but({link.id for link in watched}, self._clock())
        return news

    def _ours(self, now: datetime) -> dict[str, list[Push]]:
        """The living pushes that have a note of ours, by our id."""
        found: dict[str, list[Push]] = {}
        for push in self._api.active(since=now - LONGEST_LIFE):
            note = story.read_note(push.note)
            if note is not None:
                found.setdefault(note.link_id, []).append(push)
        return found

    def _end_what_is_over(self, pushes: Mapping[str, Sequence[Push]]) -> dict[str, Push]:
        """End every push whose time is over, watched or not. Returns those that live on, by our id.

        Of several with one note it is the one that this process knows: what lies between us may have sent it twice.
        One that cannot be ended is not left aside unseen: `_events_of` tries it again and says so.
        """
        now = self._clock()
        alive: dict[str, Push] = {}
        for link_id, group in pushes.items():
            known = self._memory.of(link_id)
            for push in group:
                note = story.read_note(push.note)
                if note is None or note.end > now:
                    if known is None or known.token == push.token:
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
                    self._memory.ran_out(link_id, push.token, now)
        return alive

    def _events_of(self, link: Watched, push: Push | None, *, again: bool) -> tuple[LinkEvent, ...]:
        now = self._clock()
        known = self._memory.of(link.id) or (Known(push.token, since=now) if push else None)
        if known is None or known.over:
            return known.events if known else ()
        nothing_new = push is not None and not known.dead and push.views_left == known.views_left is not None
        if now >= link.expires_at and not known.dead:
            # Even when no list shows it any more: its end is told only after somebody has seen to it.
            alive_at_its_end = self._api.expire(known.token) or push is not None
            known = replace(known, dead=True, ran_out=alive_at_its_end)
            self._memory.keep(link.id, known)
        elif (nothing_new and not again) or (push is None and known.is_left_alone(now)):
            return known.events
        try:
            rows = self._api.audit(known.token)
        except NotShown as failure:
            if push is not None:
                raise  # its list shows it
            log.warning("link_not_shown", link=link.id, error=str(failure))
            self._memory.keep(link.id, replace(known, not_shown_at=now))
            return known.events
        except ConnectorError as failure:
            if isinstance(failure, AuthenticationError) or known.dead or not nothing_new:
                raise
            # A poll that fails for that would be followed by a longer wait, and end links late.
            log.info("link_unread", link=link.id, error=str(failure))
            return known.events
        # That a list left it out proves nothing for good: lists come in pages, which shift while they are read.
        dead = known.dead or push is None
        told = story.tell(link, rows, self._places, dead=dead, ran_out=known.ran_out, now=now)
        views_left = push.views_left if push else None
        known = replace(known, read_at=now, not_shown_at=None)
        self._memory.keep(link.id, replace(known, events=told.events, views_left=views_left, over=told.over))
        return told.events

    def _find_dead(self, wanted: set[str], now: datetime) -> None:
        """After a start: find those watched links again that have ended meanwhile.

        One without any trace is looked for again after a while. Nothing is concluded from its absence: its case is
        handed to a person when nobody has told its end.
        """
        missing = self._memory.to_search(wanted, now)
        if not missing:
            return
        try:
            found = self._dead(missing, now)
        except AuthenticationError:
            raise
        except ConnectorError as failure:
            # The list of the living has just answered: the news of the others do not wait for that of the dead.
            log.warning("links_not_searched", error=str(failure))
            found = {}
        for link_id, push in found.items():
            missing.discard(link_id)
            self._memory.found_dead(link_id, push.token, now)
        self._memory.not_found(missing, wanted, now)
        for link_id in missing:
            log.warning("link_not_found", link=link_id)

    def _dead(self, wanted: set[str], now: datetime) -> dict[str, Push]:
        """The dead pushes of these links, by our id."""
        found: dict[str, Push] = {}
        for push in self._api.expired(since=now - LONGEST_LIFE):
            note = story.read_note(push.note)
            if note is not None and note.link_id in wanted:
                found.setdefault(note.link_id, push)
            if len(found) == len(wanted):
                break
        return found
