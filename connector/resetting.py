"""The steps that write to an account: methods removed, password set behind a link and mailed.

No write without a fresh yes: ticket, approval and account are read again right before it, and the brake is asked. The
order inside `Resetter.deliver` is the crash rule; see the comments there before moving a line.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from connector.core import brake, link_story, messages, notes, notice, proof, records, refusals, request, steps
from connector.core.case import Action, Case, Proof, mailbox
from connector.core.machine import Event, advance
from connector.core.notice import NOBODY, Told
from connector.core.pair import Earlier
from connector.core.ports import (
    Account,
    AuditEntry,
    CaseStore,
    Clock,
    Directory,
    DryRun,
    LetterWriter,
    Link,
    LinkService,
    LinkWish,
    Mailer,
    Message,
    Note,
    Reset,
)
from connector.core.secret import Secret
from connector.errors import (
    AuthenticationError,
    ConnectorError,
    NoSuchAccount,
    PasswordRejected,
    PermanentError,
    TemporaryError,
    TicketGone,
)
from connector.ledger import WHILE_PAUSED, Held, Ledger, about_to, receipts
from connector.lookout import Lookout
from connector.passwords import CANDIDATES

log = structlog.get_logger(__name__)


class Resetter:
    """Carries approved requests out. Safe to use from several threads: it keeps nothing.

    Args:
        new_password: A fresh candidate at each call.
        zone_name: The IANA name of a tenant's time zone, for the link page.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        ledger: Ledger,
        lookout: Lookout,
        directory: Directory,
        links: LinkService,
        letters: LetterWriter,
        mailer: Mailer,
        limits: brake.Limits,
        new_password: Callable[[], Secret],
        clock: Clock,
        zone_name: Callable[[str], str],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._lookout = lookout
        self._directory = directory
        self._links = links
        self._letters = letters
        self._mailer = mailer
        self._limits = limits
        self._new_password = new_password
        self._clock = clock
        self._zone_name = zone_name

    def rehearse(self, held: Held) -> None:
        """Everything that comes before a write, and then no write."""
        action = held.case.action
        if action is not None and self._fresh_yes(held, action) is not None:
            self._ledger.record(held, records.rehearsed(held.case))

    def remove_methods(self, held: Held) -> None:
        """Remove the methods and end the sessions. A repeat goes on where the first stopped."""
        yes = self._fresh_yes(held, Action.MFA)
        if yes is None:
            return
        account, policy = yes.account, yes.policy
        interrupted = self._died_here(held.case)
        self._intend(held, yes, "removing_methods")
        report = None
        try:
            report = self._directory.remove_methods(policy.tenant, account.id)
            sessions = self._directory.revoke_sessions(policy.tenant, account.id)
        except ConnectorError as failure:
            done = report.removed if report else failure.done
            before = [records.BY_A_DEAD_TRY] if interrupted else []
            # The next try will not see these any more, but the ticket is to name them.
            now = self._clock()
            self._ledger.keep(
                held,
                replace(held.case, mfa_removed=(*held.case.mfa_removed, *before, *done)),
                now=now,
                audit=[AuditEntry(at=now, case_id=held.case.id, event="removal_failed",
                                  facts={"removed": ", ".join(done)})],
            )  # fmt: skip
            raise
        told = NOBODY
        if held.case.action is Action.MFA and not report.left:
            told = self._whom_to_tell(held.case, account, policy)
        record = records.after_methods(
            held.case, report, policy, shown=proof.shown(account, sessions, password=False), interrupted=interrupted,
            told=told, now=self._clock(),
        )  # fmt: skip
        self._ledger.record(held, replace(record, facts={**record.facts, **receipts(report.receipts, sessions)}))

    def deliver(self, held: Held) -> None:
        """Link, password, mail. Whatever fails, the next pass begins again at the top with a new password."""
        self._mailer.ready()  # before anything is made: a password that cannot be handed over is a lock-out
        # 1. The link of an earlier try must be dead before there is a new one: never two live secrets.
        if held.case.link_id:
            self._links.revoke(held.case.link_id, handle=held.case.link_handle)
        # 2. Remember the new link's id before it exists, so that a later try can revoke it whatever happens here.
        link_id = _new_link_id()
        now = self._clock()
        chosen = advance(
            held.case, Event.LINK_CHOSEN, now=now, link_id=link_id, link_handle="", link_expires_at=None,
            attempts=held.case.attempts, failing_since=held.case.failing_since,
        )  # fmt: skip
        self._ledger.keep(held, chosen, now=now)
        mailed = None
        try:
            mailed = self._deliver_behind(held, link_id)
        finally:
            if mailed is None:
                # Best effort; the id is remembered, and the next try or the link's short life ends it.
                with suppress(TemporaryError, PermanentError, AuthenticationError):
                    self._links.revoke(held.case.link_id, handle=held.case.link_handle)
        if mailed is not None:
            # 7. Dying before this line repeats the step: two mails, one living link, the true password. When the
            # database's answer is lost instead, the link stays: if it was saved, this is the link that counts.
            policy = self._lookout.policy(held.case)
            told = self._whom_to_tell(held.case, mailed.account, policy)
            record = link_story.after_delivery(
                held.case, mailed.link, policy, open_proof=mailed.proof, shown=mailed.shown, told=told,
                now=self._clock(),
            )  # fmt: skip
            self._ledger.record(held, record)

    def _fresh_yes(self, held: Held, action: Action) -> _Yes | None:
        """Ticket, approval and account, read now and judged as a whole, the brake included.

        Returns:
            `None` when it is not a yes; what to do instead has been written down.

        Leaves the approval as it stands now in the case that is held, to be saved with what comes next.
        """
        case = held.case
        try:
            ticket = self._lookout.psa(case).read(case.ticket_id)
        except TicketGone as gone:
            self._ledger.record(held, records.end(case, None, steps.Seen(gone=str(gone))))
            return None
        policy = self._lookout.policy(case, ticket)
        if ticket.closed or not ticket.mapped:
            self._ledger.record(held, records.end(case, ticket, steps.Seen(ticket=ticket)))
            return None
        different = request.differences(case, ticket, policy)
        if different:
            self._ledger.record(held, records.start_over(case, ticket, different))
            return None
        now = self._clock()
        earlier = self._lookout.earlier(case, now)
        known = self._lookout.approver_ids(ticket, earlier, policy, now)
        seen = steps.Seen(ticket=ticket, earlier=earlier, approver_ids=known)
        try:
            seen = replace(seen, account=self._directory.read(policy.tenant, case.subject_id))
        except NoSuchAccount:
            seen = replace(seen, account_problem=refusals.no_account(case.subject))
        now = self._clock()
        refusal = request.judge_write(case, ticket, seen, policy, now=now)
        if refusal is not None:
            record = records.void(case, ticket, refusal) if refusal.void else records.hand_off(case, refusal)
            self._ledger.record(held, record)
            return None
        assert seen.account is not None  # noqa: S101 - judged
        believed = request.believed_approval(case, ticket).decisions
        anew = []
        if believed != case.approvals:  # given while the case waited for its turn: named is who said this very yes
            held.case = replace(case, approvals=believed)
            anew = [AuditEntry(at=now, case_id=case.id, event=Event.APPROVED.value,
                               facts=messages.approval_facts(believed))]  # fmt: skip
        return self._ask_brake(held, _Yes(seen.account, policy, seen.earlier, anew), action, now)

    def _ask_brake(self, held: Held, yes: _Yes, action: Action, now: datetime) -> _Yes | None:
        case = held.case
        if self._store.paused():  # since this pass began: a pause counts from the moment it was said
            return None
        wanted = Reset(
            at=now,
            case_id=case.id,
            tenant=yes.policy.tenant,
            action=action,
            subject=yes.account.id,
            requester=mailbox(case.requester.email or "") if case.requester else "",
            approvers=frozenset(
                # on one line, whatever it is called: the database keeps one a line
                " ".join(mailbox(approval.approver.email or approval.approver.name).split())
                for approval in case.approvals
                if approval.approved
            ),
        )
        # By the defaults a day of one account and an hour of everybody: a day of everybody can be thousands of rows.
        own = self._store.resets_since(now - self._limits.per_subject.window, subject=wanted.subject)
        everybody = self._store.resets_since(now - self._limits.longest)
        stop = brake.check(wanted, [*own, *everybody], self._limits, now=now)
        if stop is None:
            return replace(yes, reset=wanted)
        log.error("brake", case=case.id, ticket=case.number, reason=stop.reason, everything=stop.everything)
        if stop.everything and yes.policy.dry_run is DryRun.OFF:  # a dry run must not stop those that are in earnest
            self._store.pause(stop.reason, now=now)
            key = f"held:{case.round}"
            note = Message(key=key, body=Note(text=notes.held(stop.reason), marker=messages.marker(case, key)))
            self._ledger.keep(
                held, replace(case, due_at=now + WHILE_PAUSED), now=now, messages=[note],
                audit=[AuditEntry(at=now, case_id=case.id, event="brake", facts={"reason": stop.reason})],
            )  # fmt: skip
        else:
            self._ledger.record(held, records.hand_off(case, refusals.brake(stop.reason)))
        return None

    def _intend(self, held: Held, yes: _Yes, event: str, **more: str) -> None:
        """Put a write on record before it is done: a killed process has counted and is found out."""
        now = self._clock()
        self._ledger.keep(
            held,
            replace(held.case, written_at=held.case.written_at or now),
            now=now,
            audit=[*yes.approved_anew, about_to(held.case, event, yes.account, now, **more)],
            reset=yes.reset,
            beside=yes.beside,
        )

    def _died_here(self, case: Case) -> bool:
        """Whether an earlier try at the methods ended without a report or a failure: nobody knows what it removed."""
        events = [line.entry.event for line in self._store.audit_of(case.id) if line.entry.event != "undelivered"]
        return events[-1:] == ["removing_methods"]

    def _whom_to_tell(self, case: Case, account: Account, policy: steps.Policy) -> Told:
        """Who hears that the account was reset, decided when it is done: nothing that fails here undoes or repeats it.

        The manager is looked up only where somebody has to be told that way.
        """
        how, senders = policy.notify_subject, policy.senders
        manager, unread = None, ""
        if notice.needs_manager(how, account, case, senders=senders):
            try:
                manager = self._directory.manager_of(policy.tenant, account.id)
            except ConnectorError as failure:
                unread = str(failure)
                log.info("manager_unknown", case=case.id, ticket=case.number, error=unread)
        return notice.whom_to_tell(how, account, case, senders=senders, manager=manager, unread=unread)

    def _deliver_behind(self, held: Held, link_id: str) -> _Delivered | None:
        """The link whose mail was accepted; `None` when there is no yes, which has been written down."""
        policy = self._lookout.policy(held.case)
        for candidate in range(1, CANDIDATES + 1):
            # 3. Made in memory, sealed into the link, and nowhere else.
            password = self._new_password()
            if candidate > 1:
                self._links.revoke(held.case.link_id, handle=held.case.link_handle)
                link_id = self._choose_link(held)
            link = self._links.create(
                LinkWish(
                    id=link_id,
                    ref=f"{held.case.psa}/{held.case.number}",
                    display_name=held.case.subject_name or held.case.subject,
                    ticket=held.case.number,
                    views=policy.views,
                    lifetime=policy.lifetime,
                    time_zone=self._zone_name(policy.tenant),
                    locale=policy.locale,
                    mode=policy.link_mode,
                    human_check=policy.human_check,
                ),
                password,
            )
            # Saved with what comes next, before the write: from then on this link is watched, whoever dies.
            held.case = replace(
                held.case, link_handle=link.handle, link_expires_at=link.expires_at, views_allowed=link.views
            )
            # 4. No write without a fresh yes: everything is read again now, after the slow part is done.
            yes = self._fresh_yes(held, Action.PASSWORD)
            if yes is None:
                return None
            account, policy = yes.account, yes.policy
            self._intend(held, yes, "setting_password", link_id=link_id)
            # 5. The write. An unclear answer starts all of this again with a new password.
            try:
                receipt = self._directory.set_password(policy.tenant, account.id, password)
            except PasswordRejected:
                log.info("password_rejected", case=held.case.id, candidate=candidate)
                if candidate == CANDIDATES:
                    raise
                continue
            sessions = self._directory.revoke_sessions(policy.tenant, account.id)
            now = self._clock()
            # Written down with whatever comes next; that it was about to happen is on record already.
            held.owed.append(
                AuditEntry(at=now, case_id=held.case.id, event="password_set",
                           facts={"account": account.id, **receipts([receipt], sessions)})
            )  # fmt: skip
            # 6. Only now the mail: the link that it carries opens the password that is in force.
            letter = link_story.password_letter(held.case, link_id, link.expires_at, policy, now=now)
            if letter is None:
                raise PermanentError(f"Ticket {held.case.number} has no requester to mail the link to. Set one.")
            self._mailer.send(self._letters.write(letter, link=link.url))
            return _Delivered(
                link,
                account,
                proof=proof.open_proof(account, sessions, password=True, now=now),
                shown=proof.shown(account, sessions, password=True),
            )
        return None

    def _choose_link(self, held: Held) -> str:
        link_id = _new_link_id()
        self._ledger.keep(
            held, replace(held.case, link_id=link_id, link_handle="", link_expires_at=None), now=self._clock()
        )
        return link_id


@dataclass(frozen=True)
class _Yes:
    """What was judged to be a yes just now.

    Attributes:
        beside: The writes to the account of the last day that were taken into account.
        approved_anew: The approval for the audit, where it is not the one that is on record already.
        reset: What the brake counts; `None` before it was asked.
    """

    account: Account
    policy: steps.Policy
    beside: Sequence[Earlier]
    approved_anew: Sequence[AuditEntry]
    reset: Reset | None = None


@dataclass(frozen=True)
class _Delivered:
    """A password behind a link that was mailed, the account as read before, and what the directory shows of it."""

    link: Link
    account: Account
    proof: Proof | None
    shown: bool


def _new_link_id() -> str:
    """Ours, before the link exists; no guess of it helps anybody, the link's token is another secret."""
    return f"lnk_{secrets.token_hex(12)}"
