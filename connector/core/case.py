"""What a case is made of. Frozen: a change makes a new one, and only the reconciler saves it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    """What is to be reset."""

    PASSWORD = "password"  # noqa: S105 - the name of an action
    MFA = "mfa"
    BOTH = "both"

    @property
    def resets_password(self) -> bool:
        return self is not Action.MFA

    @property
    def resets_mfa(self) -> bool:
        return self is not Action.PASSWORD

    @property
    def words(self) -> str:
        """For people: `password reset`, `MFA reset`, `password and MFA reset`."""
        return {"password": "password reset", "mfa": "MFA reset", "both": "password and MFA reset"}[self.value]


class State(StrEnum):
    """How far a case is. The moves between them are in `machine.TRANSITIONS`."""

    RECEIVED = "received"
    WAITING = "waiting"
    APPROVED = "approved"
    LINK_OUT = "link_out"
    OPENED = "opened"
    EXPIRED = "expired"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NEEDS_PERSON = "needs_person"
    ALARMED = "alarmed"
    CLOSED = "closed"


class Outcome(StrEnum):
    """How a closed case ended."""

    OPENED = "opened"
    MFA_RESET = "mfa_reset"
    EXPIRED = "expired"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    DRY_RUN = "dry_run"
    NOT_ME = "not_me"


@dataclass(frozen=True)
class Person:
    """Somebody, as far as a system knows them.

    Attributes:
        name: For display only. Never compared: anybody can be called anything.
        email: Where they are written to; `None` where the system holds no address.
        ids: Identities in the systems that know them, each with its kind: `halo.user:12`, `halo.agent:3`,
            `rt.user:anna`, `entra:<object id>`.
    """

    name: str
    email: str | None = None
    ids: frozenset[str] = frozenset()

    @property
    def identities(self) -> frozenset[str]:
        """Everything by which this person can be recognised, the address included."""
        return self.ids | ({f"mail:{fold(self.email)}"} if self.email else frozenset())

    def is_same(self, other: Person) -> bool:
        """Whether any identity is shared."""
        return bool(self.identities & other.identities)

    def may_be(self, other: Person) -> bool:
        """Whether the two could be one person: any identity is shared, or the mailbox behind any address.

        Only ever a reason to refuse: two people may share a mailbox.
        """
        return self.is_same(other) or bool(self.mailboxes & other.mailboxes)

    @property
    def mailboxes(self) -> frozenset[str]:
        """Where mail to any of their addresses may end; see `mailbox`."""
        addresses = (one.removeprefix("mail:") for one in self.identities if one.startswith("mail:"))
        return frozenset(mailbox(address) for address in addresses)


def fold(address: str) -> str:
    """An address in the form in which addresses are compared: no blanks around it, case folded.

    A letter beyond ASCII never becomes one of ASCII, as `casefold` alone would have it: `straße@…` and `strasse@…`,
    or a long s and an s, are two mailboxes, and who reads one address must not get the other.
    """
    if address.isascii():
        return address.strip().casefold()
    folded = ((letter, letter.casefold()) for letter in address.strip())
    return "".join(after if after.isascii() == before.isascii() else before for before, after in folded)


def mailbox(address: str) -> str:
    """The mailbox in which an address may end, taken as widely as can be; for refusing and counting only.

    Exchange Online and others deliver `name+anything@…` to `name@…`
    (learn.microsoft.com/exchange/recipients-in-exchange-online/plus-addressing-in-exchange-online, read 2026-11-22).
    """
    local, at, domain = unicodedata.normalize("NFKC", address).strip().casefold().rpartition("@")
    return f"{local.partition('+')[0]}{at}{domain}"


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One person's decision in the PSA's own approval, with how we know.

    Attributes:
        approved: `True` for yes, `False` for a rejection.
        decided_at: When, by the PSA's clock.
        comment: The approver's own words, possibly empty.
        step: The PSA's name of the approval step, possibly empty.
        overridden: Somebody else decided in the approver's place (administrator override).
        delegated_by: Who passed the decision on, or `None`.
        evidence: Where it was read, for the audit: `TicketApproval 4242/1/3`, `transaction 812`.
        digest: Of the rows that it was read from; see `evidence.digest_of`. Empty where the adapter gives none.
    """

    approver: Person
    approved: bool
    decided_at: datetime
    comment: str = ""
    step: str = ""
    overridden: bool = False
    delegated_by: Person | None = None
    evidence: str = ""
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What the directory has not shown yet of a write that it accepted.

    Attributes:
        missing: What is waited for, in words: `the new password`.
        password_was, sessions_were: The directory's own times before the write; only compared with its later ones,
            since its clock is not ours.
        look_at: When to look again.
        looks: How often that was done.
    """

    missing: tuple[str, ...]
    look_at: datetime
    password_was: datetime | None = None
    sessions_were: datetime | None = None
    looks: int = 0


@dataclass(frozen=True, kw_only=True)
class Case:
    """How far we are with one ticket. Holds no secret, and nothing that could be read again from its source.

    Attributes:
        id: Ours, `case-` and 16 hexadecimal digits.
        psa: The name of the PSA in `connector.yaml`.
        ticket_id: The PSA's key of the ticket.
        number: What people call the ticket.
        version: Grows with each claim and save; a worker whose version is old cannot write.
        due_at: When the next pass is due; `None` when only a change of the ticket or the link can matter.
        request_since: By the PSA's clock: since when subject and action are what they are. Approvals of an earlier
            time do not count. `None` before the first look.
        action: As last read; `None` before the first look or when the ticket does not say.
        subject: The address as last read, cleaned; empty when the ticket has none.
        subject_id: The Entra object id that the address stood for when it was recognised.
        approvals: The decisions that we acted or are acting on, oldest first: every yes, or the one no.
        link_id: The newest link made for this case. The older ones are revoked.
        link_handle: By what the link service knows that link, where that is not our id; opens nothing.
        views_used: Reveals of the newest link that we know of.
        link_seq: The newest link event that this case has taken in.
        mfa_removed: Kinds of the authentication methods removed so far, in order.
        mfa_left: `kind: reason` of each method left in place.
        mfa_kept: Kinds left in place because the configuration says so.
        mfa_done: The MFA half is finished.
        proof: What the directory has yet to show of the newest password; `None` when nothing is open.
        written_at: When an account was first changed for this case; `None` while nothing was changed.
        attempts: Failed tries of the present step.
        failing_since: When the present step began to fail; `None` while all is well.
        round: Grows with each retry after a hand-off, so that the notes of a new round are not taken for the old.
        void_said: Which decisions the agent was already told do not count; a fingerprint.
        requester_ids: Identities of the requester's account in the customer's tenant, its other addresses included, as
            of the recognition; empty where the requester has none there.
        in_earnest: Something about it was written down to be sent for real; a dry run leaves it alone from then on.
        outcome: How it ended; `None` while it has not.
        explanation: Why it ended or was handed off, in plain words.
    """

    id: str
    psa: str
    ticket_id: str
    number: str
    state: State
    created_at: datetime
    due_at: datetime | None
    version: int = 0
    client_id: str = ""
    client_name: str = ""
    tenant: str = ""
    requester: Person | None = None
    action: Action | None = None
    subject: str = ""
    subject_id: str = ""
    subject_name: str = ""
    reason: str = ""
    request_since: datetime | None = None
    approvals: tuple[Approval, ...] = ()
    waiting_since: datetime | None = None
    reminders: int = 0
    link_id: str = ""
    link_handle: str = ""
    link_expires_at: datetime | None = None
    views_allowed: int = 0
    views_used: int = 0
    link_seq: int = 0
    mfa_removed: tuple[str, ...] = ()
    mfa_left: tuple[str, ...] = ()
    mfa_kept: tuple[str, ...] = ()
    mfa_done: bool = False
    proof: Proof | None = None
    written_at: datetime | None = None
    attempts: int = 0
    failing_since: datetime | None = None
    round: int = 1
    void_said: str = ""
    requester_ids: frozenset[str] = frozenset()
    in_earnest: bool = False
    outcome: Outcome | None = None
    explanation: str = ""

    @property
    def approval(self) -> Approval | None:
        """The newest of the decisions."""
        return self.approvals[-1] if self.approvals else None
