"""Role assignments, the policy for passes and the registration report in the imitated Graph.

Sources: learn.microsoft.com/graph/api rbacapplication-list-roleassignments,
rbacapplication-list-roleeligibilityscheduleinstances, temporaryaccesspassauthenticationmethodconfiguration-get and
userregistrationdetails-get, read 2026-11-22.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sandbox.directory import Account, Tenant, graph_time
from sandbox.graph_call import (
    CONTEXT,
    MISSING,
    Call,
    GraphError,
    Handler,
    Reply,
    collection,
    enter_reports_row,
    require_premium,
)
from sandbox.graph_query import filter_test
from sandbox.methods import Method
from sandbox.roles import ROLE_TEMPLATES
from sandbox.world import World

READ_ROLES = ("RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", "RoleManagement.Read.All",
              "Directory.Read.All", "Directory.ReadWrite.All")  # fmt: skip
# RoleManagement.Read.All is documented and does not work. Source: GitHub microsoft-graph-docs-contrib#1980.
READ_ELIGIBILITY = ("RoleEligibilitySchedule.Read.Directory", "RoleEligibilitySchedule.ReadWrite.Directory",
                    "RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory")  # fmt: skip
READ_POLICY = ("Policy.Read.AuthenticationMethod", "Policy.ReadWrite.AuthenticationMethod")

REGISTERED_AS = {
    "emailAuthenticationMethod": "email",
    "microsoftAuthenticatorAuthenticationMethod": "microsoftAuthenticatorPush",
    "softwareOathAuthenticationMethod": "softwareOneTimePasscode",
    "hardwareOathAuthenticationMethod": "hardwareOneTimePasscode",
    "fido2AuthenticationMethod": "passKeyDeviceBound",
    "windowsHelloForBusinessAuthenticationMethod": "windowsHelloForBusiness",
    "temporaryAccessPassAuthenticationMethod": "temporaryAccessPass",
    "platformCredentialAuthenticationMethod": "macOsSecureEnclaveKey",
    "externalAuthenticationMethod": "externalAuthMethod",
    "qrCodePinAuthenticationMethod": "qrCodePin",
}
PASSWORDLESS = {"passKeyDeviceBound", "windowsHelloForBusiness", "macOsSecureEnclaveKey"}
NOT_FOR_SELF_SERVICE = PASSWORDLESS | {"temporaryAccessPass", "externalAuthMethod", "qrCodePin"}
PREFERRED = {
    "microsoftAuthenticatorAuthenticationMethod": "push",
    "softwareOathAuthenticationMethod": "oath",
    "phoneAuthenticationMethod": "sms",
}


class Reports:
    """The handlers; none of them changes anything."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        roles, policies = "/roleManagement/directory", "/policies/authenticationMethodsPolicy"
        details = "/reports/authenticationMethods/userRegistrationDetails"
        return [
            ("GET", f"{roles}/roleAssignments", self.role_assignments),
            ("GET", f"{roles}/roleEligibilityScheduleInstances", self.eligibility),
            ("GET", f"{policies}/authenticationMethodConfigurations/(?P<name>[^/]+)", self.method_policy),
            ("GET", details, self.list_details),
            ("GET", f"{details}/(?P<user>[^/]+)", self.get_details),
        ]

    # -- roles --------------------------------------------------------------------------------------------------

    def role_assignments(self, call: Call) -> Reply:
        """Active assignments to users, groups and applications; a member of a group has none of its own."""
        call.require(*READ_ROLES)
        return _filtered(call, list(_assignments(call.tenant)), "roleManagement/directory/roleAssignments")

    def eligibility(self, call: Call) -> Reply:
        """Roles that wait for activation. Without Entra ID P2 there are none to be had, and Graph says so."""
        if not call.permissions & set(READ_ELIGIBILITY):
            message = f"Authorization failed due to missing permission scope {','.join(READ_ELIGIBILITY)}."
            raise _wrapped(403, "PermissionScopeNotGranted", message)
        if "P2" not in call.tenant.licences:
            message = "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license."
            raise _wrapped(400, "AadPremiumLicenseRequired", message)
        rows = [
            _assignment(call.tenant, principal, role, "/")
            | {
                "roleEligibilityScheduleId": _derived(call.tenant, "schedule", principal, role),
                "memberType": "Direct",
                "startDateTime": graph_time(self.world.now() - timedelta(days=30)),
                "endDateTime": None,
            }
            for principal, roles in call.tenant.eligible_roles.items()
            for role in roles
        ]
        return _filtered(call, rows, "roleManagement/directory/roleEligibilityScheduleInstances")

    # -- policy -------------------------------------------------------------------------------------------------

    def method_policy(self, call: Call, name: str) -> Reply:
        call.require(*READ_POLICY)
        if name.lower() != "temporaryaccesspass":
            raise GraphError(404, "resourceNotFound", "The sandbox knows the policy for TemporaryAccessPass only.")
        return Reply(
            200,
            {
                "@odata.context": f"{CONTEXT}authenticationMethodConfigurations/$entity",
                "@odata.type": "#microsoft.graph.temporaryAccessPassAuthenticationMethodConfiguration",
                "id": "TemporaryAccessPass",
                "excludeTargets": [],
            }
            | call.tenant.pass_policy,
        )

    # -- the registration report --------------------------------------------------------------------------------

    def list_details(self, call: Call) -> Reply:
        self._enter(call)
        rows = [self._details(call.tenant, one) for one in call.tenant.accounts.values() if _is_reported(one)]
        return _filtered(call, rows, "reports/authenticationMethods/userRegistrationDetails")

    def get_details(self, call: Call, user: str) -> Reply:
        """By id. The report has no disabled users."""
        self._enter(call)
        account = call.tenant.accounts.get(user.lower())
        if account is None or not _is_reported(account):
            raise GraphError(404, "Request_ResourceNotFound", MISSING.format(user))
        context = {"@odata.context": f"{CONTEXT}reports/authenticationMethods/userRegistrationDetails/$entity"}
        return Reply(200, context | self._details(call.tenant, account))

    def _enter(self, call: Call) -> None:
        """The throttle, the permission, the licence. The first refusal's code is second-hand."""
        enter_reports_row(self.world, call)
        if "AuditLog.Read.All" not in call.permissions:
            message = "The principal does not have required Microsoft Graph permission(s): AuditLog.Read.All."
            raise GraphError(403, "Authentication_MSGraphPermissionMissing", message)
        require_premium(call)

    def _details(self, tenant: Tenant, account: Account) -> dict[str, Any]:
        now = self.world.now()
        late = timedelta(seconds=self.world.habits.report_late_seconds)
        methods = [*account.methods, *(one.method for one in account.removed if one.at + late > now)]
        registered = [name for name in dict.fromkeys(_registered_as(method) for method in methods) if name]
        strong = [name for name in registered if name != "email"]
        can_reset_oneself = any(name not in NOT_FOR_SELF_SERVICE for name in registered)
        default = next((one.kind for one in account.methods if one.id == account.default_method), "")
        return {
            "id": account.id,
            "userPrincipalName": account.upn,
            "userDisplayName": account.properties["displayName"],
            "userType": "guest" if account.properties["userType"] == "Guest" else "member",
            "isAdmin": bool(tenant.roles_of(account.id)),
            "isMfaCapable": bool(strong),
            "isMfaRegistered": bool(strong),
            "isPasswordlessCapable": bool(set(registered) & PASSWORDLESS),
            "isSsprEnabled": account.self_service,
            "isSsprRegistered": can_reset_oneself,
            "isSsprCapable": account.self_service and can_reset_oneself,
            "isSystemPreferredAuthenticationMethodEnabled": False,
            "methodsRegistered": registered,
            "systemPreferredAuthenticationMethods": [],
            "userPreferredMethodForSecondaryAuthentication": PREFERRED.get(default, "none"),
            "lastUpdatedDateTime": graph_time(now - late),
        }


def _wrapped(status: int, code: str, message: str) -> GraphError:
    """This service's own error arrives as JSON inside the message. Source: GitHub microsoft-graph-docs-contrib#17."""
    inner = {"errorCode": code, "message": message, "instanceAnnotations": []}
    return GraphError(status, "UnknownError", json.dumps(inner, separators=(",", ":")))


def _is_reported(account: Account) -> bool:
    return bool(account.properties["accountEnabled"])


def _registered_as(method: Method) -> str | None:
    if method.phone_type:
        return {"mobile": "mobilePhone", "alternateMobile": "alternateMobilePhone"}.get(
            method.phone_type, "officePhone"
        )
    return REGISTERED_AS.get(method.kind)


def _assignments(tenant: Tenant) -> Iterator[dict[str, Any]]:
    unit = f"/administrativeUnits/{_derived(tenant, 'restricted unit')}"
    for principal, roles in tenant.direct_roles.items():
        yield from (_assignment(tenant, principal, role, "/") for role in roles)
    for principal, roles in tenant.unit_roles.items():
        yield from (_assignment(tenant, principal, role, unit) for role in roles)
    for group in tenant.groups.values():
        yield from (_assignment(tenant, group.id, role, "/") for role in group.roles)
    for enrolment in tenant.enrolments.values():
        if enrolment.consented:
            yield from (_assignment(tenant, enrolment.object_id, role, "/") for role in sorted(enrolment.roles))


def _assignment(tenant: Tenant, principal: str, role: str, scope: str) -> dict[str, Any]:
    return {
        "id": _derived(tenant, "assignment", principal, role, scope),
        "principalId": principal,
        # The definition of a built-in role has the id of its template.
        "roleDefinitionId": ROLE_TEMPLATES.get(role) or _derived(tenant, "role", role),
        "directoryScopeId": scope,
        "appScopeId": None,
    }


def _derived(tenant: Tenant, *names: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, ":".join((tenant.id, *names))))


def _filtered(call: Call, rows: list[dict[str, Any]], name: str) -> Reply:
    if "$filter" in call.query:
        test = filter_test(call.query["$filter"])
        rows = [row for row in rows if test(row)]
    return collection(call, rows, name, ())
