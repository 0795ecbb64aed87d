"""What is true now about one case: its ticket, its account, its requester, its link. Reads, and decides nothing.

The PSA is the truth about the request, the directory about the account, the link service about the link; `plan.needs`
says which of them a state wants to hear. What makes a request impossible (no such account, a doubtful address) is a
fact here, not a failure, so that everybody is told before an approver is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from connector.core import alarm, link_story, pair, plan, refusals, steps
from connector.core.case import Action, Approval, Case, State, fold, mailbox
from connector.core.ports import Account, CaseStore, Directory, DryRun, LinkEvent, LinkEventKind, Psa, Ticket
from connector.core.subject import read_subject
from connector.errors import (
    AmbiguousAccount,
    ConnectorError,
    NoSuchAccount,
    PermanentError,
    TemporaryError,
    TicketGone,
)

log = structlog.get_logger(__name__)

WRITES: Final = frozenset({"setting_password", "removing_methods"})
"""What the audit calls the moment before an account is written to."""

CLOCKS_APART: Final = timedelta(days=1)
"""How far the clock may have been set back, or another process' be behind, since a case was opened."""

PolicyFor = Callable[[Psa, str], steps.Policy]
"""Gives the policy for a client id of a PSA; `tenant` is empty where none is mapped."""


class Lookout:
    """Looks at the outside for the reconciler. Safe to use from several threads: it keeps nothing.

    Args:
        policy_for: The configuration that applies to a client of a PSA.
        link_events: Brings the link service's events up to the present into the store.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        psas: Mapping[str, Psa],
        directory: Directory,
        policy_for: PolicyFor,
        link_events: Callable[[], None],
    ) -> None:
        self._store = store
        self._psas = psas
        self._directory = directory
        self._accounts = Accounts(directory)
        self._policy_for = policy_for
        self._link_events = link_events

    def policy(self, case: Case, ticket: Ticket | None = None) -> steps.Policy:
        """What applies to a case, by the ticket as it is now where that was read."""
        return self._policy_for(self.psa(case), ticket.client_id if ticket else case.client_id)

    def policy_of_alarm(self, case: Case) -> steps.Policy:
        """The same for an alarm, which must not be lost where the PSA of its ticket is not configured any more.

        Then it is that of a customer whom nobody knows, at any other PSA: what it says of whom we send as is the same.
        Of dry runs only that of the whole program counts: a PSA that is being tried out says nothing about this ticket.

        Raises:
            TemporaryError: No PSA at all is left.
        """
        try:
            return self.policy(case)
        except TemporaryError:
            for other in self._psas.values():
                policy = self._policy_for(other, "")
                return policy if policy.everything_is_dry else replace(policy, dry_run=DryRun.OFF)
            raise

    def psa(self, case: Case) -> Psa:
        """Where its ticket lives.

        Raises:
            TemporaryError: It is not configured any more.
        """
        psa = self._psas.get(case.psa)
        if psa is None:
            raise TemporaryError(
                f"The PSA {case.psa} of ticket {case.number} is not in the configuration any more. "
                "Put it back, or cancel the case.",
                retry_after=timedelta(hours=1),
            )
        return psa

    def look(self, case: Case, now: datetime) -> steps.Seen:
        """Everything that `plan.next_step` wants to know in this state.

        Raises:
            TemporaryError, AuthenticationError, PermanentError: A system that is needed for it does not tell.
        """
        needs = plan.needs(case, now=now)
        if needs.fresh_link_events:
            self._link_events()
        seen = self._seen_of_link(case, self._store.link_events(case.id, after=case.link_seq))
        if needs.proof and not any(event.kind in link_story.TELLING for event in seen.link_events):
            return replace(seen, account=self._account_for_proof(case))
        if not needs.ticket:
            return seen
        try:
            ticket = self.psa(case).read(case.ticket_id)
        except TicketGone as gone:
            return replace(seen, gone=str(gone))
        seen = replace(seen, ticket=ticket)
        if ticket.closed or not ticket.mapped or not (needs.account or needs.approval):
            return seen
        policy = self.policy(case, ticket)
        if needs.account:
            seen = self._accounts.add_to(seen, policy, ticket)
            if seen.account is None:
                return seen
            written = self._written(seen.account.id, now)
            return replace(seen, related=self._related(case, policy.tenant, seen.account.id, written))
        written = self.earlier(case, now)
        return replace(
            seen,
            earlier=written,
            approver_ids=self.approver_ids(ticket, written, policy, now),
            related=self._related(case, case.tenant, case.subject_id, written),
        )

    def is_alarmed(self, case: Case) -> bool:
        """Whether somebody said "this was not me", and that was not answered yet. Asks nobody outside."""
        if case.state is State.ALARMED:
            return True
        return bool(alarm.reports_in(self._store.link_events(case.id, after=case.link_seq)))

    def alarm(self, case: Case) -> steps.Record | None:
        """What to write down because somebody said "this was not me"; `None` when nobody did. Asks nobody outside."""
        events = self._store.link_events(case.id, after=case.link_seq)
        if not alarm.reports_in(events):
            return None
        case = self._as_written(case)
        return link_story.tell_link_story(case, self._seen_of_link(case, events), self.policy_of_alarm(case))

    def _seen_of_link(self, case: Case, events: Sequence[LinkEvent]) -> steps.Seen:
        """What happened to the links of a case, and to whose password."""
        if not any(event.kind is LinkEventKind.REVEALED for event in events):
            return steps.Seen(link_events=events)
        entries = [line.entry for line in self._store.audit_of(case.id)]
        return steps.Seen(link_events=events, made_for=link_story.made_for(case, entries))

    def accounts_written(self, case: Case) -> Mapping[str, str]:
        """The tenant of each account, by its object id, that the case wrote to or was about to."""
        resets = self._store.resets_since(case.created_at - CLOCKS_APART)
        return {reset.subject: reset.tenant for reset in resets if reset.case_id == case.id}

    def name_written(self, case: Case, account_id: str) -> str:
        """The name of an account as it was when the case wrote to it; its id where that is not on record."""
        return self._names_written(case).get(account_id, account_id)

    def others_about(self, case: Case, accounts: Mapping[str, str]) -> Sequence[str]:
        """Other tickets about these accounts (id: tenant): open ones, and those that set a password after this one.

        A password from there is void, too, when the account is secured.
        """
        others = [other for account_id, tenant in accounts.items()
                  for other in self._store.cases_about(tenant, account_id)]  # fmt: skip
        for account_id in accounts:
            resets = self._store.resets_since(case.created_at - CLOCKS_APART, subject=account_id)
            own = max(number for number, reset in enumerate(resets) if reset.case_id == case.id)
            later = {reset.case_id for reset in resets[own:] if reset.action.resets_password}
            others += filter(None, map(self._store.get, later))
        return sorted({f"{other.psa}:{other.number}" for other in others if other.id != case.id})

    def _names_written(self, case: Case) -> Mapping[str, str]:
        entries = [line.entry for line in self._store.audit_of(case.id) if line.entry.event in WRITES]
        return {entry.facts["account"]: entry.facts["upn"] for entry in entries}

    def _as_written(self, case: Case) -> Case:
        """The case with the names of the accounts that it wrote to, where its ticket names another one by now."""
        written = self._names_written(case)
        if written.keys() <= {case.subject_id}:
            return case
        names = " and ".join(written.values())
        return replace(case, subject=names, subject_name=names, subject_id="")

    def earlier(self, case: Case, now: datetime) -> tuple[pair.Earlier, ...]:
        """What was written to the account of this case within a day.

        Its own writes too: its ticket may have asked for the other half before somebody changed it.
        """
        return self._written(case.subject_id, now)

    def approver_ids(
        self, ticket: Ticket, earlier: Sequence[pair.Earlier], policy: steps.Policy, now: datetime
    ) -> Mapping[str, frozenset[str]]:
        """Who the approvers are in the customer's tenant, where it matters how many people they are; else nothing.

        A no needs no counting, and must not wait for the directory.

        Raises:
            TemporaryError, AuthenticationError: The directory does not tell.
        """
        decisions = ticket.approval.decisions
        if not all(one.approved for one in decisions):
            return {}
        matters = policy.minimum > 1
        if ticket.action is not None and policy.pair_rule is pair.PairRule.SECOND_APPROVER:
            matters = matters or bool(pair.partners(ticket.action, earlier, now=now))
        return self._accounts.of_approvers(policy.tenant, decisions) if matters else {}

    def _written(self, account_id: str, now: datetime) -> tuple[pair.Earlier, ...]:
        if not account_id:
            return ()
        resets = self._store.resets_since(now - pair.WINDOW, subject=account_id)
        return tuple(
            pair.Earlier(
                ticket=f"{other.psa}:{other.number}" if other else reset.case_id,
                action=reset.action,
                at=reset.at,
                approvers=reset.approvers,
                case_id=reset.case_id,
                asked_for_both=other is not None and other.action is Action.BOTH,
            )
            for reset in resets
            for other in [self._store.get(reset.case_id)]
        )

    def _account_for_proof(self, case: Case) -> Account | None:
        """The account, if it can be read now: the link's story must not wait for it."""
        try:
            return self._directory.read(case.tenant, case.subject_id)
        except ConnectorError as failure:  # ConfigError too: the customer may be gone from the configuration
            log.info("not_confirmed_yet", case=case.id, error=str(failure))
            return None

    def _related(self, case: Case, tenant: str, account_id: str, written: Sequence[pair.Earlier]) -> tuple[str, ...]:
        """What else is asked for, or was done within a day, for the same account: to be seen side by side."""
        others = [other for other in self._store.cases_about(tenant, account_id) if other.id != case.id]
        asked = {f"{other.psa}:{other.number}": other.action.words if other.action else "reset" for other in others}
        done = {one.ticket: f"{one.action.words}, done at {one.at:%H:%M} UTC"
                for one in written if one.case_id != case.id}  # fmt: skip
        return tuple(f"ticket {ticket} ({what})" for ticket, what in {**asked, **done}.items())


class Accounts:
    """Looks an account up with everything that has to be known about it. Safe to use from several threads."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def add_to(self, seen: steps.Seen, policy: steps.Policy, ticket: Ticket) -> steps.Seen:
        """What was seen of a ticket, with its account and its requester's; or why there is no account.

        Raises:
            TemporaryError, AuthenticationError.
        """
        subject = read_subject(ticket.subject_text)
        if subject.problem or not policy.tenant:
            return seen
        try:
            account = self._directory.find(policy.tenant, subject.address)
        except NoSuchAccount:
            home = self._foreign_home(policy.tenant, subject.address)
            return replace(seen, account_problem=refusals.no_account(subject.address, home=home))
        except AmbiguousAccount as failure:
            return replace(seen, account_problem=refusals.ambiguous(subject.address, str(failure)))
        except PermanentError as failure:  # here, and not as a failed pass: the requester is to be told
            return replace(seen, account_problem=refusals.failed(str(failure), ticket.psa, ticket.number))
        foreign = account.guest or not account.domain_verified
        password = ticket.action is not None and ticket.action.resets_password
        return replace(
            seen,
            account=account,
            requester_ids=self._requester_ids(policy.tenant, ticket),
            home=self._foreign_home(policy.tenant, subject.address) if foreign else "",
            helps_itself=self._directory.can_help_itself(policy.tenant, account.id) if password else None,
        )

    def of_approvers(self, tenant: str, decisions: Sequence[Approval]) -> Mapping[str, frozenset[str]]:
        """By folded address: every identity of the account of this tenant behind it."""
        addresses = {fold(one.approver.email) for one in decisions if one.approver.email} if tenant else set[str]()
        found: dict[str, frozenset[str]] = {}
        for address in sorted(addresses):
            with suppress(PermanentError):  # an address that no directory likes is nobody's alias
                found[address] = self._identities_behind(tenant, address)
        return found

    def _foreign_home(self, tenant: str, address: str) -> str:
        """Another tenant of ours to which the address belongs, so that the agent sees what went wrong."""
        home = self._directory.home_of(address)
        return home if home != tenant else ""

    def _requester_ids(self, tenant: str, ticket: Ticket) -> frozenset[str]:
        """Every identity of the requester's own account: whoever asks by an alias must not approve by the name."""
        if ticket.requester is None or not ticket.requester.email:
            return frozenset()
        address = ticket.requester.email
        found = self._identities_behind(tenant, address)
        plain = mailbox(address)  # name+tag@ reaches name@, which alone may be known
        return found | self._identities_behind(tenant, plain) if plain != fold(address) else found

    def _identities_behind(self, tenant: str, address: str) -> frozenset[str]:
        try:
            return self._directory.find(tenant, address).person.identities
        except NoSuchAccount:
            return frozenset()  # from elsewhere: nothing more is known
        except AmbiguousAccount as failure:
            # A shared or alternate address: any of those accounts may be the one who asks.
            return frozenset().union(*(self._identities_of(tenant, known) for known in failure.ids))

    def _identities_of(self, tenant: str, account_id: str) -> frozenset[str]:
        try:
            return self._directory.read(tenant, account_id).person.identities
        except NoSuchAccount:
            return frozenset()
