"""The case that is being worked on, and how what happens to it is written down.

What happened, its audit and what people are to hear of it are saved in one transaction: see `Ledger.record`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from connector.core import messages, notes, steps
from connector.core.case import Case
from connector.core.machine import Event, advance
from connector.core.pair import Earlier
from connector.core.ports import (
    Account,
    AuditEntry,
    CaseStore,
    Clock,
    DryRun,
    Message,
    Note,
    Receipt,
    Reset,
    SessionsReport,
)
from connector.errors import TemporaryError
from connector.lookout import Lookout
from connector.telemetry.metrics import ALARMS

log = structlog.get_logger(__name__)

WHILE_PAUSED: Final = timedelta(seconds=10)
LONG_DELAY: Final = timedelta(minutes=10)
"""A step that failed for longer is explained in the ticket once it works again."""


class Held:
    """The claimed case as last saved, and what the audit is owed; the one thing of a pass that changes.

    Attributes:
        put_off: Addresses that mails were put off for in this pass, and when to try again.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.owed: list[AuditEntry] = []
        self.put_off: dict[str, datetime] = {}


class Ledger:
    """Writes down. Safe to use from several threads: it keeps nothing.

    Args:
        lease: For how long a save in the middle keeps the claim.
    """

    def __init__(self, *, store: CaseStore, lookout: Lookout, clock: Clock, lease: timedelta) -> None:
        self._store = store
        self._lookout = lookout
        self._clock = clock
        self._lease = lease

    def record(self, held: Held, record: steps.Record) -> None:
        """Save an event of the machine with its messages and audit, and what was owed to the audit. Keeps the claim."""
        now = self._clock()
        before = held.case
        owed = tuple(held.owed)
        messages = [*self.delay_note(before, now), *record.messages]
        in_earnest = before.in_earnest or not self._is_dry(before)
        after = replace(advance(before, record.event, now=now, **record.changes), in_earnest=in_earnest)
        self.keep(held, after, now=now, messages=messages, audit=[*owed, record.audit(before, now)])
        held.owed.clear()
        log.info("case", case=before.id, psa=before.psa, ticket=after.number, step=record.event.value,
                 state=after.state.value)  # fmt: skip
        if record.event in (Event.REPORTED, Event.REPORTED_AGAIN):
            log.error("alarm", case=before.id, ticket=after.number, source=record.facts.get("source", ""))
            ALARMS.inc()

    def keep(
        self,
        held: Held,
        case: Case,
        *,
        now: datetime,
        messages: Sequence[Message] = (),
        audit: Sequence[AuditEntry] = (),
        reset: Reset | None = None,
        beside: Collection[Earlier] | None = None,
    ) -> None:
        """Save a case in the middle of a pass, with what belongs to it (see `CaseStore.save`), and renew its claim."""
        held.case = self._store.save(
            case, now=now, messages=messages, audit=audit, reset=reset, beside=beside, lease=self._lease
        )

    def delay_note(self, case: Case, now: datetime) -> list[Message]:
        """What a ticket is told after a long failure that is over; nothing after a short one."""
        if case.failing_since is None or now - case.failing_since < LONG_DELAY:
            return []
        key = f"delayed:{case.failing_since.isoformat()}"
        text = notes.delayed(case.failing_since, now, "another system could not be reached or asked us to wait.")
        return [Message(key=key, body=Note(text=text, marker=messages.marker(case, key)))]

    def _is_dry(self, case: Case) -> bool:
        with suppress(TemporaryError):  # its PSA may be gone from the configuration
            return self._lookout.policy(case).dry_run is not DryRun.OFF
        return False


def is_early(case: Case, now: datetime) -> bool:
    """Whether a failed try waits for its next time."""
    return bool(case.attempts) and case.due_at is not None and case.due_at > now


def receipts(writes: Sequence[Receipt], sessions: SessionsReport | None) -> dict[str, str]:
    """By which the calls are found again at Microsoft: `our id/their id`."""
    return {
        "calls": " ".join(map(str, writes)) or "none",
        "sessions_call": str(sessions.receipt) if sessions else "none",
    }


def about_to(case: Case, event: str, account: Account, now: datetime, **more: str) -> AuditEntry:
    """That an account is written to next: on record before it is, so that a killed process has counted."""
    return AuditEntry(
        at=now,
        case_id=case.id,
        event=event,
        facts={"tenant": account.tenant, "account": account.id, "upn": account.upn, **more},
    )
