"""Delivers what a case owes to ticket and mailbox: notes, moves and mails without secrets, in the order of its outbox.

In a dry run nothing leaves but private notes that say what would have. At least once, and a repeat is harmless: a note
is looked for by its marker before it is written again, a move is read back, a mail has the same Message-ID at each try.
What is refused for good is given up, with the reason on record.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import structlog

from connector.core import messages, notes
from connector.core.case import Case, Outcome
from connector.core.ports import (
    AuditEntry,
    CaseStore,
    Clock,
    DryRun,
    Letter,
    LetterWriter,
    Mailer,
    Message,
    Note,
    OutboxRow,
    StatusTarget,
)
from connector.errors import PermanentError
from connector.lookout import Lookout

log = structlog.get_logger(__name__)


class Held:
    """The claimed case as last saved, and what the audit is owed; the one thing of a pass that changes."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.owed: list[AuditEntry] = []


class Courier:
    """Empties outboxes. Safe to use from several threads: it keeps nothing.

    Args:
        lease: For how long a save in the middle keeps the claim.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        lookout: Lookout,
        letters: LetterWriter,
        mailer: Mailer,
        clock: Clock,
        lease: timedelta,
    ) -> None:
        self._store = store
        self._lookout = lookout
        self._letters = letters
        self._mailer = mailer
        self._clock = clock
        self._lease = lease

    def deliver(self, held: Held) -> None:
        """Hand over everything that a claimed case owes, in order. The first that fails for now stops the rest.

        Raises:
            TemporaryError, AuthenticationError: The rest is still owed.
        """
        for row in self._store.outbox(held.case.id):
            case = held.case
            self._store.message_tried(row)
            failed = ""
            try:
                self._hand_over(case, row)
            except PermanentError as failure:
                failed = str(failure)
                log.warning("message_refused", case=case.id, ticket=case.number, key=row.message.key, error=failed)
            self._store.message_done(row, now=self._clock(), failed=failed)
            if failed and row.message.kind.value != "note":
                self._tell_undelivered(held, row, failed)

    def _hand_over(self, case: Case, row: OutboxRow) -> None:
        dry_run = self._lookout.policy(case).dry_run
        if dry_run is DryRun.OFF and case.outcome is Outcome.DRY_RUN:
            dry_run = DryRun.NOTES  # it ended in a dry run that is over: nobody must hear now that a reset is coming
        match row.message.body:
            case Note() as note:
                self._write_note(case, row, note, dry_run)
            case _ if dry_run is not DryRun.OFF:
                log.info("not_sent_in_dry_run", case=case.id, ticket=case.number, key=row.message.key)
            case StatusTarget() as target:
                self._lookout.psa(case).move(case.ticket_id, target)
            case Letter() as letter:
                self._mailer.send(self._letters.write(letter))

    def _write_note(self, case: Case, row: OutboxRow, note: Note, dry_run: DryRun) -> None:
        key = row.message.key
        if dry_run is DryRun.SILENT:
            log.info("not_sent_in_dry_run", case=case.id, ticket=case.number, key=key)
            return
        psa = self._lookout.psa(case)
        if dry_run is DryRun.NOTES:
            if messages.topic_of(key) != "rehearsed":
                note = replace(note, text=notes.dry(note.text))
        else:
            note = replace(
                note,
                public=messages.topic_of(key) in psa.rules.public_notes,
                time_spent=psa.rules.time_spent if messages.is_what_was_done(case, key) else timedelta(0),
            )
        if row.attempts == 0 or not psa.has_note(case.ticket_id, note.marker):
            psa.add_note(case.ticket_id, note)

    def _tell_undelivered(self, held: Held, row: OutboxRow, why: str) -> None:
        case = held.case
        key = f"undelivered:{row.message.key}"
        what = "A mail" if row.message.kind.value == "mail" else "A status change"
        note = Message(key=key, body=Note(text=notes.undelivered(what, why), marker=messages.marker(case, key)))
        now = self._clock()
        held.case = self._store.save(
            case, now=now, messages=[note], lease=self._lease,
            audit=[AuditEntry(at=now, case_id=case.id, event="undelivered", facts={"what": row.message.key})],
        )  # fmt: skip
