"""Look, decide, act, write down: one pass over one claimed case. The only place with side effects in order.

A pass first delivers what the case owes (outbox), then repeats: read what the state needs, ask `plan.next_step`,
carry it out, save. It ends when there is nothing to do before some time or some change outside.

Failures never leave this module half done: a `TemporaryError` keeps the case where it is with a later `due_at`, a
`PermanentError` hands it off, an `AuthenticationError` keeps it and is told to the caller, a bug is reported and
keeps it, the third time hands it off. `LostClaim` means that another worker has the case: nothing is written.

The order inside `_deliver` is the crash rule; see the comments there before moving a line. An alarm ("this was not me")
comes before everything else in a pass, and waits for nobody: neither for a PSA that is away nor for the outbox.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from connector.core import (
    alarm,
    brake,
    guard,
    link_story,
    messages,
    notes,
    notice,
    plan,
    proof,
    records,
    refusals,
    request,
    steps,
)
from connector.core.case import Action, Case, Person, Proof, State, mailbox
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
    Psa,
    Receipt,
    Reset,
    SessionsReport,
)
from connector.core.secret import Secret
from connector.courier import Courier, Held
from connector.errors import (
    AuthenticationError,
    ConnectorError,
    DatabaseError,
    LostClaim,
    NoSuchAccount,
    PasswordRejected,
    PermanentError,
    TemporaryError,
    TicketGone,
)
from connector.lookout import Lookout, PolicyFor
from connector.telemetry.metrics import ALARMS

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)
"""How long a claim holds. Every outside call is bounded far below it, and it is renewed between them."""

WAITS = tuple(timedelta(seconds=seconds) for seconds in (2, 5, 15, 30, 60, 120, 300, 600, 900))
"""Growing waits after failures of one step; the last one repeats."""

MOST_TRIES_OF_A_WRITE = 25
"""About five hours of failures of a step that writes to an account, then a person is called."""

TRIES_BEFORE_AN_ALARM_IS_TOLD = 3
"""An account that could not be secured within so many tries is a person's business at once; it is tried on."""

WAIT_BEFORE_AN_ALARM_IS_TOLD = timedelta(minutes=1)
"""The same where the next try is so far away: a system may ask for an hour."""

MOST_BUGS = 3
LONG_DELAY = timedelta(minutes=10)
"""A step that failed for longer is explained in the ticket once it works again."""

MOST_STEPS = 20
"""In one pass. More would be a loop in the plan."""

PASSWORD_CANDIDATES = 3
WHILE_PAUSED = timedelta(seconds=10)
WHILE_REFUSED = timedelta(minutes=1)
WHILE_DRY = timedelta(minutes=5)
AFTER_A_DATABASE_ERROR = timedelta(seconds=15)
"""When an alarm is tried again, if our database is back by then."""


class Result(StrEnum):
    """How a pass ended; for metrics and the runner."""

    DONE = "done"
    DELAYED = "delayed"
    REFUSED = "refused"
    LOST = "lost"
    BUG = "bug"
    DATABASE = "database"


@dataclass(frozen=True)
class Pass:
    """What one pass did.

    Attributes:
        authentication: The scope that refused us, or empty.
    """

    result: Result
    case: Case
    authentication: str = ""


class Reconciler:
    """Carries cases forward. Safe to use from several threads.

    It keeps nothing between passes but who refused our credentials a moment ago.

    Args:
        policy_for: The configuration that applies to a client of a PSA.
        link_events: Brings the link service's events up to the present into the store.
        new_password: A fresh candidate at each call.
        report_bug: Told of every exception that is not one of ours.
        zone_name: The IANA name of a tenant's time zone, for the link page.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        psas: Mapping[str, Psa],
        directory: Directory,
        links: LinkService,
        letters: LetterWriter,
        mailer: Mailer,
        limits: brake.Limits,
        policy_for: PolicyFor,
        link_events: Callable[[], None],
        new_password: Callable[[], Secret],
        clock: Clock,
        zone_name: Callable[[str], str] = lambda tenant: "UTC",  # noqa: ARG005
        report_bug: Callable[[BaseException, Case], None] = lambda error, case: None,  # noqa: ARG005
        lease: timedelta = LEASE,
    ) -> None:
        self._store = store
        self._lookout = Lookout(
            store=store, psas=psas, directory=directory, policy_for=policy_for, link_events=link_events
        )
        self._courier = Courier(
            store=store, lookout=self._lookout, letters=letters, mailer=mailer, links=links, clock=clock,
            zone_name=zone_name, lease=lease,
        )  # fmt: skip
        self._directory = directory
        self._links = links
        self._letters = letters
        self._mailer = mailer
        self._limits = limits
        self._new_password = new_password
        self._clock = clock
        self._zone_name = zone_name
        self._report_bug = report_bug
        self._lease = lease
        self._refused_until: dict[str, datetime] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------ one pass

    def work_on(self, case: Case) -> Pass:
        """Carry a claimed case as far as it goes now, and give the claim back. Raises nothing of ours."""
        held = Held(case)
        try:
            if self._is_held_by_refusal(held):
                return Pass(Result.DELAYED, held.case)
            self._pass(held)
        except (LostClaim, DatabaseError) as failure:
            return self._nothing_written(held, failure)
        except Exception as failure:
            try:
                return self._settle(held, failure)
            except (LostClaim, DatabaseError) as worse:
                return self._nothing_written(held, worse)
        return Pass(Result.DONE, held.case)

    def _is_held_by_refusal(self, held: Held) -> bool:
        """A PSA that refuses our credentials is asked by one case a minute, not by each of hundreds; others go on.

        An alarm is not held, and keeps its claim and its own time of the next try.
        """
        case, now = held.case, self._clock()
        with self._lock:
            until = self._refused_until.get(f"psa.{case.psa}", now)
        if until <= now or self._lookout.is_alarmed(case):
            return False
        held.case = self._store.save(replace(case, due_at=until, failing_since=case.failing_since or now), now=now)
        return True

    def _settle(self, held: Held, failure: Exception) -> Pass:
        """Write down what a failure means for the case."""
        match failure:
            case TemporaryError():
                self._postpone(held, failure, failure.retry_after)
                return Pass(Result.DELAYED, held.case)
            case AuthenticationError():
                with self._lock:
                    self._refused_until[failure.scope] = self._clock() + WHILE_REFUSED
                self._postpone(held, failure, WHILE_REFUSED)
                return Pass(Result.REFUSED, held.case, authentication=failure.scope)
            case PermanentError():
                self._give_up(held, str(failure))
                return Pass(Result.DONE, held.case)
            case _:
                log.error("bug", case=held.case.id, state=held.case.state.value, kind=type(failure).__name__)
                self._report_bug(failure, held.case)
                self._after_bug(held, failure)
                return Pass(Result.BUG, held.case)

    def _nothing_written(self, held: Held, failure: Exception) -> Pass:
        if isinstance(failure, LostClaim):
            log.info("claim_lost", case=held.case.id)
            return Pass(Result.LOST, held.case)
        log.warning("database_away", case=held.case.id, error=str(failure))
        with suppress(LostClaim, DatabaseError):
            # Other cases wait for the end of their lease. If the failed save was carried out all the same, this one is
            # refused as stale, and the lease ends as ever.
            if self._lookout.is_alarmed(held.case):
                now = self._clock()
                held.case = self._store.save(replace(held.case, due_at=now + AFTER_A_DATABASE_ERROR), now=now)
        return Pass(Result.DATABASE, held.case)

    def _pass(self, held: Held) -> None:
        if self._is_held_by_dry_run(held):
            return
        for _ in range(MOST_STEPS):
            trouble = self._answer_alarm(held)
            if not self._is_told(held) and trouble is None:
                # Held by a pause, or not due again yet: nothing was tried at the account, so nothing has failed.
                held.case = self._store.save(held.case, now=self._clock())
                return
            if trouble is not None:
                raise trouble
            now = self._clock()
            seen = self._lookout.look(held.case, now)
            # The ticket may have moved to another client: the policy is that of the ticket as it is now.
            # An alarm is not held up by a PSA that is not configured any more.
            policy = (
                self._lookout.policy_of_alarm(held.case)
                if held.case.state is State.ALARMED
                else self._lookout.policy(held.case, seen.ticket)
            )
            step = plan.next_step(held.case, seen, policy, now=now)
            match step:
                case steps.Wait(until):
                    self._rest(held, until, now)
                    return
                case steps.Record():
                    self._record(held, step)
                case steps.Secure():  # held by a pause, or not due again yet: the failures so far still count
                    held.case = self._store.save(held.case, now=now)
                    return
                case steps.RemoveMethods() | steps.Deliver() if self._is_too_early(held, now) or self._is_paused(
                    held, now
                ):
                    return
                case steps.RemoveMethods() | steps.Deliver() if not self._is_ready(held, step, now):
                    return
                case steps.RemoveMethods() | steps.Deliver() if policy.dry_run is not DryRun.OFF:
                    self._rehearse(held)
                case steps.RemoveMethods():
                    self._remove_methods(held)
                case steps.Deliver():
                    self._deliver(held)
        raise RuntimeError(f"{held.case.id} made {MOST_STEPS} steps in one pass and is not done: a loop in the plan")

    def _is_told(self, held: Held) -> bool:
        """Deliver what the case owes; whether that is done.

        While an account is not secured yet, its next try is neither put off nor counted as failed because somebody
        else is away: a PSA that asks for an hour must not leave the account open for that hour.

        Raises:
            TemporaryError, AuthenticationError: Of a case that has no account to secure.
        """
        try:
            self._courier.deliver(held)
        except DatabaseError:
            raise
        except (TemporaryError, AuthenticationError) as failure:
            if held.case.state is not State.ALARMED:
                raise
            log.warning("alarm_not_told_yet", case=held.case.id, ticket=held.case.number, error=str(failure))
            return False
        return True

    # ------------------------------------------------------------ writing down

    def _record(self, held: Held, record: steps.Record) -> None:
        now = self._clock()
        before = held.case
        owed = tuple(held.owed)
        messages = [*self._delay_note(before, now), *record.messages]
        in_earnest = before.in_earnest or not self._is_dry(before)
        after = replace(advance(before, record.event, now=now, **record.changes), in_earnest=in_earnest)
        held.case = self._store.save(
            after,
            now=now,
            messages=messages,
            audit=[*owed, record.audit(before, now)],
            lease=self._lease,
        )
        held.owed.clear()
        log.info("case", case=before.id, psa=before.psa, ticket=after.number, step=record.event.value,
                 state=after.state.value)  # fmt: skip
        if record.event in (Event.REPORTED, Event.REPORTED_AGAIN):
            log.error("alarm", case=before.id, ticket=after.number, source=record.facts.get("source", ""))
            ALARMS.inc()

    def _delay_note(self, case: Case, now: datetime) -> list[Message]:
        if case.failing_since is None or now - case.failing_since < LONG_DELAY:
            return []
        key = f"delayed:{case.failing_since.isoformat()}"
        text = notes.delayed(case.failing_since, now, "another system could not be reached or asked us to wait.")
        return [Message(key=key, body=Note(text=text, marker=messages.marker(case, key)))]

    def _rest(self, held: Held, until: datetime | None, now: datetime) -> None:
        """Nothing to do: give the claim back. A case that had failed and works again is as good as new."""
        messages = self._delay_note(held.case, now)
        due_at = now if messages else min([*held.put_off.values(), *filter(None, [until])], default=None)
        case = replace(held.case, due_at=due_at, attempts=0, failing_since=None)
        held.case = self._store.save(case, now=now, messages=messages)

    def _postpone(self, held: Held, failure: Exception, at_least: timedelta | None) -> None:
        case = held.case
        now = self._clock()
        if case.state in (State.APPROVED, State.ALARMED) and case.attempts + 1 >= MOST_TRIES_OF_A_WRITE:
            self._give_up(held, f"It failed {case.attempts + 1} times, the last time because: {failure}")
            return
        wait = WAITS[min(case.attempts, len(WAITS) - 1)]
        wait = max(wait * random.uniform(1, 1.2), at_least or timedelta(0))  # noqa: S311 - spreads a crowd, no secret
        log.info("delayed", case=case.id, ticket=case.number, state=case.state.value, attempt=case.attempts + 1,
                 wait_seconds=round(wait.total_seconds()), error=str(failure))  # fmt: skip
        changed = replace(case, attempts=case.attempts + 1, failing_since=case.failing_since or now, due_at=now + wait)
        late = case.state is State.ALARMED and (
            changed.attempts >= TRIES_BEFORE_AN_ALARM_IS_TOLD or wait >= WAIT_BEFORE_AN_ALARM_IS_TOLD
        )
        told = [alarm.delayed(case, str(failure))] if late else []
        held.case = self._store.save(changed, now=now, messages=told, audit=tuple(held.owed))
        held.owed.clear()

    def _after_bug(self, held: Held, bug: Exception) -> None:
        if held.case.attempts + 1 >= MOST_BUGS:
            self._give_up(held, f"An unexpected error ({type(bug).__name__}) came up {MOST_BUGS} times.")
        else:
            self._postpone(held, bug, None)

    def _give_up(self, held: Held, why: str) -> None:
        """Hand the case to a person, where its state knows that way; else it stays and is looked at later."""
        case = held.case
        if case.state is State.ALARMED:
            self._record(held, alarm.not_secured(case, why))
            self._make_due(held)
        elif case.state in (State.RECEIVED, State.WAITING, State.APPROVED, State.LINK_OUT):
            self._record(held, records.hand_off(case, refusals.failed(why, case.psa, case.number)))
            self._make_due(held)
        else:
            held.case = self._store.save(
                replace(case, due_at=self._clock() + WAITS[-1], attempts=case.attempts + 1), now=self._clock()
            )

    def _make_due(self, held: Held) -> None:
        """Give the claim back, but go on at once: there are messages to deliver."""
        now = self._clock()
        held.case = self._store.save(replace(held.case, due_at=now), now=now)

    # ------------------------------------------------------------ alarms

    def _answer_alarm(self, held: Held) -> ConnectorError | None:
        """Take in "this was not me", and secure the account. What fails is returned: the ticket is to hear of it first.

        The link that was pressed is ended already: the link service does that in the moment of the press. So the
        account comes first, and the case's newest link after it, where that is another one.
        """
        heard = self._lookout.alarm(held.case)
        if heard is not None:
            self._record(held, heard)
        is_new = heard is not None and heard.event is Event.REPORTED
        if held.case.state is not State.ALARMED or (not is_new and self._is_early(held.case, self._clock())):
            return None
        if reason := self._store.paused():
            log.warning("alarm_held_while_paused", case=held.case.id, ticket=held.case.number, reason=reason)
            now = self._clock()
            held.case = self._store.save(
                replace(held.case, due_at=now + WHILE_PAUSED), now=now, lease=self._lease,
                messages=[alarm.paused(held.case, reason)],
            )  # fmt: skip
            self._end_link(held)
            return None
        return self._secure(held)

    def _end_link(self, held: Held) -> None:
        """End the newest link of a case with an alarm, as well as can be: once the account is secured, it shows nothing
        that anybody could use.

        Nobody is asked where its end was told, as it is when the alarm was about this very link: a link service that
        hangs must not keep the ticket waiting either.
        """
        case = held.case
        if not case.link_id or link_story.has_ended(case.link_id, self._store.link_events(case.id, after=0)):
            return
        held.case = self._store.save(case, now=self._clock(), lease=self._lease)  # the claim has to last for this too
        with suppress(TemporaryError, PermanentError, AuthenticationError):
            self._links.revoke(case.link_id, handle=case.link_handle)

    def _secure(self, held: Held) -> ConnectorError | None:
        """Make the passwords of the accounts that the case wrote to ones that nobody has, and end the sessions.

        Those are the accounts of its resets: its ticket may name another one by now. A repeat does it all again. One
        that cannot be secured, for now or for good, keeps no other one from it, nor the case's link from being ended.

        Returns:
            What has to be tried again; `None` when it is written down how it ended.
        """
        case = held.case
        written = self._lookout.accounts_written(case)
        done, trouble = [], None
        for account_id, tenant in written.items():
            try:
                done.append(self._secure_account(held, tenant, account_id))
            except (LostClaim, DatabaseError):
                raise
            except (TemporaryError, AuthenticationError) as failure:
                trouble = trouble or failure
            except ConnectorError as failure:  # ConfigError too: the customer may be gone from the configuration
                done.append(alarm.Secured(self._lookout.name_written(case, account_id), problem=str(failure)))
        # Before it is written down that all is done: a process killed in between would leave the link alive.
        self._end_link(held)
        if trouble is not None:
            return trouble
        self._record(held, alarm.answered(held.case, done, beside=self._lookout.others_about(case, written)))
        return None

    def _secure_account(self, held: Held, tenant: str, account_id: str) -> alarm.Secured:
        try:
            account = self._directory.read(tenant, account_id)
        except NoSuchAccount:
            return alarm.Secured(self._lookout.name_written(held.case, account_id), problem="the account is gone")
        senders = self._lookout.policy_of_alarm(held.case).senders
        requester = held.case.requester or Person("")
        facts = guard.AccountFacts(action=Action.PASSWORD, account=account, requester=requester, senders=senders)
        refusal = guard.judge_alarm(facts)
        if refusal is not None:
            return alarm.Secured(account.upn, problem=f"it was left as it is: {refusal.reason}")
        now = self._clock()
        about_to = [_about_to(held.case, "securing", account, now)]
        held.case = self._store.save(held.case, now=now, audit=about_to, lease=self._lease)
        receipts, problem = [], ""
        password = guard.password_can_be_set_in_the_cloud(facts) is None
        if password:
            try:
                receipts.append(self._set_unknown_password(tenant, account_id))
            except PermanentError as failure:
                problem = f"everybody was signed out, but its password still opens it: {failure}"
            except AuthenticationError:  # a right that is missing may be the one to set passwords alone
                with suppress(TemporaryError, AuthenticationError, PermanentError):
                    self._directory.revoke_sessions(tenant, account_id)
                raise
        try:
            sessions = self._directory.revoke_sessions(tenant, account_id)
        except PermanentError as failure:
            what = "it has a password now that nobody has, but the" if receipts else "the"
            return alarm.Secured(
                account.upn, problem=f"{what} sessions could not be ended: {failure}", calls=_receipts(receipts, None)
            )
        return alarm.Secured(
            account.upn, password=password and not problem, problem=problem, calls=_receipts(receipts, sessions)
        )

    def _set_unknown_password(self, tenant: str, account_id: str) -> Receipt:
        for candidate in range(1, PASSWORD_CANDIDATES + 1):
            try:
                # Nobody ever has it: it is not kept, not sealed, not shown.
                return self._directory.set_password(tenant, account_id, self._new_password())
            except PasswordRejected:
                log.info("password_rejected", account=account_id, candidate=candidate)
                if candidate == PASSWORD_CANDIDATES:
                    raise
        raise AssertionError("unreachable")

    # ------------------------------------------------------------ acting

    def _is_too_early(self, held: Held, now: datetime) -> bool:
        """A failed write waits out its time, though something has poked the case meanwhile.

        Each try makes a link and revokes it; the link service tells both, and so each try would call for the next.
        """
        if not self._is_early(held.case, now):
            return False
        held.case = self._store.save(held.case, now=now)
        return True

    @staticmethod
    def _is_early(case: Case, now: datetime) -> bool:
        return bool(case.attempts) and case.due_at is not None and case.due_at > now

    def _is_ready(self, held: Held, step: steps.RemoveMethods | steps.Deliver, now: datetime) -> bool:
        """Whether the directory lets us write now. Waiting for that is no failed try, however long it takes."""
        try:
            self._directory.ready(
                held.case.tenant, Action.MFA if isinstance(step, steps.RemoveMethods) else Action.PASSWORD
            )
        except TemporaryError as failure:
            case = held.case
            wait = (failure.retry_after or WAITS[0]) * random.uniform(1, 1.2)  # noqa: S311 - spreads a crowd, no secret
            log.info("held_by_directory", case=case.id, ticket=case.number, error=str(failure))
            held.case = self._store.save(
                replace(case, due_at=now + wait, failing_since=case.failing_since or now), now=now
            )
            return False
        return True

    def _is_held_by_dry_run(self, held: Held) -> bool:
        """A case that began in earnest waits for the end of the dry run: what it owes people must not be lost."""
        case = held.case
        if not (case.in_earnest or case.written_at):
            return False
        try:
            policy = self._lookout.policy(case)
        except TemporaryError:
            if not self._lookout.is_alarmed(case):
                raise
            policy = self._lookout.policy_of_alarm(case)
        if policy.dry_run is DryRun.OFF:
            return False
        if self._lookout.is_alarmed(case):
            log.error("alarm_held_in_dry_run", case=case.id, ticket=case.number)
        log.info("held_in_dry_run", case=case.id, ticket=case.number, state=case.state.value)
        now = self._clock()
        held.case = self._store.save(replace(case, due_at=now + WHILE_DRY), now=now)
        return True

    def _is_dry(self, case: Case) -> bool:
        with suppress(TemporaryError):  # its PSA may be gone from the configuration
            return self._lookout.policy(case).dry_run is not DryRun.OFF
        return False

    def _rehearse(self, held: Held) -> None:
        """Everything that comes before a write, and then no write."""
        action = held.case.action
        if action is not None and self._fresh_yes(held, action) is not None:
            self._record(held, records.rehearsed(held.case))

    def _is_paused(self, held: Held, now: datetime) -> bool:
        reason = self._store.paused()
        if reason:
            log.info("held_while_paused", case=held.case.id, reason=reason)
            held.case = self._store.save(replace(held.case, due_at=now + WHILE_PAUSED), now=now)
        return bool(reason)

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
            self._record(held, records.end(case, None, steps.Seen(gone=str(gone))))
            return None
        policy = self._lookout.policy(case, ticket)
        if ticket.closed or not ticket.mapped:
            self._record(held, records.end(case, ticket, steps.Seen(ticket=ticket)))
            return None
        different = request.differences(case, ticket, policy)
        if different:
            self._record(held, records.start_over(case, ticket, different))
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
            self._record(held, records.void(case, ticket, refusal) if refusal.void else records.hand_off(case, refusal))
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
            held.case = self._store.save(
                replace(case, due_at=now + WHILE_PAUSED), now=now, messages=[note], lease=self._lease,
                audit=[AuditEntry(at=now, case_id=case.id, event="brake", facts={"reason": stop.reason})],
            )  # fmt: skip
        else:
            self._record(held, records.hand_off(case, refusals.brake(stop.reason)))
        return None

    def _remove_methods(self, held: Held) -> None:
        yes = self._fresh_yes(held, Action.MFA)
        if yes is None:
            return
        account, policy = yes.account, yes.policy
        now = self._clock()
        interrupted = self._died_here(held.case)
        # The intention is on record before the first write: a killed process has counted and is found out.
        held.case = self._store.save(
            replace(held.case, written_at=held.case.written_at or now),
            now=now,
            audit=[*yes.approved_anew, _about_to(held.case, "removing_methods", yes.account, now)],
            reset=yes.reset,
            beside=yes.beside,
            lease=self._lease,
        )
        report = None
        try:
            report = self._directory.remove_methods(policy.tenant, account.id)
            sessions = self._directory.revoke_sessions(policy.tenant, account.id)
        except ConnectorError as failure:
            done = report.removed if report else failure.done
            before = [records.BY_A_DEAD_TRY] if interrupted else []
            # The next try will not see these any more, but the ticket is to name them.
            now = self._clock()
            held.case = self._store.save(
                replace(held.case, mfa_removed=(*held.case.mfa_removed, *before, *done)),
                now=now,
                audit=[AuditEntry(at=now, case_id=held.case.id, event="removal_failed",
                                  facts={"removed": ", ".join(done)})],
                lease=self._lease,
            )  # fmt: skip
            raise
        told = NOBODY
        if held.case.action is Action.MFA and not report.left:
            told = self._whom_to_tell(held.case, account, policy)
        record = records.after_methods(
            held.case, report, policy, shown=proof.shown(account, sessions, password=False), interrupted=interrupted,
            told=told, now=self._clock(),
        )  # fmt: skip
        self._record(held, replace(record, facts={**record.facts, **_receipts(report.receipts, sessions)}))

    def _died_here(self, case: Case) -> bool:
        """Whether an earlier try at the methods ended without a report or a failure: nobody knows what it removed."""
        events = [line.entry.event for line in self._store.audit_of(case.id) if line.entry.event != "undelivered"]
        return events[-1:] == ["removing_methods"]

    def _deliver(self, held: Held) -> None:
        """Link, password, mail. Whatever fails, the next pass begins again at the top with a new password."""
        self._mailer.ready()  # before anything is made: a password that cannot be handed over is a lock-out
        # 1. The link of an earlier try must be dead before there is a new one: never two live secrets.
        if held.case.link_id:
            self._links.revoke(held.case.link_id, handle=held.case.link_handle)
        # 2. Remember the new link's id before it exists, so that a later try can revoke it whatever happens here.
        link_id = _new_link_id()
        now = self._clock()
        held.case = self._store.save(
            advance(
                held.case, Event.LINK_CHOSEN, now=now, link_id=link_id, link_handle="",
                attempts=held.case.attempts, failing_since=held.case.failing_since,
            ),
            now=now, lease=self._lease,
        )  # fmt: skip
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
            self._record(held, record)

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
        for candidate in range(1, PASSWORD_CANDIDATES + 1):
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
            held.case = replace(held.case, link_handle=link.handle)  # saved with what comes next, before the write
            # 4. No write without a fresh yes: everything is read again now, after the slow part is done.
            yes = self._fresh_yes(held, Action.PASSWORD)
            if yes is None:
                return None
            account, policy = yes.account, yes.policy
            now = self._clock()
            held.case = self._store.save(
                replace(held.case, written_at=held.case.written_at or now),
                now=now,
                audit=[
                    *yes.approved_anew,
                    _about_to(held.case, "setting_password", yes.account, now, link_id=link_id),
                ],
                reset=yes.reset,
                beside=yes.beside,
                lease=self._lease,
            )
            # 5. The write. An unclear answer starts all of this again with a new password.
            try:
                receipt = self._directory.set_password(policy.tenant, account.id, password)
            except PasswordRejected:
                log.info("password_rejected", case=held.case.id, candidate=candidate)
                if candidate == PASSWORD_CANDIDATES:
                    raise
                continue
            sessions = self._directory.revoke_sessions(policy.tenant, account.id)
            now = self._clock()
            # Written down with whatever comes next; that it was about to happen is on record already.
            held.owed.append(
                AuditEntry(at=now, case_id=held.case.id, event="password_set",
                           facts={"account": account.id, **_receipts([receipt], sessions)})
            )  # fmt: skip
            # 6. Only now the mail: the link that it carries opens the password that is in force.
            letter = link_story.password_letter(held.case, link_id, link.expires_at, policy)
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
        held.case = self._store.save(
            replace(held.case, link_id=link_id, link_handle=""), now=self._clock(), lease=self._lease
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


def _receipts(writes: Sequence[Receipt], sessions: SessionsReport | None) -> dict[str, str]:
    """By which the calls are found again at Microsoft: `our id/their id`."""
    return {
        "calls": " ".join(map(str, writes)) or "none",
        "sessions_call": str(sessions.receipt) if sessions else "none",
    }


def _new_link_id() -> str:
    """Ours, before the link exists; no guess of it helps anybody, the link's token is another secret."""
    return f"lnk_{secrets.token_hex(12)}"


def _about_to(case: Case, event: str, account: Account, now: datetime, **more: str) -> AuditEntry:
    return AuditEntry(
        at=now,
        case_id=case.id,
        event=event,
        facts={"tenant": account.tenant, "account": account.id, "upn": account.upn, **more},
    )
