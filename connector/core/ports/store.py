"""What we remember: cases, what they owe, the audit, the writes that the brake counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from connector.core.case import Action, Case
from connector.core.pair import Earlier
from connector.core.ports.links import LinkEvent, Watched
from connector.core.ports.mail import Letter
from connector.core.ports.psa import ChangedTicket, Note, StatusTarget


class MessageKind(StrEnum):
    NOTE = "note"
    STATUS = "status"
    MAIL = "mail"


@dataclass(frozen=True, kw_only=True)
class Message:
    """A row of the outbox: a note, a status change or a mail, delivered in order per case.

    Attributes:
        key: Unique within the case; a second message of the same key is not stored (idempotence).
        body: A `Note`, a `StatusTarget` or a `Letter`.
    """

    key: str
    body: Note | StatusTarget | Letter

    @property
    def kind(self) -> MessageKind:
        match self.body:
            case Note():
                return MessageKind.NOTE
            case StatusTarget():
                return MessageKind.STATUS
            case Letter():
                return MessageKind.MAIL


@dataclass(frozen=True, kw_only=True)
class OutboxRow:
    """A message on its way.

    Attributes:
        attempts: Earlier tries that did not end in a clear success; 0 means that nobody has tried.
        created_at: When the state that it reports was saved.
    """

    id: int
    case_id: str
    message: Message
    attempts: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One line of the audit, without secrets. `facts` are short strings."""

    at: datetime
    case_id: str
    event: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AuditLine:
    """An entry as stored, with its place in the hash chain."""

    seq: int
    entry: AuditEntry
    hash: str


@dataclass(frozen=True, kw_only=True)
class Reset:
    """A write to an account that was about to happen: what the brake counts. One per case, action half and account.

    Attributes:
        subject, requester: Identities to count by: object id, mailbox.
        approvers: The mailboxes of those who approved, a name on one line where somebody has none.
    """

    at: datetime
    case_id: str
    tenant: str
    action: Action
    subject: str
    requester: str
    approvers: frozenset[str]

    @property
    def key(self) -> tuple[str, Action, str]:
        """By which a further try is known for the same write."""
        return self.case_id, self.action, self.subject


class CaseStore(Protocol):
    """What we remember. All writes of one call happen in one transaction, or not at all.

    Every method raises `DatabaseError` when the database is locked for long, full or gone.
    """

    # -- polling
    def claim_poll(self, name: str, *, now: datetime, lease: timedelta, early: timedelta = timedelta(0)) -> str | None:
        """Take the poll `name` if it is due and nobody holds it. Returns its cursor, "" when it has none yet.

        `None` means: not due, or somebody else is at it.

        Args:
            early: How much sooner than it is due it may be taken.
        """

    def finish_poll(self, name: str, *, cursor: str, next_at: datetime) -> None:
        """Save the cursor and free the claim. Called after everything that the poll brought was saved."""

    def poll_cursor(self, name: str) -> str:
        """Where the poll `name` stands, whoever holds it; "" when it was never made."""

    def note_tickets(self, psa: str, tickets: Sequence[ChangedTicket], *, now: datetime) -> int:
        """Open a case for each new ticket and make the known ones due; the terminal ones stay as they are.

        Returns:
            How many cases were opened.
        """

    def record_link_events(self, events: Sequence[LinkEvent], *, now: datetime) -> None:
        """Keep the events and make their cases due, whatever their state. A repeat changes nothing.

        A case is known by its links and its alarm reference. Events of anything else are left aside.
        """

    def untold(self, events: Sequence[LinkEvent]) -> Sequence[LinkEvent]:
        """Those that were never recorded under any number: none of the same link, kind, view, moment and reason was.

        For a history that is read from its beginning again, under other numbers.
        """

    # -- working on a case
    def claim_due(self, *, now: datetime, lease: timedelta) -> Case | None:
        """The case that has been due for the longest and that nobody holds, claimed; `None` when there is none.

        A case is due when `due_at` has come, when it was poked, or when its outbox holds something deliverable.
        """

    def claim(self, case_id: str, *, now: datetime, lease: timedelta) -> Case | None:
        """This very case, claimed, due or not; `None` when somebody holds it or it does not exist."""

    def save(
        self,
        case: Case,
        *,
        now: datetime,
        messages: Sequence[Message] = (),
        audit: Sequence[AuditEntry] = (),
        reset: Reset | None = None,
        beside: Collection[Earlier] | None = None,
        lease: timedelta | None = None,
    ) -> Case:
        """Write the case with everything that belongs to the change. Returns it with its new version.

        Args:
            beside: The writes to the account of `reset` of the last day that it was judged by. Of two cases that are
                judged at the same moment, one is refused here and has to be judged again.
            lease: Keep the claim for so much longer; `None` gives the claim back.

        Raises:
            LostClaim: Somebody else has claimed or saved it since; nothing was written.
            Overtaken: Another case has written to the account since; nothing was written.
        """

    def poke(self, case_id: str) -> None:
        """Make the case due now, even while somebody works on it."""

    # -- outbox
    def outbox(self, case_id: str) -> Sequence[OutboxRow]:
        """What is still to be delivered for this case, oldest first."""

    def message_tried(self, row: OutboxRow) -> None:
        """About to try: counted before the call, so that a killed process looks before it repeats."""

    def message_done(self, row: OutboxRow, *, now: datetime, failed: str = "") -> None:
        """Delivered, or given up for good with the reason in `failed`."""

    # -- links
    def watched_links(self, *, now: datetime) -> Sequence[Watched]:
        """Links that were mailed and are of interest still, those that end first before the others.

        Until their end was told or every view is used, and for two days beyond their time at most.
        """

    def link_events(self, case_id: str, *, after: int) -> Sequence[LinkEvent]:
        """Events of every link ever made for this case with `seq` greater than `after`, oldest first."""

    def alarm_reference(self, case_id: str) -> str:
        """What alarms about this case say that they are about: made and kept at the first call, the same ever after.

        It proves that the connector armed an alarm: 128 random bits that nobody else hears of but the link service,
        and who reads its events once such an alarm was pressed. It presses none.
        """

    # -- reading
    def get(self, case_id: str) -> Case | None: ...

    def find(self, number: str, *, psa: str | None = None) -> Sequence[Case]:
        """Cases whose ticket has this number or key."""

    def cases(self, *, open_only: bool = False) -> Sequence[Case]:
        """All cases, newest first."""

    def audit_of(self, case_id: str) -> Sequence[AuditLine]: ...

    def cases_about(self, tenant: str, subject_id: str) -> Sequence[Case]:
        """Open cases for this account, by its object id; none for the empty id."""

    def resets_since(self, since: datetime, *, subject: str | None = None) -> Sequence[Reset]:
        """For the brake; oldest first. `subject`: those of one account only."""

    # -- the big switch
    def paused(self) -> str:
        """Why writing to accounts is paused; empty when it is not."""

    def pause(self, reason: str, *, now: datetime) -> None: ...

    def resume(self, *, now: datetime) -> None: ...
