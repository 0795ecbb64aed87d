"""Role assignments, policy and registration report of the imitated Graph; and reads that lag behind writes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
import requests

from sandbox.world import World
from tests.sandbox.conftest import ANNA, DANA, FARID, Stage, new_password

ASSIGNMENTS = "roleManagement/directory/roleAssignments"
ELIGIBLE = "roleManagement/directory/roleEligibilityScheduleInstances"
PASSES = "policies/authenticationMethodsPolicy/authenticationMethodConfigurations/TemporaryAccessPass"
DETAILS = "reports/authenticationMethods/userRegistrationDetails"
GLOBAL, USER_ADMIN = "62e90394-69f5-4237-9190-012177145e10", "fe930be7-5e62-47db-91af-98c3a49a38b1"


def grant(stage: Stage, *permissions: str, tenant: str = "contoso") -> None:
    stage.control("PATCH", f"tenants/{tenant}", grant=list(permissions))
    stage.tokens.clear()


def id_of(stage: Stage, upn: str) -> str:
    return str(stage.account(upn)["id"])


def rows(stage: Stage, path: str, principal: str) -> Any:
    answer = stage.graph("GET", path, params={"$filter": f"principalId eq '{principal}'"})
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


def wrapped_code(answer: requests.Response) -> str:
    """The code of a service whose error arrives as JSON inside the message."""
    error = answer.json()["error"]
    assert error["code"] == "UnknownError"
    return str(json.loads(error["message"])["errorCode"])


# -- roles ------------------------------------------------------------------------------------------------------


def test_role_assignments_need_their_permission(stage: Stage) -> None:
    assert stage.graph("GET", ASSIGNMENTS).status_code == 403


def test_the_applications_own_roles_can_be_read_by_its_object_id(stage: Stage) -> None:
    grant(stage, "RoleManagement.Read.Directory")
    principal = stage.control("GET", "tenants")[0]["object_id"]
    assert [row["roleDefinitionId"] for row in rows(stage, ASSIGNMENTS, principal)] == [USER_ADMIN]
    stage.control("PATCH", "tenants/contoso", application_roles=[])
    assert rows(stage, ASSIGNMENTS, principal) == []


def test_a_users_assignments_are_the_direct_ones_whatever_their_scope(stage: Stage) -> None:
    grant(stage, "RoleManagement.Read.Directory")
    assert [row["roleDefinitionId"] for row in rows(stage, ASSIGNMENTS, id_of(stage, "karin@contoso.com"))] == [GLOBAL]
    unit = rows(stage, ASSIGNMENTS, id_of(stage, "role.restricted-unit@contoso.com"))
    assert unit[0]["directoryScopeId"].startswith("/administrativeUnits/")
    # Held through a group: the assignment is the group's.
    assert rows(stage, ASSIGNMENTS, id_of(stage, "lars@contoso.com")) == []


def test_a_custom_role_shows_as_an_assignment_only(stage: Stage) -> None:
    grant(stage, "RoleManagement.Read.Directory")
    principal = id_of(stage, "role.custom@contoso.com")
    assert len(rows(stage, ASSIGNMENTS, principal)) == 1
    path = f"users/{principal}/transitiveMemberOf/microsoft.graph.directoryRole"
    assert stage.graph("GET", path).json()["value"] == []


@pytest.mark.parametrize("permission", ["RoleManagement.Read.Directory", "RoleEligibilitySchedule.Read.Directory"])
def test_eligible_roles_can_be_read_and_are_not_active(stage: Stage, permission: str) -> None:
    refused = stage.graph("GET", ELIGIBLE)
    assert (refused.status_code, wrapped_code(refused)) == (403, "PermissionScopeNotGranted")
    grant(stage, permission)
    principal = id_of(stage, "eligible.role@contoso.com")
    assert [row["roleDefinitionId"] for row in rows(stage, ELIGIBLE, principal)] == [GLOBAL]
    assert stage.graph("GET", f"users/{principal}/transitiveMemberOf").json()["value"] == []
    assert rows(stage, ELIGIBLE, id_of(stage, DANA)) == []


def test_a_documented_permission_for_eligible_roles_does_not_work(stage: Stage) -> None:
    grant(stage, "RoleManagement.Read.All")
    assert stage.graph("GET", ELIGIBLE).status_code == 403


def test_without_its_licence_eligibility_cannot_be_read(stage: Stage) -> None:
    grant(stage, "RoleManagement.Read.Directory", tenant="fabrikam")
    answer = stage.graph("GET", ELIGIBLE, tenant="fabrikam")
    assert (answer.status_code, wrapped_code(answer)) == (400, "AadPremiumLicenseRequired")


# -- policy and report ------------------------------------------------------------------------------------------


def test_the_policy_for_passes_can_be_read_with_its_permission(stage: Stage) -> None:
    assert stage.graph("GET", PASSES).status_code == 403
    grant(stage, "Policy.Read.AuthenticationMethod")
    stage.control("PATCH", "tenants/contoso", pass_policy={"state": "disabled", "isUsableOnce": True})
    policy = stage.graph("GET", PASSES).json()
    assert (policy["state"], policy["isUsableOnce"], policy["maximumLifetimeInMinutes"]) == ("disabled", True, 480)


def test_the_report_says_who_can_help_themselves(stage: Stage) -> None:
    grant(stage, "AuditLog.Read.All")
    selma = stage.graph("GET", f"{DETAILS}/{id_of(stage, 'self.service@contoso.com')}").json()
    assert (selma["isSsprEnabled"], selma["isSsprRegistered"], selma["isSsprCapable"]) == (True, True, True)
    assert selma["methodsRegistered"] == ["microsoftAuthenticatorPush", "mobilePhone", "email"]
    assert selma["userPreferredMethodForSecondaryAuthentication"] == "push"
    dana = stage.graph("GET", f"{DETAILS}/{id_of(stage, DANA)}").json()
    assert (dana["isSsprEnabled"], dana["isSsprCapable"], dana["isMfaRegistered"]) == (False, False, True)


def test_the_report_can_be_filtered_and_paged(stage: Stage) -> None:
    grant(stage, "AuditLog.Read.All")
    capable = stage.graph("GET", DETAILS, params={"$filter": "isSsprCapable eq true"}).json()["value"]
    assert [row["userPrincipalName"] for row in capable] == ["self.service@contoso.com"]
    answer = stage.graph("GET", DETAILS, params={"$top": "2"}).json()
    assert len(answer["value"]) == 2
    assert answer["@odata.nextLink"]


def test_the_report_knows_neither_strangers_nor_disabled_users(stage: Stage) -> None:
    grant(stage, "AuditLog.Read.All")
    for upn in ("jan@contoso.com", "hana@fabrikam.com"):
        assert stage.graph("GET", f"{DETAILS}/{id_of(stage, upn)}").status_code == 404


def test_the_report_needs_its_permission_then_its_licence(stage: Stage) -> None:
    path = f"{DETAILS}/{id_of(stage, 'hana@fabrikam.com')}"
    codes = []
    for _ in range(2):
        answer = stage.graph("GET", path, tenant="fabrikam")
        codes.append((answer.status_code, answer.json()["error"]["code"]))
        grant(stage, "AuditLog.Read.All", tenant="fabrikam")
    assert codes == [
        (403, "Authentication_MSGraphPermissionMissing"),
        (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant"),
    ]
    stage.control("PATCH", "tenants/fabrikam", licences=["P1"])
    assert stage.graph("GET", path, tenant="fabrikam").status_code == 200


def test_asking_for_the_last_sign_in_without_licence_refuses_the_whole_user(stage: Stage) -> None:
    grant(stage, "AuditLog.Read.All", tenant="fabrikam")
    path = "users/hana@fabrikam.com?$select=id,signInActivity"
    assert stage.graph("GET", path, tenant="fabrikam").status_code == 403


def test_the_report_is_hours_late(stage: Stage) -> None:
    grant(stage, "AuditLog.Read.All")
    method = stage.account("ivo@fabrikam.com")["methods"][0]["id"]
    path = f"users/ivo@fabrikam.com/authentication/phoneMethods/{method}"
    assert stage.graph("DELETE", path, tenant="fabrikam").status_code == 204
    stage.control("PATCH", "tenants/fabrikam", licences=["P1"], grant=["AuditLog.Read.All"])
    stage.tokens.clear()
    report = f"{DETAILS}/{id_of(stage, 'ivo@fabrikam.com')}"
    assert stage.graph("GET", report, tenant="fabrikam").json()["isMfaRegistered"] is True
    stage.control("POST", "habits", report_late_seconds=0)
    assert stage.graph("GET", report, tenant="fabrikam").json()["isMfaRegistered"] is False


def test_the_report_shares_the_five_requests_with_the_methods_and_a_provoked_429_is_on_record(stage: Stage) -> None:
    grant(stage, "AuditLog.Read.All")
    stage.control("POST", "limits", methods_requests=5)
    report, methods = f"{DETAILS}/{id_of(stage, DANA)}", f"users/{DANA}/authentication/methods"
    paths = [methods, report] * 2 + [methods]
    assert [stage.graph("GET", path).status_code for path in paths] == [200] * 5
    assert stage.control("GET", "calls")["throttled"] == {}
    refused = stage.graph("GET", report)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    assert stage.control("GET", "calls")["throttled"] == {"methods contoso reset": 1}


def test_the_limit_counts_for_each_application_and_in_batches(stage: Stage) -> None:
    stage.control("POST", "limits", methods_requests=1)
    item = {"method": "GET", "url": f"/users/{DANA}/authentication/methods"}
    body = {"requests": [item | {"id": "1"}, item | {"id": "2"}]}
    answers = stage.graph("POST", "$batch", json=body).json()["responses"]
    assert sorted(one["status"] for one in answers) == [200, 429]
    known = stage.world.credentials
    own = {"client_id": known.graph_mfa_client_id, "client_secret": known.graph_mfa_client_secret}
    stage.tokens["contoso"] = stage.graph_token(**own).json()["access_token"]
    assert stage.graph("GET", f"users/{DANA}/authentication/methods").status_code == 200


# -- several in one -------------------------------------------------------------------------------------------


def test_all_of_it_works_inside_a_batch(stage: Stage) -> None:
    grant(stage, "AuditLog.Read.All", "RoleManagement.Read.Directory", "Policy.Read.AuthenticationMethod")
    principal = id_of(stage, "karin@contoso.com")
    wanted = quote(f"principalId eq '{principal}'")
    urls = {
        "active": f"/{ASSIGNMENTS}?$filter={wanted}",
        "eligible": f"/{ELIGIBLE}?$filter={wanted}",
        "policy": f"/{PASSES}",
        "report": f"/{DETAILS}/{principal}",
        "reports": f"/{DETAILS}?$filter={quote('isAdmin eq true')}&$top=1",
    }
    items = [{"id": name, "method": "GET", "url": url} for name, url in urls.items()]
    answers = {one["id"]: one for one in stage.graph("POST", "$batch", json={"requests": items}).json()["responses"]}
    assert {name: one["status"] for name, one in answers.items()} == dict.fromkeys(urls, 200)
    assert len(answers["active"]["body"]["value"]) == 1
    assert answers["eligible"]["body"]["value"] == []


@pytest.mark.parametrize("refused", [False, True])
def test_a_read_that_depends_on_a_revoke_sees_its_date_or_is_not_made(stage: Stage, refused: bool) -> None:
    upn = "karin@contoso.com" if refused else DANA
    items = [
        {"id": "revoke", "method": "POST", "url": f"/users/{upn}/revokeSignInSessions"},
        {
            "id": "date",
            "method": "GET",
            "url": f"/users/{upn}?$select=signInSessionsValidFromDateTime",
            "dependsOn": ["revoke"],
        },
    ]
    answers = {one["id"]: one for one in stage.graph("POST", "$batch", json={"requests": items}).json()["responses"]}
    if refused:
        assert {name: one["status"] for name, one in answers.items()} == {"revoke": 403, "date": 424}
    else:
        assert answers["date"]["body"]["signInSessionsValidFromDateTime"] == "2026-11-22T09:00:00Z"


# -- reads that lag behind ------------------------------------------------------------------------------------

DATES = f"users/{DANA}?$select=lastPasswordChangeDateTime,signInSessionsValidFromDateTime"


def dates(stage: Stage) -> set[str]:
    record = stage.graph("GET", DATES).json()
    return {record["lastPasswordChangeDateTime"], record["signInSessionsValidFromDateTime"]}


def reset(stage: Stage) -> None:
    profile = {"passwordProfile": {"password": new_password()}}
    assert stage.graph("PATCH", f"users/{DANA}", json=profile).status_code == 204
    assert stage.graph("POST", f"users/{DANA}/revokeSignInSessions").status_code == 200


def test_a_slow_replica_shows_the_old_dates_until_it_has_caught_up(stage: Stage) -> None:
    before = dates(stage)
    stage.control("POST", "habits", stale_seconds=30)
    reset(stage)
    stage.clock.forward(seconds=29)
    assert dates(stage) == before
    stage.clock.forward(seconds=1)
    assert dates(stage) == {"2026-11-22T09:00:00Z"}


def test_after_several_writes_a_slow_replica_goes_through_them_in_order(stage: Stage) -> None:
    stage.control("POST", "habits", stale_seconds=30)
    reset(stage)
    stage.clock.forward(seconds=20)
    reset(stage)
    stage.clock.forward(seconds=10)
    assert dates(stage) == {"2026-11-22T09:00:00Z"}
    stage.clock.forward(seconds=20)
    assert dates(stage) == {"2026-11-22T09:00:20Z"}


def test_a_slow_replica_lists_a_method_that_is_gone(stage: Stage) -> None:
    stage.control("POST", "habits", stale_seconds=5)
    path = f"users/{FARID}/authentication"
    gone = next(one for one in stage.account(FARID)["methods"] if one["kind"].startswith("fido2"))["id"]

    def listed() -> set[str]:
        return {one["id"] for one in stage.graph("GET", f"{path}/methods").json()["value"]}

    before = listed()
    assert stage.graph("DELETE", f"{path}/fido2Methods/{gone}").status_code == 204
    assert listed() == before
    assert stage.graph("DELETE", f"{path}/fido2Methods/{gone}").status_code == 404
    stage.clock.forward(seconds=5)
    assert before - listed() == {gone}


def test_microsofts_clock_may_differ_from_ours(stage: Stage) -> None:
    stage.control("POST", "habits", skew_seconds=-90)
    reset(stage)
    assert dates(stage) == {"2026-11-22T08:58:30Z"}


def test_by_chance_replicas_are_slow_in_an_unkind_world_only() -> None:
    lags = {}
    for gentle in (True, False):
        world = World(seed=3, gentle=gentle)
        lags[gentle] = sum(world.shown_from() > world.now() for _ in range(100))
    assert lags[True] == 0
    assert 0 < lags[False] < 50


def test_an_unknown_habit_is_answered_in_words(stage: Stage) -> None:
    answer = stage.http.post(f"{stage.addresses.control}/control/habits", json={"mood": "bad"}, timeout=10)
    assert answer.status_code == 400
    assert stage.account(ANNA)["writes"] == 0
