"""Delivers what a case owes to ticket and mailbox: notes, moves and mails without secrets, in the order of its outbox.

In a dry run nothing leaves but private notes that say what would have. At least once, and a repeat is harmless: a note
is looked for by its marker before it is written again, a move is read back, a mail has the same Message-ID at each try.
What is refused for good is given up, with the reason on record. A system that is away holds up all that comes after; a
mail that only its own recipient's side puts off holds up what goes to the same address, and is given up one day.

A mail with "this was not me" gets the address of an alarm at the moment it is sent: it stands in that mail and nowhere
else. Every try asks for it again and gets the same one (see `LinkService.arm`), so that a mail which a server puts off
for days does not leave hundreds of alarms behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from connector.core import messages, notes
from connector.core.case import Case, Outcome
from connector.core.notice import masked
from connector.core.ports import (
    AlarmSource,
    AlarmWish,
    AuditEntry,
    CaseStore,
    Clock,
    DryRun,
    HumanCheck,
    Letter,
    LetterWriter,
    LinkService,
    Mailer,
    MailKind,
    Message,
    Note,
    OutboxRow,
    StatusTarget,
)
from connector.core.secret import Secret
from connector.errors import AuthenticationError, DatabaseError, PermanentError, TemporaryError, without_promise
from connector.ledger import Held, Ledger
from connector.lookout import Lookout

log = structlog.get_logger(__name__)

ALARMS: Final[Mapping[MailKind, AlarmSource]] = {
    MailKind.LINK_ACCESSED: AlarmSource.ACCESSED,
    MailKind.SUBJECT_NOTICE: AlarmSource.NOTICE,
}
"""Which mails have "this was not me"."""

WAIT_FOR_AN_ALARM = timedelta(hours=1)
"""How long such a mail waits for a link service that is away. Then it goes without the button, and names the service
desk alone: to be told late is worse."""
PATIENCE_WITH_A_MAILBOX = timedelta(days=1)
"""How long a mail is tried that is put off while the mail server takes others. Then an agent finds another way."""
PATIENCE_WITH_A_NOTICE = timedelta(hours=4)
"""The same for the notice to the account's owner: whether it was them should be asked the same day."""
LEAST_TRIES = 5
"""And not before so many tries: the mail may have waited for that long behind something else."""
PUT_OFF_FOR: Final = tuple(timedelta(minutes=minutes) for minutes in (0.5, 1, 2, 5, 10, 15))
"""Growing waits between the tries of such a mail; the last one repeats."""


class Courier:
    """Empties outboxes. Safe to use from several threads: it keeps nothing.

    Args:
        zone_name: The IANA name of a tenant's time zone, for the page of an alarm.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        ledger: Ledger,
        lookout: Lookout,
        letters: LetterWriter,
        mailer: Mailer,
        links: LinkService,
        clock: Clock,
        zone_name: Callable[[str], str],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._lookout = lookout
        self._letters = letters
        self._mailer = mailer
        self._links = links
        self._clock = clock
        self._zone_name = zone_name

    def deliver(self, held: Held) -> None:
        """Hand over everything that a claimed case owes, in order. The first system that is away stops the rest.

        After "this was not me" it stops only its own kind: neither does the agent wait for a mail server, nor does a
        person who is written to wait for the PSA. What is put off is tried once in a pass: see `Held.put_off`.

        Raises:
            TemporaryError, AuthenticationError: The rest is still owed.
        """
        stopped: dict[bool, TemporaryError | AuthenticationError] = {}
        for row in self._store.outbox(held.case.id):
            case = held.case
            address = row.message.body.to if isinstance(row.message.body, Letter) else None
            if (address is not None) in stopped or address in held.put_off:
                continue
            self._store.message_tried(row)
            failed = ""
            try:
                self._hand_over(case, row)
            except DatabaseError:
                raise
            except (TemporaryError, AuthenticationError) as failure:
                if address is None or not self._is_about_this_mail(failure):
                    if case.outcome is not Outcome.NOT_ME:
                        raise
                    stopped[address is not None] = failure
                    continue
                failed = self._out_of_patience(row, failure)
                if not failed:
                    wait = PUT_OFF_FOR[min(row.attempts, len(PUT_OFF_FOR) - 1)]
                    held.put_off[address] = self._clock() + wait
                    log.info("mail_put_off", case=case.id, ticket=case.number, key=row.message.key,
                             wait_seconds=wait.total_seconds())  # fmt: skip
                    continue
            except PermanentError as failure:
                failed = str(failure)
            if failed:
                failed = _without_private_address(failed, row)
                log.warning("message_refused", case=case.id, ticket=case.number, key=row.message.key, error=failed)
            self._store.message_done(row, now=self._clock(), failed=failed)
            if failed and row.message.kind.value != "note":
                self._tell_undelivered(held, row, failed)
        if stopped:
            raise next(iter(stopped.values()))

    def _is_about_this_mail(self, failure: TemporaryError | AuthenticationError) -> bool:
        """Whether others can be sent: the recipient's side puts it off, or what belongs into it is not to be had."""
        if isinstance(failure, AuthenticationError):
            return False
        try:
            self._mailer.ready()
        except (TemporaryError, AuthenticationError):
            return False
        return True

    def _out_of_patience(self, row: OutboxRow, failure: Exception) -> str:
        """Why a mail that was put off again is given up; empty while it is not."""
        patience = PATIENCE_WITH_A_NOTICE if _is_notice(row) else PATIENCE_WITH_A_MAILBOX
        tries = row.attempts + 1
        if self._clock() - row.created_at < patience or tries < LEAST_TRIES:
            return ""
        hours = patience // timedelta(hours=1)
        return f"it was put off {tries} times in {hours} hours, the last time so: {without_promise(failure)}"

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
                self._mailer.send(self._letters.write(letter, link=self._arm(case, row, letter)))

    def _arm(self, case: Case, row: OutboxRow, letter: Letter) -> Secret | None:
        """The address behind "this was not me" in this mail; `None` where it has to do without.

        Raises:
            TemporaryError, AuthenticationError: The link service or the mail server is away; nothing was sent.
        """
        source = ALARMS.get(letter.kind)
        if source is None or not self._links.capabilities.alarms:
            return None
        if row.attempts:
            self._mailer.ready()  # nothing is armed for a mail server that is away
        policy = self._lookout.policy(case)
        wish = AlarmWish(
            mail=letter.id,
            about=self._store.alarm_reference(case.id),  # kept before it is sent: what is armed will be heard
            link_id=case.link_id,
            source=source,
            display_name=letter.facts["subject_name"],  # of whom this mail speaks, whoever the ticket names by now
            # A number that opens the link, where it has to be typed, stands nowhere at the link service.
            ticket="" if policy.human_check is HumanCheck.TICKET_NUMBER else case.number,
            since=row.created_at,
            lifetime=policy.alarm_lifetime,
            time_zone=self._zone_name(case.tenant),
            locale=policy.locale,
        )
        try:
            return self._links.arm(wish)
        except (TemporaryError, AuthenticationError) as failure:
            recent = self._clock() - row.created_at < WAIT_FOR_AN_ALARM or row.attempts + 1 < LEAST_TRIES
            # Once somebody has said it, nobody waits for another way to say it: the mail about that comes next.
            if recent and case.outcome is not Outcome.NOT_ME:
                raise
            why = str(failure)
        except PermanentError as failure:
            why = str(failure)
        log.warning("mailed_without_alarm", case=case.id, ticket=case.number, key=row.message.key, error=why)
        return None

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
        if _is_notice(row):
            what, why = "The notice that the account was reset", f"{why} To do: tell the account's owner in person."
        note = Message(key=key, body=Note(text=notes.undelivered(what, why), marker=messages.marker(case, key)))
        now = self._clock()
        self._ledger.keep(
            held, case, now=now, messages=[note],
            audit=[AuditEntry(at=now, case_id=case.id, event="undelivered", facts={"what": row.message.key})],
        )  # fmt: skip


def _without_private_address(text: str, row: OutboxRow) -> str:
    """A refusal names its recipient; a notice's is often a private address, and tickets and logs need not know it."""
    letter = row.message.body
    return text.replace(letter.to, masked(letter.to)) if _is_notice(row) and isinstance(letter, Letter) else text


def _is_notice(row: OutboxRow) -> bool:
    return isinstance(row.message.body, Letter) and row.message.body.kind is MailKind.SUBJECT_NOTICE
