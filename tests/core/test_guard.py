"""The guard, rule by rule: what it lets pass, what it refuses, and by which facts it knows people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connector.core import guard
from connector.core.case import Action, Approval, Person
from connector.core.guard import (
    ACCOUNT_RULES,
    APPROVAL_RULES,
    CLOCK_SKEW,
    AccountFacts,
    ApprovalFacts,
    judge_account,
    judge_approval,
)
from connector.core.ports import Account, ApprovalReading, Stance

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
VALID = 24 * HOUR
LEA = Account(
    tenant="contoso",
    id="0b5c",
    upn="lea@contoso.example.com",
    display_name="Lea",
    addresses=frozenset({"lea@contoso.example.com", "lea.alias@contoso.example.com"}),
    enabled=True,
    guest=False,
    synchronised=False,
    federated=False,
    domain_verified=True,
)
RITA = Person("Rita", "rita@contoso.example.com", frozenset({"halo.user:1"}))
ANNA = Person("Anna", "anna@contoso.example.com", frozenset({"halo.user:2"}))
BO = Person("Bo", "bo@contoso.example.com", frozenset({"halo.user:3"}))


def account_facts(*, action: Action = Action.PASSWORD, requester: Person = RITA, **account: object) -> AccountFacts:
    lea = replace(LEA, **account)  # type: ignore[arg-type]
    return AccountFacts(action=action, account=lea, requester=requester, senders=frozenset({"support@msp.example.com"}))


def a_yes(approver: Person = ANNA, *, at: datetime = NOW - MINUTE, **more: object) -> Approval:
    return replace(Approval(approver=approver, approved=True, decided_at=at), **more)  # type: ignore[arg-type]


def approval_facts(
    *decisions: Approval, stance: Stance = Stance.APPROVED, reason: str = "", **more: object
) -> ApprovalFacts:
    facts = ApprovalFacts(
        reading=ApprovalReading(stance, decisions or (a_yes(),), reason=reason),
        subject=LEA.person,
        requester=RITA,
        created_at=NOW - 2 * HOUR,
        listed=None,
        since=NOW - HOUR,
        valid=VALID,
        now=NOW,
    )
    return replace(facts, **more)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the account


@pytest.mark.parametrize("action", list(Action))
def test_an_ordinary_account_may_be_touched(action: Action) -> None:
    assert judge_account(account_facts(action=action)) is None


REFUSED_ACCOUNTS = {
    "an account of which not everything is known": ({"unknown": ("its roles",)}, "facts_unknown"),
    "an account outside the tenant's verified domains": ({"domain_verified": False}, "foreign_domain"),
    "a guest": ({"guest": True}, "guest"),
    "a disabled account": ({"enabled": False}, "disabled"),
    "a protected account": ({"protected_by": "users: VIP"}, "protected"),
    "an administrator": ({"admin_roles": ("User Administrator",)}, "admin_role"),
    "somebody who can activate a role": ({"eligible_roles": ("Helpdesk Administrator",)}, "eligible_role"),
    "the mailbox that our mails come from": ({"addresses": frozenset({"support@msp.example.com"})}, "own_mailbox"),
    "a member of a role-assignable group": ({"privileged_groups": ("Admins",)}, "privileged_group"),
    "a member of a restricted unit": ({"restricted": True}, "restricted"),
}


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(("account", "code"), REFUSED_ACCOUNTS.values(), ids=REFUSED_ACCOUNTS)
def test_is_never_touched_whatever_the_action(account: dict[str, object], code: str, action: Action) -> None:
    refusal = judge_account(account_facts(action=action, **account))  # type: ignore[arg-type]
    assert refusal is not None
    assert refusal.code == code
    assert not refusal.void, "no new approval would change it"


@pytest.mark.parametrize("where", ["synchronised", "federated"])
@pytest.mark.parametrize(("action", "refused"), [(Action.PASSWORD, True), (Action.BOTH, True), (Action.MFA, False)])
def test_a_password_that_is_kept_elsewhere_cannot_be_set_but_mfa_can_be_reset(
    where: str, action: Action, refused: bool
) -> None:
    refusal = judge_account(account_facts(action=action, **{where: True}))  # type: ignore[arg-type]
    assert (refusal is not None) is refused
    if refusal:
        assert refusal.code == where
        assert ("MFA reset alone still works" in refusal.reason) is (action is Action.BOTH)


@pytest.mark.parametrize(
    "requester",
    [
        Person("Somebody", "lea@contoso.example.com"),
        Person("Somebody", " LEA@Contoso.Example.COM "),
        Person("Somebody", "lea.alias@contoso.example.com"),
        Person("Somebody", None, frozenset({"entra:0b5c"})),
        Person("Somebody", "rita@contoso.example.com", frozenset({"mail:lea@contoso.example.com"})),
    ],
)
def test_nobody_asks_for_their_own_account_under_whatever_name(requester: Person) -> None:
    refusal = judge_account(account_facts(requester=requester))
    assert refusal is not None
    assert refusal.code == "requester_is_subject"


def test_a_namesake_of_the_account_may_ask() -> None:
    assert judge_account(account_facts(requester=Person("Lea", "other.lea@contoso.example.com"))) is None


# ---------------------------------------------------------------- the approval


def test_a_fresh_yes_of_somebody_else_counts() -> None:
    assert judge_approval(approval_facts()) is None


@pytest.mark.parametrize("stance", [Stance.NONE, Stance.PENDING, Stance.REJECTED])
def test_whatever_is_not_a_clear_yes_is_none_although_a_yes_stands_there(stance: Stance) -> None:
    refusal = judge_approval(approval_facts(stance=stance, reason="the status was set by hand"))
    assert refusal is not None
    assert (refusal.code, refusal.void) == ("not_approved", True)
    assert "the status was set by hand" in refusal.reason


def test_a_yes_that_nobody_gave_is_none() -> None:
    facts = replace(approval_facts(), reading=ApprovalReading(Stance.APPROVED))
    refusal = judge_approval(facts)
    assert refusal is not None
    assert refusal.code == "not_approved"


def test_one_no_among_yeses_is_a_no() -> None:
    no = replace(a_yes(BO), approved=False)
    refusal = judge_approval(approval_facts(a_yes(), no))
    assert refusal is not None
    assert refusal.code == "not_approved"


def test_an_approver_whom_nobody_can_name_does_not_count() -> None:
    refusal = judge_approval(approval_facts(a_yes(Person("Anna"))))
    assert refusal is not None
    assert refusal.code == "approver_unknown"


SAME_AS_RITA = {
    "the same address": Person("A. N. Other", "rita@contoso.example.com"),
    "the same address in capitals": Person("A. N. Other", "RITA@CONTOSO.example.com"),
    "the same user of the PSA under another address": Person(
        "A. N. Other", "private@example.com", frozenset({"halo.user:1"})
    ),
}


@pytest.mark.parametrize("approver", SAME_AS_RITA.values(), ids=SAME_AS_RITA)
def test_nobody_approves_their_own_request_with(approver: Person) -> None:
    refusal = judge_approval(approval_facts(a_yes(approver)))
    assert refusal is not None
    assert refusal.code == "approver_is_requester"


def test_a_requester_who_passed_the_decision_on_has_still_decided() -> None:
    refusal = judge_approval(approval_facts(a_yes(BO, delegated_by=RITA)))
    assert refusal is not None
    assert refusal.code == "approver_is_requester"


def test_a_requester_among_several_approvers_is_one_too_many() -> None:
    refusal = judge_approval(approval_facts(a_yes(BO, step="1"), a_yes(RITA, step="2")))
    assert refusal is not None
    assert refusal.code == "approver_is_requester"


def test_a_namesake_of_the_requester_may_approve() -> None:
    assert judge_approval(approval_facts(a_yes(Person("Rita", "other.rita@contoso.example.com")))) is None


@pytest.mark.parametrize("address", ["lea@contoso.example.com", "LEA.alias@contoso.example.com"])
def test_the_account_in_question_does_not_approve(address: str) -> None:
    refusal = judge_approval(approval_facts(a_yes(Person("A. N. Other", address))))
    assert refusal is not None
    assert refusal.code == "approver_is_subject"


def test_the_account_in_question_does_not_pass_the_decision_on_either() -> None:
    refusal = judge_approval(approval_facts(a_yes(BO, delegated_by=LEA.person)))
    assert refusal is not None
    assert refusal.code == "approver_is_subject"


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        (None, ""),
        (frozenset({"anna@contoso.example.com"}), ""),
        (frozenset({" Anna@Contoso.example.com"}), ""),
        (frozenset({"bo@contoso.example.com"}), "approver_not_allowed"),
        (frozenset(), "approver_not_allowed"),
        (frozenset({"anna"}), "approver_not_allowed"),
        (frozenset({"halo.user:2"}), "approver_not_allowed"),
    ],
)
def test_only_listed_addresses_may_approve_where_a_list_is_asked_for(listed: frozenset[str] | None, code: str) -> None:
    refusal = judge_approval(approval_facts(listed=listed))
    assert (refusal.code if refusal else "") == code


def test_a_listed_name_does_not_help_a_stranger() -> None:
    stranger = Person("anna@contoso.example.com", "mallory@example.com")
    refusal = judge_approval(approval_facts(a_yes(stranger), listed=frozenset({"anna@contoso.example.com"})))
    assert refusal is not None
    assert refusal.code == "approver_not_allowed"


def test_every_one_of_several_approvers_has_to_be_listed() -> None:
    facts = approval_facts(a_yes(ANNA, step="1"), a_yes(BO, step="2"), listed=frozenset({"anna@contoso.example.com"}))
    refusal = judge_approval(facts)
    assert refusal is not None
    assert "Bo" in refusal.reason
    assert "Anna" not in refusal.reason


@pytest.mark.parametrize(
    ("at", "since", "counts"),
    [
        (NOW - HOUR + SECOND, NOW - HOUR, True),
        (NOW - HOUR, NOW - HOUR, False),
        (NOW - HOUR - SECOND, NOW - HOUR, False),
    ],
)
def test_a_yes_counts_only_when_it_is_newer_than_the_last_change(at: datetime, since: datetime, counts: bool) -> None:
    refusal = judge_approval(approval_facts(a_yes(at=at), since=since))
    assert (refusal is None) is counts
    if refusal:
        assert (refusal.code, refusal.void) == ("approval_older_than_request", True)


def test_a_yes_in_the_very_second_of_an_unchanged_tickets_creation_counts() -> None:
    at = NOW - HOUR
    assert judge_approval(approval_facts(a_yes(at=at), since=at, created_at=at)) is None


@pytest.mark.parametrize(
    ("ago", "counts"), [(VALID - SECOND, True), (VALID, False), (VALID + SECOND, False), (9 * VALID, False)]
)
def test_a_yes_runs_out(ago: timedelta, counts: bool) -> None:
    refusal = judge_approval(approval_facts(a_yes(at=NOW - ago), since=NOW - 30 * VALID))
    assert (refusal is None) is counts
    if refusal:
        assert refusal.code == "approval_expired"
        assert "24 hours" in refusal.reason


@pytest.mark.parametrize(
    ("ahead", "counts"), [(timedelta(0), True), (CLOCK_SKEW, True), (CLOCK_SKEW + SECOND, False), (HOUR, False)]
)
def test_a_yes_of_the_future_is_a_clock_that_is_wrong(ahead: timedelta, counts: bool) -> None:
    refusal = judge_approval(approval_facts(a_yes(at=NOW + ahead)))
    assert (refusal is None) is counts
    if refusal:
        assert refusal.code == "approval_from_the_future"


@pytest.mark.parametrize(
    "spoilt",
    [
        a_yes(BO, at=NOW - 2 * HOUR, step="2"),
        a_yes(BO, at=NOW - 2 * VALID, step="2"),
        a_yes(BO, at=NOW + HOUR, step="2"),
        a_yes(Person("Nobody"), step="2"),
    ],
)
def test_every_yes_has_to_stand_on_its_own(spoilt: Approval) -> None:
    assert judge_approval(approval_facts(a_yes(step="1"), spoilt)) is not None


def test_a_yes_that_the_same_person_gave_anew_replaces_the_void_one() -> None:
    old, new = a_yes(at=NOW - 2 * HOUR, step="Manager"), a_yes(at=NOW - MINUTE, step="Manager")
    assert judge_approval(approval_facts(old)) is not None
    assert judge_approval(approval_facts(old, new)) is None


@pytest.mark.parametrize(
    "newer",
    [a_yes(BO, step="Manager"), a_yes(ANNA, step="Director"), replace(a_yes(ANNA, step="Manager"), approved=False)],
)
def test_a_void_yes_is_not_replaced_by_somebody_else_by_another_step_or_by_a_no(newer: Approval) -> None:
    old = a_yes(at=NOW - 2 * HOUR, step="Manager")
    assert judge_approval(approval_facts(old, newer)) is not None


def test_a_decision_passed_on_by_the_requester_is_forgotten_once_it_is_given_anew() -> None:
    old = a_yes(at=NOW - 2 * MINUTE, delegated_by=RITA)
    assert judge_approval(approval_facts(old, a_yes(at=NOW - MINUTE))) is None


# ---------------------------------------------------------------- the guard as a whole


def test_no_rule_was_forgotten_in_the_tuples() -> None:
    rules = {
        name
        for name, thing in vars(guard).items()
        if callable(thing) and getattr(thing, "__module__", "") == guard.__name__ and name.islower()
        and not name.startswith(("_", "judge_"))
    }  # fmt: skip
    assert rules == {rule.__name__ for rule in (*ACCOUNT_RULES, *APPROVAL_RULES)}


def test_each_refusal_says_why_what_to_do_and_what_the_requester_is_told() -> None:
    refusals = [judge_account(account_facts(**account)) for account, _ in REFUSED_ACCOUNTS.values()]  # type: ignore[arg-type]
    refusals += [
        judge_account(account_facts(synchronised=True)),
        judge_account(account_facts(requester=LEA.person)),
        judge_approval(approval_facts(stance=Stance.NONE)),
        judge_approval(approval_facts(a_yes(RITA))),
        judge_approval(approval_facts(a_yes(LEA.person))),
        judge_approval(approval_facts(listed=frozenset())),
        judge_approval(approval_facts(a_yes(at=NOW + HOUR))),
        judge_approval(approval_facts(a_yes(at=NOW - 2 * HOUR))),
        judge_approval(approval_facts(a_yes(at=NOW - 2 * VALID), since=NOW - 3 * VALID)),
        judge_approval(approval_facts(a_yes(Person("Nobody")))),
    ]
    codes = set()
    for refusal in refusals:
        assert refusal is not None
        codes.add(refusal.code)
        for sentence in (refusal.reason, refusal.todo, refusal.told):
            assert sentence.endswith(".")
            assert sentence[0].isupper() or sentence.startswith(("lea@", "anna"))
    assert len(codes) == len(refusals), "each refusal has a code of its own"


def test_the_requester_is_never_told_what_only_agents_should_know() -> None:
    for account in ({"admin_roles": ("User Administrator",)}, {"protected_by": "users: VIP"}, {"restricted": True}):
        refusal = judge_account(account_facts(**account))
        assert refusal is not None
        assert not any(word in refusal.told for word in ("Administrator", "VIP", "role", "protected", "restricted"))
