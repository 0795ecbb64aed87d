"""What one request to the imitated Graph is, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sandbox.applications import Enrolment
from sandbox.directory import Account, Tenant
from sandbox.graph_query import page, selected
from sandbox.world import World

CONTEXT = "https://graph.microsoft.com/v1.0/$metadata#"
MISSING = "Resource '{}' does not exist or one of its queried reference-property objects are not present."


class GraphError(Exception):
    """Becomes Graph's error envelope."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


@dataclass(frozen=True)
class Caller:
    """Who calls: an application in a tenant, with the permissions that its token carries.

    `root` is Graph's own address with the version, for links in answers.
    """

    tenant: Tenant
    enrolment: Enrolment
    permissions: frozenset[str]
    root: str


@dataclass(frozen=True)
class Call:
    """One request to Graph, alone or from a $batch. `path` starts behind the version and is decoded per segment."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    caller: Caller
    version: str = "v1.0"

    @property
    def tenant(self) -> Tenant:
        return self.caller.tenant

    @property
    def permissions(self) -> frozenset[str]:
        return self.caller.permissions

    def require(self, *any_of: str) -> None:
        """Refuse unless the token carries one of these application permissions."""
        if not self.permissions & set(any_of):
            raise GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")

    def object_body(self) -> dict[str, Any]:
        if not isinstance(self.body, dict):
            raise GraphError(
                400, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set."
            )
        return self.body


@dataclass(frozen=True)
class Reply:
    """The answer to a `Call`; `body` None means an empty answer, `spoilt` that a fault shaped a part of it."""

    status: int
    body: Any = None
    headers: dict[str, str] | None = None
    spoilt: bool = False


Handler = Callable[..., Reply]
"""Takes a `Call` and the named parts of its path."""


def no_segment(name: str) -> GraphError:
    """What an address that does not exist is answered."""
    return GraphError(400, "BadRequest", f"Resource not found for the segment '{name}'.")


def account_of(call: Call, user: str) -> Account:
    """The account that a path names by id or user principal name, in the caller's tenant only."""
    account = call.tenant.find(user)
    if account is None:
        raise GraphError(404, "Request_ResourceNotFound", MISSING.format(user))
    return account


def collection(call: Call, rows: list[dict[str, Any]], name: str, default: tuple[str, ...] = ()) -> Reply:
    """A page of rows, with `$select`, `$top`, `$count` and skip tokens. Without `default` all properties are shown."""
    top = min(int(call.query.get("$top") or 100), 999)
    skip = int(call.query.get("$skiptoken") or 0)

    def link(next_skip: int) -> str:
        return f"{call.caller.root}{call.path}?{urlencode(call.query | {'$skiptoken': str(next_skip)})}"

    shown = [selected(row, call.query.get("$select"), default or tuple(row)) for row in rows]
    answer = {"@odata.context": f"{CONTEXT}{name}"} | page(shown, top=top, skip=skip, link=link)
    if call.query.get("$count", "").lower() == "true":
        answer["@odata.count"] = len(rows)
    return Reply(200, answer)


def enter_reports_row(world: World, call: Call) -> None:
    """Count one request of what Microsoft throttles together: authentication methods and the registration report.

    5 requests in 10 seconds for one application in one tenant; refused ones count too. That they share the five is the
    strict reading of one row in the table. Source: learn.microsoft.com throttling-limits, read 2026-11-22.
    """
    limits = world.limits
    wait = world.throttled(
        f"methods {call.tenant.key} {call.caller.enrolment.key}",
        requests=limits.methods_requests,
        window_seconds=limits.methods_window_seconds,
    )
    if wait is not None:
        raise GraphError(429, "tooManyRequests", "Too many requests.", {"Retry-After": str(wait)})


def require_premium(call: Call) -> None:
    """Reports and sign-in dates need Entra ID P1."""
    if not call.tenant.licences:
        message = "Neither tenant is B2C or tenant doesn't have premium license"
        raise GraphError(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", message)
