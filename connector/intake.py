"""What comes in by polling: changed tickets and link events. Each poll is claimed through the database.

A poll saves what it brought before it saves its cursor, so a process killed between the two polls the same again;
nothing is lost, and everything is saved by key, so nothing is counted twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from connector.core.ports import CaseStore, Clock, LinkService, Psa
from connector.errors import AuthenticationError, TemporaryError
from connector.telemetry import POLL_SECONDS, POLLS

log = structlog.get_logger(__name__)

POLL_LEASE = timedelta(minutes=3)
SWEEP_EVERY = timedelta(hours=1)
LONGEST_BACKOFF = timedelta(minutes=5)
PUSH_GAP = timedelta(seconds=1)
"""The least time between two polls of one PSA of which a push wanted one, and between two looks at one ticket."""


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
        self._link_cursor = ""
        self._link_lock = threading.Lock()

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
            TemporaryError, AuthenticationError.
        """
        return self._poll(
            "links",
            self._read_links,
            every=self._every,
            early=self._every if early else timedelta(0),
        )

    def read_links_now(self) -> None:
        """Bring the link service's events into the store up to the present, whoever else is at it.

        A repeat changes nothing: events are stored by their number.

        Raises:
            TemporaryError, AuthenticationError.
        """
        with self._link_lock:
            cursor = self._link_cursor
        self._read_links(cursor)

    def _read_links(self, cursor: str) -> str:
        while True:
            news = self._links.news(cursor)
            self._store.record_link_events(news.events, now=self._clock())
            cursor = news.cursor
            if not news.more:
                break
        with self._link_lock:
            self._link_cursor = cursor
        return cursor

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
        except AuthenticationError:
            result = "refused"
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


def _poll_name(psa: Psa) -> str:
    return f"psa:{psa.name}"
