"""Who waits for events: woken all at once, served one after the other, let go when they go away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

MOST_WAITING: Final = 100
MOST_WAITING_PER_KEY: Final = 20


class News:
    """Wakes those who wait for events. Belongs to one event loop at a time.

    Attributes:
        announced: How often there was something, so far.
    """

    def __init__(self) -> None:
        self._listeners: set[asyncio.Future[None]] = set()
        self.announced = 0
        self.closed = False

    def announce(self) -> None:
        """Something happened: wake everybody once."""
        self.announced += 1
        listeners, self._listeners = self._listeners, set()
        for listener in listeners:
            if not listener.done():
                listener.set_result(None)

    def close(self) -> None:
        """The service stops: nobody waits any more."""
        self.closed = True
        self.announce()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Future[None]]:
        """What is done at the next announcement. Begin before looking: what happens in between is then not missed."""
        listener: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listeners.add(listener)
        if self.closed:
            listener.set_result(None)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            listener.cancel()

    async def wait(self, timeout: timedelta) -> bool:
        """Wait for the next announcement. `False` when the time is over or the service stops."""
        if self.closed or timeout <= timedelta(0):
            return False
        with self.listening() as listener:
            await asyncio.wait({listener}, timeout=timeout.total_seconds())
            return listener.done() and not self.closed


class WaitingPlaces:
    """How many may wait at once, in all and with one key, so that no key takes the places of the others."""

    def __init__(self, *, most: int = MOST_WAITING, most_per_key: int = MOST_WAITING_PER_KEY) -> None:
        self._most = most
        self._most_per_key = most_per_key
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place_of(self, key: str) -> Iterator[bool]:
        """A place to wait for as long as the block lasts; `False`: there is none."""
        if self._taken.total() >= self._most or self._taken[key] >= self._most_per_key:
            yield False
            return
        self._taken[key] += 1
        try:
            yield True
        finally:
            self._taken[key] -= 1

    @property
    def taken(self) -> int:
        """How many wait now."""
        return self._taken.total()
