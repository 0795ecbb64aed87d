"""After "this was not me": a password that nobody has, everybody signed out, the link ended.

It waits for nobody but the directory: not for the PSA, the mail server or the link service. What it may touch is
decided by `core.alarm` and `guard.judge_alarm`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from connector.core import alarm, guard, link_story
from connector.core.case import Action, Person, State
from connector.core.machine import Event
from connector.core.ports import CaseStore, Clock, Directory, LinkService, Receipt
from connector.core.secret import Secret
from connector.errors import (
    AuthenticationError,
    ConnectorError,
    DatabaseError,
    LostClaim,
    NoSuchAccount,
    PasswordRejected,
    PermanentError,
    TemporaryError,
)
from connector.ledger import WHILE_PAUSED, Held, Ledger, about_to, is_early, receipts
from connector.lookout import Lookout
from connector.passwords import CANDIDATES

log = structlog.get_logger(__name__)


class Securer:
    """Answers alarms. Safe to use from several threads: it keeps nothing.

    Args:
        new_password: A fresh candidate at each call.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        ledger: Ledger,
        lookout: Lookout,
        directory: Directory,
        links: LinkService,
        new_password: Callable[[], Secret],
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._lookout = lookout
        self._directory = directory
        self._links = links
        self._new_password = new_password
        self._clock = clock

    def answer(self, held: Held) -> ConnectorError | None:
        """Take in "this was not me", and secure the account. What fails is returned: the ticket is to hear of it first.

        The link that was pressed is ended already: the link service does that in the moment of the press. So the
        account comes first, and the case's newest link after it, where that is another one.
        """
        heard = self._lookout.alarm(held.case)
        if heard is not None:
            self._ledger.record(held, heard)
        is_new = heard is not None and heard.event is Event.REPORTED
        if held.case.state is not State.ALARMED or (not is_new and is_early(held.case, self._clock())):
            return None
        if reason := self._store.paused():
            log.warning("alarm_held_while_paused", case=held.case.id, ticket=held.case.number, reason=reason)
            now = self._clock()
            told = [alarm.paused(held.case, reason)]
            self._ledger.keep(held, replace(held.case, due_at=now + WHILE_PAUSED), now=now, messages=told)
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
        self._ledger.keep(held, case, now=self._clock())  # the claim has to last for this too
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
        self._ledger.record(held, alarm.answered(held.case, done, beside=self._lookout.others_about(case, written)))
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
        self._ledger.keep(held, held.case, now=now, audit=[about_to(held.case, "securing", account, now)])
        calls, problem = [], ""
        password = guard.password_can_be_set_in_the_cloud(facts) is None
        if password:
            try:
                calls.append(self._set_unknown_password(tenant, account_id))
            except PermanentError as failure:
                problem = f"everybody was signed out, but its password still opens it: {failure}"
            except AuthenticationError:  # a right that is missing may be the one to set passwords alone
                with suppress(TemporaryError, AuthenticationError, PermanentError):
                    self._directory.revoke_sessions(tenant, account_id)
                raise
        try:
            sessions = self._directory.revoke_sessions(tenant, account_id)
        except PermanentError as failure:
            what = "it has a password now that nobody has, but the" if calls else "the"
            return alarm.Secured(
                account.upn, problem=f"{what} sessions could not be ended: {failure}", calls=receipts(calls, None)
            )
        return alarm.Secured(
            account.upn, password=password and not problem, problem=problem, calls=receipts(calls, sessions)
        )

    def _set_unknown_password(self, tenant: str, account_id: str) -> Receipt:
        for candidate in range(1, CANDIDATES + 1):
            try:
                # Nobody ever has it: it is not kept, not sealed, not shown.
                return self._directory.set_password(tenant, account_id, self._new_password())
            except PasswordRejected:
                log.info("password_rejected", account=account_id, candidate=candidate)
                if candidate == CANDIDATES:
                    raise
        raise AssertionError("unreachable")
