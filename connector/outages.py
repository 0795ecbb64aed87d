"""Which systems are away or refuse us, told once when it begins and once when it is over."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import structlog

from connector.telemetry.metrics import DOWN

log = structlog.get_logger(__name__)


class Outages:
    """What does not work just now, by the name of a system. Safe to use from several threads."""

    def __init__(self) -> None:
        self._down: dict[str, str] = {}
        self._lock = threading.Lock()

    def down(self, system: str, why: str) -> None:
        """It does not work. Logged the first time; a repeat only keeps the newest reason."""
        with self._lock:
            news = system not in self._down
            self._down[system] = why
        DOWN.labels(system).set(1)
        if news:
            log.error("system_down", system=system, why=why)

    def up(self, system: str) -> None:
        """It works. Logged where it did not before."""
        with self._lock:
            news = self._down.pop(system, None) is not None
        if news:
            DOWN.labels(system).set(0)
            log.info("system_up", system=system)

    @property
    def now(self) -> Mapping[str, str]:
        """What is down, each with why."""
        with self._lock:
            return dict(self._down)
