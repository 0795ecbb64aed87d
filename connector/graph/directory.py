"""Looking accounts up: everything that the guard must know, read in one $batch.

The rule of this module: what cannot be read is said in `Account.unknown`, and nobody touches such an account. An
answer that is missing is never a "no". Vendor facts: learn.microsoft.com/graph/api/resources/users,
user-list-transitivememberof, user-checkmembergroups and aad-advanced-queries, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from connector.config import ProtectedSection
from connector.core.case import Person, fold
from connector.core.ports import Account
from connector.errors import AmbiguousAccount, NoSuchAccount
from connector.graph.client import Ask, GraphClient, Reply
from connector.graph.excess import role_of
from connector.graph.facts import (
    Facts,
    accounts,
    addresses_of,
    alternate_mails_of,
    domains_of,
    has_more,
    is_address,
    is_guest,
    manager_in,
    moment,
    name_of,
    names,
    nonsense,
    object_id,
    rows_of,
)
from connector.graph.permissions import enough, may
from connector.graph.refusals import Meaning

FACTS = (
    "id,userPrincipalName,displayName,accountEnabled,userType,creationType,externalUserState,identities,"
    "onPremisesSyncEnabled,mail,otherMails,proxyAddresses,isManagementRestricted,"
    "lastPasswordChangeDateTime,signInSessionsValidFromDateTime"
)
MANAGER = "id,displayName,mail,userPrincipalName,accountEnabled,proxyAddresses"
ALTERNATE = "alternate address"
ADVANCED = {"ConsistencyLevel": "eventual"}
GROUPS_PER_CHECK = 20
MOST_OWNERS_SHOWN = 20
"""`$expand` shows no more than this many. Source: learn.microsoft.com/graph/query-parameters, read 2026-11-22."""

READ_ROLES = enough("RoleManagement.Read.Directory")
READ_ELIGIBLE = (  # not RoleManagement.Read.All: github.com/microsoftgraph/microsoft-graph-docs-contrib/issues/1980
    "RoleEligibilitySchedule.Read.Directory",
    "RoleEligibilitySchedule.ReadWrite.Directory",
    "RoleManagement.Read.Directory",
    "RoleManagement.ReadWrite.Directory",
)
ASSIGNED = "/roleManagement/directory/roleAssignments"
ELIGIBLE = "/roleManagement/directory/roleEligibilityScheduleInstances"
"""The memberships name built-in roles alone (a directoryRole stands for a built-in one). Custom roles, and roles that
wait to be activated, are asked for here, where the customer has granted that we may see them; `connector check` warns
where not. Source: learn.microsoft.com/graph/api/resources/directoryrole and unifiedroleassignment, read 2026-11-22."""
READ_USERS = enough("User.Read.All")

# The filter, not the property, tells role-assignable groups: without a permission to read groups their properties
# come back empty, but the filter still sees them. That it works on memberships and owned objects is UNVERIFIED;
# a refusal makes the account unknown.
ASSIGNABLE = "$filter=isAssignableToRole%20eq%20true&$count=true&$top=999"
ROLE_ASSIGNABLE = f"{ASSIGNABLE}&$select=id,displayName,isAssignableToRole"
WITH_OWNERS = f"{ASSIGNABLE}&$select=id,displayName&$expand=owners($select=id)"


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
            raise NoSuchAccount(f"{account_id!r} in {self._client.place} is no object id. Look the account up again.")
        held = self._client.permissions() or frozenset()
        replies = self._client.batch(self._asks(checked, held))
        user = replies["user"]
        if user.status == 404:
            raise NoSuchAccount(
                f"{self._client.place} has no account {account_id}. It was deleted since; look in Entra."
            )
        if not user.fine:
            raise self._client.refusal(user, f"to show the account {account_id}", needs=READ_USERS)
        if not isinstance(user.body, Mapping) or fold(str(user.body.get("id"))) != checked:
            raise nonsense("the account asked for")
        return self._account(checked, user.body, replies)

    # -- resolving

    def _resolve(self, address: str) -> str:
        wanted = fold(address)
        shown = f"{address.strip()[:80]!r}"
        if not is_address(wanted):
            raise NoSuchAccount(f"{shown} is not an address. Write the account's sign-in name into the ticket.")
        literal = wanted.replace("'", "''")
        filters = {
            "sign-in name": f"userPrincipalName eq '{literal}'",
            "mail": f"mail eq '{literal}'",
            # Graph compares without regard to case, UNVERIFIED for this property: so both spellings.
            "proxy address": f"proxyAddresses/any(p:p eq 'smtp:{literal}') or "
            f"proxyAddresses/any(p:p eq 'SMTP:{literal}')",
            ALTERNATE: f"otherMails/any(p:p eq '{literal}')",
        }
        asks = [
            Ask(id=name, path=f"/users?$filter={quote(clause, safe='')}&$select=id,userPrincipalName&$top=5")
            for name, clause in filters.items()
        ]
        upns: dict[str, str] = {}
        known_as: dict[str, list[str]] = {}
        for name, reply in self._client.batch(asks).items():
            if not reply.fine:
                # Not skipped: a second account might hide behind it.
                raise self._client.refusal(reply, f"to look accounts up by {name}", needs=READ_USERS)
            for account_id, upn in accounts(reply).items():
                upns[account_id] = upn or account_id
                known_as.setdefault(account_id, []).append(name)
        if not upns:
            raise NoSuchAccount(
                f"{self._client.place} has no account for {shown}. Correct the address in the ticket, or the customer "
                "that the ticket belongs to."
            )
        if len(upns) > 1:
            those = "; ".join(f"{upn} ({', '.join(known_as[account_id])})" for account_id, upn in upns.items())
            own = any(fold(upn) == wanted for upn in upns.values())
            todo = "Tidy the addresses up in Entra" if own else "Write the account's sign-in name into the ticket"
            raise AmbiguousAccount(
                f"{len(upns)} accounts of {self._client.place} answer to {shown}: {those}. {todo}.", ids=tuple(upns)
            )
        ((account_id, upn),) = upns.items()
        if known_as[account_id] == [ALTERNATE]:
            raise AmbiguousAccount(
                f"{shown} is only an alternate address of {upn} in {self._client.place}, often a private one that "
                "nobody else has checked. Write the account's sign-in name into the ticket.",
                ids=(account_id,),
            )
        return account_id

    # -- reading

    def _asks(self, account_id: str, held: frozenset[str]) -> list[Ask]:
        user = f"/users/{account_id}"
        by_account = f"$filter=principalId%20eq%20'{account_id}'"
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
            *([Ask("assigned", f"{ASSIGNED}?{by_account}", needed=False)] if held & set(READ_ROLES) else []),
            *([Ask("eligible", f"{ELIGIBLE}?{by_account}", needed=False)] if held & set(READ_ELIGIBLE) else []),
        ]  # fmt: skip

    def _account(self, account_id: str, user: Mapping[str, Any], replies: Mapping[str, Reply]) -> Account:
        unknown: list[str] = []
        facts = Facts(user, unknown)
        upn = facts.text("userPrincipalName", "its sign-in name") or account_id
        addresses = addresses_of(facts, upn)
        verified, federated = self._domain(fold(upn).rpartition("@")[2], replies, unknown)
        groups = names(replies["groups"], "role-assignable group", unknown)
        groups += self._groups_owned(account_id, replies["owned"], unknown)
        return Account(
            tenant=self._tenant,
            id=account_id,
            upn=upn,
            display_name=facts.text("displayName", "", needed=False) or upn,
            addresses=addresses,
            enabled=facts.flag("accountEnabled", "whether it is enabled"),
            guest=is_guest(facts, upn),
            synchronised=facts.flag("onPremisesSyncEnabled", "whether it is synchronised", empty=False),
            federated=federated,
            domain_verified=verified,
            admin_roles=names(replies["roles"], "administrator role", unknown)
            or _roles(replies.get("assigned"), "its roles by assignment", unknown),
            privileged_groups=tuple(dict.fromkeys(groups)),
            protected_by=self._protected_by(account_id, addresses, replies, unknown),
            restricted=facts.flag("isManagementRestricted", "whether its management is restricted", empty=False),
            eligible_roles=_roles(replies.get("eligible"), "the roles that it may activate", unknown),
            password_set_at=moment(facts.raw("lastPasswordChangeDateTime")),
            sessions_valid_from=moment(facts.raw("signInSessionsValidFromDateTime")),
            unknown=tuple(dict.fromkeys(unknown)),
            alternate_mails=alternate_mails_of(facts, upn),
        )

    def _domain(self, domain: str, replies: Mapping[str, Reply], unknown: list[str]) -> tuple[bool, bool]:
        """Whether the domain is a verified one of this tenant, and whether it is federated.

        `/domains` is the documented place but needs a permission of its own; `/organization` costs none and names a
        `type` for each verified domain, documented by example only. Where both can be read, either one's
        "federated" counts; where neither says, it is unknown.
        """
        verified: bool | None = None
        kinds: set[str] = set()
        for rows, name, kind in (
            (domains_of(replies["organization"]), "name", "type"),
            (rows_of(replies["domains"]), "id", "authenticationType"),
        ):
            for row in rows or ():
                # An organization lists verified domains only; elsewhere each one must say so.
                if fold(str(row.get(name, ""))) == domain and (kind == "type" or row.get("isVerified") is True):
                    verified = True
                    kinds.add(fold(str(row.get(kind, ""))))
            if rows:
                verified = bool(verified)
        if verified is None:
            unknown.append("the verified domains of its tenant")
        elif verified and not kinds & {"managed", "federated"}:
            unknown.append("whether its domain is federated")
        return bool(verified), "federated" in kinds

    def _groups_owned(self, account_id: str, owned: Reply, unknown: list[str]) -> tuple[str, ...]:
        """Role-assignable groups of this owner; from the groups' side where Graph does not list owned objects."""
        if owned.fine:
            return names(owned, "owned role-assignable group", unknown)
        ask = Ask("groups with owners", f"/groups?{WITH_OWNERS}", headers=ADVANCED, needed=False)
        reply = self._client.batch([ask])[ask.id]
        rows = rows_of(reply)
        if rows is None or has_more(reply) or not all(isinstance(row.get("owners"), list) for row in rows):
            unknown.append("whether it owns role-assignable groups (grant GroupMember.Read.All)")
            return ()
        found = []
        for row in rows:
            owners = {object_id(str(owner.get("id")) if isinstance(owner, Mapping) else "") for owner in row["owners"]}
            if account_id in owners:
                found.append(name_of(row, "owned role-assignable group"))
            elif "" in owners or len(row["owners"]) >= MOST_OWNERS_SHOWN:
                unknown.append("whether it is one of the owners of a role-assignable group")
        return tuple(found)

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

    # -- around an account

    def verified_domains(self) -> frozenset[str]:
        """The verified domains of this tenant, folded. One call; empty where they cannot be read."""
        ask = Ask("organization", "/organization?$select=id,verifiedDomains")
        domains = domains_of(self._client.batch([ask])[ask.id])
        return frozenset(fold(str(row["name"])) for row in domains or () if row.get("name"))

    def manager_of(self, account_id: str) -> Person | None:
        """The manager of an account; see `Directory.manager_of`. One call, with the permission to read accounts.

        Graph answers 404 where there is none. Source: learn.microsoft.com/graph/api/user-list-manager, read 2026-11-22.
        """
        checked = object_id(account_id)
        if not checked:
            return None
        reply = self._client.call("GET", f"/users/{checked}/manager?$select={MANAGER}")
        if reply.status == 404:
            return None
        if not reply.fine:
            raise self._client.refusal(reply, f"to show the manager of {checked}", needs=READ_USERS)
        return manager_in(reply.body)

    def may_read_reports(self) -> bool:
        """Whether it is worth asking `can_help_itself`."""
        return may("AuditLog.Read.All", self._client.permissions() or ())

    def can_help_itself(self, account_id: str) -> bool | None:
        """Whether the account can reset its own password; `None` where that cannot be read. One call.

        The report needs a permission of its own (AuditLog.Read.All) and a P1 licence, and is hours late. Source:
        learn.microsoft.com/graph/api/resources/userregistrationdetails, read 2026-11-22; the delay is UNVERIFIED.
        """
        checked = object_id(account_id)
        if not checked:
            return None
        path = f"/reports/authenticationMethods/userRegistrationDetails/{checked}?$select=id,isSsprCapable"
        ask = Ask("registration", path, needed=False, hint=True)
        reply = self._client.batch([ask])[ask.id]
        capable = reply.body.get("isSsprCapable") if reply.fine and isinstance(reply.body, Mapping) else None
        return capable if isinstance(capable, bool) else None


def _roles(reply: Reply | None, meaning: str, unknown: list[str]) -> tuple[str, ...]:
    """The roles in a list of assignments, at any scope. A tenant without the licence for a kind of them has none."""
    if reply is None or (not reply.fine and reply.meaning is Meaning.NEEDS_LICENCE):
        return ()
    rows = rows_of(reply)
    if rows is None or (not rows and has_more(reply)):
        unknown.append(meaning)
        return ()
    return tuple(role_of(fold(str(row.get("roleDefinitionId") or "without a name"))).name for row in rows)
