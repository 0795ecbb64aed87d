"""Replays past tickets through the rules of today: reads PSA and directory, changes nothing, remembers nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from connector.core import brake, refusals, rehearsal, steps
from connector.core.ports import Directory, Psa, Ticket
from connector.core.rehearsal import Fate, Rehearsed
from connector.errors import PermanentError, TemporaryError
from connector.lookout import Accounts, PolicyFor

MOST_TRIES = 20
SHORTEST_WAIT = timedelta(seconds=1)

Read = TypeVar("Read")


class Rehearsal:
    """A rehearsal on real tickets.

    Args:
        sleep: How to wait when a system asks for it, in seconds: nobody waits for a rehearsal.
        progress: Told after each ticket how many of how many are done.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        policy_for: PolicyFor,
        limits: brake.Limits,
        sleep: Callable[[float], None] = time.sleep,
        progress: Callable[[int, int], None] = lambda done, of: None,  # noqa: ARG005
    ) -> None:
        self._accounts = Accounts(directory)
        self._policy_for = policy_for
        self._limits = limits
        self._sleep = sleep
        self._progress = progress

    def replay(self, psas: Sequence[Psa], since: datetime) -> list[Rehearsed]:
        """What would have become of every ticket of the mapped types that was raised since then, in order of time.

        Raises:
            TemporaryError: A system stayed away for long.
            AuthenticationError: One refuses us.
        """
        wanted = [(psa, row) for psa in psas for row in self._patiently(partial(psa.raised_since, since))]
        tickets: list[tuple[Psa, Ticket]] = []
        unreadable: list[Rehearsed] = []
        for count, (psa, row) in enumerate(wanted, start=1):
            try:
                tickets.append((psa, self._patiently(partial(psa.read, row.id))))
            except PermanentError as failure:
                gone = Rehearsed(psa=psa.name, number=row.number, at=since, fate=Fate.UNREADABLE, why=str(failure))
                unreadable.append(gone)
            self._progress(count, len(wanted))
        tickets.sort(key=lambda one: rehearsal.moment_of(one[1]))
        done = list(self._judge(tickets))
        return [*unreadable, *done]

    def _judge(self, tickets: Sequence[tuple[Psa, Ticket]]) -> Iterator[Rehearsed]:
        done: list[Rehearsed] = []
        for psa, ticket in tickets:
            policy = self._policy_for(psa, ticket.client_id)
            seen = steps.Seen(ticket=ticket)
            if ticket.mapped:
                try:
                    seen = self._patiently(partial(self._accounts.add_to, seen, policy, ticket))
                    if policy.minimum > 1 or any(seen.account and one.account_id == seen.account.id for one in done):
                        known = partial(self._accounts.of_approvers, policy.tenant, ticket.approval.decisions)
                        seen = replace(seen, approver_ids=self._patiently(known))
                except PermanentError as failure:  # as in a pass: a person would have to look at this one
                    seen = replace(seen, account_problem=refusals.failed(str(failure), psa.name, ticket.number))
            done.append(rehearsal.judge(ticket, seen, policy, done, self._limits))
            yield done[-1]

    def _patiently(self, read: Callable[[], Read]) -> Read:
        """Ask again as long as the other side asks for patience."""
        for attempt in range(1, MOST_TRIES + 1):
            try:
                return read()
            except TemporaryError as failure:
                if attempt == MOST_TRIES:
                    raise
                self._sleep(max(failure.retry_after or SHORTEST_WAIT * attempt, SHORTEST_WAIT).total_seconds())
        raise AssertionError("not reached")
