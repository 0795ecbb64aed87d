"""What comes in by polling: changed tickets and link events. Each poll is claimed through the database.

A poll saves what it brought before it saves its cursor, so a process killed between the two polls the same again;
nothing is lost, and everything is saved by key, so nothing is counted twice.

The cursor of the links is the proof, too, that the link service's history goes on where it was left (see
`LinkService.news`). Where it does not, nothing is saved and the cursor stays, however often it is asked again: the ends
of links are then not believed, and their cases end as those of a service that is silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from connector.core.ports import CaseStore, Clock, LinkService, Psa, Watched
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError
from connector.telemetry.metrics import POLL_SECONDS, POLLS

log = structlog.get_logger(__name__)

POLL_LEASE = timedelta(minutes=3)
SWEEP_EVERY = timedelta(hours=1)
LONGEST_BACKOFF = timedelta(minutes=5)
PUSH_GAP = timedelta(seconds=1)
"""The least time between two polls of one PSA of which a push wanted one, and between two looks at one ticket."""
LINK_GAP = timedelta(milliseconds=250)
"""The same between two polls of the links of which news called for one."""
LINKS = "links"
"""The name of the links' poll."""
LISTEN_FOR = timedelta(seconds=25)
LEAST_WAIT = timedelta(seconds=1)
LONGEST_REST = timedelta(seconds=30)
"""The listener's longest rest, while waiting for news brings nothing but failures."""


class Polls:
    """The polls of one process. Safe to use from several threads.

    Args:
        every: The time between two polls of one system while all is well.
    """

    def __init__(self, *, store: CaseStore, links: LinkService, clock: Clock, every: timedelta) -> None:
        self._store = store
        self._links = links
        self._clock = clock
        self._every = every
        self._failures: dict[str, int] = {}
        self._waits_until: dict[str, datetime] = {}

    def poll_psa(self, psa: Psa, *, early: bool = False) -> int | None:
        """Ask for changed tickets, if it is time and nobody else is at it.

        Args:
            early: Ask even before it is time (a person wants it).

        Returns:
            How many new cases were opened; `None` when it was not time or somebody else is at it.

        Raises:
            TemporaryError, AuthenticationError: The cursor stays; the next poll asks for the same again.
        """
        return self._poll_psa(psa, early=self._every if early else timedelta(0))

    def poll_pushed(self, psa: Psa) -> int | None:
        """Ask for changed tickets before it is time, because of a push.

        Not within `PUSH_GAP` of the last poll, whichever process made it; and never while this process waits after a
        failure: whoever can send a push must not be able to nudge a PSA out of the pause that it asked for.

        Returns, raises: As `poll_psa`.
        """
        until = self._waits_until.get(_poll_name(psa))
        if until is not None and self._clock() < until:
            return None
        return self._poll_psa(psa, early=max(self._every - PUSH_GAP, timedelta(0)))

    def _poll_psa(self, psa: Psa, *, early: timedelta) -> int | None:
        opened = 0

        def ask(cursor: str) -> str:
            nonlocal opened
            changes = psa.changed(cursor or None)
            opened = self._store.note_tickets(psa.name, changes.tickets, now=self._clock())
            if changes.tickets:
                log.info("poll", psa=psa.name, changed=len(changes.tickets), opened=opened)
            return changes.cursor

        return opened if self._poll(_poll_name(psa), ask, every=self._every, early=early) else None

    def sweep_psa(self, psa: Psa) -> bool:
        """Look at every open ticket of the mapped types, once in a while: a net under the polls.

        Returns:
            Whether it was asked; `False` when it was not time.

        Raises:
            TemporaryError, AuthenticationError.
        """

        def ask(cursor: str) -> str:
            changes = psa.changed(None)
            self._store.note_tickets(psa.name, changes.tickets, now=self._clock())
            return cursor

        return self._poll(f"sweep:{psa.name}", ask, every=SWEEP_EVERY)

    def poll_links(self, *, early: bool = False) -> bool:
        """Bring the link service's events into the store, if it is time and nobody else is at it.

        Returns:
            Whether it was asked.

        Raises:
            PermanentError: Its history does not go on where it was left; nothing was saved.
            TemporaryError, AuthenticationError.
        """
        return self._poll(LINKS, self._read_links, every=self._every, early=self._every if early else timedelta(0))

    def poll_announced_links(self) -> bool:
        """The same before it is time, because the link service has news.

        Not within `LINK_GAP` of the last poll, whichever process made it; and not while this process waits after a
        failure.

        Returns, raises: As `poll_links`.
        """
        until = self._waits_until.get(LINKS)
        if until is not None and self._clock() < until:
            return False
        return self._poll(LINKS, self._read_links, every=self._every, early=max(self._every - LINK_GAP, timedelta(0)))

    def read_links_now(self) -> None:
        """Bring the link service's events into the store up to the present, whoever else is at it.

        A repeat changes nothing: events are stored by their number. A history that does not go on where it was left
        brings nothing, and is no failure here: the poll says so, once, to whoever can mend it.

        Raises:
            TemporaryError, AuthenticationError.
        """
        try:
            self._read_links(self._store.poll_cursor(LINKS))
        except PermanentError as broken:
            log.info("links_not_believed", error=str(broken))

    def _read_links(self, cursor: str) -> str:
        while True:
            news = self._links.news(cursor, self._watched())
            self._store.record_link_events(self._store.untold(news.events), now=self._clock())
            # More, and yet nothing behind this place: whoever answers that would be asked for ever.
            ended, cursor = not news.more or news.cursor == cursor, news.cursor
            if ended:
                return cursor

    def _watched(self) -> Sequence[Watched]:
        if not self._links.capabilities.needs_watched:
            return ()
        return self._store.watched_links(now=self._clock())

    def _poll(self, name: str, ask: Callable[[str], str], *, every: timedelta, early: timedelta = timedelta(0)) -> bool:
        now = self._clock()
        cursor = self._store.claim_poll(name, now=now, lease=POLL_LEASE, early=early)
        if cursor is None:
            return False
        result, next_at = "error", now + every
        try:
            with POLL_SECONDS.labels(name).time():
                cursor = ask(cursor)
            result = "ok"
            self._failures.pop(name, None)
            self._waits_until.pop(name, None)
        except TemporaryError as failure:
            result = "away"
            next_at = now + max(self._backoff(name), failure.retry_after or timedelta(0))
            self._waits_until[name] = next_at
            raise
        except (AuthenticationError, PermanentError) as failure:
            result = "refused" if isinstance(failure, AuthenticationError) else "broken"
            next_at = now + self._backoff(name)
            self._waits_until[name] = next_at
            raise
        finally:
            POLLS.labels(name, result).inc()
            self._store.finish_poll(name, cursor=cursor, next_at=next_at)
        return True

    def _backoff(self, name: str) -> timedelta:
        failures = self._failures.get(name, 0) + 1
        self._failures[name] = failures
        factor: int = 2 ** min(failures - 1, 8)
        return min(self._every * factor, max(LONGEST_BACKOFF, self._every))


class LinkListener:
    """Waits at the link service for news and has them polled at once, so that a reveal closes its ticket in a moment.

    Only a hint: it claims nothing, saves nothing and concludes nothing, so it may be abandoned at any line, and every
    process may have one. Without it all happens as well, at the next regular poll.

    Args:
        poll: Polls the links now, if nobody else does; comes back when that is done.
        seconds: Monotonic seconds; a fake in tests.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        links: LinkService,
        poll: Callable[[], None],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._links = links
        self._poll = poll
        self._seconds = seconds
        self._idle = 0
        self._failing = False

    def listen(self) -> timedelta:
        """Wait for news once, and have them polled. Raises nothing of ours.

        Returns:
            How long to rest before the next time: nothing after news that were read and after a wait in vain; else
            longer each time, up to `LONGEST_REST`.
        """
        try:
            useful = self._listen()
        except ConnectorError as failure:
            if not self._failing:
                log.info("not_listening_for_links", error=str(failure))
            self._failing = True
            useful = False
        if useful:
            self._idle = 0
            return timedelta(0)
        self._idle += 1
        factor: int = 2 ** min(self._idle - 1, 16)
        return min(LINK_GAP * factor, LONGEST_REST)

    def _listen(self) -> bool:
        cursor = self._store.poll_cursor(LINKS)
        started = self._seconds()
        heard = self._links.await_news(cursor, LISTEN_FOR)
        if self._failing:
            log.info("listening_for_links")
        self._failing = False
        if not heard:
            # At once means that the service does not wait: it is stopping, or something in between answers for it.
            return self._seconds() - started >= LEAST_WAIT.total_seconds()
        self._poll()
        # Where it stands as before, another process is at it, it was polled just now, or it cannot be read.
        return self._store.poll_cursor(LINKS) != cursor


def _poll_name(psa: Psa) -> str:
    return f"psa:{psa.name}"
