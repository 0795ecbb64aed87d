"""Everybody for whom there is a reason not to be reset, and the customers of a crowd."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.methods import METHOD_SEGMENTS
from sandbox.people import MANY_GROUPS, ROLE_HOLDERS
from sandbox.world import World
from tests.sandbox.conftest import DANA, Stage, new_password

# learn.microsoft.com/graph/api/resources/users, "Who can reset passwords", read 2026-11-22: one letter for each caller
# (Password, Helpdesk, Authentication, User, privileged authentiCation, Global) whose role reaches the holder.
CALLERS = {
    "P": "Password Administrator",
    "H": "Helpdesk Administrator",
    "A": "Authentication Administrator",
    "U": "User Administrator",
    "C": "Privileged Authentication Administrator",
    "G": "Global Administrator",
}
TABLE = {
    "emil": "PHAUCG",
    "role.directory-readers": "PHAUCG",
    "role.guest-inviter": "PHAUCG",
    "role.password": "PHAUCG",
    "role.message-center": "HAUCG",
    "role.reports": "HAUCG",
    "role.usage-summary": "HAUCG",
    "role.helpdesk": "HUCG",
    "role.authentication": "ACG",
    "role.groups": "UCG",
    "role.user": "UCG",
    "role.global": "CG",
    "role.privileged-authentication": "CG",
    "role.privileged-role": "CG",
    "group.member": "CG",
    "group.owner": "CG",
    "role.restricted-unit": "CG",
    "role.custom": "CG",
    "role.unlisted": "CG",
    "restricted.unit": "",
}


@pytest.mark.parametrize("name", TABLE)
def test_who_can_reset_whom_is_microsofts_table(stage: Stage, name: str) -> None:
    upn = f"{name}@contoso.com"
    for letter, role in CALLERS.items():
        stage.control("PATCH", "tenants/contoso", application_roles=[role])
        before = stage.account(upn)["writes"]
        answers = {
            stage.graph("PATCH", f"users/{upn}", json={"passwordProfile": {"password": new_password()}}).status_code,
            stage.graph("POST", f"users/{upn}/revokeSignInSessions").status_code,
        }
        expected = {204, 200} if letter in TABLE[name] else {403}
        assert (answers, stage.account(upn)["writes"]) == (expected, before + (2 if letter in TABLE[name] else 0)), role


def test_there_is_a_holder_for_each_row_of_the_table(stage: Stage) -> None:
    assert set(ROLE_HOLDERS) <= set(TABLE)
    for name, role in ROLE_HOLDERS.items():
        assert stage.account(f"{name}@contoso.com")["roles"] == [role]


SIGNS: dict[str, tuple[str, object]] = {
    "guest.internal@contoso.com": ("userType", "Guest"),
    "guest.creation@contoso.com": ("creationType", "Invitation"),
    "guest.state@contoso.com": ("externalUserState", "PendingAcceptance"),
    "guest.name_example.com%23EXT%23@contoso.onmicrosoft.com": ("userPrincipalName", None),
}


@pytest.mark.parametrize("upn", SIGNS)
def test_each_guest_shows_one_sign_only(stage: Stage, upn: str) -> None:
    name, value = SIGNS[upn]
    record = stage.graph("GET", f"users/{upn}?$select=userType,creationType,externalUserState,userPrincipalName").json()
    plain = {"userType": "Member", "creationType": None, "externalUserState": None}
    changed = {key for key, usual in plain.items() if record[key] != usual}
    assert changed == ({name} if value else set())
    assert ("#EXT#" in record["userPrincipalName"]) is (value is None)


@pytest.mark.parametrize(
    ("address", "question", "holder"),
    [
        ("double.mail@contoso.com", "mail eq '{}'", "holder.mail@contoso.com"),
        ("double.proxy@contoso.com", "proxyAddresses/any(p:p eq 'smtp:{}')", "holder.proxy@contoso.com"),
        ("double.other@contoso.com", "otherMails/any(p:p eq '{}')", "holder.other@contoso.com"),
    ],
)
def test_a_sign_in_name_may_be_another_accounts_further_address(
    stage: Stage, address: str, question: str, holder: str
) -> None:
    assert stage.graph("GET", f"users/{address}").status_code == 200
    found = stage.graph("GET", "users", params={"$filter": question.format(address)}).json()["value"]
    assert holder in [one["userPrincipalName"] for one in found]


def test_an_address_may_be_known_in_two_customers_directories(stage: Stage) -> None:
    question = {"$filter": "otherMails/any(p:p eq 'twin@home.example')"}
    for tenant in ("contoso", "fabrikam"):
        assert len(stage.graph("GET", "users", params=question, tenant=tenant).json()["value"]) == 1
    question = {"$filter": "otherMails/any(p:p eq 'twin@fabrikam.com')"}
    assert len(stage.graph("GET", "users", params=question).json()["value"]) == 1
    assert stage.graph("GET", "users/twin@fabrikam.com", tenant="fabrikam").status_code == 200


def test_the_only_protected_group_may_be_the_last_of_many(stage: Stage) -> None:
    groups = stage.control("GET", "tenants")[0]["groups"]
    ids = [groups[f"Protected {number:02}"] for number in range(1, MANY_GROUPS + 1)]
    path = "users/many.groups@contoso.com/checkMemberGroups"
    held = [stage.graph("POST", path, json={"groupIds": part}).json()["value"] for part in (ids[:20], ids[20:])]
    assert held == [[], [ids[-1]]]


def test_a_protected_group_may_hold_somebody_two_groups_deep(stage: Stage) -> None:
    groups = stage.control("GET", "tenants")[0]["groups"]
    path = "users/nested.group@contoso.com/checkMemberGroups"
    assert stage.graph("POST", path, json={"groupIds": [groups["Crown"]]}).json()["value"] == [groups["Crown"]]


def test_somebody_has_every_kind_of_method_and_somebody_keeps_two(stage: Stage) -> None:
    methods = stage.account("every.kind@contoso.com")["methods"]
    assert {one["kind"] for one in methods} == set(METHOD_SEGMENTS)
    assert [one["kind"] for one in methods if one["default"]] == ["phoneAuthenticationMethod"]
    kinds = {one["kind"]: one["id"] for one in stage.account("left.behind@contoso.com")["methods"]}
    assert set(kinds) - set(METHOD_SEGMENTS) == {"quantumRingAuthenticationMethod"}
    stuck = kinds["softwareOathAuthenticationMethod"]
    path = f"users/left.behind@contoso.com/authentication/softwareOathMethods/{stuck}"
    assert stage.graph("DELETE", path).status_code == 400
    assert len(stage.account("left.behind@contoso.com")["methods"]) == 3


def test_a_deleted_account_is_not_found_by_the_id_it_had(stage: Stage) -> None:
    gone = stage.control("GET", "tenants")[0]["deleted"]["gone@contoso.com"]
    assert stage.graph("GET", f"users/{gone}").status_code == 404
    dana = stage.account(DANA)["id"]
    stage.control("DELETE", f"accounts/{DANA}")
    assert stage.graph("GET", f"users/{dana}").status_code == 404
    assert stage.control("GET", "tenants")[0]["deleted"][DANA] == dana


# -- many customers ---------------------------------------------------------------------------------------------


def reach(stage: Stage, key: str, upn: str) -> Any:
    return stage.graph("GET", f"users/{upn}", tenant=key).status_code


def test_customers_can_be_added_and_each_has_its_own_directory_and_client(stage: Stage) -> None:
    added = stage.control("POST", "tenants", count=2, users=3)
    added += stage.control("POST", "tenants", count=1, users=1)
    assert [one["key"] for one in added] == ["customer01", "customer02", "customer03"]
    assert reach(stage, "customer02", "user03@customer02.example") == 200
    assert reach(stage, "customer02", "user03@customer01.example") == 404
    clients = {one["name"]: one for one in stage.control("GET", "overview")["clients"]}
    assert clients["Customer 02"]["approvers"] == ["approver@customer02.example"]
    number = stage.ticket(
        client_id=clients["Customer 02"]["id"],
        requester="requester@customer02.example",
        subject="user01@customer02.example",
    )
    assert stage.control("GET", f"tickets/{number}")["client"] == "Customer 02"


def test_a_world_can_begin_with_many_customers_and_the_same_ids_each_time() -> None:
    worlds = [World(seed=4, gentle=True, extra_tenants=20, extra_users=25) for _ in range(2)]
    ids = [[account.id for _, account in world.directory.accounts()] for world in worlds]
    assert ids[0] == ids[1]
    assert len(worlds[0].directory.tenants) == 22
    assert len(worlds[0].directory.tenants["customer20"].accounts) == 27
