"""The imitated Microsoft Entra tenants: accounts, their sign-in methods, groups and administrator roles.

Property names are Microsoft's, because this module *is* the imitation of their directory. Rules are cited
where they live; texts that Microsoft documents nowhere are marked as invented in `sandbox/README.md`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.applications import RESET, Application, Enrolment, enrolments
from sandbox.methods import Method
from sandbox.roles import reaches

PASS_POLICY = {
    "state": "enabled",
    "defaultLength": 8,
    "defaultLifetimeInMinutes": 60,
    "isUsableOnce": False,
    "maximumLifetimeInMinutes": 480,
    "minimumLifetimeInMinutes": 60,
}
"""A new tenant's. Source: learn.microsoft.com howto-authentication-temporary-access-pass, read 2026-11-22."""


class Password:
    """A password that can be compared and never read back: only a salted digest is kept, in memory."""

    def __init__(self, clear: str) -> None:
        self._salt = secrets.token_bytes(16)
        self._digest = self._of(clear)

    def opens_with(self, candidate: str) -> bool:
        return hmac.compare_digest(self._digest, self._of(candidate))

    def _of(self, clear: str) -> bytes:
        return hashlib.sha256(self._salt + clear.encode()).digest()

    def __repr__(self) -> str:
        return "Password(***)"


@dataclass(frozen=True)
class Past:
    """A property's former value, which reads may still show until then."""

    name: str
    value: Any
    until: datetime


@dataclass(frozen=True)
class Removed:
    """A method that is gone since `at`; lists may still show it until `until`."""

    method: Method
    at: datetime
    until: datetime


@dataclass
class Account:
    """A directory account. `properties` hold what Graph answers, in Graph's words.

    `sessions_revoked_at` is the same instant as `signInSessionsValidFromDateTime`; `writes` names every
    change that Graph carried out on this account, in order, without values. `past` and `removed` are what a slow
    replica still knows.
    """

    id: str
    properties: dict[str, Any]
    password: Password
    methods: list[Method] = field(default_factory=list)
    default_method: str | None = None
    manager: str | None = None
    must_change: bool = False
    password_set_at: datetime | None = None
    sessions_revoked_at: datetime | None = None
    writes: list[str] = field(default_factory=list)
    self_service: bool = False
    past: list[Past] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)

    @property
    def upn(self) -> str:
        return str(self.properties["userPrincipalName"])

    @property
    def domain(self) -> str:
        return self.upn.rpartition("@")[2].lower()

    def method(self, method_id: str) -> Method | None:
        return next((method for method in self.methods if method.id == method_id), None)

    def write(self, name: str, value: Any, *, shown_from: datetime) -> None:
        """Change a property; reads before `shown_from` still get the former value."""
        self.past.append(Past(name, self.properties[name], shown_from))
        self.properties[name] = value

    def properties_at(self, now: datetime) -> dict[str, Any]:
        shown = dict(self.properties)
        # The oldest value that may still be shown wins.
        for past in reversed(self.past):
            if past.until > now:
                shown[past.name] = past.value
        return shown

    def remove(self, method: Method, *, now: datetime, shown_until: datetime) -> None:
        self.methods.remove(method)
        self.removed.append(Removed(method, now, shown_until))
        if method.id == self.default_method:
            self.default_method = None

    def methods_at(self, now: datetime) -> list[Method]:
        """The methods as a list may show them: with those that are gone already."""
        kept = {method.id for method in self.methods}
        return [*self.methods, *(one.method for one in self.removed if one.until > now and one.method.id not in kept)]


@dataclass
class Group:
    """A group. `members` and `owners` are ids of accounts or groups; `roles` are names of administrator roles."""

    id: str
    name: str
    members: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    role_assignable: bool = False
    roles: list[str] = field(default_factory=list)


@dataclass
class Domain:
    name: str
    federated: bool = False
    default: bool = False
    initial: bool = False


@dataclass
class Tenant:
    """One customer's directory, with what its administrator has consented to.

    `eligible_roles` wait for activation (PIM); `unit_roles` are held for a restricted management administrative unit
    only. `refusal` is the AADSTS number that every token request for this tenant gets. `mail_scope` are the mailboxes
    that a role in Exchange lets the application send from, without Mail.Send; None means no such role. `deleted` keeps
    the ids of accounts that are gone.
    """

    key: str
    id: str
    name: str
    domains: list[Domain]
    accounts: dict[str, Account] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    direct_roles: dict[str, list[str]] = field(default_factory=dict)
    unit_roles: dict[str, list[str]] = field(default_factory=dict)
    eligible_roles: dict[str, list[str]] = field(default_factory=dict)
    licences: set[str] = field(default_factory=lambda: {"P1", "P2"})
    pass_policy: dict[str, Any] = field(default_factory=lambda: dict(PASS_POLICY))
    mail_scope: list[str] | None = None
    refusal: int | None = None
    deleted: dict[str, str] = field(default_factory=dict)
    enrolments: dict[str, Enrolment] = field(init=False)

    def __post_init__(self) -> None:
        self.enrolments = enrolments(self.id)

    @property
    def permissions(self) -> set[str]:
        """What the main application has been granted."""
        return self.enrolments[RESET].permissions

    @property
    def names(self) -> frozenset[str]:
        """Everything that it is called in an address."""
        return frozenset({self.id, self.key, *(domain.name for domain in self.domains)})

    def find(self, id_or_upn: str) -> Account | None:
        """The account with this object id or user principal name; case does not matter."""
        wanted = id_or_upn.lower()
        for account in self.accounts.values():
            if wanted in (account.id, account.upn.lower()):
                return account
        return None

    def forget(self, account: Account) -> None:
        """Delete an account, with its memberships; Graph answers 404 for its id from then on."""
        del self.accounts[account.id]
        self.deleted[account.upn] = account.id
        for group in self.groups.values():
            group.members = [one for one in group.members if one != account.id]
            group.owners = [one for one in group.owners if one != account.id]

    def groups_of(self, member_id: str) -> list[Group]:
        """Every group that holds this account or group, directly or through other groups."""
        found: dict[str, Group] = {}
        waiting = [member_id]
        while waiting:
            current = waiting.pop()
            for group in self.groups.values():
                if current in group.members and group.id not in found:
                    found[group.id] = group
                    waiting.append(group.id)
        return list(found.values())

    def roles_of(self, account_id: str) -> list[str]:
        """Names of the active administrator roles, held directly or through a group."""
        names = [*self.direct_roles.get(account_id, []), *self.unit_roles.get(account_id, [])]
        for group in self.groups_of(account_id):
            names.extend(role for role in group.roles if role not in names)
        return names

    def may_be_reset(self, account: Account, caller: Enrolment) -> bool:
        """Whether the application's own roles reach this target.

        A member of a restricted management unit is out of reach of every role that is held for the whole directory.
        Source: learn.microsoft.com/graph/api/resources/user (isManagementRestricted), read 2026-11-22.
        """
        if account.properties.get("isManagementRestricted"):
            return False
        in_protected_group = any(group.role_assignable for group in self.groups_of(account.id))
        owns_protected_group = any(g.role_assignable and account.id in g.owners for g in self.groups.values())
        return reaches(
            caller.roles,
            target=self.roles_of(account.id),
            shielded=in_protected_group or owns_protected_group or bool(self.unit_roles.get(account.id)),
        )

    def is_federated(self, account: Account) -> bool:
        return any(domain.federated and domain.name == account.domain for domain in self.domains)


@dataclass
class Directory:
    """All tenants, and the connector's app registrations."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)

    def application(self, client_id: str) -> Application | None:
        return next((one for one in self.applications.values() if one.client_id == client_id), None)

    def tenant(self, id_or_domain: str) -> Tenant | None:
        wanted = id_or_domain.lower()
        for tenant in self.tenants.values():
            if wanted in tenant.names:
                return tenant
        return None

    def accounts(self) -> Iterator[tuple[Tenant, Account]]:
        for tenant in self.tenants.values():
            for account in tenant.accounts.values():
                yield tenant, account

    def find(self, id_or_upn: str) -> tuple[Tenant, Account] | None:
        """Look an account up in every tenant; the control port's way in, not Graph's."""
        for tenant in self.tenants.values():
            account = tenant.find(id_or_upn)
            if account:
                return tenant, account
        return None


def complies_with_policy(password: str, *, tenant: Tenant) -> bool:
    """Microsoft's cloud policy: 8 to 256 ASCII characters, three of four classes, no banned word.

    Source: learn.microsoft.com concept-sspr-policy and concept-password-ban-bad, read 2026-11-22. The real
    banned list is scored fuzzily and not published; here a banned word anywhere in the password refuses it.
    """
    if not 8 <= len(password) <= 256 or not password.isascii():
        return False
    classes = (
        any(c.islower() for c in password),
        any(c.isupper() for c in password),
        any(c.isdigit() for c in password),
        any(not c.isalnum() for c in password),
    )
    banned = {"password", "welcome", tenant.key}
    return sum(classes) >= 3 and not any(word in password.lower() for word in banned)


def graph_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
