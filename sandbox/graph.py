"""The imitated Microsoft Graph v1.0: what a reset needs, and the refusals it meets.

Every handler is given a `Call`, so that a request that came alone and one that came inside a $batch take the same way.
Sources are cited at the rules; the rest is Microsoft's published Graph v1.0 reference, read 2026-11-22.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import graph_batch, graph_methods
from sandbox.directory import ROLE_TEMPLATES, Account, Group, Password, Tenant, complies_with_policy, graph_time
from sandbox.graph_call import Call, GraphError, Reply
from sandbox.graph_query import (
    DEFAULT_USER_PROPERTIES,
    UnsupportedQuery,
    filter_test,
    page,
    search_test,
    selected,
)
from sandbox.tokens import Issuer
from sandbox.world import World

READ_USERS = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
READ_GROUPS = ("GroupMember.Read.All", "Group.Read.All", "Directory.Read.All", "Directory.ReadWrite.All")
READ_ROLES = ("RoleManagement.Read.Directory", "Directory.Read.All", "Directory.ReadWrite.All")
CONTEXT = "https://graph.microsoft.com/v1.0/$metadata#"

SYNCED = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently"
    " undergoing migration."
)
MISSING = "Resource '{}' does not exist or one of its queried reference-property objects are not present."
TOO_SIMPLE = (
    "The specified password does not comply with password complexity requirements. Please provide a different password."
)


Handler = Callable[..., Reply]


class Graph:
    """Routing, permissions and handlers; one instance per world."""

    def __init__(self, world: World, issuer: Issuer) -> None:
        self.world, self.issuer = world, issuer
        self.shuffle = random.Random(world.seed)
        self.methods = graph_methods.Methods(self)
        user = r"/users/(?P<user>[^/]+)"
        objects = r"(?:/(?:microsoft\.)?graph\.(?P<cast>\w+))?"
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/organization", self.organization),
            ("GET", "/domains", self.domains),
            ("GET", "/users", self.list_users),
            ("GET", user, self.get_user),
            ("PATCH", user, self.patch_user),
            ("GET", f"{user}/manager", self.manager),
            ("GET", f"{user}/transitiveMemberOf{objects}", self.transitive_member_of),
            ("GET", f"{user}/ownedObjects{objects}", self.owned_objects),
            ("POST", f"{user}/checkMemberGroups", self.check_member_groups),
            ("POST", rf"{user}/(?:microsoft\.graph\.)?revokeSignInSessions", self.revoke_sessions),
            ("POST", f"{user}/sendMail", self.send_mail),
            *self.methods.routes(user),
        ]
        self.routes = [(method, re.compile(f"^{path}$", re.IGNORECASE), handler) for method, path, handler in routes]

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1.0/$batch", self.batch, methods=["POST"]),
                Route("/{path:path}", self.single, methods=["GET", "POST", "PATCH", "PUT", "DELETE"]),
            ]
        )

    # -- the way in ---------------------------------------------------------------------------------------------

    async def single(self, request: Request) -> Response:
        raw = request.scope.get("raw_path", request.scope["path"].encode()).decode("latin-1")
        body = await request.body()
        headers = {key.lower(): value for key, value in request.headers.items()}
        reply = self._admitted(headers, lambda tenant, permissions: self.answer(
            request.method, _target(raw, request.url.query), headers, _json(body), tenant, permissions, _root(request)
        ))  # fmt: skip
        return self._response(reply, headers)

    async def batch(self, request: Request) -> Response:
        """Up to 20 calls in one. Source: learn.microsoft.com/graph/json-batching, read 2026-11-22."""
        body = _json(await request.body())
        headers = {key.lower(): value for key, value in request.headers.items()}
        reply = self._admitted(headers, lambda tenant, permissions: graph_batch.run(
            self, body, tenant=tenant, permissions=permissions, root=_root(request)
        ))  # fmt: skip
        return self._response(reply, headers)

    def _admitted(self, headers: dict[str, str], then: Callable[[Tenant, frozenset[str]], Reply]) -> Reply:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        claims = self.issuer.claims_of(token, now=self.world.now()) if scheme.lower() == "bearer" else None
        tenant = self.world.directory.tenant(claims["tid"]) if claims else None
        if claims is None or tenant is None:
            message = "Access token is missing, has expired or is not yet valid."
            return self.error_reply(GraphError(401, "InvalidAuthenticationToken", message))
        try:
            return then(tenant, frozenset(claims["roles"]))
        except GraphError as error:
            return self.error_reply(error)

    def answer(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Any,
        tenant: Tenant,
        permissions: frozenset[str],
        root: str,
    ) -> Reply:
        """Answer one call; never raises for what a caller can do wrong.

        Args:
            url: Path and query behind the version, still percent-encoded.
        """
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        call = Call(method, parts.path.rstrip("/"), query, headers, body, tenant, permissions, root)
        try:
            known = False
            for verb, pattern, handler in self.routes:
                match = pattern.match(call.path)
                if match and verb == method:
                    return handler(call, **{k: unquote(v) for k, v in match.groupdict().items() if v is not None})
                known = known or match is not None
            if known:
                raise GraphError(
                    405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target."
                )
            raise GraphError(400, "BadRequest", f"Resource not found for the segment '{call.path.rsplit('/', 1)[-1]}'.")
        except GraphError as error:
            return self.error_reply(error)
        except UnsupportedQuery as error:
            return self.error_reply(GraphError(400, "Request_UnsupportedQuery", str(error)))

    def error_reply(self, error: GraphError) -> Reply:
        request_id = str(uuid.uuid4())
        inner: dict[str, Any] = {
            # Sent without an offset, as Microsoft does.
            "date": f"{self.world.now():%Y-%m-%dT%H:%M:%S}",
            "request-id": request_id,
            "client-request-id": request_id,
        }
        # The MFA service writes its codes in lower case and repeats the message inside. Source: GitHub
        # microsoftgraph/microsoft-graph-docs#14470 and #18091, read 2026-11-22.
        if error.code[:1].islower():
            inner["message"] = error.message
        body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
        return Reply(error.status, body, error.headers)

    def _response(self, reply: Reply, headers: dict[str, str]) -> Response:
        ids = {
            "request-id": str(uuid.uuid4()),
            "client-request-id": headers.get("client-request-id", str(uuid.uuid4())),
        }
        media_type = "application/json" if reply.body is not None else None
        content = b"" if reply.body is None else json.dumps(reply.body)
        return Response(content, reply.status, headers=ids | (reply.headers or {}), media_type=media_type)

    def account(self, call: Call, user: str) -> Account:
        account = call.tenant.find(user)
        if account is None:
            raise GraphError(404, "Request_ResourceNotFound", MISSING.format(user))
        return account

    # -- reading ------------------------------------------------------------------------------------------------

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
        rows = [_user(account) for account in call.tenant.accounts.values()]
        if "$search" in call.query:
            if call.headers.get("consistencylevel", "").lower() != "eventual":
                raise UnsupportedQuery("A request with $search needs the header 'ConsistencyLevel: eventual'.")
            rows = [row for row in rows if search_test(call.query["$search"])(row)]
        if "$filter" in call.query:
            test = filter_test(call.query["$filter"])
            rows = [row for row in rows if test(row)]
        return self._collection(call, rows, "users", DEFAULT_USER_PROPERTIES)

    def _collection(self, call: Call, rows: list[dict[str, Any]], name: str, default: tuple[str, ...]) -> Reply:
        top = min(int(call.query.get("$top") or 100), 999)
        skip = int(call.query.get("$skiptoken") or 0)

        def link(next_skip: int) -> str:
            return f"{call.root}{call.path}?{urlencode(call.query | {'$skiptoken': str(next_skip)})}"

        shown = [selected(row, call.query.get("$select"), default) for row in rows]
        answer = {"@odata.context": f"{CONTEXT}{name}"} | page(shown, top=top, skip=skip, link=link)
        if call.query.get("$count", "").lower() == "true":
            answer["@odata.count"] = len(rows)
        return Reply(200, answer)

    def get_user(self, call: Call, user: str) -> Reply:
        call.require(*READ_USERS)
        record = _user(self.account(call, user))
        return Reply(
            200,
            {"@odata.context": f"{CONTEXT}users/$entity"}
            | selected(record, call.query.get("$select"), DEFAULT_USER_PROPERTIES),
        )

    def manager(self, call: Call, user: str) -> Reply:
        call.require(*READ_USERS)
        manager = call.tenant.accounts.get(self.account(call, user).manager or "")
        if manager is None:
            raise GraphError(404, "Request_ResourceNotFound", MISSING.format("manager"))
        return Reply(
            200,
            {"@odata.type": "#microsoft.graph.user"}
            | selected(_user(manager), call.query.get("$select"), DEFAULT_USER_PROPERTIES),
        )

    def transitive_member_of(self, call: Call, user: str, cast: str | None = None) -> Reply:
        call.require(*READ_USERS, *READ_GROUPS)
        account = self.account(call, user)
        groups = [self._group(call, group) for group in call.tenant.groups_of(account.id)]
        roles = [self._role(call, name) for name in call.tenant.roles_of(account.id)]
        return self._objects(call, groups, roles, cast)

    def owned_objects(self, call: Call, user: str, cast: str | None = None) -> Reply:
        call.require(*READ_USERS)
        account = self.account(call, user)
        groups = [self._group(call, group) for group in call.tenant.groups.values() if account.id in group.owners]
        return self._objects(call, groups, [], cast)

    def _objects(
        self, call: Call, groups: list[dict[str, Any]], roles: list[dict[str, Any]], cast: str | None
    ) -> Reply:
        if cast is not None and cast.lower() not in ("group", "directoryrole"):
            raise GraphError(400, "BadRequest", f"Resource not found for the segment 'microsoft.graph.{cast}'.")
        rows = {"group": groups, "directoryrole": roles}.get((cast or "").lower(), groups + roles)
        if "$filter" in call.query:
            # Filtering memberships is an advanced query. Source: learn.microsoft.com/graph/aad-advanced-queries.
            if (
                call.headers.get("consistencylevel", "").lower() != "eventual"
                or call.query.get("$count", "").lower() != "true"
            ):
                raise UnsupportedQuery("Advanced queries need the header ConsistencyLevel: eventual and $count=true.")
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
        account = self.account(call, user)
        ids = call.object_body().get("groupIds")
        if not isinstance(ids, list) or not ids:
            raise GraphError(400, "Request_BadRequest", "Invalid value specified for property 'groupIds'.")
        if len(ids) > 20:
            raise GraphError(400, "Request_BadRequest", "Too many items in 'groupIds': at most 20 are allowed.")
        held = {group.id for group in call.tenant.groups_of(account.id)}
        return Reply(
            200, {"@odata.context": f"{CONTEXT}Collection(Edm.String)", "value": [one for one in ids if one in held]}
        )

    # -- writing ------------------------------------------------------------------------------------------------

    def patch_user(self, call: Call, user: str) -> Reply:
        """Set the password; other properties need permissions that a reset does not."""
        body = call.object_body()
        if set(body) != {"passwordProfile"}:
            call.require("User.ReadWrite.All", "Directory.ReadWrite.All")
            raise GraphError(400, "Request_BadRequest", "The sandbox updates nothing but passwordProfile.")
        call.require("User-PasswordProfile.ReadWrite.All")
        account = self.account(call, user)
        profile = body["passwordProfile"]
        if not isinstance(profile, dict):
            raise GraphError(400, "Request_BadRequest", "Invalid value specified for property 'passwordProfile'.")
        self.require_reachable(call, account)
        self._refuse_foreign_passwords(call.tenant, account)
        password = profile.get("password")
        if password is not None:
            if not isinstance(password, str) or not complies_with_policy(password, tenant=call.tenant):
                raise GraphError(400, "Request_BadRequest", TOO_SIMPLE)
            account.password = Password(password)
            account.password_set_at = self.world.now()
            account.properties["lastPasswordChangeDateTime"] = graph_time(self.world.now())
            account.writes.append("password")
        # A password without the flag must be changed too. Source: learn.microsoft.com passwordProfile, read 2026-11-22.
        account.must_change = bool(
            profile.get("forceChangePasswordNextSignIn", password is not None)
            or profile.get("forceChangePasswordNextSignInWithMfa", False)
        )
        return Reply(204)

    def require_reachable(self, call: Call, account: Account) -> None:
        if not call.tenant.may_be_reset(account):
            raise GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")

    def _refuse_foreign_passwords(self, tenant: Tenant, account: Account) -> None:
        """The password does not live here. The texts for federated users and guests are not documented: ours."""
        if account.properties.get("onPremisesSyncEnabled"):
            raise GraphError(400, "Request_BadRequest", SYNCED)
        if tenant.is_federated(account):
            raise GraphError(400, "Request_BadRequest", "Unable to set a password for users of a federated domain.")
        if account.properties.get("creationType") == "Invitation":
            raise GraphError(400, "Request_BadRequest", "Unable to set a password for users of another directory.")

    def revoke_sessions(self, call: Call, user: str) -> Reply:
        call.require("User.RevokeSessions.All", "User.ReadWrite.All", "Directory.ReadWrite.All")
        account = self.account(call, user)
        self.require_reachable(call, account)
        account.sessions_revoked_at = self.world.now()
        account.properties["signInSessionsValidFromDateTime"] = graph_time(self.world.now())
        account.writes.append("revoke")
        return Reply(200, {"@odata.context": f"{CONTEXT}Edm.Boolean", "value": True})

    def send_mail(self, call: Call, user: str) -> Reply:
        call.require("Mail.Send")
        account = self.account(call, user)
        body = {key.lower(): value for key, value in call.object_body().items()}
        message = body.get("message")
        if not isinstance(message, dict) or not message.get("toRecipients"):
            raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
        content = message.get("body") or {}
        is_html = str(content.get("contentType", "")).lower() == "html"
        text = str(content.get("content", ""))
        headers = {h["name"]: h["value"] for h in message.get("internetMessageHeaders") or []}
        self.world.deliver(
            via="graph",
            sender=str(account.properties["mail"]),
            recipients=[one["emailAddress"]["address"] for one in message["toRecipients"]],
            subject=str(message.get("subject", "")),
            text="" if is_html else text,
            html=text if is_html else "",
            message_id=f"<{uuid.uuid4()}@{account.domain}>",
            headers=headers,
        )
        return Reply(202)


def _user(account: Account) -> dict[str, Any]:
    return {"id": account.id} | account.properties | {"signInActivity": None}


def _json(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def _target(raw_path: str, query: str) -> str:
    """Path and query behind `/v1.0`; a path of another version becomes one that no route knows."""
    path = raw_path.partition("?")[0]
    inner = path.removeprefix("/v1.0") if path.lower().startswith("/v1.0/") else "/unknown-version"
    return f"{inner}?{query}" if query else inner


def _root(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/v1.0"
