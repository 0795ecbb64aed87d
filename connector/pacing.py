"""When another system may be called: its own wish to be left alone, our share of its limit, a fixed pace.

Nothing here calls anybody. Clock and sleep are given, so that a test can move time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from connector.config.budget import Budget

LONGEST_WAIT_INSIDE_A_CALL = timedelta(seconds=3)
"""A worker that waits works for nobody: what takes longer is the caller's to put off."""
WAITING_AT_ONCE = 2
"""Calls to one system that may wait out its pause: one of a worker and one of a poll. The others are put off."""


class Gate:
    """Whether a system wants to be called: what its latest 429 said, for all threads of one `Http`.

    Without it every case of a throttled customer would spend a call, and a worker's time, to be told the same again.
    There is one `Http` for each customer and app, which is how Microsoft counts (learn.microsoft.com/graph/
    throttling-limits, read 2026-11-22), so nobody else is held up. Safe to share between threads.
    """

    def __init__(self, *, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._opens_at = 0.0
        self._closed = False
        self._waiting = 0
        self.latest = 0
        """The number of the latest pause; a call notes it before it is sent."""

    def close(self, wait: timedelta) -> bool:
        """Begin a pause, or make the present one longer. Returns whether it has begun now."""
        with self._lock:
            now = self._now()
            begins = not self._closed or self._opens_at <= now
            self._opens_at = max(self._opens_at if self._closed else now, now + wait.total_seconds())
            self._closed = True
            self.latest += 1
            return begins

    def open(self, pause: int) -> None:
        """End the pause: a call that was sent after it had begun, when `pause` was the latest, was let through."""
        with self._lock:
            if pause == self.latest:
                self._closed = False

    def left(self) -> timedelta:
        """How much of the pause is left; zero when there is none."""
        with self._lock:
            return timedelta(seconds=max(0.0, self._opens_at - self._now())) if self._closed else timedelta(0)

    def worth_waiting(self, wait: timedelta) -> bool:
        """Whether a call may wait inside for so long: neither for long, nor as one of many."""
        return wait <= LONGEST_WAIT_INSIDE_A_CALL and self._waiting < WAITING_AT_ONCE

    def wait(self, seconds: float) -> None:
        with self._counted():
            self._sleep(seconds)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1


class Spending:
    """How much of a budget is used, for all threads of one `Http`. Safe to share between threads.

    The window slides, and a call counts from right before it is sent until `per` after its answer or failure. So
    wherever in between the vendor counts it, no stretch of `per` ever holds more than the budget on their side either.
    Other processes (a second daemon, a `connector check`) have a budget of their own, and a restart forgets: the share
    has to leave room for that.

    What people wait for must not queue behind polls; yet if a long burst shut the polls out, nobody's approval would
    be seen any more. Three bounds, all counted in the same window, do both without a queue:

    - all calls together: the budget;
    - the background sends while less than `BACKGROUND_STOPS` of it is used, by whomever;
    - each side keeps a little for itself: the background may always have a tenth, so the foreground stops at nine.

    With no call of the foreground in the window, the background thus never fills it, and a call of the foreground is
    sent at once. Counting and giving back take constant time on average; a refusal looks one entry up for its wait.
    """

    BACKGROUND_STOPS = 60
    """Percent of the budget."""
    BACKGROUND_KEEPS = 10
    """Percent of the budget; at least one call."""

    def __init__(self, budget: Budget, *, now: Callable[[], float]) -> None:
        self.budget = budget
        self._now = now
        self._per = budget.per.total_seconds()
        self._background_stops = budget.calls * self.BACKGROUND_STOPS // 100
        self._background_keeps = max(1, budget.calls * self.BACKGROUND_KEEPS // 100)
        self._lock = threading.Lock()
        self._all = _Counted()
        self._background = _Counted()
        self._foreground = _Counted()

    def take(self, *, background: bool) -> float:
        """Count a call if it may be sent now; then it must be given back.

        Returns:
            0 when it counts, otherwise the least number of seconds until it may be sent; nothing was counted then.
        """
        with self._lock:
            wait = self._wait(background)
            if not wait:
                self._all.under_way += 1
                self._of(background).under_way += 1
            return wait

    def give_back(self, *, background: bool) -> None:
        """The call was answered or has failed: from now on it counts for another `per`."""
        with self._lock:
            until = self._now() + self._per
            self._all.end(until)
            self._of(background).end(until)

    def left(self, *, background: bool) -> float:
        """What `take` would return, without counting anything."""
        with self._lock:
            return self._wait(background)

    def used(self) -> float:
        """Which part of the budget is used, 0 to 1."""
        with self._lock:
            self._forget(self._now())
            return self._all.count / self.budget.calls

    def _of(self, background: bool) -> _Counted:
        return self._background if background else self._foreground

    def _wait(self, background: bool) -> float:
        now, calls = self._now(), self.budget.calls
        self._forget(now)
        if not background:
            room = self._all.seconds_until_below(calls, now, self._per)
            own = self._foreground.seconds_until_below(calls - self._background_keeps, now, self._per)
            return max(room, own)
        quiet = self._all.seconds_until_below(self._background_stops, now, self._per)
        # What is kept is always free for it: the foreground never counts for more than all the rest.
        kept = self._background.seconds_until_below(self._background_keeps, now, self._per)
        return min(quiet, kept)

    def _forget(self, now: float) -> None:
        for counted in (self._all, self._background, self._foreground):
            counted.forget(now)


class _Counted:
    """Calls that count: those under way, and until when each ended one does, in that order."""

    def __init__(self) -> None:
        self.under_way = 0
        self._until: deque[float] = deque()

    @property
    def count(self) -> int:
        return self.under_way + len(self._until)

    def end(self, until: float) -> None:
        self.under_way -= 1
        self._until.append(until)

    def forget(self, now: float) -> None:
        while self._until and self._until[0] <= now:
            self._until.popleft()

    def seconds_until_below(self, limit: int, now: float, per: float) -> float:
        """0 when fewer than `limit` count; otherwise how long at least until that is so, if no more are added."""
        too_many = self.count - limit + 1
        if too_many <= 0:
            return 0.0
        if too_many > len(self._until):
            return per  # it depends on calls under way, and each of them counts for so long after its end
        return self._until[too_many - 1] - now


class Pace:
    """At most `limit` calls per `per`, over all threads; the next caller waits its turn.

    Args:
        now, sleep: Monotonic seconds and how to wait; fakes in tests.
    """

    def __init__(
        self,
        limit: int,
        per: timedelta,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit = limit
        self._per = per.total_seconds()
        self._now = now
        self._sleep = sleep
        self._turns: deque[float] = deque()
        self._lock = threading.Lock()

    def try_turn(self) -> bool:
        """Whether a call may be made now; if so, it counts. For what is not worth a wait."""
        with self._lock:
            now = self._now()
            self._forget(now)
            free = len(self._turns) < self._limit
            if free:
                self._turns.append(now)
            return free

    def take_turn(self) -> None:
        """Return when a call may be made."""
        with self._lock:
            now = self._now()
            self._forget(now)
            turn = now if len(self._turns) < self._limit else self._turns[-self._limit] + self._per
            self._turns.append(max(turn, now))
        if turn > now:
            self._sleep(turn - now)

    def _forget(self, now: float) -> None:
        while self._turns and self._turns[0] <= now - self._per:
            self._turns.popleft()
