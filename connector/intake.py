"""What comes in by polling: changed tickets and link events. Each poll is claimed through the database.

A poll saves what it brought before it saves its cursor, so a process killed between the two polls the same again;
nothing is lost, and everything is saved by key, so nothing is counted twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from connector.core.ports import CaseStore, Clock, LinkService, Psa
from connector.errors import AuthenticationError, TemporaryError
from connector.telemetry import POLL_SECONDS, POLLS

log = structlog.get_logger(__name__)

POLL_LEASE = timedelta(minutes=3)
SWEEP_EVERY = timedelta(hours=1)
LONGEST_BACKOFF = timedelta(minutes=5)


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
        self._link_seq = 0
        self._link_lock = threading.Lock()

    def poll_psa(self, psa: Psa, *, early: bool = False) -> int | None:
        """Ask for changed tickets, if it is time and nobody else is at it.

        Args:
            early: Ask even before it is time (a nudge).

        Returns:
            How many new cases were opened; `None` when it was not time or somebody else is at it.

        Raises:
            TemporaryError, AuthenticationError: The cursor stays; the next poll asks for the same again.
        """
        opened = 0

        def ask(cursor: str) -> str:
            nonlocal opened
            changes = psa.changed(cursor or None)
            opened = self._store.note_tickets(psa.name, changes.tickets, now=self._clock())
            if changes.tickets:
                log.info("poll", psa=psa.name, changed=len(changes.tickets), opened=opened)
            return changes.cursor

        return opened if self._poll(f"psa:{psa.name}", ask, every=self._every, early=early) else None

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
            "links", lambda cursor: str(self._read_links(int(cursor or 0))), every=self._every, early=early
        )

    def read_links_now(self) -> None:
        """Bring the link service's events into the store up to the present, whoever else is at it.

        A repeat changes nothing: events are stored by their number.

        Raises:
            TemporaryError, AuthenticationError.
        """
        with self._link_lock:
            after = self._link_seq
        self._read_links(after)

    def _read_links(self, after: int) -> int:
        while events := self._links.events(after):
            self._store.record_link_events(events, now=self._clock())
            after = max(after, *(event.seq for event in events))
        with self._link_lock:
            self._link_seq = max(self._link_seq, after)
        return after

    def _poll(self, name: str, ask: Callable[[str], str], *, every: timedelta, early: bool = False) -> bool:
        now = self._clock()
        # "Early" looks at the claim as if it were later; the claim itself, and so its lease, is the same row.
        cursor = self._store.claim_poll(name, now=now + every if early else now, lease=POLL_LEASE)
        if cursor is None:
            return False
        result, next_at = "error", now + every
        try:
            with POLL_SECONDS.labels(name).time():
                cursor = ask(cursor)
            result = "ok"
            self._failures.pop(name, None)
        except TemporaryError as failure:
            result = "away"
            next_at = now + max(self._backoff(name), failure.retry_after or timedelta(0))
            raise
        except AuthenticationError:
            result = "refused"
            next_at = now + self._backoff(name)
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
