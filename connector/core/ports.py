"""What the inside needs from the outside: one Protocol per kind of system, and the values that cross the border.

Every adapter translates its vendor's words into these at its edge and raises only what `connector.errors` defines.
Each Protocol has one contract suite under `tests/contracts`; the fakes pass it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from connector.core.business_hours import BusinessHours
from connector.core.case import Action, Approval, Case, Person
from connector.core.secret import Secret

Clock = Callable[[], datetime]
"""Gives the present as an aware UTC datetime."""


# ---------------------------------------------------------------- findings


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One line of `connector check`.

    Attributes:
        about: The thing looked at, as the admin knows it: `psa.halo.client_secret`, `tenants.contoso`.
        text: What was found.
        todo: What to do about it; empty where nothing is to be done.
        temporary: An error that may mend itself (the system is away or refuses us for now), so it stops no start.
    """

    level: Level
    about: str
    text: str
    todo: str = ""
    temporary: bool = False


# ---------------------------------------------------------------- PSA


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


# ---------------------------------------------------------------- directory (Microsoft Entra through Graph)


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account and everything that the guard needs to know about it, read just now.

    Attributes:
        id: The Entra object id.
        addresses: Every address by which this person may be known: UPN, mail, proxy addresses, other mails;
            folded. Used to compare people, never to send.
        enabled, guest, synchronised, federated: Plain facts.
        domain_verified: The UPN's domain is a verified domain of this tenant.
        admin_roles: Names (or ids) of active Entra roles, through role-assignable groups too.
        privileged_groups: Role-assignable groups that the account is a member or an owner of.
        protected_by: Why the configuration protects it: the entry under `tenants.<name>.protected`; or empty.
        restricted: Member of a restricted management administrative unit.
        eligible_roles: Names (or ids) of Entra roles that it may activate, where that can be read.
        password_set_at, sessions_valid_from: As the directory tells; `None` where it does not. Only ever compared with
            a later reading of the same, because the directory's clock is not ours.
        unknown: Facts that could not be read, in plain words. Not empty means: do not touch.
    """

    tenant: str
    id: str
    upn: str
    display_name: str
    addresses: frozenset[str]
    enabled: bool
    guest: bool
    synchronised: bool
    federated: bool
    domain_verified: bool
    admin_roles: tuple[str, ...] = ()
    privileged_groups: tuple[str, ...] = ()
    protected_by: str = ""
    restricted: bool = False
    eligible_roles: tuple[str, ...] = ()
    password_set_at: datetime | None = None
    sessions_valid_from: datetime | None = None
    unknown: tuple[str, ...] = ()

    @property
    def person(self) -> Person:
        """The account's owner as a person to compare others with."""
        return Person(
            name=self.display_name,
            email=self.upn,
            ids=frozenset({f"entra:{self.id}", *(f"mail:{address}" for address in self.addresses)}),
        )


@dataclass(frozen=True)
class MethodLeft:
    """An authentication method that is still there, and why."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Receipt:
    """By what a call is found again in the directory's own logs; for the audit and for Microsoft's support.

    Attributes:
        ours: The id that we sent with the call (`client-request-id`).
        theirs: The id that was answered (`request-id`); empty where there was none.
    """

    ours: str
    theirs: str = ""

    def __str__(self) -> str:
        return f"{self.ours}/{self.theirs}"


@dataclass(frozen=True)
class MethodsReport:
    """What a removal of authentication methods did, read back from the directory.

    Attributes:
        removed: Kinds removed by this call, in order, one entry a method: `phone (mobile)`, `fido2`.
        left: What is still listed and should not be.
        kept: Kinds left in place because the configuration says so.
        receipts: Of the removals.
    """

    removed: tuple[str, ...]
    left: tuple[MethodLeft, ...]
    kept: tuple[str, ...] = ()
    receipts: tuple[Receipt, ...] = ()


@dataclass(frozen=True)
class SessionsReport:
    """What ending the sessions did.

    Attributes:
        receipt: Of the call.
        sessions_valid_from, password_set_at: Read back with it; `None` where they could not be.
    """

    receipt: Receipt
    sessions_valid_from: datetime | None = None
    password_set_at: datetime | None = None


class Directory(Protocol):
    """The customers' Entra tenants. `tenant` is always the name in `connector.yaml`."""

    def find(self, tenant: str, address: str) -> Account:
        """The account that `address` (UPN, mail or proxy address) stands for, with all facts for the guard.

        An alternate address (often a private one, and not unique) stands for nobody.

        Raises:
            NoSuchAccount, AmbiguousAccount.
            TemporaryError, AuthenticationError (scope `tenant.<name>`).
        """

    def read(self, tenant: str, account_id: str) -> Account:
        """The same by object id, in one call. Used right before a write."""

    def home_of(self, address: str) -> str:
        """The tenant of ours to which the address's domain belongs, or empty. Only ever for explaining a refusal.

        Raises nothing: what cannot be read is not known.
        """

    def can_help_itself(self, tenant: str, account_id: str) -> bool | None:
        """Whether the account's owner can reset the password without us; `None` where that is not known.

        Raises nothing: a hint is not worth a delay.
        """

    def ready(self, tenant: str, action: Action) -> None:
        """Say whether a write for this action could be tried now; asks nobody.

        Raises:
            TemporaryError: The directory has asked for a pause that is not over, or lets few work at a time.
        """

    def set_password(self, tenant: str, account_id: str, password: Secret) -> Receipt:
        """Set the password; it must be changed at the next sign-in.

        Raises:
            PasswordRejected: Try another candidate; nothing changed.
            PermanentError: The directory refuses for good (protected target, synchronised); nothing changed.
            TemporaryError: It may or may not have been set.
            AuthenticationError: Permission or role missing; nothing changed.
        """

    def remove_methods(self, tenant: str, account_id: str) -> MethodsReport:
        """Remove every authentication method except the password, the default one last, and read back.

        A repeat goes on where the first stopped.

        Raises:
            TemporaryError, AuthenticationError: Some may have been removed (their kinds are in the error's `done`);
                repeat.
            PermanentError, NoSuchAccount.
        """

    def revoke_sessions(self, tenant: str, account_id: str) -> SessionsReport:
        """Sign the account out everywhere, and read back in the same call. A repeat is harmless.

        What is read back may be stale for some seconds; the caller compares it with what it knew before.
        """

    def check(self, tenant: str) -> Iterable[Finding]:
        """Credentials, consent and permissions of this tenant."""


# ---------------------------------------------------------------- links


@dataclass(frozen=True)
class LinkWish:
    """What a link is to be.

    Attributes:
        id: Made by the caller before the link is, so that it can be revoked whatever happens.
        ref: Who the link is for, in words that may be stored at the link service: `halo/4242`.
        display_name: Whose password, shown on the page.
        ticket: The ticket number, shown on the page.
        views: 1 to 20.
        lifetime: Counted from now.
        time_zone: IANA name in which the page shows times.
    """

    id: str
    ref: str
    display_name: str
    ticket: str
    views: int
    lifetime: timedelta
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Link:
    """A link that exists. `url` opens the password: it goes into one mail and nowhere else."""

    id: str
    url: Secret
    expires_at: datetime
    views: int


class LinkEventKind(StrEnum):
    """What the link service tells. Kinds that we do not know are skipped by the adapter."""

    CREATED = "created"
    PAGE_OPENED = "page_opened"
    REVEALED = "revealed"
    REFUSED = "refused"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, kw_only=True)
class LinkEvent:
    """One thing that happened to a link.

    Attributes:
        seq: Grows without gaps that matter; the cursor.
        view: Which reveal this was, counted from 1; 0 for other kinds.
        views_left: After this event.
        ip: The visitor's address, or empty.
        place: Approximate, never finer than its source: `United Kingdom (approx.)`; or empty.
        agent: Browser and system in words; or empty.
    """

    seq: int
    link_id: str
    kind: LinkEventKind
    at: datetime
    view: int = 0
    views_left: int = 0
    ip: str = ""
    place: str = ""
    agent: str = ""


class LinkService(Protocol):
    """Where one-time links live."""

    def create(self, wish: LinkWish, password: Secret) -> Link:
        """Seal the password and store it behind a new link.

        Raises:
            TemporaryError: The service is away; nothing was stored, or it was stored and nobody has its address.
            AuthenticationError (scope `links`), PermanentError.
        """

    def revoke(self, link_id: str) -> None:
        """Make the link dead. Repeating it, or naming a link that was never made, changes nothing and is fine."""

    def events(self, after: int) -> Sequence[LinkEvent]:
        """Events with `seq` greater than `after`, oldest first; empty when there is nothing new.

        Long histories come in several calls: ask again with the newest `seq` until it answers empty.
        """

    def check(self) -> Iterable[Finding]: ...


# ---------------------------------------------------------------- mail


class MailKind(StrEnum):
    """One per template directory under `connector/mail/templates`."""

    REQUEST_CONFIRMATION = "request_confirmation"
    APPROVAL_PENDING = "approval_pending"
    APPROVAL_REMINDER = "approval_reminder"
    REQUEST_APPROVED = "request_approved"
    REQUEST_DECLINED = "request_declined"
    PASSWORD_READY = "password_ready"  # noqa: S105 - the name of a mail
    LINK_ACCESSED = "link_accessed"
    LINK_EXPIRED = "link_expired"
    MFA_RESET_DONE = "mfa_reset_done"
    HANDED_TO_PERSON = "handed_to_person"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A mail before it is put into words. Holds no secret, so it may wait in the outbox.

    Attributes:
        id: Unique per mail, the same at each repeat; the Message-ID is derived from it.
        to: The address.
        to_name: For the greeting; may be empty.
        ticket: The ticket number.
        facts: What this kind's template names, as strings. Instants are ISO 8601 with zone; the renderer turns
            them into the customer's zone. See `connector/mail/render.py` for each kind's facts.
    """

    id: str
    kind: MailKind
    to: str
    to_name: str
    ticket: str
    tenant: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Email:
    """A mail ready to be sent. `text` and `html` may hold a link's address: never log this object's fields."""

    message_id: str
    to: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


class LetterWriter(Protocol):
    """Puts a letter into words."""

    def write(self, letter: Letter, *, link: Secret | None = None) -> Email:
        """Render subject, text and html. `link` is used by `PASSWORD_READY` only.

        Raises:
            PermanentError: A fact that the template needs is missing (a bug), or the address is no address.
        """


class Mailer(Protocol):
    """Hands mails to a mail server."""

    def ready(self) -> None:
        """Ask the server whether it would take a mail now; sends nothing.

        Raises:
            TemporaryError, AuthenticationError (scope `mail`).
        """

    def send(self, email: Email) -> None:
        """Hand the mail over. A repeat with the same Message-ID may arrive twice.

        Raises:
            PermanentError: The server refuses this recipient for good.
            TemporaryError, AuthenticationError.
        """

    def check(self) -> Iterable[Finding]: ...


# ---------------------------------------------------------------- store


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
    """A write to an account that was about to happen: what the brake counts. One per case and action half.

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

    def note_tickets(self, psa: str, tickets: Sequence[ChangedTicket], *, now: datetime) -> int:
        """Open a case for each new ticket and make the known ones due; the terminal ones stay as they are.

        Returns:
            How many cases were opened.
        """

    def record_link_events(self, events: Sequence[LinkEvent], *, now: datetime) -> None:
        """Keep the events and make their cases due, whatever their state. A repeat changes nothing."""

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
        lease: timedelta | None = None,
    ) -> Case:
        """Write the case with everything that belongs to the change. Returns it with its new version.

        `lease`: keep the claim for so much longer; `None` gives the claim back.

        Raises:
            LostClaim: Somebody else has claimed or saved it since; nothing was written.
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
    def link_events(self, case_id: str, *, after: int) -> Sequence[LinkEvent]:
        """Events of every link ever made for this case with `seq` greater than `after`, oldest first."""

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
