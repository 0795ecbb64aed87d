"""The imitated Graph answers, and refuses, as Microsoft's documentation says."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from sandbox.graph import Graph
from sandbox.graph_call import GraphError
from sandbox.tokens import Issuer
from sandbox.world import World
from tests.sandbox.conftest import DANA, FARID, Stage, new_password

PROTECTED = ("karin@contoso.com", "lars@contoso.com", "nils@contoso.com")
EVENTUAL = {"ConsistencyLevel": "eventual"}


def set_password(stage: Stage, upn: str, password: str, **flags: Any) -> Any:
    return stage.graph("PATCH", f"users/{upn}", json={"passwordProfile": {"password": password} | flags})


def methods_of(stage: Stage, upn: str) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = stage.graph("GET", f"users/{upn}/authentication/methods").json()["value"]
    return value


# -- reading ----------------------------------------------------------------------------------------------------


def test_a_user_has_default_properties_only_unless_selected(stage: Stage) -> None:
    plain = stage.graph("GET", f"users/{DANA}").json()
    assert "accountEnabled" not in plain
    assert "userType" not in plain
    chosen = stage.graph("GET", f"users/{DANA}?$select=id,accountEnabled,onPremisesSyncEnabled,userType").json()
    assert {name for name in chosen if not name.startswith("@")} == {
        "id", "accountEnabled", "onPremisesSyncEnabled", "userType",
    }  # fmt: skip
    assert chosen["onPremisesSyncEnabled"] is None


def test_a_user_is_found_by_id_and_by_name_in_any_case(stage: Stage) -> None:
    by_name = stage.graph("GET", "users/DANA@Contoso.com").json()
    assert stage.graph("GET", f"users/{by_name['id']}").json()["userPrincipalName"] == DANA


def test_an_unknown_property_is_refused(stage: Stage) -> None:
    assert stage.graph("GET", f"users/{DANA}?$select=id,madeUp").status_code == 400


def test_an_unknown_user_is_not_found(stage: Stage) -> None:
    answer = stage.graph("GET", "users/nobody@contoso.com")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "Request_ResourceNotFound")
    assert answer.headers["request-id"]
    assert answer.json()["error"]["innerError"]["request-id"]


def test_the_callers_request_id_comes_back(stage: Stage) -> None:
    answer = stage.graph("GET", "organization", headers={"client-request-id": "mine"})
    assert answer.headers["client-request-id"] == "mine"


def test_a_tenant_never_sees_another_tenants_users(stage: Stage) -> None:
    assert stage.graph("GET", f"users/{DANA}", tenant="fabrikam").status_code == 404
    assert stage.graph("GET", "users/hana@fabrikam.com", tenant="fabrikam").status_code == 200


def test_a_guest_is_reached_only_with_an_encoded_name(stage: Stage) -> None:
    encoded = "ines_example.com%23EXT%23@contoso.onmicrosoft.com"
    assert stage.graph("GET", f"users/{encoded}?$select=userType,creationType").json()["userType"] == "Guest"
    assert stage.graph("GET", "users/ines_example.com#EXT#@contoso.onmicrosoft.com").status_code == 404


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("userPrincipalName eq 'dana@contoso.com'", [DANA]),
        ("userPrincipalName eq 'oona.o''neil@contoso.com'", ["oona.o'neil@contoso.com"]),
        ("mail eq 'paul+sales@contoso.com'", ["paul+sales@contoso.com"]),
        ("mail eq 'nobody@contoso.com' or userPrincipalName eq 'DANA@contoso.com'", [DANA]),
        ("proxyAddresses/any(p:p eq 'smtp:d.subject@contoso.com')", [DANA]),
        ("otherMails/any(m:m eq 'dana@home.example')", [DANA]),
        ("startswith(displayName,'Dana') and accountEnabled eq true", [DANA]),
        ("accountEnabled eq false", ["jan@contoso.com"]),
        ("mail eq ' or '", []),
    ],
)
def test_users_can_be_filtered(stage: Stage, text: str, found: list[str]) -> None:
    answer = stage.graph("GET", "users", params={"$filter": text})
    assert [one["userPrincipalName"] for one in answer.json()["value"]] == found


def test_a_filter_that_is_not_understood_is_refused(stage: Stage) -> None:
    answer = stage.graph("GET", "users", params={"$filter": "length(displayName) gt 3"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "Request_UnsupportedQuery")


def test_search_needs_its_header(stage: Stage) -> None:
    query = {"$search": '"displayName:dan" OR "mail:dan"', "$count": "true"}
    assert stage.graph("GET", "users", params=query).status_code == 400
    answer = stage.graph("GET", "users", params=query, headers=EVENTUAL).json()
    assert [one["userPrincipalName"] for one in answer["value"]] == [DANA]
    assert answer["@odata.count"] == 1


def test_long_lists_are_paged_by_next_link(stage: Stage) -> None:
    answer = stage.graph("GET", "users", params={"$top": "10", "$select": "id"}).json()
    seen = [one["id"] for one in answer["value"]]
    while "@odata.nextLink" in answer:
        path = answer["@odata.nextLink"].split("/v1.0/")[1]
        answer = stage.graph("GET", path).json()
        seen += [one["id"] for one in answer["value"]]
    assert len(seen) == len(set(seen)) == len(stage.world.directory.tenants["contoso"].accounts)


def test_domains_and_organization_describe_the_tenant(stage: Stage) -> None:
    kinds = {one["id"]: one["authenticationType"] for one in stage.graph("GET", "domains").json()["value"]}
    assert kinds["contoso.com"] == "Managed"
    assert kinds["partners.contoso.com"] == "Federated"
    organization = stage.graph("GET", "organization?$select=id,verifiedDomains").json()["value"][0]
    assert organization["id"] == stage.world.directory.tenants["contoso"].id
    assert "contoso.com" in [one["name"] for one in organization["verifiedDomains"]]


@pytest.mark.parametrize("cast", ["microsoft.graph.directoryRole", "graph.directoryRole"])
@pytest.mark.parametrize(("upn", "count"), [("karin@contoso.com", 1), ("lars@contoso.com", 1), (DANA, 0)])
def test_roles_are_listed_also_those_held_through_a_group(stage: Stage, upn: str, count: int, cast: str) -> None:
    rows = stage.graph("GET", f"users/{upn}/transitiveMemberOf/{cast}?$select=id,displayName").json()["value"]
    assert len(rows) == count
    # Without a permission to read roles their names are null, so only the number says something.
    assert all(row["displayName"] is None for row in rows)


def test_with_the_permission_roles_have_names(stage: Stage) -> None:
    tenant = stage.world.directory.tenants["contoso"]
    stage.control("PATCH", "tenants/contoso", permissions=[*tenant.permissions, "RoleManagement.Read.Directory"])
    rows = stage.graph("GET", "users/karin@contoso.com/transitiveMemberOf/microsoft.graph.directoryRole").json()
    assert rows["value"][0]["displayName"] == "Global Administrator"


def test_role_assignable_groups_are_found_by_an_advanced_query(stage: Stage) -> None:
    path = "users/lars@contoso.com/transitiveMemberOf/microsoft.graph.group"
    query = {"$filter": "isAssignableToRole eq true", "$count": "true"}
    assert stage.graph("GET", path, params=query).status_code == 400
    assert len(stage.graph("GET", path, params=query, headers=EVENTUAL).json()["value"]) == 1


def test_owned_groups_and_the_manager_can_be_read(stage: Stage) -> None:
    owned = stage.graph("GET", "users/nils@contoso.com/ownedObjects").json()["value"]
    assert [one["@odata.type"] for one in owned] == ["#microsoft.graph.group"]
    assert stage.graph("GET", f"users/{DANA}/manager?$select=mail").json()["mail"] == "anna@contoso.com"
    assert stage.graph("GET", "users/emil@contoso.com/manager").status_code == 404


def test_groups_are_listed_with_their_owners_by_who_may_read_groups(stage: Stage) -> None:
    query = {
        "$filter": "isAssignableToRole eq true",
        "$count": "true",
        "$select": "id",
        "$expand": "owners($select=id)",
    }
    assert stage.graph("GET", "groups", params=query, headers=EVENTUAL).status_code == 403
    stage.control("PATCH", "tenants/contoso", grant=["GroupMember.Read.All"])
    stage.tokens.clear()
    assert stage.graph("GET", "groups", params=query).status_code == 400
    rows = stage.graph("GET", "groups", params=query, headers=EVENTUAL).json()["value"]
    assert stage.account("nils@contoso.com")["id"] in [owner["id"] for row in rows for owner in row["owners"]]


def test_membership_in_a_protected_group_is_transitive(stage: Stage) -> None:
    groups = {group.name: group.id for group in stage.world.directory.tenants["contoso"].groups.values()}
    body = {"groupIds": [groups["Do not reset"], groups["All staff"]]}
    answer = stage.graph("POST", "users/mira@contoso.com/checkMemberGroups", json=body)
    assert answer.json()["value"] == [groups["Do not reset"]]


def test_at_most_twenty_groups_can_be_asked_for(stage: Stage) -> None:
    answer = stage.graph("POST", f"users/{DANA}/checkMemberGroups", json={"groupIds": ["x"] * 21})
    assert answer.status_code == 400


# -- tokens and permissions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Basic abc"])
def test_without_a_good_token_nothing_is_answered_and_nothing_changes(stage: Stage, token: str) -> None:
    body = {"passwordProfile": {"password": new_password()}}
    answer = stage.graph("PATCH", f"users/{DANA}", json=body, headers={"Authorization": token})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert stage.account(DANA)["writes"] == 0


def test_a_token_expires(stage: Stage) -> None:
    assert stage.graph("GET", "organization").status_code == 200
    stage.clock.forward(hours=1)
    assert stage.graph("GET", "organization").status_code == 401


@pytest.mark.parametrize(
    ("permission", "method", "path", "body"),
    [
        ("User.Read.All", "GET", f"users/{DANA}", None),
        ("User-PasswordProfile.ReadWrite.All", "PATCH", f"users/{DANA}", {"passwordProfile": {"password": "x"}}),
        ("User.RevokeSessions.All", "POST", f"users/{DANA}/revokeSignInSessions", None),
        ("UserAuthenticationMethod.ReadWrite.All", "GET", f"users/{DANA}/authentication/methods", None),
        ("Domain.Read.All", "GET", "domains", None),
    ],
)
def test_a_missing_permission_is_refused_and_nothing_changes(
    stage: Stage, permission: str, method: str, path: str, body: Any
) -> None:
    granted = stage.world.directory.tenants["contoso"].permissions - {permission}
    stage.control("PATCH", "tenants/contoso", permissions=sorted(granted))
    answer = stage.graph(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")
    assert stage.account(DANA)["writes"] == 0
    assert stage.control("GET", "mails") == []


def test_a_token_from_before_a_consent_keeps_its_old_permissions(stage: Stage) -> None:
    tenant = stage.world.directory.tenants["contoso"]
    everything = sorted(tenant.permissions)
    stage.control("PATCH", "tenants/contoso", permissions=[])
    assert stage.graph("GET", f"users/{DANA}").status_code == 403
    stage.control("PATCH", "tenants/contoso", permissions=everything)
    assert stage.graph("GET", f"users/{DANA}").status_code == 403
    stage.tokens.clear()
    assert stage.graph("GET", f"users/{DANA}").status_code == 200


# -- passwords and sessions -------------------------------------------------------------------------------------


def test_a_password_is_set_must_be_changed_and_is_never_shown(stage: Stage) -> None:
    password = new_password()
    answer = set_password(stage, DANA, password, forceChangePasswordNextSignIn=True)
    assert (answer.status_code, answer.text) == (204, "")
    assert stage.control("POST", f"accounts/{DANA}/check-password", password=password) == {
        "opens": True, "must_change": True,
    }  # fmt: skip
    assert not stage.control("POST", f"accounts/{DANA}/check-password", password=new_password())["opens"]
    changed = stage.graph("GET", f"users/{DANA}?$select=lastPasswordChangeDateTime").json()
    assert changed["lastPasswordChangeDateTime"] == "2026-11-22T09:00:00Z"
    everything_told = repr(stage.control("GET", "accounts")) + repr(stage.control("GET", "exchanges"))
    assert password not in everything_told + repr(stage.world.directory.find(DANA))


def test_a_password_without_the_flag_must_be_changed_too_and_the_flag_can_say_no(stage: Stage) -> None:
    set_password(stage, DANA, new_password())
    assert stage.account(DANA)["must_change"] is True
    set_password(stage, DANA, new_password(), forceChangePasswordNextSignIn=False)
    assert stage.account(DANA)["must_change"] is False


def test_a_body_may_name_its_type_as_microsofts_own_sdk_does(stage: Stage) -> None:
    body = {"@odata.type": "#microsoft.graph.user", "passwordProfile": {"password": new_password()}}
    assert stage.graph("PATCH", f"users/{DANA}", json=body).status_code == 204
    assert stage.account(DANA)["write_log"] == ["password"]


def test_a_disabled_account_is_not_opened_by_its_password(stage: Stage) -> None:
    password = new_password()
    assert set_password(stage, "jan@contoso.com", password).status_code == 204
    assert not stage.control("POST", "accounts/jan@contoso.com/check-password", password=password)["opens"]


@pytest.mark.parametrize("weak", ["Ab1!", "aaaaaaaaaa", "Contoso123!", "Pässwörd123!", "Password1!", "A1!" + "a" * 254])
def test_a_password_against_the_policy_is_refused_and_nothing_changes(stage: Stage, weak: str) -> None:
    answer = set_password(stage, DANA, weak)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "Request_BadRequest")
    assert "complexity" in answer.json()["error"]["message"]
    assert stage.account(DANA)["writes"] == 0


@pytest.mark.parametrize(
    "upn", ["grete@contoso.com", "henk@partners.contoso.com", "ines_example.com%23EXT%23@contoso.onmicrosoft.com"]
)
def test_a_password_that_lives_elsewhere_cannot_be_set(stage: Stage, upn: str) -> None:
    answer = set_password(stage, upn, new_password())
    assert answer.status_code == 400
    if upn.startswith("grete"):
        assert "on-premises mastered Directory Sync objects" in answer.json()["error"]["message"]
    assert stage.account(upn)["writes"] == 0


@pytest.mark.parametrize("upn", PROTECTED)
def test_an_ordinary_role_does_not_reach_protected_accounts(stage: Stage, upn: str) -> None:
    for answer in (set_password(stage, upn, new_password()), stage.graph("POST", f"users/{upn}/revokeSignInSessions")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")
    assert stage.account(upn)["writes"] == 0


def test_no_role_at_all_is_enough_for_ordinary_users(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", application_roles=[])
    assert set_password(stage, DANA, new_password()).status_code == 204


def test_a_privileged_role_reaches_everybody(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", application_roles=["Privileged Authentication Administrator"])
    assert [set_password(stage, upn, new_password()).status_code for upn in PROTECTED] == [204, 204, 204]


def test_methods_of_protected_accounts_are_not_protected_by_microsoft(stage: Stage) -> None:
    """No page bounds the method permission by roles, so the connector has to."""
    method = methods_of(stage, "karin@contoso.com")[1]
    path = f"users/karin@contoso.com/authentication/microsoftAuthenticatorMethods/{method['id']}"
    assert stage.graph("DELETE", path).status_code == 204


def test_other_properties_need_other_permissions(stage: Stage) -> None:
    answer = stage.graph("PATCH", f"users/{DANA}", json={"accountEnabled": False})
    assert answer.status_code == 403
    assert stage.account(DANA)["enabled"] is True


def test_revoking_sessions_moves_the_date_and_may_be_repeated(stage: Stage) -> None:
    for _ in range(2):
        stage.clock.forward(minutes=1)
        assert stage.graph("POST", f"users/{DANA}/revokeSignInSessions").json()["value"] is True
    account = stage.account(DANA)
    assert account["sessions_revoked_at"].startswith("2026-11-22T09:02")
    assert account["write_log"] == ["revoke", "revoke"]


# -- methods ----------------------------------------------------------------------------------------------------

SEGMENTS = {
    "fido2": "fido2Methods",
    "windowsHelloForBusiness": "windowsHelloForBusinessMethods",
    "softwareOath": "softwareOathMethods",
    "microsoftAuthenticator": "microsoftAuthenticatorMethods",
    "phone": "phoneMethods",
    "email": "emailMethods",
    "platformCredential": "platformCredentialMethods",
    "external": "externalAuthenticationMethods",
    "resourceAccountKey": "resourceAccountKeyAuthenticationMethods",
}


def delete(stage: Stage, upn: str, kind: str, **wanted: str) -> Any:
    rows = methods_of(stage, upn)
    name = f"#microsoft.graph.{kind}AuthenticationMethod"
    row = next(r for r in rows if r["@odata.type"] == name and all(r[k] == v for k, v in wanted.items()))
    return stage.graph("DELETE", f"users/{upn}/authentication/{SEGMENTS[kind]}/{row['id']}")


def test_the_default_method_goes_last(stage: Stage) -> None:
    refused = delete(stage, DANA, "microsoftAuthenticator")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "badRequest")
    assert refused.json()["error"]["innerError"]["message"] == refused.json()["error"]["message"]
    assert delete(stage, DANA, "phone").status_code == 204
    assert delete(stage, DANA, "microsoftAuthenticator").status_code == 204
    assert [row["@odata.type"] for row in methods_of(stage, DANA)] == [
        "#microsoft.graph.passwordAuthenticationMethod",
        "#microsoft.graph.emailAuthenticationMethod",
    ]


def test_the_alternate_phone_goes_before_the_first(stage: Stage) -> None:
    refused = delete(stage, FARID, "phone", phoneType="mobile")
    assert refused.status_code == 400
    assert "without first deleting alternate mobile" in refused.json()["error"]["message"]
    assert delete(stage, FARID, "phone", phoneType="alternateMobile").status_code == 204
    assert delete(stage, FARID, "phone", phoneType="mobile").status_code == 204


def test_every_type_has_its_own_address(stage: Stage) -> None:
    for kind in ("platformCredential", "external", "resourceAccountKey"):
        assert delete(stage, "quinn@contoso.com", kind).status_code == 204
    base = "users/quinn@contoso.com/authentication"
    assert stage.graph("GET", f"{base}/qrCodePinMethod").status_code == 200
    assert stage.graph("DELETE", f"{base}/qrCodePinMethod").status_code == 204
    assert len(methods_of(stage, "quinn@contoso.com")) == 1


def test_a_method_that_is_gone_answers_404(stage: Stage) -> None:
    identity = methods_of(stage, DANA)[3]["id"]
    path = f"users/{DANA}/authentication/emailMethods/{identity}"
    assert [stage.graph("DELETE", path).status_code for _ in range(2)] == [204, 404]


def test_the_password_method_and_untyped_addresses_cannot_be_deleted(stage: Stage) -> None:
    rows = methods_of(stage, DANA)
    base = f"users/{DANA}/authentication"
    assert stage.graph("DELETE", f"{base}/passwordMethods/{rows[0]['id']}").status_code == 405
    assert stage.graph("DELETE", f"{base}/methods/{rows[1]['id']}").status_code == 404
    assert len(methods_of(stage, DANA)) == len(rows)
    assert stage.graph("GET", f"{base}/methods/{rows[1]['id']}").json()["id"] == rows[1]["id"]
    assert stage.graph("GET", f"{base}/passwordMethods").json()["value"][0]["id"] == rows[0]["id"]


def test_a_narrow_permission_deletes_its_own_type_only(stage: Stage) -> None:
    granted = ["User.Read.All", "UserAuthenticationMethod.Read.All", "UserAuthMethod-Phone.ReadWrite.All"]
    stage.control("PATCH", "tenants/contoso", permissions=granted)
    assert delete(stage, DANA, "phone").status_code == 204
    assert delete(stage, DANA, "email").status_code == 403


def test_authentication_methods_are_throttled_per_tenant(stage: Stage) -> None:
    stage.control("POST", "limits", methods_requests=5)
    path = "users/{}/authentication/methods"
    answers = [stage.graph("GET", path.format(DANA)) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].headers["Retry-After"] == "10"
    assert stage.graph("GET", path.format("hana@fabrikam.com"), tenant="fabrikam").status_code == 200
    stage.clock.forward(seconds=10)
    assert stage.graph("GET", path.format(DANA)).status_code == 200


def test_a_throttled_delete_deletes_nothing(stage: Stage) -> None:
    stage.control("POST", "limits", methods_requests=1)
    assert delete(stage, DANA, "email").status_code == 429
    assert len(stage.account(DANA)["methods"]) == 3


# -- batches and mail -------------------------------------------------------------------------------------------


def batch(stage: Stage, *items: dict[str, Any]) -> Any:
    return stage.graph("POST", "$batch", json={"requests": list(items)})


def test_a_batch_answers_each_item_by_itself_in_any_order(stage: Stage) -> None:
    items = [{"id": str(n), "method": "GET", "url": f"/users/{DANA}?$select=id"} for n in range(9)]
    items.append({"id": "missing", "method": "GET", "url": "/users/nobody@contoso.com"})
    items.append(
        {
            "id": "groups",
            "method": "POST",
            "url": f"/users/{DANA}/checkMemberGroups",
            "headers": {"Content-Type": "application/json"},
            "body": {"groupIds": ["x"]},
        }
    )
    answer = batch(stage, *items)
    assert answer.status_code == 200
    answers = {one["id"]: one["status"] for one in answer.json()["responses"]}
    assert answers == {str(n): 200 for n in range(9)} | {"missing": 404, "groups": 200}
    assert list(answers) != [item["id"] for item in items]


def test_an_item_without_content_has_no_body(stage: Stage) -> None:
    password = new_password()
    item = {
        "id": "1",
        "method": "PATCH",
        "url": f"/users/{DANA}",
        "headers": {"Content-Type": "application/json"},
        "body": {"passwordProfile": {"password": password}},
    }
    answer = batch(stage, item).json()["responses"][0]
    assert answer["status"] == 204
    assert "body" not in answer
    assert password not in repr(stage.control("GET", "exchanges"))


def test_an_item_with_a_body_needs_its_content_type(stage: Stage) -> None:
    item = {"id": "1", "method": "POST", "url": f"/users/{DANA}/checkMemberGroups", "body": {"groupIds": ["x"]}}
    assert batch(stage, item).json()["responses"][0]["status"] == 400
    # The contract check finds the same mistake.
    stage.world.record.exchanges.pop()


def test_items_that_depend_on_a_failed_one_are_not_carried_out(stage: Stage) -> None:
    answer = batch(
        stage,
        {"id": "a", "method": "GET", "url": "/users/nobody@contoso.com"},
        {"id": "b", "method": "POST", "url": f"/users/{DANA}/revokeSignInSessions", "dependsOn": ["a"]},
    )
    assert {one["id"]: one["status"] for one in answer.json()["responses"]} == {"a": 404, "b": 424}
    assert stage.account(DANA)["writes"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requests": []},
        {"requests": [{"id": str(n), "method": "GET", "url": "/organization"} for n in range(21)]},
        {
            "requests": [
                {"id": "A", "method": "GET", "url": "/domains"},
                {"id": "a", "method": "GET", "url": "/domains"},
            ]
        },
        {"requests": [{"id": 1, "method": "GET", "url": "/domains"}]},
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(stage: Stage, body: dict[str, Any]) -> None:
    assert stage.graph("POST", "$batch", json=body).status_code == 400


def test_one_item_of_a_batch_can_be_made_to_fail(stage: Stage) -> None:
    stage.fault("graph", "status", match=r"organization in \$batch", status=429, headers={"Retry-After": "7"})
    answers = batch(
        stage,
        {"id": "1", "method": "GET", "url": "/organization"},
        {"id": "2", "method": "GET", "url": "/domains"},
    ).json()["responses"]
    by_id = {one["id"]: one for one in answers}
    assert (by_id["1"]["status"], by_id["1"]["headers"]["Retry-After"], by_id["2"]["status"]) == (429, "7", 200)
    assert stage.control("GET", "calls")["batch_items"] == {"GET /organization": 1, "GET /domains": 1}


def test_a_mail_sent_through_graph_arrives(stage: Stage) -> None:
    canary = secrets.token_hex(8)
    message = {
        "subject": "Hello",
        "body": {"contentType": "html", "content": f"<p>{canary}</p>"},
        "toRecipients": [{"emailAddress": {"address": DANA}}],
    }
    body = {"message": message, "saveToSentItems": False}
    answer = stage.graph("POST", "users/anna@contoso.com/sendMail", json=body)
    assert (answer.status_code, answer.text) == (202, "")
    mail = stage.control("GET", "mails")[0]
    assert (mail["via"], mail["sender"], mail["recipients"]) == ("graph", "anna@contoso.com", [DANA])
    assert canary in mail["html"]


def test_unknown_segments_and_verbs_are_refused(stage: Stage) -> None:
    assert stage.graph("GET", "nonsense").status_code == 400
    assert stage.graph("DELETE", f"users/{DANA}").status_code == 405
    url = f"{stage.addresses.graph}/beta/users/{DANA}"
    headers = {"Authorization": f"Bearer {stage.tokens['contoso']}"}
    assert stage.http.get(url, headers=headers, timeout=10).status_code == 400
    for _ in range(2):
        stage.world.record.exchanges.remove(
            next(one for one in stage.world.record.exchanges if one.path.endswith("nonsense") or "/beta/" in one.path)
        )


def test_in_an_unkind_world_some_errors_are_spelt_the_old_way() -> None:
    graph = Graph(World(seed=2, gentle=False), Issuer())
    errors = [graph.error_reply(GraphError(404, "Request_ResourceNotFound", "x")).body["error"] for _ in range(60)]
    spellings = {name for error in errors for name in error if name.lower() == "innererror"}
    assert spellings == {"innerError", "innererror"}
    assert all(error["code"] and error["message"] for error in errors)
