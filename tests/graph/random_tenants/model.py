"""What is true in a customer's tenant. Plain and changeable: a story changes it while it is told."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


class Absent:
    """A property that Graph leaves out of its answer, though it was selected."""

    def __repr__(self) -> str:
        return "absent"

    def __deepcopy__(self, memo: object) -> Absent:
        return self


ABSENT: Final = Absent()


def made_id(*words: object) -> str:
    """An object id that is the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, ":".join(str(word) for word in words)))


@dataclass(frozen=True)
class Role:
    """A directory role. Memberships never name a custom one; the list of assignments does."""

    name: str
    template_id: str
    custom: bool = False

    @property
    def id(self) -> str:
        return made_id("role", self.template_id)


@dataclass
class Domain:
    """A domain of a tenant.

    Attributes:
        in_organization, in_domains: Properties that the two listings show otherwise than they should (`ABSENT`,
            null, another type). Never a lie: whatever is put here cannot be understood.
    """

    name: str
    verified: bool = True
    federated: bool = False
    in_organization: dict[str, object] = field(default_factory=dict)
    in_domains: dict[str, object] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return "Federated" if self.federated else "Managed"


@dataclass
class Group:
    """A group. `members` holds ids of accounts and of groups, in circles where a tenant is made so."""

    id: str
    name: str
    assignable: bool = False
    members: set[str] = field(default_factory=set)
    owners: list[str] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)


@dataclass
class Account:
    """An account. `shown` is what Graph shows of it, and all that is known about it."""

    id: str
    shown: dict[str, object]
    roles: list[Role] = field(default_factory=list)
    eligible: list[Role] = field(default_factory=list)
    methods: list[dict[str, object]] = field(default_factory=list)

    @property
    def upn(self) -> str:
        return str(self.shown["userPrincipalName"])


@dataclass
class Trouble:
    """What goes wrong with an answer.

    Attributes:
        where: The kind of call; see `graph.KINDS`.
        what: See `graph.TROUBLES`.
        times: How often; it is over then.
        tenant: Its name, or empty for every one.
    """

    where: str
    what: str
    times: int = 1_000_000
    tenant: str = ""


@dataclass
class Tenant:
    """A customer's tenant, and what our configuration says about it.

    Attributes:
        name: As in the configuration.
        hides_names: Kinds of rows of which only the id is shown, as to an app without the permission to read them.
        sees_roles: Our app was granted to read who is assigned to which role, and who may activate which.
        has_premium: Licensed for such roles.
        loose_filter: The filter for role-assignable groups is not applied; the rows still say what they are.
    """

    name: str
    id: str
    domains: list[Domain] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    protected_users: list[str] = field(default_factory=list)
    protected_groups: list[str] = field(default_factory=list)
    hides_names: set[str] = field(default_factory=set)
    sees_roles: bool = False
    has_premium: bool = True
    loose_filter: bool = False

    def add(self, account: Account) -> Account:
        self.accounts[account.id] = account
        return account

    def group(self, name: str, **more: object) -> Group:
        """A new group, or the one of this name."""
        id_ = made_id(self.id, "group", name)
        return self.groups.setdefault(id_, Group(id_, name, **more))  # type: ignore[arg-type]

    def domain(self, name: str) -> Domain | None:
        return next((known for known in self.domains if known.name.casefold() == name.casefold()), None)


def ordinary(tenant: Tenant, local: str, domain: str, **shown: object) -> Account:
    """A harmless cloud account as Graph shows it, with a phone and an app."""
    upn = f"{local}@{domain}"
    id_ = made_id(tenant.id, "account", upn)
    facts: Mapping[str, object] = {
        "id": id_,
        "userPrincipalName": upn,
        "displayName": local.title(),
        "accountEnabled": True,
        "userType": "Member",
        "creationType": None,
        "externalUserState": None,
        "identities": [{"signInType": "userPrincipalName", "issuer": domain, "issuerAssignedId": upn}],
        "onPremisesSyncEnabled": None,
        "mail": upn,
        "otherMails": [],
        "proxyAddresses": [f"SMTP:{upn}", f"smtp:{local}.alias@{domain}", "X500:/o=Old/cn=Recipients"],
        "isManagementRestricted": None,
        "lastPasswordChangeDateTime": "2026-01-05T08:00:00Z",
        "signInSessionsValidFromDateTime": "2026-01-05T08:00:00Z",
    }
    account = Account(id_, {**facts, **shown})
    account.methods = [
        method("password", "28c10230-6103-485e-b985-444c60001490"),
        method("phone", "3179e48a-750b-4051-897c-87b9720928f7", phoneType="mobile"),
        method("microsoftAuthenticator", made_id(id_, "app")),
    ]
    return account


def method(kind: str, id_: str, **more: object) -> dict[str, object]:
    return {"@odata.type": f"#microsoft.graph.{kind}AuthenticationMethod", "id": id_, **more}
