"""The rules that protect people. Each is one small function; all of them must agree.

A rule gets the facts as read just now and answers `None` (no objection) or a `Refusal`. There is no override and no
default of "yes": what could not be read is an objection. The tuples at the end are the whole guard.

Two moments: `judge_account` when a ticket is recognised and again right before each write; `judge_approval` when the
PSA says yes and again right before each write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connector.core import pair
from connector.core.case import Action, Approval, Person, fold
from connector.core.ports import Account, ApprovalReading, Stance

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of ours the PSA's clock may be."""


@dataclass(frozen=True)
class Refusal:
    """Why not.

    Attributes:
        code: Stable word for metrics, the audit and scripts.
        reason: For the agent, in plain words, a whole sentence.
        todo: What the agent can do.
        told: For the requester: the truth, without what only agents should know.
        void: The approval does not count (any more), but a new one would: keep waiting.
    """

    code: str
    reason: str
    todo: str
    told: str
    void: bool = False


@dataclass(frozen=True, kw_only=True)
class AccountFacts:
    """What the account rules look at.

    Attributes:
        senders: Folded addresses from which we send our own mails.
    """

    action: Action
    account: Account
    requester: Person
    senders: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ApprovalFacts:
    """What the approval rules look at.

    Attributes:
        created_at: Of the ticket, by the PSA's clock.
        action: What is asked for.
        also_not_approvers: Who had a part in raising the ticket besides the requester.
        listed: Folded addresses of those who may approve for this customer; `None` where the PSA's own process names
            them (`approvers: psa`).
        minimum: How many different people must have said yes.
        since: When subject and action last became what they are, by the PSA's clock.
        valid: How long a decision counts.
        earlier: Writes to the same account, of the last day.
        approver_ids: By the folded address of an approver: every identity of the account behind it, where people are
            counted. It only ever makes one person of two.
    """

    reading: ApprovalReading
    subject: Person
    requester: Person
    created_at: datetime
    listed: frozenset[str] | None
    since: datetime
    valid: timedelta
    now: datetime
    action: Action | None = None
    also_not_approvers: tuple[Person, ...] = ()
    minimum: int = 1
    earlier: tuple[pair.Earlier, ...] = ()
    pair_rule: pair.PairRule = pair.PairRule.SECOND_APPROVER
    approver_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def counted(self) -> tuple[Approval, ...]:
        """The yeses, with everything that tells whether two of them are of one person."""
        known = {yes: self.approver_ids.get(fold(yes.approver.email or ""), frozenset()) for yes in self.yeses}
        return tuple(replace(yes, approver=replace(yes.approver, ids=yes.approver.ids | more))
                     for yes, more in known.items())  # fmt: skip

    @property
    def yeses(self) -> tuple[Approval, ...]:
        """Every yes that stands. One that the same person gave anew in the same step later on does not any more.

        PSAs keep the answers of an approval that was started again, so without this a void yes would stay in the way
        of every later one. Somebody else's later yes replaces nothing: each step may have asked for both.
        """
        yeses = [decision for decision in self.reading.decisions if decision.approved]
        return tuple(yes for yes in yeses if not any(_replaces(later, yes) for later in yeses))


BY_HAND = "Check who is asking, reset the account by hand if it is right, and close this ticket."
TOLD_DESK = "This account cannot be reset automatically. A colleague of the service desk takes over."


# ---------------------------------------------------------------- the account


def facts_are_known(facts: AccountFacts) -> Refusal | None:
    if not facts.account.unknown:
        return None
    return Refusal(
        "facts_unknown",
        f"Not everything about the account could be read ({'; '.join(facts.account.unknown)}), so it is not touched.",
        "Run `connector check`. Where it misses no permission, the fact is empty or odd in Entra: look at the account. "
        "Then move this ticket to the retry status.",
        TOLD_DESK,
    )


def domain_belongs_to_the_customer(facts: AccountFacts) -> Refusal | None:
    if facts.account.domain_verified:
        return None
    return Refusal(
        "foreign_domain",
        f"The account {facts.account.upn} does not belong to a verified domain of this customer's tenant.",
        "Check whether the right person and the right customer are on the ticket.",
        "The account does not belong to your organisation as we know it. A colleague takes over.",
    )


def account_is_no_guest(facts: AccountFacts) -> Refusal | None:
    if not facts.account.guest:
        return None
    return Refusal(
        "guest",
        f"{facts.account.upn} is a guest: its password and methods live with another organisation.",
        "Tell the requester to ask the guest's own organisation, and close this ticket.",
        "This is a guest account. Its own organisation has to reset it.",
    )


def account_is_enabled(facts: AccountFacts) -> Refusal | None:
    if facts.account.enabled:
        return None
    return Refusal(
        "disabled",
        f"The account {facts.account.upn} is disabled (somebody may have left, or it was blocked on purpose).",
        "Find out why it is disabled before anything else.",
        "This account is disabled. A colleague of the service desk looks into it.",
    )


def account_is_not_protected(facts: AccountFacts) -> Refusal | None:
    if not facts.account.protected_by:
        return None
    return Refusal(
        "protected",
        f"The account {facts.account.upn} is protected by the configuration ({facts.account.protected_by}).",
        BY_HAND,
        TOLD_DESK,
    )


def account_holds_no_admin_role(facts: AccountFacts) -> Refusal | None:
    if not facts.account.admin_roles:
        return None
    return Refusal(
        "admin_role",
        f"The account {facts.account.upn} holds an administrator role ({', '.join(facts.account.admin_roles)}).",
        BY_HAND,
        TOLD_DESK,
    )


def account_can_activate_no_admin_role(facts: AccountFacts) -> Refusal | None:
    if not facts.account.eligible_roles:
        return None
    return Refusal(
        "eligible_role",
        f"The account {facts.account.upn} can activate an administrator role by itself "
        f"({', '.join(facts.account.eligible_roles)}).",
        BY_HAND,
        TOLD_DESK,
    )


def account_is_not_our_own_mailbox(facts: AccountFacts) -> Refusal | None:
    """Whoever holds the mailbox that our mails come from reads or forges all of them."""
    if not facts.senders & facts.account.addresses:
        return None
    return Refusal(
        "own_mailbox",
        f"The account {facts.account.upn} owns the mailbox from which this connector sends its mails.",
        BY_HAND,
        TOLD_DESK,
    )


def account_is_in_no_privileged_group(facts: AccountFacts) -> Refusal | None:
    if not facts.account.privileged_groups:
        return None
    return Refusal(
        "privileged_group",
        f"The account {facts.account.upn} is a member or owner of a group that can hold administrator roles "
        f"({', '.join(facts.account.privileged_groups)}).",
        BY_HAND,
        TOLD_DESK,
    )


def account_is_not_restricted(facts: AccountFacts) -> Refusal | None:
    if not facts.account.restricted:
        return None
    return Refusal(
        "restricted",
        f"The account {facts.account.upn} is in a restricted management administrative unit.",
        BY_HAND,
        TOLD_DESK,
    )


def password_can_be_set_in_the_cloud(facts: AccountFacts) -> Refusal | None:
    account = facts.account
    if not facts.action.resets_password or not (account.synchronised or account.federated):
        return None
    why = "is synchronised from an on-premises directory" if account.synchronised else "is of a federated domain"
    mfa = " An MFA reset alone still works: raise one for it." if facts.action is Action.BOTH else ""
    return Refusal(
        "synchronised" if account.synchronised else "federated",
        f"The account {account.upn} {why}, so its password cannot be set from the cloud.{mfa}",
        "Set the password where the account comes from, hand it over safely, and close this ticket.",
        f"The password of this account is kept in your organisation's own directory. A colleague resets it there.{mfa}",
    )


def requester_is_not_the_subject(facts: AccountFacts) -> Refusal | None:
    if not facts.requester.may_be(facts.account.person):
        return None
    return Refusal(
        "requester_is_subject",
        "The requester asks for their own account. The link would go to the mailbox that is locked, or to whoever "
        "has taken it over.",
        "Let a manager raise the request, or prove the person's identity and reset by hand.",
        "You cannot ask for a reset of your own account this way. Please let your manager or IT contact ask.",
    )


ACCOUNT_RULES: tuple[Callable[[AccountFacts], Refusal | None], ...] = (
    facts_are_known,
    domain_belongs_to_the_customer,
    account_is_no_guest,
    account_is_enabled,
    account_is_not_protected,
    account_is_not_our_own_mailbox,
    account_holds_no_admin_role,
    account_can_activate_no_admin_role,
    account_is_in_no_privileged_group,
    account_is_not_restricted,
    requester_is_not_the_subject,
    password_can_be_set_in_the_cloud,
)


ALARM_RULES = tuple(
    rule for rule in ACCOUNT_RULES if rule not in (requester_is_not_the_subject, password_can_be_set_in_the_cloud)
)
"""What an alarm must not touch either. Who had asked for the reset does not matter any more, and where the password
cannot be set, the sessions can still be ended."""


# ---------------------------------------------------------------- the approval

TOLD_APPROVAL = "The approval of your request could not be accepted. A colleague of the service desk takes over."


def approval_says_yes(facts: ApprovalFacts) -> Refusal | None:
    reading = facts.reading
    if reading.stance is Stance.APPROVED and facts.yeses and all(decision.approved for decision in reading.decisions):
        return None
    return Refusal(
        "not_approved",
        f"The approval in the PSA is not a clear yes{': ' + reading.reason if reading.reason else ''}.",
        "Start the approval again in the PSA.",
        TOLD_APPROVAL,
        void=True,
    )


def approval_is_newer_than_the_request(facts: ApprovalFacts) -> Refusal | None:
    created = facts.created_at
    if all(
        yes.decided_at > facts.since or (yes.decided_at == facts.since == created)  # whole-second clocks
        for yes in facts.yeses
    ):
        return None
    return Refusal(
        "approval_older_than_request",
        "The approval was given before subject, action, requester or customer of this ticket last changed, so it "
        "was for something else.",
        "Start the approval again in the PSA; this case goes on by itself when it is given.",
        TOLD_APPROVAL,
        void=True,
    )


def approval_is_not_too_old(facts: ApprovalFacts) -> Refusal | None:
    if all(yes.decided_at > facts.now - facts.valid for yes in facts.yeses):
        return None
    hours = facts.valid.total_seconds() / 3600
    return Refusal(
        "approval_expired",
        f"The approval is older than {hours:g} hours.",
        "Start the approval again in the PSA, then move this ticket to the retry status.",
        "The approval of your request is too old by now. A colleague of the service desk takes over.",
    )


def approval_is_not_from_the_future(facts: ApprovalFacts) -> Refusal | None:
    if all(yes.decided_at <= facts.now + CLOCK_SKEW for yes in facts.yeses):
        return None
    return Refusal(
        "approval_from_the_future",
        "The approval bears a time in the future. The clock of the PSA or of the connector is wrong.",
        "Set the clocks right, then move this ticket to the retry status.",
        TOLD_APPROVAL,
    )


def approver_is_known(facts: ApprovalFacts) -> Refusal | None:
    if all(yes.approver.identities for yes in facts.yeses):
        return None
    return Refusal(
        "approver_unknown",
        "The PSA does not say who approved.",
        "Find out who approved, start the approval again with a known approver.",
        TOLD_APPROVAL,
    )


def approver_is_not_the_requester(facts: ApprovalFacts) -> Refusal | None:
    if not any(person.may_be(facts.requester) for yes in facts.yeses for person in _deciders(yes)):
        return None
    return Refusal(
        "approver_is_requester",
        "The requester approved their own request.",
        "Let somebody else approve: start the approval again in the PSA, then move this ticket to the retry status.",
        "Requests cannot be approved by the person who raised them. A colleague of the service desk takes over.",
    )


def approver_did_not_log_the_ticket(facts: ApprovalFacts) -> Refusal | None:
    if not any(
        person.may_be(other) for yes in facts.yeses for person in _deciders(yes) for other in facts.also_not_approvers
    ):
        return None
    return Refusal(
        "approver_logged_ticket",
        "Whoever logged this ticket approved it.",
        "Let somebody else approve: start the approval again in the PSA, then move this ticket to the retry status.",
        "Requests cannot be approved by the person who raised them. A colleague of the service desk takes over.",
    )


def approver_is_not_the_subject(facts: ApprovalFacts) -> Refusal | None:
    if not any(person.may_be(facts.subject) for yes in facts.yeses for person in _deciders(yes)):
        return None
    return Refusal(
        "approver_is_subject",
        "The request was approved with the very account that is to be reset.",
        "That account may be in wrong hands: speak to its owner. Then let somebody else approve.",
        TOLD_APPROVAL,
    )


def approver_is_allowed(facts: ApprovalFacts) -> Refusal | None:
    if facts.listed is None:
        return None
    allowed = {f"mail:{fold(address)}" for address in facts.listed}
    strangers = [yes.approver.name for yes in facts.yeses if not yes.approver.identities & allowed]
    if not strangers:
        return None
    return Refusal(
        "approver_not_allowed",
        f"{', '.join(strangers)} may not approve for this customer (tenants.<name>.approvers).",
        "Let an allowed approver decide, or add this one to the configuration; then move to the retry status.",
        TOLD_APPROVAL,
    )


def enough_people_approved(facts: ApprovalFacts) -> Refusal | None:
    people: list[Person] = []
    for yes in facts.counted:
        if not any(yes.approver.may_be(known) for known in people):
            people.append(yes.approver)
    if len(people) >= facts.minimum:
        return None
    return Refusal(
        "too_few_approvers",
        f"{len(people)} of {facts.minimum} people have approved that this PSA's mapping wants (approvers.minimum).",
        "Have the approval asked of more people; this case goes on by itself when enough of them have said yes.",
        TOLD_APPROVAL,
        void=True,
    )


def takeover_is_known_to_two_people(facts: ApprovalFacts) -> Refusal | None:
    if facts.action is None or facts.pair_rule is pair.PairRule.ALLOW:
        return None
    first = pair.partners(facts.action, facts.earlier, now=facts.now)
    if not first:
        return None
    # Without the time: it moves with each new try of the other case, and each new reason would be told anew.
    done = "; ".join(f"{one.action.words} for ticket {one.ticket}" for one in first)
    reason = (
        f"Password and MFA of one account within a day hand it over as a whole, and the other half was done already "
        f"({done})"
    )
    if facts.pair_rule is pair.PairRule.HAND_OFF:
        return Refusal("takeover", f"{reason}. pair_rule hands that to a person.", BY_HAND, TOLD_APPROVAL)
    if pair.somebody_else_approves(facts.counted, first):
        return None
    return Refusal(
        "takeover_needs_second_approver",
        f"{reason}, approved by the same person. A second person has to approve this half (pair_rule).",
        "Have another approver asked in the PSA; this case goes on by itself when they have said yes.",
        TOLD_APPROVAL,
        void=True,
    )


APPROVAL_RULES: tuple[Callable[[ApprovalFacts], Refusal | None], ...] = (
    approval_says_yes,
    approver_is_known,
    approver_is_not_the_requester,
    approver_did_not_log_the_ticket,
    approver_is_not_the_subject,
    approver_is_allowed,
    approval_is_not_from_the_future,
    approval_is_newer_than_the_request,
    approval_is_not_too_old,
    enough_people_approved,
    takeover_is_known_to_two_people,
)


def judge_account(facts: AccountFacts) -> Refusal | None:
    """The first objection against touching the account, or `None`."""
    return next((refusal for rule in ACCOUNT_RULES if (refusal := rule(facts))), None)


def judge_alarm(facts: AccountFacts) -> Refusal | None:
    """The first objection against securing the account after an alarm, or `None`."""
    return next((refusal for rule in ALARM_RULES if (refusal := rule(facts))), None)


def judge_approval(facts: ApprovalFacts) -> Refusal | None:
    """The first objection against taking the approval for a yes, or `None`."""
    return next((refusal for rule in APPROVAL_RULES if (refusal := rule(facts))), None)


def _replaces(later: Approval, earlier: Approval) -> bool:
    return (
        later.decided_at > earlier.decided_at
        and later.step == earlier.step
        and later.approver.is_same(earlier.approver)
    )


def _deciders(approval: Approval) -> tuple[Person, ...]:
    return (approval.approver, approval.delegated_by) if approval.delegated_by else (approval.approver,)
