"""Graph and the sign-in service in memory: any URL in, an answer out. Accepts every write, so that none goes unseen.

Which tenant is meant is told by the token alone, as it is with the real one. `told` is the ledger of what was last
answered whole: the oracle takes a fact that was not told for a "no".

Vendor facts as in learn.microsoft.com/graph (users, json-batching, query-parameters, paging), read 2026-11-22.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.graph.random_tenants.model import ABSENT, Account, Group, Tenant, Trouble, made_id

LOGIN = "https://login.example.com"
GRAPH = "https://graph.example.com"

FACT_KINDS = ("user", "roles", "assignable groups", "owned", "organization", "domains", "member check", "find")
SIDE_KINDS = ("group owners", "eligibility", "assignments", "registration")
WRITE_KINDS = ("password", "methods", "method", "sessions")
KINDS = (*FACT_KINDS, *SIDE_KINDS, *WRITE_KINDS, "batch", "token")

REFUSALS = ("403", "401", "400", "404", "403 odd", "403 bare")
PASSING = ("429", "503", "500", "left out", "status in words")
NONSENSE = ("no body", "a word", "a list", "no value", "odd value", "odd rows", "no ids")
PAGES = ("empty page", "short page")
LOST = ("lost", "lost after")
TROUBLES = (*REFUSALS, *PASSING, *NONSENSE, *PAGES, "somebody else", *LOST)

SEGMENTS = {
    "phone": "phoneMethods",
    "microsoftAuthenticator": "microsoftAuthenticatorMethods",
    "fido2": "fido2Methods",
    "softwareOath": "softwareOathMethods",
    "email": "emailMethods",
    "windowsHelloForBusiness": "windowsHelloForBusinessMethods",
}
PERMISSIONS = (
    "User.Read.All", "User-PasswordProfile.ReadWrite.All", "User.RevokeSessions.All",
    "UserAuthenticationMethod.ReadWrite.All", "Domain.Read.All", "GroupMember.Read.All", "AuditLog.Read.All",
)  # fmt: skip
LEFT_OUT, IN_WORDS = "X-Left-Out", "X-In-Words"
MOST_EXPANDED = 20
MOST_CHECKED = 20

USER = "^/users/([^/]+)"
CAST = r"(?:microsoft\.)?graph"
REPORT = "^/reports/authenticationMethods/userRegistrationDetails"
FILTER_EQ = re.compile(r"^(\w+) eq '((?:[^']|'')*)'$")
FILTER_ANY = re.compile(r"^(\w+)/any\((\w+):\s*\2 eq '((?:[^']|'')*)'\)$")
FILTER_OR = re.compile(r" or (?=(?:[^']*'[^']*')*[^']*$)")


class Lost(Exception):
    """The connection breaks, before or after the effect."""


@dataclass(frozen=True)
class Write:
    """One attempt to change something.

    Attributes:
        what: `password`, `method`, `sessions`, or `unknown` for everything that a reset does not need.
        account: The id in the address; as written there when it is of no account.
        tenant: The name of the tenant whose token came with it.
        problem: What is wrong with the call itself; empty when nothing is.
    """

    what: str
    tenant: str
    account: str
    detail: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Back:
    """An answer; a `str` is sent as it is, everything else as JSON."""

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Call:
    method: str
    path: str
    query: Mapping[str, str]
    body: object
    tenant: Tenant
    beta: bool = False


Handler = Callable[..., Back]


class RandomGraph:
    """Answers for some tenants.

    Args:
        on_write: Called with each write, refused ones included, before its effect.
        after_look: Called after the facts of an account were answered: here a race begins.
    """

    def __init__(
        self,
        tenants: list[Tenant],
        troubles: list[Trouble],
        *,
        clock: Callable[[], datetime],
        on_write: Callable[[Write], None],
        after_look: Callable[[str, str], None],
    ) -> None:
        self.tenants = {tenant.id: tenant for tenant in tenants}
        self.troubles = troubles
        self.told: dict[tuple[str, str, str], bool] = {}
        self.addresses_told: dict[tuple[str, str], bool] = {}
        self.groups_checked: dict[tuple[str, str], set[str]] = {}
        self.effects: list[Write] = []
        self.log: list[str] = []
        self.clock = clock
        self._on_write = on_write
        self._after_look = after_look
        self._tokens: dict[str, Tenant] = {}
        self._looked_at: set[tuple[str, str]] = set()
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            ("GET", re.compile(r"^/users$"), self._find),
            ("GET", re.compile(r"^/users/([^/]+)$"), self._user),
            ("GET", re.compile(rf"{USER}/transitiveMemberOf/{CAST}\.directoryRole$"), self._roles),
            ("GET", re.compile(rf"{USER}/transitiveMemberOf/{CAST}\.group$"), self._member_of),
            ("GET", re.compile(rf"{USER}/memberOf/{CAST}\.directoryRole$"), self._direct_roles),
            ("GET", re.compile(rf"{USER}/memberOf/{CAST}\.group$"), self._direct_groups),
            ("GET", re.compile(rf"{USER}/ownedObjects/{CAST}\.group$"), self._owned),
            ("POST", re.compile(r"^/users/([^/]+)/checkMemberGroups$"), self._check_groups),
            ("GET", re.compile(r"^/organization$"), self._organization),
            ("GET", re.compile(r"^/domains$"), self._domains),
            ("GET", re.compile(r"^/groups$"), self._groups),
            ("GET", re.compile(r"^/roleManagement/directory/roleEligibilityScheduleInstances$"), self._eligibility),
            ("GET", re.compile(r"^/roleManagement/directory/roleAssignments$"), self._assignments),
            ("GET", re.compile(rf"{REPORT}/([^/]+)$"), self._registration),
            ("GET", re.compile(r"^/users/([^/]+)/authentication/methods$"), self._methods),
            ("PATCH", re.compile(r"^/users/([^/]+)$"), self._patch),
            ("POST", re.compile(r"^/users/([^/]+)/revokeSignInSessions$"), self._revoke),
            ("DELETE", re.compile(r"^/users/([^/]+)/authentication/(\w+)(?:/([^/]+))?$"), self._delete),
        ]  # fmt: skip

    def forget_told(self) -> None:
        """From here on, only what is told anew counts. Whom an address means stays told."""
        self.told.clear()
        self.groups_checked.clear()

    # -- the border

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Back:
        """What a call gets.

        Raises:
            Lost: No answer; the effect may have taken place.
        """
        parts = urlsplit(url)
        if url.startswith(LOGIN):
            return self._sign_in(method, parts.path)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        tenant = self._tokens.get(token)
        if tenant is None:
            return _refused(401, "InvalidAuthenticationToken")
        version, _, path = parts.path.lstrip("/").partition("/")
        content = json.loads(body) if body else None
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        call = _Call(method, f"/{unquote(path)}", query, content, tenant, beta=version == "beta")
        looks = set(self._looked_at)
        back = self._batch(call) if call.path == "/$batch" else self._call(call)
        self._looked_at, looked = looks, self._looked_at - looks
        for tenant_name, account in looked:
            self._after_look(tenant_name, account)
        return back

    def _sign_in(self, method: str, path: str) -> Back:
        tenant_id = path.strip("/").partition("/")[0]
        base = f"{LOGIN}/{tenant_id}"
        if method == "GET":
            return Back(200, {"token_endpoint": f"{base}/oauth2/v2.0/token", "authorization_endpoint": f"{base}/auth"})
        tenant = self.tenants.get(tenant_id)
        if tenant is None:
            return Back(400, {"error": "invalid_request", "error_codes": [90002]})
        if trouble := self._trouble("token", tenant):
            return Back(int(trouble) if trouble.isdigit() else 503, {"error": "temporarily_unavailable"})
        granted = [*PERMISSIONS, *(["RoleManagement.Read.Directory"] if tenant.sees_roles else [])]
        roles = {"roles": granted, "n": len(self._tokens)}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({"alg": "none"}, roles)]
        token = f"{parts[0]}.{parts[1]}.{tenant.name}"
        self._tokens[token] = tenant
        return Back(200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    # -- batches

    def _batch(self, call: _Call) -> Back:
        if trouble := self._trouble("batch", call.tenant):
            return _whole_trouble(trouble)
        requests = call.body.get("requests") if isinstance(call.body, dict) else None
        if not isinstance(requests, list) or len(requests) > 20:
            return _refused(400, "BadRequest")
        backs: dict[str, Back | None] = {}
        for item in requests:
            needed = [backs.get(str(other).casefold()) for other in item.get("dependsOn", ())]
            if any(one is None or one.status >= 400 for one in needed):
                backs[item["id"].casefold()] = _refused(424, "FailedDependency")
                continue
            parts = urlsplit(item["url"])
            one = _Call(item["method"], unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True)),
                        item.get("body"), call.tenant)  # fmt: skip
            if item.get("body") is not None and "application/json" not in json.dumps(item.get("headers", {})):
                backs[item["id"].casefold()] = _refused(400, "BadRequest")
                continue
            try:
                backs[item["id"].casefold()] = self._call(one)
            except Lost:
                backs[item["id"].casefold()] = _refused(504, "GatewayTimeout")
        rows = []
        for id_, back in reversed(backs.items()):  # in any order
            if back is None or LEFT_OUT in back.headers:
                continue
            status: object = str(back.status) if IN_WORDS in back.headers else back.status
            rows.append({"id": id_, "status": status, "headers": dict(back.headers), "body": back.body})
        return Back(200, {"responses": rows})

    # -- single calls

    def _call(self, call: _Call) -> Back:
        self.log.append(f"{call.tenant.name}: {call.method} {call.path} {dict(call.query) or ''}")
        for verb, pattern, handler in self._routes:
            if verb == call.method and (match := pattern.match(call.path)):
                back = handler(call, *match.groups())
                self.log[-1] += f" -> {back.status}"
                return back
        if call.method != "GET" and not re.search(r"/(check|get)Member(Groups|Objects)$", call.path):
            self._on_write(Write("unknown", call.tenant.name, call.path, call.method, "nobody needs this write"))
        return _refused(404 if len(call.path) % 2 else 403, "Request_ResourceNotFound")

    def _trouble(self, where: str, tenant: Tenant) -> str:
        for trouble in self.troubles:
            if trouble.where == where and trouble.times > 0 and trouble.tenant in ("", tenant.name):
                trouble.times -= 1
                return trouble.what
        return ""

    def _answer(self, call: _Call, where: str, about: str, rows: list[dict[str, object]] | None,
                body: dict[str, object] | None = None) -> Back:  # fmt: skip
        """A collection (`rows`) or one object (`body`), with whatever trouble there is, and a line in the ledger."""
        key = (call.tenant.name, where, about)
        if "$skiptoken" in call.query:
            assert rows is not None
            self.told[key] = True
            return Back(200, {"value": rows[int(call.query["$skiptoken"]) :]})
        trouble = self._trouble(where, call.tenant)
        self.told[key] = not trouble
        whole: dict[str, object] = {"value": rows} if rows is not None else dict(body or {})
        if not trouble:
            return Back(200, whole)
        if trouble in PAGES and rows is not None:
            shown = 0 if trouble == "empty page" else 1
            mark = "&".join([*(f"{name}={value}" for name, value in call.query.items()), f"$skiptoken={shown}"])
            return Back(200, {"value": rows[:shown], "@odata.nextLink": f"{GRAPH}/v1.0{call.path}?{mark}"})
        return _troubled(trouble, whole, rows is not None)

    # -- reading

    def _account(self, call: _Call, key: str) -> Account | None:
        wanted = key.casefold()
        for account in call.tenant.accounts.values():
            if wanted in (account.id, str(account.shown.get("userPrincipalName")).casefold()):
                return account
        return None

    def _find(self, call: _Call) -> Back:
        clause = call.query.get("$filter", "")
        tests = [_read_clause(one) for one in FILTER_OR.split(clause)]
        if not clause or any(test is None for test in tests):
            return _refused(400, "Request_UnsupportedQuery")
        found = [
            account
            for account in call.tenant.accounts.values()
            if any(_matches(account, *test) for test in tests if test is not None)
        ]
        rows = [{"id": account.id, **_selected(account.shown, call.query, ())} for account in found]
        back = self._answer(call, "find", clause, rows)
        for test in tests:
            if test is not None:
                address = test[1].casefold().removeprefix("smtp:")
                self.addresses_told[call.tenant.name, f"{test[0]} {address}"] = self.told[
                    call.tenant.name, "find", clause
                ]
        return back

    def _user(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        if account is None:
            return _gone()
        self._looked_at.add((call.tenant.name, account.id))
        others = [one for one in call.tenant.accounts.values() if one.id != account.id]
        if others and self._next_is("user", "somebody else", call.tenant):
            self.told[call.tenant.name, "user", account.id] = False
            return Back(200, _selected(others[0].shown, call.query, ("id",)))
        return self._answer(call, "user", account.id, None, _selected(account.shown, call.query, ("id",)))

    def _next_is(self, where: str, what: str, tenant: Tenant) -> bool:
        for trouble in self.troubles:
            if trouble.where == where and trouble.times > 0 and trouble.tenant in ("", tenant.name):
                if trouble.what != what:
                    return False
                trouble.times -= 1
                return True
        return False

    def _roles(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        if account is None:
            return _gone()
        roles = [*account.roles, *(role for group in self._groups_of(call.tenant, account.id) for role in group.roles)]
        rows: list[dict[str, object]] = [
            {"id": role.id, "displayName": role.name, "roleTemplateId": role.template_id}
            for role in roles
            if not role.custom
        ]
        return self._answer(call, "roles", account.id, _hidden(rows, "roles" in call.tenant.hides_names))

    def _groups_of(self, tenant: Tenant, member: str) -> list[Group]:
        found: dict[str, Group] = {}
        waiting = [member]
        while waiting:
            inside = waiting.pop()
            for group in tenant.groups.values():
                if inside in group.members and group.id not in found:
                    found[group.id] = group
                    waiting.append(group.id)
        return list(found.values())

    def _member_of(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        if account is None:
            return _gone()
        return self._group_rows(call, "assignable groups", account.id, self._groups_of(call.tenant, account.id))

    def _direct_roles(self, call: _Call, key: str) -> Back:
        """Not all of them: whoever asks here is told, but has not asked for what the rules need."""
        account = self._account(call, key)
        if account is None:
            return _gone()
        return self._answer(call, "direct roles", account.id, [{"id": one.id} for one in account.roles])

    def _direct_groups(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        if account is None:
            return _gone()
        groups = [group for group in call.tenant.groups.values() if account.id in group.members]
        return self._group_rows(call, "direct groups", account.id, groups)

    def _owned(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        if account is None:
            return _gone()
        owned = [group for group in call.tenant.groups.values() if account.id in group.owners]
        return self._group_rows(call, "owned", account.id, owned)

    def _group_rows(self, call: _Call, where: str, about: str, groups: list[Group]) -> Back:
        if call.query.get("$filter") not in (None, "isAssignableToRole eq true"):
            return _refused(400, "Request_UnsupportedQuery")
        if "$filter" in call.query and not call.tenant.loose_filter:
            groups = [group for group in groups if group.assignable]
        rows: list[dict[str, object]] = [
            {"id": group.id, "displayName": group.name, "isAssignableToRole": group.assignable} for group in groups
        ]
        if "owners" in call.query.get("$expand", ""):
            for row, group in zip(rows, groups, strict=True):
                row["owners"] = [{"id": owner} for owner in group.owners[:MOST_EXPANDED]]
        back = self._answer(call, where, about, _hidden(rows, where in call.tenant.hides_names))
        if any(len(group.owners) > MOST_EXPANDED for group in groups) and where == "group owners":
            self.told[call.tenant.name, where, about] = False
        return back

    def _groups(self, call: _Call) -> Back:
        return self._group_rows(call, "group owners", "*", list(call.tenant.groups.values()))

    def _check_groups(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        asked = call.body.get("groupIds") if isinstance(call.body, dict) else None
        if account is None:
            return _gone()
        if not isinstance(asked, list) or len(asked) > MOST_CHECKED:
            return _refused(400, "Request_BadRequest")
        held = {group.id for group in self._groups_of(call.tenant, account.id)}
        trouble = self._trouble("member check", call.tenant)
        checked = self.groups_checked.setdefault((call.tenant.name, account.id), set())
        if trouble:
            checked.difference_update(asked)
            return _troubled(trouble, {"value": []}, True)
        checked.update(asked)
        return Back(200, {"value": [id_ for id_ in asked if id_ in held]})

    def _organization(self, call: _Call) -> Back:
        domains = [
            _without_absent({"name": domain.name, "type": domain.kind, **domain.in_organization})
            for domain in call.tenant.domains
            if domain.verified
        ]
        back = self._answer(call, "organization", "*", [{"id": call.tenant.id, "verifiedDomains": domains}])
        return self._domains_told(call, "organization", back)

    def _domains(self, call: _Call) -> Back:
        rows = [
            _without_absent({"id": domain.name, "isVerified": domain.verified, "authenticationType": domain.kind,
                             **domain.in_domains})
            for domain in call.tenant.domains
        ]  # fmt: skip
        return self._domains_told(call, "domains", self._answer(call, "domains", "*", rows))

    def _domains_told(self, call: _Call, where: str, back: Back) -> Back:
        """Each domain by itself: what stands on a page is told, whatever may stand on the next one."""
        shown = back.body if isinstance(back.body, dict) else {}
        fine = self.told[call.tenant.name, where, "*"] or "@odata.nextLink" in shown
        for domain in call.tenant.domains:
            told = fine and f'"{domain.name}"' in json.dumps(shown.get("value"))
            self.told[call.tenant.name, where, domain.name] = told
        return back

    def _eligibility(self, call: _Call) -> Back:
        test = _read_clause(call.query.get("$filter", ""))
        account = call.tenant.accounts.get(test[1]) if test and test[0] == "principalId" else None
        if not call.tenant.sees_roles:
            return _refused(403, "Authorization_RequestDenied")
        if not call.tenant.has_premium:
            return _refused(400, "AadPremiumLicenseRequired", "The tenant needs to have Microsoft Entra ID P2 license.")
        rows: list[dict[str, object]] = [
            {"id": made_id("eligible", role.id), "principalId": account.id, "roleDefinitionId": role.template_id,
             "directoryScopeId": "/"}
            for role in (account.eligible if account else ())
            if account
        ]  # fmt: skip
        return self._answer(call, "eligibility", account.id if account else "", rows)

    def _assignments(self, call: _Call) -> Back:
        test = _read_clause(call.query.get("$filter", ""))
        account = call.tenant.accounts.get(test[1]) if test and test[0] == "principalId" else None
        if not call.tenant.sees_roles:
            return _refused(403, "Authorization_RequestDenied")
        rows: list[dict[str, object]] = [
            {"id": made_id("assignment", role.id), "principalId": account.id, "roleDefinitionId": role.template_id,
             "directoryScopeId": "/"}
            for role in (account.roles if account else ())
            if account
        ]  # fmt: skip
        return self._answer(call, "assignments", account.id if account else "", rows)

    def _registration(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        if account is None:
            return _gone()
        facts: dict[str, object] = {"id": account.id, "isAdmin": bool(account.roles), "isSsprCapable": False,
                                    "isSsprEnabled": False, "isSsprRegistered": False}  # fmt: skip
        return self._answer(call, "registration", account.id, None, facts)

    def _methods(self, call: _Call, key: str) -> Back:
        account = self._account(call, key)
        if account is None:
            return _gone()
        return self._answer(call, "methods", account.id, [dict(row) for row in account.methods])

    # -- writing

    def _write(self, call: _Call, key: str, what: str, effect: Callable[[Account], Back], *, detail: str = "",
               problem: str = "", kind: str = "") -> Back:  # fmt: skip
        account = self._account(call, key)
        if account is None:
            return _gone()  # it reaches nobody
        write = Write(what, call.tenant.name, account.id, detail, problem)
        self._on_write(write)
        trouble = self._trouble(kind or what, call.tenant)
        if trouble == "lost":
            raise Lost
        if trouble and trouble != "lost after":
            return _troubled(trouble, {}, False)
        back = effect(account)
        if back.status < 300:
            self.effects.append(write)
        if trouble == "lost after":
            raise Lost
        return back

    def _patch(self, call: _Call, key: str) -> Back:
        body = call.body if isinstance(call.body, dict) else {}
        profile = body.get("passwordProfile")
        problem = ""
        if set(body) != {"passwordProfile"} or not isinstance(profile, dict) or not profile.get("password"):
            problem = "it changes something else than the password"
        elif profile.get("forceChangePasswordNextSignIn") is not True or len(profile) > 2:
            problem = "the password would not have to be changed, or not by whoever has just lost the other factors"

        def effect(account: Account) -> Back:
            account.shown["lastPasswordChangeDateTime"] = self._now()
            return Back(204)

        return self._write(call, key, "password", effect, problem=problem)

    def _revoke(self, call: _Call, key: str) -> Back:
        def effect(account: Account) -> Back:
            account.shown["signInSessionsValidFromDateTime"] = self._now()
            return Back(200, {"value": True})

        return self._write(call, key, "sessions", effect)

    def _delete(self, call: _Call, key: str, segment: str, method_id: str | None) -> Back:
        def effect(account: Account) -> Back:
            for row in account.methods:
                kind = str(row["@odata.type"]).removeprefix("#microsoft.graph.").removesuffix("AuthenticationMethod")
                if SEGMENTS.get(kind) == segment and row["id"] == method_id:
                    account.methods.remove(row)
                    return Back(204)
            return _refused(404, "resourceNotFound")

        problem = "" if segment in SEGMENTS.values() else f"{segment} holds nothing that a reset removes"
        return self._write(call, key, "method", effect, detail=segment, problem=problem)

    def _now(self) -> str:
        return self.clock().isoformat().replace("+00:00", "Z")


# ---------------------------------------------------------------- shapes


def _read_clause(clause: str) -> tuple[str, str] | None:
    match = FILTER_EQ.match(clause.strip())
    if match:
        return match[1], match[2].replace("''", "'")
    match = FILTER_ANY.match(clause.strip())
    return (match[1], match[3].replace("''", "'")) if match else None


def _matches(account: Account, name: str, wanted: str) -> bool:
    value = account.shown.get(name)
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, str) and one.casefold() == wanted.casefold() for one in values)


def _selected(shown: Mapping[str, object], query: Mapping[str, str], always: tuple[str, ...]) -> dict[str, object]:
    names = [name.strip() for name in query.get("$select", "id,displayName,userPrincipalName,mail").split(",")]
    return _without_absent({name: shown.get(name) for name in (*always, *names)})


def _without_absent(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not ABSENT}


def _hidden(rows: list[dict[str, object]], hide: bool) -> list[dict[str, object]]:
    """As to an app that may not read the objects: the id is there, the properties are null; what is expanded stays."""
    if not hide:
        return rows
    return [{name: value if name in ("id", "owners") else None for name, value in row.items()} for row in rows]


def _refused(status: int, code: str, message: str = "") -> Back:
    return Back(status, {"error": {"code": code, "message": message, "innerError": {"request-id": "r"}}})


def _gone() -> Back:
    return _refused(404, "Request_ResourceNotFound", "Resource does not exist.")


def _troubled(trouble: str, whole: dict[str, object], is_list: bool) -> Back:
    value = whole.get("value")
    rows = value if isinstance(value, list) else []
    match trouble:
        case "400" | "401" | "403" | "404":
            code = {"400": "Request_BadRequest", "401": "InvalidAuthenticationToken",
                    "403": "Authorization_RequestDenied", "404": "Request_ResourceNotFound"}[trouble]  # fmt: skip
            return _refused(int(trouble), code, "Insufficient privileges to complete the operation.")
        case "403 odd":
            return Back(403, {"Error": {"CODE": "accessDenied", "innererror": {"code": "", "Message": "No."}}})
        case "403 bare":
            return Back(403)
        case "429":
            return Back(429, {"error": {"code": "TooManyRequests", "message": ""}}, {"Retry-After": "2"})
        case "500" | "503":
            return _refused(int(trouble), "ServiceNotAvailable")
        case "left out":
            return Back(500, None, {LEFT_OUT: "1"})
        case "status in words":
            return Back(200, whole, {IN_WORDS: "1"})
        case "no body":
            return Back(200)
        case "a word":
            return Back(200, "eyJ2YWx1ZSI6W119")
        case "a list":
            return Back(200, rows)
        case "no value":
            return Back(200, {"Value": rows} if is_list else {})
        case "odd value":
            return Back(200, {"value": {"0": {}}})
        case "odd rows":
            return Back(200, {"value": [*rows, None, "row"]})
        case "no ids":
            return Back(200, {"value": [_without(row) for row in rows]} if rows else {"value": None})
    return _refused(403, "Authorization_RequestDenied")


def _without(row: object) -> object:
    """The same without ids, those of what is expanded included."""
    if not isinstance(row, dict):
        return row
    owners = row.get("owners")
    expanded = {"owners": [_without(owner) for owner in owners]} if isinstance(owners, list) else {}
    return {**{name: value for name, value in row.items() if name != "id"}, **expanded}


def _whole_trouble(trouble: str) -> Back:
    if trouble in ("no body", "a word", "a list", "odd value"):
        return Back(200, {"a word": "<html>sign in</html>", "a list": [], "odd value": {"responses": {}}}.get(trouble))
    return _troubled(trouble, {}, False)
