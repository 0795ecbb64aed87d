"""Graph and the sign-in service at the border of the process: `requests` is answered here, everything above is real.

For answers that a well-behaved imitation never gives. `Border.on` says what a call gets, newest first; what nobody
ordered gets the answers of an ordinary account. Items of a $batch take the same way as single calls.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import responses
from requests import PreparedRequest

from connector.config import GraphSection, ProtectedSection, TenantSection
from connector.core.secret import Secret
from connector.graph import GraphDirectory
from connector.http import Http
from tests.graph.ticking import Ticking

LOGIN = "https://login.example.com"
GRAPH = "https://graph.example.com"
TENANT = "11111111-2222-4333-8444-555555555555"
ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
UPN = "dana@contoso.example"
GROUP = "99999999-2222-4333-8444-555555555555"

PERMISSIONS = (
    "User.Read.All",
    "User-PasswordProfile.ReadWrite.All",
    "User.RevokeSessions.All",
    "UserAuthenticationMethod.ReadWrite.All",
    "Domain.Read.All",
)


@dataclass(frozen=True)
class Call:
    """One call as Graph saw it. `path` is decoded and without the version; `outer` is the path of the real request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    outer: str


@dataclass(frozen=True)
class Back:
    """An answer. `text` beats `body` and is sent as it is."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None


Answers = Back | Exception | Callable[[Call], Back]


def refused(status: int, code: str, message: str = "", **headers: str) -> Back:
    """Graph's error envelope."""
    return Back(status, {"error": {"code": code, "message": message, "innerError": {}}}, headers)


def rows(*values: Any, **more: Any) -> Back:
    return Back(200, {"value": list(values), **more})


def user(**changes: Any) -> dict[str, Any]:
    """An ordinary account as Graph shows it."""
    return {
        "id": ID,
        "userPrincipalName": UPN,
        "displayName": "Dana",
        "accountEnabled": True,
        "userType": "Member",
        "creationType": None,
        "externalUserState": None,
        "identities": [],
        "onPremisesSyncEnabled": None,
        "mail": UPN,
        "otherMails": [],
        "proxyAddresses": [f"SMTP:{UPN}"],
        "isManagementRestricted": None,
    } | changes


def method(kind: str, id_: str = "m1", **more: Any) -> dict[str, Any]:
    return {"@odata.type": f"#microsoft.graph.{kind}AuthenticationMethod", "id": id_, **more}


PASSWORD = method("password", "28c10230-6103-485e-b985-444c60001490")


def token_of(roles: Sequence[str] | None) -> str:
    """A token in the shape of Entra's, signed by nobody; `None`: an opaque one."""
    if roles is None:
        return secrets.token_urlsafe(20)
    parts = [{"alg": "none"}, {"roles": list(roles), "uti": secrets.token_hex(4)}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"{encoded[0]}.{encoded[1]}.{secrets.token_urlsafe(8)}"


class Border:
    """Answers for both services, and a record of what was asked.

    Attributes:
        roles: Permissions of the tokens given out from now on; `None` for opaque tokens.
        calls: Calls to Graph, items of a batch each by itself; `requests` counts the real requests.
        tokens: Every token given out.
    """

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.time = Ticking()
        self.roles: Sequence[str] | None = PERMISSIONS
        self.calls: list[Call] = []
        self.requests: list[str] = []
        self.tokens: list[str] = []
        self.token_answers: list[Back | Exception] = []
        self.discovery_answers: list[Back | Exception] = []
        self.discovery_hook: Callable[[str], Back | None] | None = None
        self.batch_answers: list[Back | Exception] = []
        self._ordered: list[tuple[re.Pattern[str], list[Answers]]] = []
        self.secret = Secret(secrets.token_urlsafe(16))
        for verb in ("GET", "POST", "PATCH", "DELETE"):
            mock.add_callback(verb, re.compile(rf"{GRAPH}/.*"), self._graph)
        mock.add_callback("GET", re.compile(rf"{LOGIN}/.*openid-configuration"), self._discovery)
        mock.add_callback("POST", re.compile(rf"{LOGIN}/.*token"), self._token)
        self._defaults()

    def on(self, pattern: str, *answers: Answers) -> None:
        """Answer calls whose `METHOD /path?query` (decoded) is matched; the last answer is given again and again."""
        self._ordered.insert(0, (re.compile(pattern), list(answers)))

    def asked(self, pattern: str) -> list[Call]:
        return [call for call in self.calls if re.search(pattern, f"{call.method} {call.path}")]

    def directory(
        self,
        *,
        users: Sequence[str] = (),
        groups: Sequence[str] = (),
        tenants: Sequence[str] = ("contoso",),
        keep: Sequence[str] = (),
        **graph: Any,
    ) -> GraphDirectory:
        if "certificate" not in graph:
            graph["client_secret"] = self.secret
        section = GraphSection(client_id="app", **({"authority": LOGIN, "url": GRAPH} | graph))
        protected = ProtectedSection(users=tuple(users), groups=tuple(groups))

        def http_for(*, system: str, scope: str) -> Http:
            return Http(system=system, scope=scope, sleep=self.time.sleep)

        return GraphDirectory(
            section,
            {name: TenantSection(tenant_id=f"{TENANT[:-2]}{number:02}", protected=protected)
             for number, name in enumerate(tenants)},
            http_for=http_for, clock=self.time.clock, keep=keep, now=self.time.now, sleep=self.time.sleep,
        )  # fmt: skip

    # -- answering

    def _defaults(self) -> None:
        domain = UPN.partition("@")[2]
        self.on(r".", refused(400, "BadRequest", "Resource not found for the segment"))
        self.on(r"^GET /users\?.*userPrincipalName eq", rows({"id": ID}))
        self.on(r"^GET /users\?.*(mail eq|any\()", rows())
        self.on(rf"^GET /users/{ID}(\?|$)", Back(200, user()))
        self.on(r"^GET .*/(transitiveMemberOf|ownedObjects)/", rows())
        self.on(r"^GET /organization", rows({"id": TENANT, "verifiedDomains": [{"name": domain, "type": "Managed"}]}))
        self.on(r"^GET /domains", rows({"id": domain, "isVerified": True, "authenticationType": "Managed"}))
        self.on(r"^POST .*/checkMemberGroups", rows())
        self.on(rf"^PATCH /users/{ID}$", Back(204))
        self.on(r"^POST .*/revokeSignInSessions", Back(200, {"value": True}))
        self.on(r"^GET .*/authentication/methods$", rows(PASSWORD))
        self.on(r"^DELETE ", Back(204))

    def _answer(self, call: Call) -> Back:
        self.calls.append(call)
        query = "&".join(f"{name}={value}" for name, value in call.query.items())
        wanted = f"{call.method} {call.path}?{query}" if query else f"{call.method} {call.path}"
        for pattern, answers in self._ordered:
            if pattern.search(wanted):
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                return _given(answer, call)
        raise AssertionError(f"nobody answers {wanted}")

    def _graph(self, request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(str(request.url))
        body: Any = json.loads(request.body) if request.body else None
        self.requests.append(f"{request.method} {parts.path}")
        headers = {name.lower(): value for name, value in request.headers.items()}
        if parts.path.endswith("/$batch"):
            if self.batch_answers:
                return _sent(_given(self.batch_answers.pop(0), None))
            items = [self._item(item, headers) for item in body["requests"]]  # in order, as one may need another
            return _sent(Back(200, {"responses": items[::-1]}))
        path = parts.path.lstrip("/").partition("/")[2]
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return _sent(self._answer(Call(str(request.method), unquote(f"/{path}"), query, headers, body, parts.path)))

    def _item(self, item: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        parts = urlsplit(item["url"])
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        own = {name.lower(): value for name, value in item.get("headers", {}).items()}
        call = Call(item["method"], unquote(parts.path), query, headers | own, item.get("body"), "/v1.0/$batch")
        back = self._answer(call)
        return {"id": item["id"], "status": back.status, "headers": back.headers, "body": back.body}

    def _discovery(self, request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        hooked = self.discovery_hook(str(request.url)) if self.discovery_hook else None
        if hooked:
            return _sent(hooked)
        if self.discovery_answers:
            return _sent(_given(self.discovery_answers.pop(0), None))
        base = str(request.url).partition("/v2.0/")[0]
        return _sent(
            Back(200, {"token_endpoint": f"{base}/oauth2/v2.0/token", "authorization_endpoint": f"{base}/authorize"})
        )

    def _token(self, _request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        if self.token_answers:
            return _sent(_given(self.token_answers.pop(0), None))
        self.tokens.append(token_of(self.roles))
        return _sent(Back(200, {"access_token": self.tokens[-1], "expires_in": 3599, "token_type": "Bearer"}))


def _given(answer: Answers, call: Call | None) -> Back:
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, Back):
        return answer
    assert call is not None
    return answer(call)


def _sent(back: Back) -> tuple[int, dict[str, str], str]:
    text = back.text if back.text is not None else "" if back.body is None else json.dumps(back.body)
    return back.status, {"Content-Type": "application/json", **back.headers}, text
