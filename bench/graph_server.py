"""An imitation of Graph and of its token endpoint, made to be measured against: many tenants, a set delay, counts.

It answers every read with an ordinary account that may be reset, so that only time matters; what Graph really does is
the sandbox's business. It runs in a process of its own (`python -m bench.graph_server FOLDER`), because it would else
share the interpreter lock with the connector. It listens on loopback, prints its three ports as JSON, and ends when
its standard input does. `FOLDER` gets the certificate authority of the token endpoint, as `ca.pem`.

Its own control calls lie under `/bench`: `POST /bench/rules` with the fields of `Rules`, `GET /bench/counts`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import sys
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid5

import trustme

NAMESPACE = UUID("7d1c0c39-5f0e-4d0b-9f3c-0b5f6c0a9a51")
METHOD_LIMIT, METHOD_WINDOW = 5, 10.0
"""Calls about sign-in methods per app and tenant. Source: learn.microsoft.com/graph/throttling-limits, read
2026-11-22."""

PERMISSIONS = (
    "User.Read.All", "Domain.Read.All", "User-PasswordProfile.ReadWrite.All", "User.RevokeSessions.All",
    "UserAuthenticationMethod.ReadWrite.All",
)  # fmt: skip
METHODS = ("fido2", "windowsHelloForBusiness", "softwareOath", "phone", "microsoftAuthenticator")
EMPTY_LISTS = ("identities", "otherMails", "proxyAddresses")


def tenant_id(number: int) -> str:
    """The id of the tenant of that number; the same in every process."""
    return str(uuid5(NAMESPACE, f"tenant {number}"))


def domain(number: int) -> str:
    """Its only domain."""
    return f"tenant{number}.example.com"


def account_id(tenant: int, name: str) -> str:
    """The object id of an account; its sign-in name is `<id>@<domain>`, so that no table is needed."""
    return str(uuid5(NAMESPACE, f"tenant {tenant}: {name}"))


@dataclass
class Rules:
    """How the imitation behaves from now on.

    Attributes:
        seconds: The delay of each call to Graph; the token endpoint answers at once.
        throttled: Ids of tenants whose every call is refused with 429.
        retry_after: What such a refusal asks for, in seconds.
    """

    seconds: float = 0.0
    throttled: tuple[str, ...] = ()
    retry_after: int = 10


@dataclass
class Counts:
    """What was asked since the rules were last set.

    Attributes:
        calls: Calls to Graph by tenant id; a $batch is one, those refused with 429 are in it.
        refused: Those refused with 429, by tenant id.
        kinds: By method and last segment.
        method_calls: About sign-in methods, by tenant id.
    """

    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    kinds: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    method_calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class Imitation:
    """The state of all tenants."""

    rules: Rules = field(default_factory=Rules)
    counts: Counts = field(default_factory=Counts)
    changed: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    windows: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def graph(self, request: Request) -> tuple[int, object, Mapping[str, str]]:
        """One call: status, body, headers."""
        tenant = request.tenant
        path = request.path.removeprefix("/v1.0").removeprefix("/beta")
        self.counts.calls[tenant] += 1
        self.counts.kinds[f"{request.method} {path.rsplit('/', 1)[-1] if '/users/' not in path else _kind(path)}"] += 1
        if tenant in self.rules.throttled:
            return self._refuse(tenant, self.rules.retry_after)
        if "/authentication/" in path:
            self.counts.method_calls[tenant] += 1
            if self._too_many(tenant):
                return self._refuse(tenant, int(METHOD_WINDOW))
        if path == "/$batch":
            answers = [self._item(tenant, item) for item in request.json()["requests"]]
            return 200, {"responses": answers}, {}
        status, body = self._one(tenant, request.method, request.target)
        return status, body, {}

    def _refuse(self, tenant: str, wait: int) -> tuple[int, object, Mapping[str, str]]:
        self.counts.refused[tenant] += 1
        error = {"error": {"code": "TooManyRequests", "message": "Too many requests."}}
        return 429, error, {"Retry-After": str(wait)}

    def _too_many(self, tenant: str) -> bool:
        window, now = self.windows[tenant], time.monotonic()
        while window and window[0] <= now - METHOD_WINDOW:
            window.popleft()
        window.append(now)
        return len(window) > METHOD_LIMIT

    def _item(self, tenant: str, item: Mapping[str, Any]) -> dict[str, object]:
        status, body = self._one(tenant, item["method"], item["url"])
        return {"id": item["id"], "status": status, "headers": {"Content-Type": "application/json"}, "body": body}

    def _one(self, tenant: str, method: str, target: str) -> tuple[int, object]:
        address = urlsplit(target)
        parts = address.path.removeprefix("/v1.0").removeprefix("/beta").strip("/").split("/")
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        match method, parts:
            case "GET", ["users"]:
                return 200, {"value": _found(query.get("$filter", ""))}
            case "GET", ["users", id_]:
                return 200, self._user(tenant, id_, query.get("$select", "id").split(","))
            case "PATCH", ["users", id_]:
                self.changed[id_] = _now()
                return 204, None
            case "POST", ["users", id_, "revokeSignInSessions"]:
                self.changed[f"{id_} sessions"] = _now()
                return 200, {"value": True}
            case "GET", ["users", id_, "authentication", "methods"]:
                return 200, {"value": [row for row in _methods(id_) if row["id"] not in self.removed]}
            case "DELETE", ["users", _, "authentication", _, method_id]:
                self.removed.add(method_id)
                return 204, None
            case "GET", ["organization"]:
                return 200, {"value": [{"id": tenant, "verifiedDomains": [
                    {"name": NAMES[tenant], "type": "Managed", "isDefault": True, "isInitial": False}
                ]}]}  # fmt: skip
            case "GET", ["domains"]:
                return 200, {"value": [{"id": NAMES[tenant], "isVerified": True, "authenticationType": "Managed"}]}
        return 200, {"value": []}  # memberships, owned objects, protected groups: none

    def _user(self, tenant: str, id_: str, wanted: list[str]) -> dict[str, object]:
        known: dict[str, object] = {
            "id": id_,
            "userPrincipalName": f"{id_}@{NAMES[tenant]}",
            "displayName": "A colleague",
            "accountEnabled": True,
            "userType": "Member",
            "lastPasswordChangeDateTime": self.changed.get(id_, "2026-01-01T00:00:00Z"),
            "signInSessionsValidFromDateTime": self.changed.get(f"{id_} sessions", "2026-01-01T00:00:00Z"),
            **{name: [] for name in EMPTY_LISTS},
        }
        return {name: known.get(name) for name in ["id", *wanted]}


NAMES = {tenant_id(number): domain(number) for number in range(100)}


def _kind(path: str) -> str:
    """`/users/{id}/authentication/methods` without the id: what to count it as."""
    parts = path.strip("/").split("/")
    return "/".join(["users", "{id}", *parts[2:4]])


def _found(clause: str) -> list[dict[str, object]]:
    """Accounts by sign-in name; nobody has another address."""
    found = re.fullmatch(r"userPrincipalName eq '(.+)'", clause)
    if not found:
        return []
    upn = found[1].replace("''", "'")
    return [{"id": upn.partition("@")[0], "userPrincipalName": upn}]


def _methods(id_: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"@odata.type": "#microsoft.graph.passwordAuthenticationMethod", "id": "28c10230-6103-485e-b985-444c60001490"}
    ]
    for name in METHODS:
        row: dict[str, object] = {"@odata.type": f"#microsoft.graph.{name}AuthenticationMethod",
                                  "id": str(uuid5(NAMESPACE, f"{id_} {name}"))}  # fmt: skip
        rows.append({**row, "phoneType": "mobile"} if name == "phone" else row)
    return rows


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- HTTP, as little of it as a keep-alive client needs


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def tenant(self) -> str:
        """Whom the bearer token was made for."""
        payload = self.headers.get("authorization", "").split(".")[1:2]
        return str(json.loads(base64.urlsafe_b64decode(payload[0] + "=="))["tid"]) if payload else ""

    def json(self) -> Any:
        return json.loads(self.body)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.casefold(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _write(writer: asyncio.StreamWriter, status: int, body: object, headers: Mapping[str, str]) -> None:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    if status != 204:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    writer.write("\r\n".join([*lines, "", ""]).encode() + content)


class Serving:
    """The two servers."""

    def __init__(self) -> None:
        self.imitation = Imitation()
        self.authority = ""

    async def graph(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # at the end, with connections still open
            while request := await _read(reader):
                if request.path.startswith("/bench/"):
                    _write(writer, 200, self._control(request), {})
                    continue
                # The delay is the network's and Graph's: the call is judged and counted when it arrives.
                answer = self.imitation.graph(request)
                await asyncio.sleep(self.imitation.rules.seconds)
                _write(writer, *answer)
        writer.close()

    def _control(self, request: Request) -> object:
        if request.method == "POST":
            self.imitation.rules = Rules(**request.json())
            self.imitation.counts = Counts()
        return vars(self.imitation.counts)

    async def tokens(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            while request := await _read(reader):
                tenant = request.path.strip("/").split("/")[0]
                base = f"{self.authority}/{tenant}"
                body: dict[str, object] = (
                    {"access_token": _token(tenant), "token_type": "Bearer", "expires_in": 3600}
                    if request.method == "POST"
                    else {
                        "issuer": f"{base}/v2.0",
                        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                        "token_endpoint": f"{base}/oauth2/v2.0/token",
                    }
                )
                _write(writer, 200, body, {})
        writer.close()


def _token(tenant: str) -> str:
    """A token that nobody signed: only its tenant and its roles are read."""
    parts = ({"alg": "none"}, {"tid": tenant, "roles": PERMISSIONS})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*coded, "unsigned"])


async def _serve(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    serving = Serving()
    graph = await asyncio.start_server(serving.graph, "127.0.0.1", 0, backlog=256)
    tokens = await asyncio.start_server(serving.tokens, "127.0.0.1", 0, ssl=context, backlog=256)
    ports = {"graph": graph.sockets[0].getsockname()[1], "authority": tokens.sockets[0].getsockname()[1]}
    serving.authority = f"https://localhost:{ports['authority']}"
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us ends or closes it
    graph.close()
    tokens.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
