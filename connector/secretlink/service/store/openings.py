"""Openings and refusals wait a moment before they are written: many of them then share one commit.

They use no view and open nothing, so a service that is killed may lose the last of them. If a server committed them and
only its answer was lost, they are written a second time. What they are written with is the next transaction of any
sort, so that they stand before what came after them. That holds within one process and one thread, and not while there
is no room for them (`Records.writing`): what other threads and processes write meanwhile may stand before them. When
each happened is in its `at_ms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

from connector.secretlink.service.store.events import Event

MOST_WAITING: Final = 200
"""So many may wait; then they are written before one more comes."""


class Openings:
    """Events that are still to be written, oldest first. Safe for several threads."""

    def __init__(self) -> None:
        self._waiting: list[Event] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether they should be written before one more comes."""
        return len(self._waiting) >= MOST_WAITING

    def add(self, event: Event) -> None:
        """One more."""
        with self._lock:
            self._waiting.append(event)

    def take(self) -> Sequence[Event]:
        """All of them; whoever takes them writes them, or puts them back."""
        if not self._waiting:  # almost always, and without a lock
            return ()
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def put_back(self, events: Sequence[Event]) -> None:
        """They could not be written: they wait on, before those that came meanwhile."""
        with self._lock:
            self._waiting[:0] = events
