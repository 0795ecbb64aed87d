"""A ticket system: what we read from it, what we write into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from connector.core.business_hours import BusinessHours
from connector.core.case import Action, Approval, Person
from connector.core.ports.findings import Finding


class Stance(StrEnum):
    """What the PSA's approval says as a whole. Whatever is not clearly a yes is not a yes."""

    NONE = "none"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class ApprovalReading:
    """The approval of a ticket as read just now.

    Attributes:
        decisions: Every decision found, oldest first, rejections included.
        approvers: Who is asked and has not answered; reminded by mail where the PSA does not remind.
        reason: Why this is not a yes, in plain words for a note; empty when it is, or while it is simply pending.
    """

    stance: Stance
    decisions: tuple[Approval, ...] = ()
    approvers: tuple[Person, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A ticket as read just now, in our words.

    Attributes:
        id: The PSA's key.
        number: What people call it (often the same).
        mapped: Whether it (still) is of a mapped request type; when not, `action` and `subject` are empty.
        client_id: The customer, by the PSA's key, always as a string.
        subject_text: The subject field as it stands in the ticket, unaltered; may be empty or nonsense.
        action: `None` when the ticket does not say, or says something that the mapping does not know.
        closed: Closed, resolved or deleted-but-readable by whoever.
        retry_requested: An agent moved it to the mapped retry status.
        handed_off: It stands in the mapped hand-off status.
        created_at, updated_at: By the PSA's clock; `updated_at` is `None` where the PSA does not tell.
        request_changed_at: When subject or action last changed, from the PSA's own history; `None` when the PSA
            keeps none that we can read.
        subject_id: The Entra object id that the PSA itself holds for the subject; empty where it holds none. It only
            ever serves to refuse.
        subject_problem: Why the PSA's record of the subject stands for no account (inactive, another customer's), to
            follow "It is not clear whose account is meant: "; `subject_text` is empty then. Empty where all is well.
        taken_by: Name of the person who owns the ticket, where the mapping says that an owner ends our work; or empty.
        also_not_approvers: Who had a part in raising the ticket without being its requester (the agent who logged it):
            they must not approve it either.
        url: Where an agent opens it; empty when not known.
    """

    psa: str
    id: str
    number: str
    title: str
    mapped: bool
    client_id: str
    client_name: str
    requester: Person | None
    subject_text: str
    action: Action | None
    reason: str
    status: str
    closed: bool
    retry_requested: bool = False
    handed_off: bool = False
    approval: ApprovalReading
    created_at: datetime
    updated_at: datetime | None = None
    request_changed_at: datetime | None = None
    subject_id: str = ""
    subject_problem: str = ""
    taken_by: str = ""
    also_not_approvers: tuple[Person, ...] = ()
    url: str = ""


@dataclass(frozen=True)
class ChangedTicket:
    """A row of the PSA's list: something about this ticket is new. Nothing else in a row is trusted."""

    id: str
    number: str


@dataclass(frozen=True)
class Changes:
    """What one poll brought.

    Attributes:
        cursor: Opaque; give it back at the next poll. Saved only after the tickets were.
    """

    tickets: tuple[ChangedTicket, ...]
    cursor: str


class StatusTarget(StrEnum):
    """Where a ticket is to be moved; the mapping names the PSA's own status, or none for "leave it"."""

    WORKING = "working"
    CLOSED = "closed"
    HAND_OFF = "hand_off"
    ALARM = "alarm"
    """Somebody said "this was not me": also out of a closed status, with the mapped priority; the hand-off status
    where the mapping names none of its own."""


@dataclass(frozen=True)
class Note:
    """What goes into a ticket.

    Attributes:
        text: Plain text, lines separated by newlines; the adapter turns it into what its PSA wants, escaped.
        marker: A short word that no other note carries; written into the note and looked for before a repeat.
        public: Visible to the requester.
        time_spent: Booked with the note where the PSA books time; zero books none.
    """

    text: str
    marker: str
    public: bool = False
    time_spent: timedelta = timedelta(0)


@dataclass(frozen=True)
class Push:
    """What a PSA, or whoever says so, has sent us. It proves nothing but that somebody knows our address.

    Attributes:
        headers: By lower-case name.
        query: Of the address; the last one of several values.
        body: The bytes as they came, for signatures.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the people of one PSA have. Every value can be set in the mapping, under `timing`.

    Attributes:
        hours: In which the reminders are counted and sent; `None`: around the clock. The end of the wait
            (`give_up_after`) is always counted around the clock.
        psa_reminds: The PSA reminds its approvers itself: only the requester hears from us.
    """

    remind_after: timedelta = timedelta(hours=4)
    remind_every: timedelta = timedelta(hours=24)
    reminders: int = 3
    give_up_after: timedelta = timedelta(days=7)
    approval_valid: timedelta = timedelta(hours=24)
    hours: BusinessHours | None = None
    psa_reminds: bool = False


class DryRun(StrEnum):
    """Whether anything is changed outside."""

    OFF = "off"
    NOTES = "notes"
    """Nothing but private notes that say what would have been done."""
    SILENT = "silent"
    """Nothing at all."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the mapping of one PSA says about all of its requests.

    Attributes:
        actions: Every action that a ticket can ask for.
        approvers_listed: `True`: only approvers under `tenants.<name>.approvers` count (mapping: `approvers: listed`).
        approvers_minimum: How many different people must have said yes.
        public_notes: Topics of the notes that the requester may see; see `messages.PUBLIC_TOPICS`.
        time_spent: Booked once a case, with the note on what was done; zero books none.
    """

    actions: frozenset[Action] = frozenset(Action)
    timing: Timing = Timing()
    approvers_listed: bool = True
    approvers_minimum: int = 1
    public_notes: frozenset[str] = frozenset()
    dry_run: DryRun = DryRun.OFF
    time_spent: timedelta = timedelta(0)


@runtime_checkable
class Psa(Protocol):
    """A ticket system. One object per entry under `psa:`; safe to use from several threads."""

    @property
    def name(self) -> str:
        """The name in `connector.yaml`."""

    @property
    def rules(self) -> Rules:
        """What its mapping says; the same for as long as the object lives."""

    def check(self) -> Iterable[Finding]:
        """Try the credentials and resolve every name of the mapping. Yields all problems; raises none of ours."""

    def changed(self, cursor: str | None) -> Changes:
        """Tickets of the mapped types that changed since `cursor`, each once; some may be old news (overlap).

        `None` asks for every open ticket of the mapped types: the first poll, and the slow sweep.

        Raises:
            TemporaryError, AuthenticationError: Nothing was lost; ask again with the same cursor.
        """

    def raised_since(self, since: datetime) -> Sequence[ChangedTicket]:
        """Every ticket of the mapped types that was created since then, closed ones too, oldest first.

        For `connector rehearse`; it may take many calls.

        Raises:
            TemporaryError, AuthenticationError.
        """

    def heard(self, push: Push) -> Sequence[str]:
        """The keys of the tickets that a push is about; none: something changed, so poll.

        Nothing of a push is believed but that it may be worth while to look.

        Raises:
            PushRefused: The configuration demands a proof, and this push has none, or a wrong one.
            TemporaryError, AuthenticationError: The proof cannot be checked now.
        """

    def read(self, ticket_id: str) -> Ticket:
        """The ticket with its approval, fresh.

        Raises:
            TicketGone: Deleted, merged into another, or out of our sight.
            TemporaryError, AuthenticationError.
        """

    def add_note(self, ticket_id: str, note: Note) -> None:
        """Write a note. A repeat writes it again: the caller asks `has_note` first after an unclear answer.

        Raises:
            TicketGone, PermanentError: The PSA refuses the note for good; the message says why.
            TemporaryError, AuthenticationError: It may or may not have been written.
        """

    def has_note(self, ticket_id: str, marker: str) -> bool:
        """Whether a note with this marker stands in the ticket, written by us."""

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        """Bring the ticket into the mapped status and read back that it is there.

        Returns:
            `False` when the mapping names no status for `target`: nothing was sent. A repeat changes nothing.

        Raises:
            TicketGone, PermanentError: The PSA refuses the move; the message says why.
            TemporaryError, AuthenticationError.
        """
