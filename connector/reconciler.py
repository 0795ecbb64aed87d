"""Look, decide, act, write down: one pass over one claimed case. The only place with side effects in order.

A pass first delivers what the case owes (outbox), then repeats: read what the state needs, ask `plan.next_step`,
carry it out, save. It ends when there is nothing to do before some time or some change outside.

Failures never leave this module half done: a `TemporaryError` keeps the case where it is with a later `due_at`, a
`PermanentError` hands it off, an `AuthenticationError` keeps it and is told to the caller, a bug is reported and
keeps it, the third time hands it off. `LostClaim` means that another worker has the case: nothing is written.

What writes to accounts lies beside it: `resetting` (its order is the crash rule) and, after an alarm ("this was not
me"), `securing`, which comes before everything else in a pass and waits for nobody: neither for a PSA that is away nor
for the outbox. `ledger` writes down.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from connector.core import (
    alarm,
    brake,
    plan,
    records,
    refusals,
    steps,
)
from connector.core.case import Action, Case, State
from connector.core.ports import (
    CaseStore,
    Clock,
    Directory,
    DryRun,
    LetterWriter,
    LinkService,
    Mailer,
    Psa,
)
from connector.core.secret import Secret
from connector.courier import Courier
from connector.errors import (
    AuthenticationError,
    DatabaseError,
    LostClaim,
    PermanentError,
    TemporaryError,
)
from connector.ledger import WHILE_PAUSED, Held, Ledger, is_early
from connector.lookout import Lookout, PolicyFor
from connector.resetting import Resetter
from connector.securing import Securer

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

MOST_STEPS = 20
"""In one pass. More would be a loop in the plan."""

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
        self._ledger = Ledger(store=store, lookout=self._lookout, clock=clock, lease=lease)
        self._courier = Courier(
            store=store, ledger=self._ledger, lookout=self._lookout, letters=letters, mailer=mailer, links=links,
            clock=clock, zone_name=zone_name,
        )  # fmt: skip
        self._resetter = Resetter(
            store=store, ledger=self._ledger, lookout=self._lookout, directory=directory, links=links, letters=letters,
            mailer=mailer, limits=limits, new_password=new_password, clock=clock, zone_name=zone_name,
        )  # fmt: skip
        self._securer = Securer(
            store=store, ledger=self._ledger, lookout=self._lookout, directory=directory, links=links,
            new_password=new_password, clock=clock,
        )  # fmt: skip
        self._directory = directory
        self._clock = clock
        self._report_bug = report_bug
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
            trouble = self._securer.answer(held)
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
                    self._ledger.record(held, step)
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
                    self._resetter.rehearse(held)
                case steps.RemoveMethods():
                    self._resetter.remove_methods(held)
                case steps.Deliver():
                    self._resetter.deliver(held)
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

    def _rest(self, held: Held, until: datetime | None, now: datetime) -> None:
        """Nothing to do: give the claim back. A case that had failed and works again is as good as new."""
        messages = self._ledger.delay_note(held.case, now)
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
            self._ledger.record(held, alarm.not_secured(case, why))
            self._make_due(held)
        elif case.state in (State.RECEIVED, State.WAITING, State.APPROVED, State.LINK_OUT):
            self._ledger.record(held, records.hand_off(case, refusals.failed(why, case.psa, case.number)))
            self._make_due(held)
        else:
            held.case = self._store.save(
                replace(case, due_at=self._clock() + WAITS[-1], attempts=case.attempts + 1), now=self._clock()
            )

    def _make_due(self, held: Held) -> None:
        """Give the claim back, but go on at once: there are messages to deliver."""
        now = self._clock()
        held.case = self._store.save(replace(held.case, due_at=now), now=now)

    # ------------------------------------------------------------ acting

    def _is_too_early(self, held: Held, now: datetime) -> bool:
        """A failed write waits out its time, though something has poked the case meanwhile.

        Each try makes a link and revokes it; the link service tells both, and so each try would call for the next.
        """
        if not is_early(held.case, now):
            return False
        held.case = self._store.save(held.case, now=now)
        return True

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

    def _is_paused(self, held: Held, now: datetime) -> bool:
        reason = self._store.paused()
        if reason:
            log.info("held_while_paused", case=held.case.id, reason=reason)
            held.case = self._store.save(replace(held.case, due_at=now + WHILE_PAUSED), now=now)
        return bool(reason)
