"""Time that passes only when somebody sleeps."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class Ticking:
    """Monotonic seconds, a clock and a sleep that belong together. `slept` lists every pause in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds = 0.0
        self.slept: list[float] = []
        self._began = datetime.now(UTC)  # the libraries in between read the machine's own clock

    def now(self) -> float:
        return self.seconds

    def clock(self) -> datetime:
        return self._began + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.seconds = round(self.seconds + seconds, 3)  # so that sums of waits stay comparable
