"""When a case must be looked at next. Pure, so that the fake store of the tests can follow the very same rule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from connector.core.case import Case, State

FINISHED: Final = frozenset({State.CLOSED, State.CANCELLED})
"""States in which only a poke (a link event, a person), an undelivered message or a wait brings another pass."""

OUTBOX_LOOK: Final = timedelta(minutes=1)
"""How soon undelivered messages are looked at again when the case itself names no time that fits."""


def next_look(
    case: Case, *, now: datetime, keeps_claim: bool, new_messages: bool, oldest_tries: int | None
) -> datetime | None:
    """The instant from which a saved case is due, pokes aside; `None`: only a poke can bring it back.

    - Saved in the middle of a pass (the claim is kept): now. It cannot be claimed before the claim ends, and when
      the worker dies, the case must not be forgotten.
    - With messages that were not stored before: now.
    - With messages that nobody has tried: when `due_at` says, but within a minute; whoever saved it may not have
      known them, or could not try them (a paused PSA), so neither never nor at once is right.
    - With messages that were tried and not delivered: when `due_at` says. The worker that failed chose that wait;
      without one it is a minute. So an undeliverable message never makes a loop without pauses.
    - With nothing to deliver: when `due_at` says; a finished case only where that is still to come. Whoever could not
      do now what poked it (a dry run, a system that refuses us, a failure) says so, and there is no other poke.

    Args:
        keeps_claim: The worker goes on with the case after this save.
        new_messages: This save stored messages.
        oldest_tries: Tries of the oldest undelivered message; `None` when everything is delivered.
    """
    if oldest_tries is None and case.state in FINISHED and not keeps_claim:
        return case.due_at if case.due_at is not None and case.due_at > now else None
    if keeps_claim or new_messages:
        return now
    if oldest_tries is None:
        return case.due_at
    soon = now + OUTBOX_LOOK
    if case.due_at is None:
        return soon
    return min(case.due_at, soon) if oldest_tries == 0 else case.due_at
