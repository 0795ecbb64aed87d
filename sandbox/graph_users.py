"""Reading in the imitated Graph: users, what they belong to, and their tenant."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sandbox.directory import Account, Group
from sandbox.graph_call import (
    CONTEXT,
    MISSING,
    Call,
    GraphError,
    Handler,
    Reply,
    account_of,
    collection,
    require_premium,
)
from sandbox.graph_query import (
    DEFAULT_USER_PROPERTIES,
    UnsupportedQuery,
    filter_test,
    search_test,
    selected,
)
from sandbox.roles import ROLE_TEMPLATES, is_built_in
from sandbox.world import World

READ_USERS = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
READ_GROUPS = ("GroupMember.Read.All", "Group.Read.All", "Directory.Read.All", "Directory.ReadWrite.All")
READ_ROLES = ("RoleManagement.Read.Directory", "Directory.Read.All", "Directory.ReadWrite.All")


class Users:
    """The handlers that change nothing."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self, user: str) -> list[tuple[str, str, Handler]]:
        objects = r"(?:/(?:microsoft\.)?graph\.(?P<cast>\w+))?"
        return [
            ("GET", "/organization", self.organization),
            ("GET", "/domains", self.domains),
            ("GET", "/users", self.list_users),
            ("GET", "/groups", self.list_groups),
            ("GET", user, self.get_user),
            ("GET", f"{user}/manager", self.manager),
            ("GET", f"{user}/transitiveMemberOf{objects}", self.transitive_member_of),
            ("GET", f"{user}/ownedObjects{objects}", self.owned_objects),
            ("POST", f"{user}/checkMemberGroups", self.check_member_groups),
        ]

    def organization(self, call: Call) -> Reply:
        call.require(*READ_USERS, "Organization.Read.All")
        record = {
            "id": call.tenant.id,
            "displayName": call.tenant.name,
            "tenantType": "AAD",
            "onPremisesSyncEnabled": True if call.tenant.key == "contoso" else None,
            "verifiedDomains": [
                {
                    "name": domain.name,
                    "isDefault": domain.default,
                    "isInitial": domain.initial,
                    "type": "Federated" if domain.federated else "Managed",
                    "capabilities": "Email",
                }
                for domain in call.tenant.domains
            ],
        }
        everything = tuple(record)
        return Reply(
            200,
            {
                "@odata.context": f"{CONTEXT}organization",
                "value": [selected(record, call.query.get("$select"), everything)],
            },
        )

    def domains(self, call: Call) -> Reply:
        call.require("Domain.Read.All", "Directory.Read.All", "Domain.ReadWrite.All")
        rows = [
            {
                "id": domain.name,
                "authenticationType": "Federated" if domain.federated else "Managed",
                "isVerified": True,
                "isDefault": domain.default,
                "isInitial": domain.initial,
                "isRoot": domain.name.count(".") == 1,
                "isAdminManaged": True,
                "supportedServices": ["Email"],
            }
            for domain in call.tenant.domains
        ]
        value = [selected(row, call.query.get("$select"), tuple(row)) for row in rows]
        return Reply(200, {"@odata.context": f"{CONTEXT}domains", "value": value})

    def list_users(self, call: Call) -> Reply:
        call.require(*READ_USERS)
        self._admit_activity(call)
        rows = [user_record(account, self.world.now()) for account in call.tenant.accounts.values()]
        if "$search" in call.query:
            if call.headers.get("consistencylevel", "").lower() != "eventual":
                raise UnsupportedQuery("A request with $search needs the header 'ConsistencyLevel: eventual'.")
            rows = [row for row in rows if search_test(call.query["$search"])(row)]
        if "$filter" in call.query:
            test = filter_test(call.query["$filter"])
            rows = [row for row in rows if test(row)]
        return collection(call, rows, "users", DEFAULT_USER_PROPERTIES)

    def get_user(self, call: Call, user: str) -> Reply:
        call.require(*READ_USERS)
        self._admit_activity(call)
        record = user_record(account_of(call, user), self.world.now())
        return Reply(
            200,
            {"@odata.context": f"{CONTEXT}users/$entity"}
            | selected(record, call.query.get("$select"), DEFAULT_USER_PROPERTIES),
        )

    def _admit_activity(self, call: Call) -> None:
        """The date of the last sign-in needs a permission and a licence; without them the whole call is refused."""
        if "signinactivity" in call.query.get("$select", "").lower():
            call.require("AuditLog.Read.All")
            require_premium(call)

    def manager(self, call: Call, user: str) -> Reply:
        call.require(*READ_USERS)
        manager = call.tenant.accounts.get(account_of(call, user).manager or "")
        if manager is None:
            raise GraphError(404, "Request_ResourceNotFound", MISSING.format("manager"))
        return Reply(
            200,
            {"@odata.type": "#microsoft.graph.user"}
            | selected(user_record(manager, self.world.now()), call.query.get("$select"), DEFAULT_USER_PROPERTIES),
        )

    def transitive_member_of(self, call: Call, user: str, cast: str | None = None) -> Reply:
        call.require(*READ_USERS, *READ_GROUPS)
        account = account_of(call, user)
        groups = [self._group(call, group) for group in call.tenant.groups_of(account.id)]
        # A custom role is no directoryRole object; only roleAssignments tell of it.
        roles = [self._role(call, name) for name in call.tenant.roles_of(account.id) if is_built_in(name)]
        return self._objects(call, groups, roles, cast)

    def owned_objects(self, call: Call, user: str, cast: str | None = None) -> Reply:
        call.require(*READ_USERS)
        account = account_of(call, user)
        groups = [self._group(call, group) for group in call.tenant.groups.values() if account.id in group.owners]
        return self._objects(call, groups, [], cast)

    def _objects(
        self, call: Call, groups: list[dict[str, Any]], roles: list[dict[str, Any]], cast: str | None
    ) -> Reply:
        if cast is not None and cast.lower() not in ("group", "directoryrole"):
            raise GraphError(400, "BadRequest", f"Resource not found for the segment 'microsoft.graph.{cast}'.")
        rows = {"group": groups, "directoryrole": roles}.get((cast or "").lower(), groups + roles)
        if "$filter" in call.query:
            _require_advanced(call)
            test = filter_test(call.query["$filter"])
            rows = [row for row in rows if test(row["known"])]
        value = []
        for row in rows:
            shown = row["shown"]
            typed = {} if cast else {"@odata.type": shown["@odata.type"]}
            plain = {key: item for key, item in shown.items() if key != "@odata.type"}
            # $select on a mixed collection may name properties that one of the types lacks.
            names = [name.strip() for name in call.query.get("$select", "").split(",") if name.strip() in plain]
            value.append(typed | selected(plain, ",".join(names) or None, tuple(plain)))
        answer: dict[str, Any] = {"@odata.context": f"{CONTEXT}directoryObjects", "value": value}
        if call.query.get("$count", "").lower() == "true":
            answer["@odata.count"] = len(value)
        return Reply(200, answer)

    def list_groups(self, call: Call) -> Reply:
        """Groups, with their owners where `$expand=owners` asks for them; it shows 20 of them at most."""
        call.require(*READ_GROUPS)
        groups = list(call.tenant.groups.values())
        if "$filter" in call.query:
            _require_advanced(call)
            test = filter_test(call.query["$filter"])
            groups = [group for group in groups if test(self._group(call, group)["known"])]
        answer = collection(call, [self._group(call, group)["known"] for group in groups], "groups")
        if call.query.get("$expand", "").lower().startswith("owners"):
            for row in answer.body["value"]:
                owners = call.tenant.groups[row["id"]].owners[:20]
                row["owners"] = [{"@odata.type": "#microsoft.graph.user", "id": owner} for owner in owners]
        return answer

    def _group(self, call: Call, group: Group) -> dict[str, Any]:
        """Without a permission to read groups only type and id are shown; a filter still sees the rest."""
        known = {
            "id": group.id,
            "displayName": group.name,
            "isAssignableToRole": group.role_assignable or None,
            "securityEnabled": True,
        }
        hidden = not call.permissions & set(READ_GROUPS)
        shown = {key: None if hidden and key != "id" else value for key, value in known.items()}
        return {"known": known, "shown": {"@odata.type": "#microsoft.graph.group"} | shown}

    def _role(self, call: Call, name: str) -> dict[str, Any]:
        template = ROLE_TEMPLATES.get(name)
        known = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{call.tenant.id}:{name}")),
            "displayName": name,
            "roleTemplateId": template,
        }
        hidden = not call.permissions & set(READ_ROLES)
        shown = {key: None if hidden and key != "id" else value for key, value in known.items()}
        return {"known": known, "shown": {"@odata.type": "#microsoft.graph.directoryRole"} | shown}

    def check_member_groups(self, call: Call, user: str) -> Reply:
        call.require(*READ_USERS, *READ_GROUPS)
        account = account_of(call, user)
        ids = call.object_body().get("groupIds")
        if not isinstance(ids, list) or not ids:
            raise GraphError(400, "Request_BadRequest", "Invalid value specified for property 'groupIds'.")
        if len(ids) > 20:
            raise GraphError(400, "Request_BadRequest", "Too many items in 'groupIds': at most 20 are allowed.")
        held = {group.id for group in call.tenant.groups_of(account.id)}
        return Reply(
            200, {"@odata.context": f"{CONTEXT}Collection(Edm.String)", "value": [one for one in ids if one in held]}
        )


def _require_advanced(call: Call) -> None:
    """Such a filter is an advanced query. Source: learn.microsoft.com/graph/aad-advanced-queries, read 2026-11-22."""
    eventual = call.headers.get("consistencylevel", "").lower() == "eventual"
    if not eventual or call.query.get("$count", "").lower() != "true":
        raise UnsupportedQuery("Advanced queries need the header ConsistencyLevel: eventual and $count=true.")


def user_record(account: Account, now: datetime) -> dict[str, Any]:
    """What a read shows now, which may be older than the truth."""
    return {"id": account.id} | account.properties_at(now) | {"signInActivity": None}
