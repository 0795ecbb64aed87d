"""What pushes ask for: tickets to be looked at and polls to be made, so that nobody waits for the next regular poll.

A push is a hint. The ticket of an open case that it names is looked at now, with the one read that every look takes;
whatever else it may mean is left to a poll made early, for only the PSA's own list opens cases. A push that is lost,
or left aside here, costs nothing but time: the regular polls go on.

However many pushes come, a ticket is looked at no oftener than every `PUSH_GAP`, and a PSA is asked for its list no
oftener than that, with one poll running and one waiting; and a case that waits after a failure is left to its wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from connector.core.case import Case
from connector.core.ports import CaseStore, Clock
from connector.errors import DatabaseError
from connector.intake import PUSH_GAP
from connector.store.due import FINISHED
from connector.telemetry.metrics import PUSH_TO_PASS_SECONDS

MOST_TICKETS: Final = 100
"""Tickets of one push that are looked at one by one; the rest is left to one poll."""

MOST_WAITING: Final = 2000
"""Tickets of one PSA that wait for their look; the rest is left to a poll."""

LONGEST_KEY: Final = 64
POLLS_AT_ONCE: Final = 5
POLL_PACE: Final = timedelta(seconds=5)
"""After `POLLS_AT_ONCE` polls one after the other, so much time for each further one: a busy desk may push each change
of each ticket, and must not spend the calls that people wait for."""

MOST_TRIES: Final = 30
"""Of a poll that another process makes just now, or has just made; then it is left to the regular polls."""

MOST_REMEMBERED: Final = 10_000
LONGEST_MEASURED: Final = timedelta(minutes=5)
"""A pass that has not begun by then was made by another process, or was not called for by that push."""


@dataclass(frozen=True)
class Served:
    """What one round did.

    Attributes:
        looks: How many cases were made due.
        polls: PSAs that are to be polled now. Each is reported back with `Nudges.polled`.
    """

    looks: int
    polls: tuple[str, ...]


class Nudges:
    """What the pushes of all PSAs have asked for and did not get yet. In memory only; safe to use from several threads.

    Args:
        psas: Their names.
        now: Monotonic seconds.
    """

    def __init__(
        self, *, store: CaseStore, psas: Iterable[str], clock: Clock, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._clock = clock
        self._now = now
        self._wishes = {name: _Wishes() for name in psas}
        self._news = threading.Condition()
        self._heard_at: dict[str, float] = {}

    def hear(self, psa: str, tickets: Sequence[str]) -> None:
        """A push of this PSA is about these tickets, by their keys; about none: something has changed."""
        with self._news:
            self._wishes[psa].add(tickets, self._now())
            self._news.notify()

    def serve(self) -> Served:
        """Make the cases due whose tickets may be looked at now, and say which PSAs are to be polled now.

        Raises:
            DatabaseError: What could not be done is left to a poll.
        """
        with self._news:
            now = self._now()
            due = [(name, wishes, wishes.take_due(now)) for name, wishes in self._wishes.items()]
        looks = 0
        for name, wishes, tickets in due:
            for ticket, heard_at in tickets.items():
                try:
                    looks += self._look(name, wishes, ticket, heard_at)
                except DatabaseError:
                    self._want_polls(wishes for _, wishes, tickets in due if tickets)
                    raise
        with self._news:
            now = self._now()
            return Served(looks, tuple(name for name, wishes in self._wishes.items() if wishes.begin_poll(now)))

    def polled(self, psa: str, *, made: bool) -> None:
        """A poll that `serve` wanted has ended. Not made: somebody else was at it; it is wanted again in a while."""
        with self._news:
            self._wishes[psa].end_poll(self._now(), made=made)
            self._news.notify()

    def wait(self, longest: float) -> None:
        """Until there is something to serve, or for `longest` seconds."""
        with self._news:
            now = self._now()
            soonest = min((wishes.next_due() for wishes in self._wishes.values()), default=float("inf"))
            if soonest > now:
                self._news.wait(min(longest, soonest - now))

    def passing(self, case_id: str) -> None:
        """A pass over this case begins: measures how long the push that called for it has waited."""
        with self._news:
            heard_at = self._heard_at.pop(case_id, None)
            if heard_at is not None and (waited := self._now() - heard_at) < LONGEST_MEASURED.total_seconds():
                PUSH_TO_PASS_SECONDS.observe(waited)

    # -- inside

    def _look(self, psa: str, wishes: _Wishes, ticket: str, heard_at: float) -> bool:
        cases = [case for case in self._store.find(ticket, psa=psa) if case.ticket_id == ticket]
        if not cases:
            self._want_polls([wishes])
        wanted = [case for case in cases if case.state not in FINISHED and not self._waits_after_failure(case)]
        for case in wanted:
            self._remember(case.id, heard_at)
            self._store.poke(case.id)
        return bool(wanted)

    def _waits_after_failure(self, case: Case) -> bool:
        """Its wait is what a system asked for; and each try counts, so that pushes would soon make a person of it."""
        failed = case.attempts > 0 or case.failing_since is not None
        return failed and case.due_at is not None and case.due_at > self._clock()

    def _remember(self, case_id: str, heard_at: float) -> None:
        with self._news:
            if len(self._heard_at) >= MOST_REMEMBERED:
                self._heard_at.clear()
            before = self._heard_at.get(case_id)
            if before is None or heard_at - before > LONGEST_MEASURED.total_seconds():
                self._heard_at[case_id] = heard_at

    def _want_polls(self, wanted: Iterable[_Wishes]) -> None:
        with self._news:
            for wishes in wanted:
                wishes.want_poll()


@dataclass
class _Wishes:
    """What the pushes of one PSA want. Guarded by the lock of `Nudges`.

    Attributes:
        tickets: Keys that wait for their look, with when they were heard.
        looked_at: When a ticket was last looked at, for as long as that matters.
        tries: How often the poll that is wanted could not be made.
        next_poll: No poll before.
        spent_until: When the polls made so far are paid for, at one for each `POLL_PACE`.
    """

    tickets: dict[str, float] = field(default_factory=dict)
    looked_at: dict[str, float] = field(default_factory=dict)
    poll: bool = False
    polling: bool = False
    tries: int = 0
    next_poll: float = float("-inf")
    spent_until: float = float("-inf")

    def add(self, tickets: Sequence[str], now: float) -> None:
        known = [ticket for ticket in tickets[:MOST_TICKETS] if _is_key(ticket)]
        for ticket in known:
            if ticket in self.tickets or len(self.tickets) < MOST_WAITING:
                self.tickets.setdefault(ticket, now)
            else:
                self.want_poll()
        if not tickets or len(known) < len(tickets):
            self.want_poll()

    def want_poll(self) -> None:
        self.poll, self.tries = True, 0

    def take_due(self, now: float) -> dict[str, float]:
        """The tickets that may be looked at now, with when they were heard; they count as looked at."""
        gap = PUSH_GAP.total_seconds()
        self.looked_at = {ticket: at for ticket, at in self.looked_at.items() if at + gap > now}
        due = {ticket: heard_at for ticket, heard_at in self.tickets.items() if ticket not in self.looked_at}
        for ticket in due:
            del self.tickets[ticket]
            self.looked_at[ticket] = now
        return due

    def begin_poll(self, now: float) -> bool:
        if not self.poll or self.polling or now < self.next_poll:
            return False
        self.poll, self.polling = False, True  # what is heard from here on wants a poll after this one
        return True

    def end_poll(self, now: float, *, made: bool) -> None:
        self.polling = False
        self.next_poll = now + PUSH_GAP.total_seconds()
        if made:
            pace = POLL_PACE.total_seconds()
            self.spent_until = max(now, self.spent_until) + pace
            self.next_poll = max(self.next_poll, self.spent_until - (POLLS_AT_ONCE - 1) * pace)
            self.tries = 0
        elif not self.poll and self.tries < MOST_TRIES:
            self.poll, self.tries = True, self.tries + 1

    def next_due(self) -> float:
        """When there may be something to do next; infinity: when something is heard."""
        gap = PUSH_GAP.total_seconds()
        looks = [self.looked_at[one] + gap if one in self.looked_at else float("-inf") for one in self.tickets]
        polls = [self.next_poll] if self.poll and not self.polling else []
        return min(looks + polls, default=float("inf"))


def _is_key(ticket: str) -> bool:
    """Whether it may be asked of the database: a push may say anything."""
    return 0 < len(ticket) <= LONGEST_KEY and ticket.isprintable()
