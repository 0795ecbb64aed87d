"""Every application permission of Microsoft Graph that the connector knows: what for, in which set, what stands in.

The one table: `connector check` compares tokens with it (`comparison`), `deploy/entra/print_manifest.py` prints it,
`docs/entra.md` explains it. Nothing here decides whether a call is made; Graph does. No I/O.

Sources, all read 2026-11-22: learn.microsoft.com/graph/permissions-reference and the permission tables of each call;
ids from the published app roles of Microsoft Graph (the same in every tenant and cloud as far as anybody has
published them, UNVERIFIED for the national clouds); which permissions lead to Global Administrator from the public
tiering of Graph permissions by Emilien Socchi.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
"""Microsoft Graph's own application id: `resourceAppId` in a manifest."""

ANY_METHOD = "UserAuthenticationMethod.ReadWrite.All"
LIST_METHODS = "UserAuthenticationMethod.Read.All"


class PermissionSet(StrEnum):
    """What belongs together: an app registration is given whole sets."""

    READ = "read"
    PASSWORD = "password"  # noqa: S105 - the name of a set
    MFA = "mfa"
    OPTIONAL = "optional"
    MAIL = "mail"


RESETS = frozenset({PermissionSet.READ, PermissionSet.PASSWORD, PermissionSet.MFA, PermissionSet.OPTIONAL})
"""What one registration needs that does everything."""


def sets_of(*, main: bool, alone: bool) -> frozenset[PermissionSet]:
    """What a registration is for. With a second one for sign-in methods, `MFA` is only that one's."""
    if alone:
        return RESETS
    return RESETS - {PermissionSet.MFA} if main else frozenset({PermissionSet.MFA})


class Need(StrEnum):
    """How badly a permission is needed for its set."""

    REQUIRED = "required"
    RECOMMENDED = "recommended"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class Permission:
    """One application permission.

    Attributes:
        name: As Entra shows it, and as it stands in a token's `roles`.
        app_role_id: For manifests; empty where no reliable source names it: then it is granted by name in the portal.
        what_for: In plain words, to be read after "for".
        without: What does not work without it, a sentence.
        stolen: What whoever steals the app's credential can do with it, a sentence.
        narrow: Part of the narrower way to remove sign-in methods, instead of `ANY_METHOD`.
    """

    name: str
    app_role_id: str
    set: PermissionSet
    need: Need
    what_for: str
    without: str
    stolen: str
    narrow: bool = False


def _narrow(kind: str, app_role_id: str, words: str, stolen: str, *, need: Need = Need.RECOMMENDED) -> Permission:
    return Permission(
        f"UserAuthMethod-{kind}.ReadWrite.All",
        app_role_id,
        PermissionSet.MFA,
        need,
        f"removing methods of the kind {words}",
        f"Methods of the kind {words} stay, and the ticket is handed to a person.",
        stolen,
        narrow=True,
    )


REGISTERS = "Register such a method for any user, and sign in with it: tier 0."
REMOVES = "Remove such methods of any user; no way in by itself is known."
# The public tiering counts these two lower. Microsoft's own pages let an app register both. Source:
# learn.microsoft.com/graph/api/authentication-post-fido2methods and authentication-post-emailmethods, read 2026-11-22.
PASSKEYS = "Register a passkey for any user, where the tenant lets users set passkeys up, and sign in with it: tier 0."
EMAILS = "Register an e-mail address for any user, and reset the password by self-service where that takes e-mail."

TABLE: tuple[Permission, ...] = (
    Permission(
        "User.Read.All", "df021288-bdef-4463-88db-98f22de89214", PermissionSet.READ, Need.REQUIRED,
        "reading accounts, their managers, roles and groups",
        "Nothing works.",
        "Read every account, its addresses, groups and roles.",
    ),
    Permission(
        "GroupMember.Read.All", "98830695-27a2-44f7-8c18-0c3ebc9698f6", PermissionSet.READ, Need.RECOMMENDED,
        "reading the owners of role-assignable groups where an account's own objects are not listed",
        "Where Graph does not list what an account owns, it counts as protected and is handed to a person.",
        "Read every group with its members and owners.",
    ),
    Permission(
        "Domain.Read.All", "dbb9058a-0e50-45d7-ae91-66909b5d4664", PermissionSet.READ, Need.RECOMMENDED,
        "telling federated domains for certain",
        "Where the organisation does not say how a domain signs in, its accounts are handed to a person.",
        "Read the tenant's domains.",
    ),
    Permission(
        # A directoryRole stands for a built-in role that is active; the others show nowhere else.
        "RoleManagement.Read.Directory", "483bed4a-2ad3-4361-a73b-c83ccdbdc53c", PermissionSet.READ, Need.RECOMMENDED,
        "seeing custom roles and roles that an account may activate (PIM), and the directory roles of the app itself",
        "An administrator by a custom role, or by a role that is not active yet, is not recognised as one.",
        "Read who holds which directory role.",
    ),
    Permission(
        "User-PasswordProfile.ReadWrite.All", "cc117bb9-00cf-4eb8-b580-ea2a878fe8f7", PermissionSet.PASSWORD,
        Need.REQUIRED,
        "setting passwords",
        "No password can be reset.",
        "Set the password of any user whom Microsoft's role rules do not protect.",
    ),
    Permission(
        "User.RevokeSessions.All", "77f3a031-c388-4f99-b373-dc68676a979e", PermissionSet.PASSWORD, Need.REQUIRED,
        "ending sessions after a reset",
        "No reset is finished.",
        "Sign users out, again and again.",
    ),
    Permission(
        ANY_METHOD, "50483e42-d915-4231-9639-7fdb7fd190e5", PermissionSet.MFA, Need.REQUIRED,
        "listing and removing sign-in methods",
        "No MFA reset is possible.",
        "Give any user, administrators and break-glass accounts included, a Temporary Access Pass and sign in with "
        "it: tier 0.",
    ),
    Permission(
        LIST_METHODS, "38d9df27-64da-44fd-b7c5-a6fbac20248f", PermissionSet.MFA, Need.REQUIRED,
        "listing sign-in methods",
        "No MFA reset is possible.",
        "Read which methods and phone numbers every user has.",
        narrow=True,
    ),
    _narrow("Passkey", "0400e371-7db1-4338-a269-96069eb65227", "passkey (FIDO2)", PASSKEYS),
    _narrow("WindowsHello", "f14eee8a-713e-45aa-8223-2ab74632db1a", "Windows Hello for Business", REMOVES),
    _narrow("PlatformCred", "1a87acf4-a9ca-4576-a974-452ea265d5f6", "platform credential", REMOVES),
    _narrow("SoftwareOATH", "787442d4-3c6e-4e99-aa95-8ccca20a48ff", "software OATH token", REMOVES),
    _narrow("MicrosoftAuthApp", "c833c349-a1ab-4b6d-94a2-fa9a8674420c", "Microsoft Authenticator", REMOVES),
    _narrow("External", "c7a22c2e-5b01-4129-8159-6c8be2c78f16", "external method", REMOVES),
    _narrow("Email", "e8ecb853-1435-4a49-95ba-ec5b31b11672", "e-mail (self-service only)", EMAILS),
    _narrow("ResourceKey", "1bf7461f-222a-4525-9760-f7739228d0f4", "resource account key", REMOVES),
    _narrow("Phone", "6e85d483-7092-4375-babe-0a94a8213a58", "phone", REGISTERS),
    _narrow("TAP", "627169a8-8c15-451c-861a-5b80e383de5c", "Temporary Access Pass", REGISTERS),
    _narrow("QR", "4869299f-18c3-40c8-98f2-222657e67db1", "QR code PIN", REGISTERS),
    # No published list of app roles that we trust names its id: it is granted by name. Its calls are in beta only.
    _narrow("HardwareOATH", "", "hardware OATH token", REGISTERS, need=Need.OPTIONAL),
    Permission(
        "AuditLog.Read.All", "b0afded3-3588-46d8-8b3d-9842eff778da", PermissionSet.OPTIONAL, Need.OPTIONAL,
        "seeing who can reset the password by self-service (needs Entra ID P1 too)",
        "Nobody is pointed to self-service.",
        "Read sign-in and audit logs: who signs in when and from where.",
    ),
    Permission(
        "Policy.Read.AuthenticationMethod", "8e3bc81b-d2f3-4b7b-838c-32c88218d2f0", PermissionSet.OPTIONAL,
        Need.OPTIONAL,
        "showing the policy of the Temporary Access Pass in connector check",
        "connector check does not show that policy.",
        "Read which sign-in methods the tenant allows.",
    ),
    Permission(
        # Optional: Exchange's RBAC for Applications lets an app send without it, and from one mailbox only.
        "Mail.Send", "b633e1c5-b582-4048-a93e-9f11b44c7e96", PermissionSet.MAIL, Need.OPTIONAL,
        "sending the connector's mails (mail.kind graph) where Exchange's RBAC for Applications does not allow it",
        "No mail goes out, unless Exchange's RBAC for Applications lets the app send.",
        "Send mail as anybody of the tenant, unless Exchange limits the app to one mailbox.",
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Permission] = {permission.name: permission for permission in TABLE}
NARROW_METHODS: tuple[str, ...] = tuple(p.name for p in TABLE if p.narrow and p.name != LIST_METHODS)

ACCEPTED = frozenset({"RoleEligibilitySchedule.Read.Directory"})
"""Not asked for and not too much: enough for roles that an account may activate, without the rest of
`RoleManagement.Read.Directory`."""

# What else lets the same calls through. Nothing stands in for setting a password: with the broader permissions alone
# Graph answers 403. Source: each call's permission table, and public reports for the password, read 2026-11-22.
STAND_INS: Mapping[str, tuple[str, ...]] = {
    "User.Read.All": ("User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"),
    "GroupMember.Read.All": (
        "GroupMember.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    "Domain.Read.All": ("Domain.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"),
    "User.RevokeSessions.All": ("User.ReadWrite.All", "Directory.ReadWrite.All"),
    LIST_METHODS: (ANY_METHOD,),
    "Policy.Read.AuthenticationMethod": ("Policy.Read.All", "Policy.ReadWrite.AuthenticationMethod"),
    "RoleManagement.Read.Directory": (
        "RoleManagement.Read.All", "RoleManagement.ReadWrite.Directory", "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    **dict.fromkeys(NARROW_METHODS, (ANY_METHOD,)),
}  # fmt: skip


def enough(name: str) -> tuple[str, ...]:
    """The permissions of which one lets the calls of `name` through; itself comes first."""
    return (name, *STAND_INS.get(name, ()))


def may(name: str, held: Collection[str]) -> bool:
    """Whether whoever holds these may do what `name` is for. To tell whether asking is worth it; Graph decides."""
    return not set(enough(name)).isdisjoint(held)


def permissions_for(sets: Collection[PermissionSet], *, narrow_mfa: bool = False) -> tuple[Permission, ...]:
    """The permissions of an app registration for these sets, in the table's order.

    `READ` comes with `PASSWORD`: the registration that sets passwords is the one that reads accounts.
    """
    wanted = {*sets, PermissionSet.READ} if PermissionSet.PASSWORD in sets else set(sets)
    return tuple(
        permission
        for permission in TABLE
        if permission.set in wanted and (permission.set is not PermissionSet.MFA or permission.narrow is narrow_mfa)
    )


def required_resource_access(permissions: Iterable[Permission]) -> list[dict[str, object]]:
    """`requiredResourceAccess` of an app registration's manifest.

    Source: learn.microsoft.com/entra/identity-platform/reference-app-manifest, read 2026-11-22: `Role` is an
    application permission.
    """
    roles = [{"id": permission.app_role_id, "type": "Role"} for permission in permissions if permission.app_role_id]
    return [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": roles}]


def paper() -> str:
    """The table for docs/entra.md, in Markdown."""
    lines = ["| permission | set | needed for | without it | if stolen |", "| --- | --- | --- | --- | --- |"]
    for permission in TABLE:
        need = "" if permission.need.value == permission.set.value else f", {permission.need}"
        lines.append(
            f"| `{permission.name}` | {permission.set}{need} | {permission.what_for} | {permission.without} | "
            f"{permission.stolen} |"
        )
    return "\n".join(lines)
