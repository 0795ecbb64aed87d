"""What is known for a decision, and what a decision can be: the vocabulary of `plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from connector.core import notes
from connector.core.case import Case
from connector.core.guard import Refusal
from connector.core.machine import Event
from connector.core.notice import NotifySubject
from connector.core.pair import Earlier, PairRule
from connector.core.ports import (
    Account,
    AuditEntry,
    DryRun,
    HumanCheck,
    LinkEvent,
    LinkMode,
    Message,
    Ticket,
    Timing,
)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The configuration that applies to one case.

    Attributes:
        tenant: The customer's tenant, or empty when no tenant is mapped to the ticket's client.
        approvers: Folded addresses, or `None` where the PSA's process names them.
        minimum: How many different people must have approved.
        senders: Folded addresses from which we send our own mails.
        link_mode, human_check, locale: Of the link; see `LinkWish`.
        alarm_lifetime: How long "this was not me" in a mail can be pressed.
        notify_subject: How the account's owner is told what was done.
        public_notes: Topics of the notes that the requester can read.
    """

    tenant: str
    approvers: frozenset[str] | None
    timing: Timing
    lifetime: timedelta = timedelta(minutes=60)
    views: int = 2
    zone: tzinfo = UTC
    senders: frozenset[str] = frozenset()
    minimum: int = 1
    pair_rule: PairRule = PairRule.SECOND_APPROVER
    dry_run: DryRun = DryRun.OFF
    everything_is_dry: bool = False
    link_mode: LinkMode = LinkMode.PATH
    human_check: HumanCheck = HumanCheck.OFF
    locale: str = "en"
    alarm_lifetime: timedelta = timedelta(days=7)
    notify_subject: NotifySubject = NotifySubject.ALTERNATE_MAIL
    public_notes: frozenset[str] = frozenset()

    @property
    def pen(self) -> notes.Pen:
        return notes.Pen(self.zone)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was read for this decision. `ticket` is `None` when it is gone, or when it was not needed.

    Attributes:
        gone: Why the ticket cannot be read any more; empty when it can, or was not needed.
        account_problem: Why there is no account; a refusal ready to be used.
        requester_ids: Identities of the requester's own account in the customer's tenant, aliases included.
        home: The tenant of ours that a foreign account belongs to, if any.
        helps_itself: Whether the account's owner can reset the password alone; `None` where that is not known.
        link_events: New ones of this case, oldest first.
        made_for: By the id of a link: the user principal name of the account whose password it holds, where that is
            not the one that the ticket names by now.
        earlier: Writes to the same account, of the last day.
        approver_ids: By the folded address of an approver: every identity of the account behind it; only where it
            matters how many people they are.
        related: Other open requests for the same account, in words: `ticket halo:4250 (MFA reset)`.
    """

    ticket: Ticket | None = None
    gone: str = ""
    account: Account | None = None
    account_problem: Refusal | None = None
    requester_ids: frozenset[str] = frozenset()
    home: str = ""
    helps_itself: bool | None = None
    link_events: Sequence[LinkEvent] = ()
    made_for: Mapping[str, str] = field(default_factory=dict)
    earlier: tuple[Earlier, ...] = ()
    approver_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    related: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What must be read before `next_step` can decide.

    Attributes:
        approval: With the ticket, what its approval is judged by: other writes and requests for the account, and who
            the approvers are.
        proof: The account by its id, as far as it can be read: nothing waits for it.
    """

    ticket: bool = False
    account: bool = False
    approval: bool = False
    fresh_link_events: bool = False
    proof: bool = False


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until`; `None`: before something outside changes."""

    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """Write it down: an event of the machine with what belongs to it, in one transaction."""

    event: Event
    changes: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def audit(self, case: Case, now: datetime) -> AuditEntry:
        return AuditEntry(at=now, case_id=case.id, event=self.event.value, facts=self.facts)


@dataclass(frozen=True)
class RemoveMethods:
    """Remove the authentication methods, after a fresh look."""


@dataclass(frozen=True)
class Deliver:
    """Make a link, set a new password behind it and mail it, after a fresh look."""


@dataclass(frozen=True)
class Secure:
    """Make the password useless, end the sessions, end the link: somebody said "this was not me"."""


Step = Wait | Record | RemoveMethods | Deliver | Secure
