"""Looking accounts up: everything that the guard must know, read in one $batch.

The rule of this module: what cannot be read is said in `Account.unknown`, and nobody touches such an account. An
answer that is missing is never a "no". Vendor facts: learn.microsoft.com/graph/api/resources/users,
user-list-transitivememberof, user-checkmembergroups and aad-advanced-queries, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from connector.config import ProtectedSection
from connector.core.case import fold
from connector.core.ports import Account
from connector.errors import AmbiguousAccount, ConnectorError, NoSuchAccount, TemporaryError
from connector.graph.client import Ask, GraphClient, Reply

FACTS = (
    "id,userPrincipalName,displayName,accountEnabled,userType,creationType,externalUserState,identities,"
    "onPremisesSyncEnabled,mail,otherMails,proxyAddresses,isManagementRestricted"
)
ADVANCED = {"ConsistencyLevel": "eventual"}
GROUPS_PER_CHECK = 20
LONGEST_ADDRESS = 320
MOST_OWNERS_SHOWN = 20
"""`$expand` shows no more than this many. Source: learn.microsoft.com/graph/query-parameters, read 2026-11-22."""

READ_USERS = ("User.Read.All",)

# The filter, not the property, tells role-assignable groups: without a permission to read groups their properties
# come back empty, but the filter still sees them. That it works on memberships and owned objects is UNVERIFIED;
# a refusal makes the account unknown.
ROLE_ASSIGNABLE = (
    "$filter=isAssignableToRole%20eq%20true&$count=true&$select=id,displayName,isAssignableToRole&$top=999"
)


class Lookup:
    """Reads accounts of one tenant. Safe to share between threads.

    Args:
        tenant: Its name in `connector.yaml`.
    """

    def __init__(self, *, tenant: str, client: GraphClient, protected: ProtectedSection) -> None:
        self._tenant = tenant
        self._client = client
        self._protected_users = {fold(entry): entry for entry in protected.users}
        self._protected_groups = tuple(dict.fromkeys(fold(entry) for entry in protected.groups))

    def find(self, address: str) -> Account:
        """The account behind an address, in two calls: one to resolve it, one to read it.

        Each kind of address is asked for by itself, because Graph refuses some combinations in one filter.
        """
        account_id = self._resolve(address)
        return self.read(account_id)

    def read(self, account_id: str) -> Account:
        """All facts of one account, in one call.

        A second call is made only where Graph refuses to list what the account owns.
        """
        checked = object_id(account_id)
        if not checked:
            raise NoSuchAccount(
                f"{account_id!r} is not an object id of {self._client.place}. Look the account up again."
            )
        replies = self._client.batch(self._asks(checked))
        user = replies["user"]
        if user.status == 404:
            raise NoSuchAccount(
                f"{self._client.place} has no account {account_id}. It was deleted since; look in Entra."
            )
        if not user.fine:
            raise self._client.refusal(user, f"to show the account {account_id}", needs=READ_USERS)
        if not isinstance(user.body, Mapping):
            raise _nonsense("an account")
        return self._account(checked, user.body, replies)

    # -- resolving

    def _resolve(self, address: str) -> str:
        wanted = fold(address)
        shown = f"{address.strip()[:80]!r}"
        if not _is_address(wanted):
            raise NoSuchAccount(f"{shown} is not an address. Write the account's sign-in name into the ticket.")
        literal = wanted.replace("'", "''")
        filters = {
            "sign-in name": f"userPrincipalName eq '{literal}'",
            "mail": f"mail eq '{literal}'",
            # Graph compares without regard to case, UNVERIFIED for this property: so both spellings.
            "proxy address": f"proxyAddresses/any(p:p eq 'smtp:{literal}') or "
            f"proxyAddresses/any(p:p eq 'SMTP:{literal}')",
            "other mail": f"otherMails/any(p:p eq '{literal}')",
        }
        asks = [
            Ask(id=name, path=f"/users?$filter={quote(clause, safe='')}&$select=id&$top=5")
            for name, clause in filters.items()
        ]
        found: set[str] = set()
        for name, reply in self._client.batch(asks).items():
            if not reply.fine:
                # Not skipped: a second account might hide behind it.
                raise self._client.refusal(reply, f"to look accounts up by {name}", needs=READ_USERS)
            found.update(_ids(reply))
        if not found:
            raise NoSuchAccount(
                f"{self._client.place} has no account for {shown}. Correct the address in the ticket, or the customer "
                "that the ticket belongs to."
            )
        if len(found) > 1:
            raise AmbiguousAccount(
                f"{len(found)} accounts of {self._client.place} answer to {shown}. Write the account's sign-in name "
                "into the ticket, or tidy the addresses up in Entra."
            )
        return found.pop()

    # -- reading

    def _asks(self, account_id: str) -> list[Ask]:
        user = f"/users/{account_id}"
        groups = self._protected_groups
        chunks = [groups[start : start + GROUPS_PER_CHECK] for start in range(0, len(groups), GROUPS_PER_CHECK)]
        return [
            Ask("user", f"{user}?$select={FACTS}"),
            Ask("roles", f"{user}/transitiveMemberOf/microsoft.graph.directoryRole"
                         "?$select=id,displayName,roleTemplateId"),
            Ask("groups", f"{user}/transitiveMemberOf/microsoft.graph.group?{ROLE_ASSIGNABLE}", headers=ADVANCED),
            # Learn lists no application permission for it, which is UNVERIFIED: then the owners are asked for instead.
            Ask("owned", f"{user}/ownedObjects/microsoft.graph.group?{ROLE_ASSIGNABLE}", headers=ADVANCED,
                needed=False),
            Ask("organization", "/organization?$select=id,verifiedDomains"),
            Ask("domains", "/domains?$select=id,isVerified,authenticationType", needed=False),
            *(
                Ask(f"protected {number}", f"{user}/checkMemberGroups", method="POST", body={"groupIds": list(chunk)})
                for number, chunk in enumerate(chunks)
            ),
        ]  # fmt: skip

    def _account(self, account_id: str, user: Mapping[str, Any], replies: Mapping[str, Reply]) -> Account:
        unknown: list[str] = []
        facts = _Facts(user, unknown)
        upn = facts.text("userPrincipalName", "its sign-in name") or account_id
        addresses = _addresses(facts, upn)
        verified, federated = self._domain(fold(upn).rpartition("@")[2], replies, unknown)
        owned = replies["owned"]
        owners = (
            _named(owned, "owned role-assignable group", unknown)
            if owned.fine
            else self._groups_owned(account_id, unknown)
        )
        return Account(
            tenant=self._tenant,
            id=account_id,
            upn=upn,
            display_name=facts.text("displayName", "", needed=False) or upn,
            addresses=addresses,
            enabled=facts.flag("accountEnabled", "whether it is enabled"),
            guest=_guest(facts, upn),
            synchronised=facts.flag("onPremisesSyncEnabled", "whether it is synchronised", empty=False),
            federated=federated,
            domain_verified=verified,
            admin_roles=_named(replies["roles"], "administrator role", unknown),
            privileged_groups=tuple(
                dict.fromkeys((*_named(replies["groups"], "role-assignable group", unknown), *owners))
            ),
            protected_by=self._protected_by(account_id, addresses, replies, unknown),
            restricted=facts.flag("isManagementRestricted", "whether its management is restricted", empty=False),
            unknown=tuple(dict.fromkeys(unknown)),
        )

    def _domain(self, domain: str, replies: Mapping[str, Reply], unknown: list[str]) -> tuple[bool, bool]:
        """Whether the domain is a verified one of this tenant, and whether it is federated.

        `/domains` is the documented place but needs a permission of its own; `/organization` costs none and names a
        `type` for each verified domain, documented by example only. Where both can be read, either one's
        "federated" counts; where neither says, it is unknown.
        """
        verified: bool | None = None
        kinds: set[str] = set()
        for reply, name, kind in (
            (replies["organization"], "name", "type"),
            (replies["domains"], "id", "authenticationType"),
        ):
            rows = _rows(reply)
            if rows is not None and kind == "type":
                rows = [row for one in rows for row in _list(one.get("verifiedDomains")) if isinstance(row, Mapping)]
            for row in rows or ():
                if fold(str(row.get(name, ""))) == domain and row.get("isVerified", True) is True:
                    verified = True
                    kinds.add(fold(str(row.get(kind, ""))))
            if rows:
                verified = bool(verified)
        if verified is None:
            unknown.append("the verified domains of its tenant")
        elif verified and not kinds & {"managed", "federated"}:
            unknown.append("whether its domain is federated")
        return bool(verified), "federated" in kinds

    def _groups_owned(self, account_id: str, unknown: list[str]) -> tuple[str, ...]:
        """Role-assignable groups of this owner, found from the groups' side."""
        path = (
            "/groups?$filter=isAssignableToRole%20eq%20true&$count=true&$select=id,displayName"
            "&$expand=owners($select=id)&$top=999"
        )
        reply = self._client.batch([Ask("groups with owners", path, headers=ADVANCED, needed=False)])[
            "groups with owners"
        ]
        rows = _rows(reply)
        if rows is None or _has_more(reply) or not all(isinstance(row.get("owners"), list) for row in rows):
            unknown.append("whether it owns role-assignable groups (grant GroupMember.Read.All)")
            return ()
        owned = []
        for row in rows:
            owners = {fold(str(owner.get("id"))) for owner in row["owners"] if isinstance(owner, Mapping)}
            if account_id in owners:
                owned.append(_name(row, "owned role-assignable group"))
            elif len(row["owners"]) >= MOST_OWNERS_SHOWN:
                unknown.append("whether it is one of the many owners of a role-assignable group")
        return tuple(owned)

    def _protected_by(
        self, account_id: str, addresses: Iterable[str], replies: Mapping[str, Reply], unknown: list[str]
    ) -> str:
        for known in (account_id, *sorted(addresses)):
            if known in self._protected_users:
                return f"{self._client.place}.protected.users: {self._protected_users[known]}"
        for name, reply in replies.items():
            if not name.startswith("protected "):
                continue
            held = reply.body.get("value") if reply.fine and isinstance(reply.body, Mapping) else None
            if not isinstance(held, list):
                unknown.append("whether it is in a protected group")
                continue
            if held:  # whatever is named was asked for
                return f"{self._client.place}.protected.groups: {held[0]}"
        return ""


class _Facts:
    """The properties of a user. Graph sends every one that was selected, so an absent one is a fact not read."""

    def __init__(self, user: Mapping[str, Any], unknown: list[str]) -> None:
        self._user = user
        self._unknown = unknown

    def text(self, key: str, meaning: str, *, needed: bool = True) -> str:
        value = self._user.get(key)
        if isinstance(value, str) and value:
            return value
        if needed:
            self._unknown.append(meaning)
        return ""

    def flag(self, key: str, meaning: str, *, empty: bool | None = None) -> bool:
        """`empty`: what `null` means; `None` when it means nothing."""
        value = self._user.get(key) if key in self._user else "absent"
        if value is None:
            value = empty
        if isinstance(value, bool):
            return value
        self._unknown.append(meaning)
        return False

    def texts(self, key: str, meaning: str) -> list[str]:
        value = self._user.get(key)
        if not isinstance(value, list):
            self._unknown.append(meaning)
            return []
        return [entry for entry in value if isinstance(entry, str)]

    def has(self, key: str) -> bool:
        return key in self._user

    def raw(self, key: str) -> object:
        return self._user.get(key)

    def miss(self, meaning: str) -> None:
        self._unknown.append(meaning)


def _guest(facts: _Facts, upn: str) -> bool:
    """Guest by any of the signs; a user without a type is neither guest nor member, and so unknown."""
    kind = facts.text("userType", "whether it is a guest (its userType is empty)")
    state = facts.raw("externalUserState")
    if not (facts.has("creationType") and facts.has("externalUserState")):
        facts.miss("whether it is a guest")
    return (
        fold(kind) == "guest"
        or fold(str(facts.raw("creationType") or "")) == "invitation"
        or bool(state)
        or "#ext#" in fold(upn)
    )


def _addresses(facts: _Facts, upn: str) -> frozenset[str]:
    """Every address that a person may be known by. Those of another kind (X500, phone) are no addresses."""
    found = [upn, facts.text("mail", "", needed=False)]
    found += facts.texts("otherMails", "its other mail addresses")
    for proxy in facts.texts("proxyAddresses", "its mail addresses"):
        kind, colon, address = proxy.partition(":")
        if not colon or fold(kind) in ("smtp", "sip"):
            found.append(address if colon else proxy)
    identities = facts.raw("identities")
    for identity in identities if isinstance(identities, list) else ():
        name = identity.get("issuerAssignedId") if isinstance(identity, Mapping) else None
        if isinstance(name, str):
            found.append(name)
    return frozenset(fold(address) for address in found if "@" in address)


def _named(reply: Reply, thing: str, unknown: list[str]) -> tuple[str, ...]:
    """Names of the rows; a row whose name we may not read still counts."""
    rows = _rows(reply)
    if rows is None:
        unknown.append(f"its {thing}s")
        return ()
    # `false` means that the filter was not applied; anything else, empty included, means that it matched.
    names = tuple(_name(row, thing) for row in rows if row.get("isAssignableToRole") is not False)
    if not names and _has_more(reply):
        unknown.append(f"its {thing}s beyond the first page")
    return names


def _name(row: Mapping[str, Any], thing: str) -> str:
    for key in ("displayName", "roleTemplateId", "id"):
        value = row.get(key)
        if isinstance(value, str) and value:
            return value if key == "displayName" else f"{thing} {value}"
    return f"{thing} without a name"


def _ids(reply: Reply) -> set[str]:
    rows = _rows(reply)
    ids = [object_id(str(row.get("id", ""))) for row in rows or ()]
    if rows is None or not all(ids):
        raise _nonsense("a list of accounts")
    return set(ids)


def _rows(reply: Reply) -> list[Mapping[str, Any]] | None:
    """The rows of a collection; `None` when the reply is not one, or holds something else than objects."""
    value = reply.body.get("value") if reply.fine and isinstance(reply.body, Mapping) else None
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        return None
    return value


def _has_more(reply: Reply) -> bool:
    return isinstance(reply.body, Mapping) and bool(reply.body.get("@odata.nextLink"))


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def object_id(text: str) -> str:
    """The id in the form that Graph writes; empty when it is none, so that it cannot bend an address."""
    try:
        plain = str(UUID(text))
    except ValueError:
        return ""
    return plain if fold(text) == plain else ""


def _is_address(text: str) -> bool:
    name, at, domain = text.rpartition("@")
    return bool(name and at and domain) and len(text) <= LONGEST_ADDRESS and text.isprintable() and " " not in text


def _nonsense(what: str) -> ConnectorError:
    return TemporaryError(f"Microsoft Graph sent something that is not {what}. It is tried again by itself.")
