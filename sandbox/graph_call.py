"""What one request to the imitated Graph is, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.applications import Enrolment
from sandbox.directory import Account, Tenant

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
    """The answer to a `Call`; `body` None means an empty answer."""

    status: int
    body: Any = None
    headers: dict[str, str] | None = None


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
