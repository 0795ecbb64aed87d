"""Addresses that many share, protection that protects nobody, and what the agent is told to do about it."""

from __future__ import annotations

import pytest

from connector.core import refusals
from connector.core.case import Action, Person
from connector.core.guard import AccountFacts, judge_account
from connector.errors import AmbiguousAccount, ConfigError, PermanentError
from tests.graph.border import ID, UPN, Back, Border, rows, user
from tests.graph.conftest import border  # noqa: F401 - a fixture


def account(number: int) -> dict[str, str]:
    return {"id": f"aaaaaaaa-bbbb-4ccc-8ddd-0000000000{number:02}", "userPrincipalName": f"u{number}@contoso.example"}


def test_an_address_of_more_accounts_than_one_page_holds_calls_a_person(border: Border) -> None:  # noqa: F811
    """Six accounts with one recovery address: every ticket of, or for, that address waits in silence for good.

    An `AmbiguousAccount` with the ids of one page would be worse: the approver may be the one that is not among them.
    """
    more = {"@odata.nextLink": "https://graph.example.com/v1.0/users?$skiptoken=x"}
    border.on(r"^GET /users\?.*otherMails", rows(*map(account, range(5)), **more))
    with pytest.raises(PermanentError) as failure:
        border.directory().find("contoso", UPN)
    assert not isinstance(failure.value, AmbiguousAccount)


def test_somebody_elses_alternate_address_does_not_send_the_agent_in_circles(border: Border) -> None:  # noqa: F811
    """Whoever may edit an own alternate address can make a colleague unresettable, so this must be seen through."""
    border.on(r"^GET /users\?.*userPrincipalName eq", rows({"id": ID, "userPrincipalName": UPN}))
    border.on(r"^GET /users\?.*otherMails", rows(account(1)))
    with pytest.raises(AmbiguousAccount) as failure:
        border.directory().find("contoso", UPN)
    refusal = refusals.ambiguous(UPN, str(failure.value))
    assert "Tidy the addresses up" in refusal.reason
    assert "Put the user principal name into the subject field" not in refusal.todo


@pytest.mark.parametrize(
    "entry", ["Break Glass", f"{{{ID}}}", ID.replace("-", ""), "breakglass", "breakglass@contoso.example;vip@x.example"]
)
def test_a_protected_user_that_can_match_nobody_stops_the_start(border: Border, entry: str) -> None:  # noqa: F811
    with pytest.raises(ConfigError):
        border.directory(users=[entry])


def test_a_fact_that_the_directory_leaves_empty_is_not_blamed_on_a_permission(border: Border) -> None:  # noqa: F811
    border.on(rf"^GET /users/{ID}(\?|$)", Back(200, user(userType=None)))
    found = border.directory().read("contoso", ID)
    requester = Person(name="Rita", email="rita@contoso.example")
    refusal = judge_account(AccountFacts(action=Action.PASSWORD, account=found, requester=requester))
    assert refusal is not None
    assert "Entra" in refusal.todo


def test_asking_whether_a_customer_that_was_taken_out_may_be_written_to_is_no_bug(border: Border) -> None:  # noqa: F811
    """The fresh look that follows sees that the customer is another one, and says so; three bugs hand the case off."""
    border.directory(tenants=("fabrikam",)).ready("contoso", Action.PASSWORD)
