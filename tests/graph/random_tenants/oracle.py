"""May this write reach this account, for this request? The table and the product's rules, told a second time.

Told as a list of what must be so, each with the words for when it is not. A value counts when it is one of those
known to be harmless; whatever else stands there, or was not read, is an objection. In the table "who can reset
passwords" (learn.microsoft.com/graph/api/resources/users, read 2026-11-22) only the row "no admin role" is ours: the
product resets nobody with any role, whatever role the app itself holds.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.graph.random_tenants.graph import RandomGraph, Write
from tests.graph.random_tenants.model import ABSENT, Account, Tenant

SEARCHED = ("userPrincipalName", "mail", "proxyAddresses", "otherMails")


@dataclass(frozen=True)
class Party:
    """A person of the ticket, as the PSA knows them."""

    address: str
    psa_id: str


@dataclass(frozen=True)
class Request:
    """What the ticket asks for, with the approval that stands in it.

    Attributes:
        tenant: The name of the tenant that the ticket's client is mapped to; empty where none is.
        action: `password`, `mfa` or `both`.
        listed: Who may approve for this customer; `None` where the PSA names them.
        subject: The id of the one account that the address stood for when the request was recognised; empty where
            there was none, or more than one.
        senders: Addresses that our own mails come from.
        answer: What the approval says as a whole: `yes`, `no`, or `nothing`.
        asked_at, approved_at: By the PSA's clock; `None` as long as it has not happened.
    """

    tenant: str
    action: str
    address: str
    requester: Party
    approver: Party
    listed: frozenset[str] | None = None
    subject: str = ""
    senders: frozenset[str] = frozenset()
    answer: str = "yes"
    asked_at: datetime | None = None
    approved_at: datetime | None = None


def objections(write: Write, request: Request, tenants: Sequence[Tenant], ledger: RandomGraph) -> tuple[str, ...]:
    """Everything that forbids a write; nothing where it is allowed."""
    tenant = next((one for one in tenants if one.name == request.tenant), None)
    if tenant is None:
        return ("no tenant is mapped to the client",)
    if write.tenant != tenant.name:
        return ("another customer's tenant",)
    account = tenant.accounts.get(write.account)
    if account is None:
        return ("nobody there",)
    password = write.what == "password" or (write.what == "sessions" and request.action == "password")
    return (
        *_call(write, request),
        *_approval(request, ledger.clock()),
        *standing(account, tenant, request, password=password),
        *_unread(account, tenant, request, ledger),
    )


def must_be_done(request: Request, tenants: Sequence[Tenant], now: datetime) -> bool:
    """Whether nothing at all speaks against the whole request, as long as everything can be read."""
    return is_plain(request, tenants) and not list(_approval(request, now))


def is_plain(request: Request, tenants: Sequence[Tenant]) -> bool:
    """The same without the approval, which may be still to come."""
    tenant = next((one for one in tenants if one.name == request.tenant), None)
    account = tenant.accounts.get(subject_of(tenant, request.address)) if tenant else None
    if tenant is None or account is None:
        return False
    return not list(standing(account, tenant, request, password=request.action != "mfa"))


def standing(account: Account, tenant: Tenant, request: Request, *, password: bool) -> Iterator[str]:
    """What is true of the account and the people, whoever has read it. `password`: one is to be set."""
    if account.id != request.subject:
        yield "not the one account that the address stood for"
    if request.address.casefold() not in addresses(account):
        yield "the address is another's by now"
    elif request.address.casefold() not in _searched(account, SEARCHED[:3]):
        yield "only an alternate address, which nobody has verified"
    yield from _people(account, tenant, request)
    yield from _properties(account, password=password)
    yield from _domain(account, tenant, password=password)
    yield from _privileges(account, tenant)
    yield from _protection(account, tenant, request)


def subject_of(tenant: Tenant, address: str) -> str:
    """The id of the one account that the address stands for; empty where there is none, or more than one."""
    found = [account.id for account in tenant.accounts.values() if address.casefold() in _searched(account)]
    return found[0] if len(found) == 1 else ""


# ---------------------------------------------------------------- the call


def _call(write: Write, request: Request) -> Iterator[str]:
    if write.problem:
        yield f"a call that no reset makes: {write.problem}"
    halves = {"password": {"password"}, "mfa": {"method"}, "both": {"password", "method"}}[request.action]
    if write.what not in {*halves, "sessions"}:
        yield f"nobody asked for it: {write.what}"


def _approval(request: Request, now: datetime) -> Iterator[str]:
    if request.answer != "yes" or request.asked_at is None or request.approved_at is None:
        yield "nobody said yes"
        return
    if request.approved_at < request.asked_at:
        yield "the approval was for something before this request"
    if now - request.approved_at >= timedelta(hours=24):
        yield "the approval is too old"
    if request.approved_at - now > timedelta(minutes=5):
        yield "the approval is of the future"


# ---------------------------------------------------------------- people


def _people(account: Account, tenant: Tenant, request: Request) -> Iterator[str]:
    owner = {box(address) for address in addresses(account)}
    asking, deciding = request.requester, request.approver
    if not deciding.address and not deciding.psa_id:
        yield "nobody knows who approved"
    if box(asking.address) in owner:
        yield "the requester is the subject"
    if box(deciding.address) in owner:
        yield "the approver is the subject"
    if box(deciding.address) == box(asking.address) or deciding.psa_id == asking.psa_id:
        yield "the approver is the requester"
    for other in tenant.accounts.values():
        mine = {box(address) for address in addresses(other)}
        if box(asking.address) in mine and box(deciding.address) in mine:
            exact = asking.address.casefold() in _searched(other)
            alone = subject_of(tenant, asking.address) == other.id
            yield "the approver is the requester by an address of one account" + (
                "" if exact and alone else ", shared" if exact else ", plus"
            )
    if request.listed is not None and deciding.address.casefold() not in {one.casefold() for one in request.listed}:
        yield "the approver is not listed"


def box(address: str) -> str:
    """The mailbox behind an address: what stands after a plus is no part of its name."""
    name, _, domain = unicodedata.normalize("NFKC", address).casefold().rpartition("@")
    return f"{name.split('+')[0]}@{domain}"


def addresses(account: Account) -> set[str]:
    """Every address by which the account's owner may be known, folded."""
    found = [account.shown.get("userPrincipalName"), account.shown.get("mail")]
    for name in ("otherMails", "proxyAddresses"):
        listed = account.shown.get(name)
        found.extend(listed if isinstance(listed, list) else ())
    identities = account.shown.get("identities")
    for identity in identities if isinstance(identities, list) else ():
        found.append(identity.get("issuerAssignedId") if isinstance(identity, dict) else None)
    texts = [one.casefold() for one in found if isinstance(one, str) and "@" in one]
    kinds = ("smtp:", "sip:")
    return {
        text.split(":", 1)[1] if text.startswith(kinds) else text
        for text in texts
        if ":" not in text or text.startswith(kinds)
    }


def _searched(account: Account, names: Sequence[str] = SEARCHED) -> set[str]:
    """Addresses by which an account is looked up: what people write to or sign in with."""
    found: set[str] = set()
    for name in names:
        value = account.shown.get(name)
        texts = [one.casefold() for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
        if name == "proxyAddresses":
            texts = [text.removeprefix("smtp:") for text in texts if text.startswith("smtp:")]
        found.update(texts)
    return found


# ---------------------------------------------------------------- what the account says of itself


def _properties(account: Account, *, password: bool) -> Iterator[str]:
    def value(name: str) -> object:
        return account.shown.get(name, ABSENT)

    def is_one_of(name: str, *harmless: object) -> bool:
        return any(value(name) is one for one in harmless)

    if not is_one_of("accountEnabled", True):
        yield "not known to be enabled"
    kind, made, upn = value("userType"), value("creationType"), value("userPrincipalName")
    if not (isinstance(kind, str) and kind.casefold() == "member"):
        yield "not known to be a member: userType"
    if made is not None and not (isinstance(made, str) and made in ("LocalAccount", "EmailVerified")):
        yield "not known to be a member: creationType"
    if not is_one_of("externalUserState", None):
        yield "not known to be a member: externalUserState"
    if not isinstance(upn, str) or "#ext#" in upn.casefold():
        yield "not known to be a member: userPrincipalName"
    if not is_one_of("onPremisesSyncEnabled", None, False) and (
        password or not is_one_of("onPremisesSyncEnabled", True)
    ):
        yield "not known to be a cloud account"
    if not is_one_of("isManagementRestricted", None, False):
        yield "not known to be outside of restricted management"
    # Whose account it is can be told only from addresses that can be read.
    if not (value("mail") is None or isinstance(value("mail"), str)):
        yield "addresses that cannot be read: mail"
    for name in ("otherMails", "proxyAddresses"):
        listed = value(name)
        if not (isinstance(listed, list) and all(isinstance(one, str) for one in listed)):
            yield f"addresses that cannot be read: {name}"
    identities = value("identities")
    if not (
        isinstance(identities, list)
        and all(isinstance(one, dict) and isinstance(one.get("issuerAssignedId", 0), str | None) for one in identities)
    ):
        yield "addresses that cannot be read: identities"


def _domain(account: Account, tenant: Tenant, *, password: bool) -> Iterator[str]:
    upn = account.shown.get("userPrincipalName")
    name = upn.rpartition("@")[2] if isinstance(upn, str) and "@" in upn else ""
    domain = tenant.domain(name) if name else None
    if domain is None or not domain.verified:
        yield "not of a verified domain of this customer"
    elif domain.federated and password:
        yield "of a federated domain"


# ---------------------------------------------------------------- privileges


def _within(tenant: Tenant, inner: str, outer: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether one is a member of a group, however many groups lie between; circles end."""
    group = tenant.groups.get(outer)
    if group is None or outer in seen:
        return False
    return inner in group.members or any(_within(tenant, inner, one, seen | {outer}) for one in group.members)


def _privileges(account: Account, tenant: Tenant) -> Iterator[str]:
    for role in account.roles:
        if not role.custom or tenant.sees_roles:  # else nobody could know
            yield f"holds a role: {role.name}"
    if tenant.sees_roles and tenant.has_premium:
        for role in account.eligible:
            yield f"may activate a role: {role.name}"
    for group in tenant.groups.values():
        inside, owns = _within(tenant, account.id, group.id), account.id in group.owners
        if inside and group.roles:
            yield "holds a role through a group"
        if group.assignable and inside:
            yield "member of a role-assignable group"
        if group.assignable and owns:
            yield "owner of a role-assignable group"


def _protection(account: Account, tenant: Tenant, request: Request) -> Iterator[str]:
    names = {one.strip().casefold() for one in tenant.protected_users}
    if account.id in names or addresses(account) & names:
        yield "a protected user"
    if addresses(account) & request.senders:
        yield "the owner of the mailbox that our mails come from"
    if any(_within(tenant, account.id, group.casefold()) for group in tenant.protected_groups):
        yield "in a protected group"


# ---------------------------------------------------------------- what was read


def _unread(account: Account, tenant: Tenant, request: Request, ledger: RandomGraph) -> Iterator[str]:
    """Facts that Graph has not told whole since the approval, in whatever way they can be asked for."""

    def told(kind: str, about: str = account.id) -> bool:
        return ledger.told.get((tenant.name, kind, about), False)

    if not told("user"):
        yield "not read: the account"
    if not told("roles"):
        yield "not read: its roles"
    if not told("assignable groups"):
        yield "not read: its groups"
    if not (told("owned") or told("group owners", "*")):
        yield "not read: what it owns"
    if tenant.sees_roles and not told("assignments"):
        yield "not read: its roles by assignment"
    if tenant.sees_roles and tenant.has_premium and not told("eligibility"):
        yield "not read: the roles that it may activate"
    upn = account.shown.get("userPrincipalName")
    domain = tenant.domain(upn.rpartition("@")[2]) if isinstance(upn, str) else None
    if domain is not None:
        organization = {"name": domain.name, "type": domain.kind, **domain.in_organization}
        listing = {"id": domain.name, "isVerified": True, "authenticationType": domain.kind, **domain.in_domains}
        in_organization = told("organization", domain.name) and organization["name"] == domain.name
        in_domains = told("domains", domain.name) and listing["id"] == domain.name and listing["isVerified"] is True
        if not (in_organization or in_domains):
            yield "not read: its domain"
        elif not (
            (in_organization and organization["type"] == domain.kind)
            or (in_domains and listing["authenticationType"] == domain.kind)
        ):
            yield "not read: whether its domain is federated"
    checked = ledger.groups_checked.get((tenant.name, account.id), set())
    if not {group.casefold() for group in tenant.protected_groups} <= checked:
        yield "not read: whether it is in a protected group"
    address = request.address.casefold()
    for name in SEARCHED:
        if not ledger.addresses_told.get((tenant.name, f"{name} {address}"), False):
            yield f"not read: who else has the address as {name}"
