"""Why permissions and directory roles that the connector does not need should not be there. No I/O.

Sources, read 2026-11-22: the public tiering of Graph permissions and Entra roles by Emilien Socchi for what is known to
lead to Global Administrator (tier 0); learn.microsoft.com/graph/permissions-reference for the rest; role template ids
from learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_GROUPS = "It can put an account into groups that hold Azure rights or open other programs: tier 0."
_PIM_GROUPS = "It can put an account into a group that holds Global Administrator: tier 0."

TIER_ZERO: Mapping[str, str] = {
    "RoleManagement.ReadWrite.Directory": "It can make anybody Global Administrator, itself included: tier 0.",
    "RoleAssignmentSchedule.ReadWrite.Directory": "It can make anybody Global Administrator (PIM): tier 0.",
    "RoleEligibilitySchedule.ReadWrite.Directory": "It can let anybody become Global Administrator (PIM): tier 0.",
    "RoleManagementPolicy.ReadWrite.Directory": "It can take approval and MFA away from becoming an administrator "
    "(PIM): tier 0.",
    "AppRoleAssignment.ReadWrite.All": "It can give itself every other permission without anybody's consent: tier 0.",
    "Application.ReadWrite.All": "It can add a secret to any app of the tenant and act as that app: tier 0.",
    "Application.ReadWrite.OwnedBy": "It can add a secret to any app that it owns and act as that app: tier 0.",
    "Directory.ReadWrite.All": "It can change groups, devices and most of the directory, and so reach Global "
    "Administrator: tier 0.",
    "User.ReadWrite.All": "It can change every account, and so bring one into groups that hold Azure rights: tier 0.",
    "Group.ReadWrite.All": _GROUPS,
    "GroupMember.ReadWrite.All": _GROUPS,
    "PrivilegedAccess.ReadWrite.AzureADGroup": _PIM_GROUPS,
    "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup": _PIM_GROUPS,
    "PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup": _PIM_GROUPS,
    "RoleManagementPolicy.ReadWrite.AzureADGroup": _PIM_GROUPS,
    "AdministrativeUnit.ReadWrite.All": "It can take an administrator out of the unit that protects the account, whose "
    "password it can then set: tier 0.",
    "Policy.ReadWrite.AuthenticationMethod": "It can switch the Temporary Access Pass on for everybody: tier 0 beside "
    "permissions for sign-in methods.",
    "Policy.ReadWrite.PermissionGrant": "It can let itself be granted any permission: tier 0.",
    "Domain.ReadWrite.All": "It can most likely add a federated domain and sign in as anybody, without password or "
    "MFA: tier 0.",
    "EntitlementManagement.ReadWrite.All": "It can hand out access packages, those that lead to administrator roles "
    "included: tier 0.",
    "OnPremDirectorySynchronization.ReadWrite.All": "It can change the synchronisation: counted as tier 0.",
    "Synchronization.ReadWrite.All": "It can change provisioning: counted as tier 0.",
}
"""Permissions known to lead to Global Administrator, and how."""

TOO_MUCH: Mapping[str, str] = {
    "Directory.Read.All": "It reads the whole directory: applications, devices and policies too.",
    "Group.Read.All": "It reads the content of groups too, such as conversations and files.",
    "Mail.Send": "It can send mail as anybody of this tenant, and the connector's mails do not go out from here.",
    "Mail.Read": "It can read every mailbox, and the one-time links in them.",
    "Mail.ReadWrite": "It can read and change every mailbox, and the one-time links in them.",
    "UserAuthMethod-Password.ReadWrite.All": "The connector sets passwords by another call.",
}

WRITES = (".ReadWrite", ".Write", ".Send", ".Manage", ".Create", ".Delete", ".FullControl")


def why_too_much(name: str) -> str:
    """Why a permission should not be there, a sentence; for one that nobody here knows, by what its name says."""
    known = TIER_ZERO.get(name) or TOO_MUCH.get(name)
    if known:
        return known
    if any(word in name for word in WRITES):
        return "It can change things that the connector never touches."
    return "It is nothing that the connector uses."


# ---------------------------------------------------------------- directory roles of the app itself

USER_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"

NOT_A_ROLE = frozenset({"0997a1d0-0d1d-4acb-b408-d5ca73121e90", "b79fbf4d-3ef9-4689-8143-76b194e85509"})
"""Ids that every app's, or every user's, token has in `wids` without any role. Not documented; source: the thread
github.com/microsoftgraph/msgraph-sdk-powershell/issues/1782 and many published tokens, read 2026-11-22."""


@dataclass(frozen=True)
class Role:
    """A directory role that an app may have been given.

    Attributes:
        why: What is wrong with the app's having it, a sentence; empty where it may be needed.
    """

    name: str
    why: str = ""


_ADMINS = "Microsoft no longer protects any administrator's account from the app: tier 0."

ROLES: Mapping[str, Role] = {
    USER_ADMINISTRATOR: Role("User Administrator"),
    "62e90394-69f5-4237-9190-012177145e10": Role("Global Administrator", "The app may do everything: tier 0."),
    "e8611ab8-c189-46e8-94e1-60213ab1f814": Role(
        "Privileged Role Administrator", "The app can make anybody Global Administrator: tier 0."
    ),
    "7be44c8a-adaf-4e2a-84d6-ab2649e08a13": Role("Privileged Authentication Administrator", _ADMINS),
    "c4e39bd9-1100-46d3-8c65-fb160da0071f": Role(
        "Authentication Administrator", "It resets sign-in methods by itself; the permissions are enough."
    ),
    "729827e3-9c14-49f7-bb1b-9608f156bbb8": Role(
        "Helpdesk Administrator", "Where a role is needed at all, Microsoft names User Administrator."
    ),
    "966707d0-3269-4727-9be2-8c3a10f19b9d": Role(
        "Password Administrator", "Where a role is needed at all, Microsoft names User Administrator."
    ),
    "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3": Role(
        "Application Administrator", "The app can add a secret to other apps and act as them: tier 0."
    ),
    "158c047a-c907-4556-b7ef-446551a6b5f7": Role(
        "Cloud Application Administrator", "The app can add a secret to other apps and act as them: tier 0."
    ),
    "88d8e3e3-8f55-4a1e-953a-9b9898b8876b": Role("Directory Readers", "The permissions are enough for reading."),
}
"""By template id, which is a built-in role's definition id in every tenant too."""


def role_of(template_id: str) -> Role:
    """A role by its id; one that nobody here knows is one that the connector does not need."""
    return ROLES.get(template_id) or Role(f"role {template_id}", "The connector needs no such role.")
