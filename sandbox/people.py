"""More people: one for each reason not to reset an account, and one for each row of Microsoft's table of who may.

They come after the first day's people, who stay as they are, and are no contacts of the service desk. The table is
"Who can reset passwords" on learn.microsoft.com/graph/api/resources/users, read 2026-11-22.
"""

from __future__ import annotations

from datetime import datetime

from sandbox.builder import Builder
from sandbox.directory import Directory, Tenant
from sandbox.methods import METHOD_SEGMENTS, PHONE_METHOD_IDS

CUSTOM_ROLE = "Printer desk"
"""The name of a role that the customer made."""

MANY_GROUPS = 25
"""How many groups named "Protected 01" and so on there are; more than one question about memberships may name."""

ROLE_HOLDERS = {
    "role.directory-readers": "Directory Readers",
    "role.guest-inviter": "Guest Inviter",
    "role.password": "Password Administrator",
    "role.message-center": "Message Center Reader",
    "role.reports": "Reports Reader",
    "role.usage-summary": "Usage Summary Reports Reader",
    "role.helpdesk": "Helpdesk Administrator",
    "role.authentication": "Authentication Administrator",
    "role.groups": "Groups Administrator",
    "role.user": "User Administrator",
    "role.global": "Global Administrator",
    "role.privileged-authentication": "Privileged Authentication Administrator",
    "role.privileged-role": "Privileged Role Administrator",
    "role.unlisted": "Exchange Administrator",
    "role.custom": CUSTOM_ROLE,
}


def settle(directory: Directory, seed: int, *, now: datetime) -> None:
    """Add them to both tenants."""
    contoso, fabrikam = directory.tenants["contoso"], directory.tenants["fabrikam"]
    make = Builder(seed, contoso, now)
    _role_holders(make, contoso)
    _guests(make)
    _doubles(make)
    make.account("restricted.unit", "Rosa Restricted", isManagementRestricted=True)
    pia = make.account("eligible.role", "Pia Eligible", methods=[make.authenticator("pia")])
    contoso.eligible_roles[pia.id] = ["Global Administrator"]
    vera = make.account("many.groups", "Vera Groups")
    for number in range(1, MANY_GROUPS + 1):
        make.group(f"Protected {number:02}", [vera] if number == MANY_GROUPS else [])
    nested = make.account("nested.group", "Niels Nested")
    inner = make.group("Crown: assistants", [nested])
    make.group("Crown", [make.group("Crown: office", [inner])])
    selma_app = make.authenticator("selma")
    selma = make.account(
        "self.service",
        "Selma Selfservice",
        methods=[
            selma_app,
            make.phone("selma", "+44 5550150"),
            make.method("selma", "email", emailAddress="selma@home.example"),
        ],
    )
    selma.default_method, selma.self_service = selma_app.id, True
    _collectors(make)
    make.account("support", "Support Mailbox")
    make.account("no.mailbox", "Nora Nomailbox", mail=None, proxyAddresses=[])
    gone = make.account("gone", "Gerda Gone")
    contoso.forget(gone)
    # Known in both customers' directories: by an alternate address each, and by the sign-in name of one of them.
    twins = ["twin@home.example"]
    make.account("twin", "Tess Twin", otherMails=[*twins, "twin@fabrikam.com"])
    Builder(seed, fabrikam, now).account("twin", "Tess Twin", otherMails=twins)
    fabrikam.licences = set()


def _role_holders(make: Builder, tenant: Tenant) -> None:
    for name, role in ROLE_HOLDERS.items():
        tenant.direct_roles[make.account(name, f"Holder {role}").id] = [role]
    unit = make.account("role.restricted-unit", "Holder Restricted Unit")
    tenant.unit_roles[unit.id] = ["Helpdesk Administrator"]
    member = make.account("group.member", "Member Assignable")
    owner = make.account("group.owner", "Owner Assignable")
    # Role-assignable, and no role is assigned to it: that protects already.
    make.group("Role: nothing yet", [member], role_assignable=True, owners=[owner.id])


def _collectors(make: Builder) -> None:
    """One who has every kind of method there is, and one whose methods cannot all be removed."""
    kinds = [kind for kind in METHOD_SEGMENTS if kind != "phoneAuthenticationMethod"]
    phones = [make.phone("every", f"+44 555016{place}", kind) for place, kind in enumerate(PHONE_METHOD_IDS)]
    every = make.account("every.kind", "Elke Everykind", methods=[*phones, *(make.method("every", k) for k in kinds)])
    every.default_method = phones[0].id
    stuck = make.method("left", "softwareOath")
    stuck.stuck = True
    methods = [make.authenticator("left"), stuck, make.method("left", "quantumRing")]
    make.account("left.behind", "Lena Leftbehind", methods=methods)


def _guests(make: Builder) -> None:
    """One sign of a guest each; the first is a guest with a password of this directory."""
    make.account("guest.internal", "Guest Internal", userType="Guest")
    make.account("guest.creation", "Guest Creation", creationType="Invitation")
    make.account("guest.state", "Guest State", externalUserState="PendingAcceptance")
    make.account(
        "guest.name",
        "Guest Name",
        userPrincipalName="guest.name_example.com#EXT#@contoso.onmicrosoft.com",
        mail="guest.name@example.com",
    )


def _doubles(make: Builder) -> None:
    """Three sign-in names that are another account's further address, each of another kind."""
    for kind in ("mail", "proxy", "other"):
        make.account(f"double.{kind}", f"Double {kind.title()}")
    make.account("holder.mail", "Holder Mail", mail="double.mail@contoso.com", proxyAddresses=[])
    make.account(
        "holder.proxy",
        "Holder Proxy",
        proxyAddresses=["SMTP:holder.proxy@contoso.com", "smtp:double.proxy@contoso.com"],
    )
    make.account("holder.other", "Holder Other", otherMails=["double.other@contoso.com"])
