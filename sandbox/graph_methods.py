"""Authentication methods in the imitated Graph: listing them, and removing each at its own address.

The order matters, as with Microsoft: the default method goes last, alternateMobile before mobile. Sources: GitHub
microsoftgraph/microsoft-graph-docs#14470 and #18091; learn.microsoft.com phoneAuthenticationMethod; read 2026-11-22.
"""

from __future__ import annotations

from typing import Any

from sandbox.directory import METHOD_PERMISSIONS, METHOD_SEGMENTS, PASSWORD_METHOD_ID, Account, Method
from sandbox.graph_call import Call, GraphError, Handler, Reply, account_of
from sandbox.world import World

READ_METHODS = ("UserAuthenticationMethod.Read.All", "UserAuthenticationMethod.ReadWrite.All")
SEGMENT_KINDS = {segment: kind for kind, segment in METHOD_SEGMENTS.items()} | {
    "passwordMethods": "passwordAuthenticationMethod"
}
SINGLETON = "qrCodePinMethod"


class Methods:
    """Handlers for everything under `/users/{id}/authentication`."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self, user: str) -> list[tuple[str, str, Handler]]:
        base = f"{user}/authentication"
        segments = "|".join(sorted(set(SEGMENT_KINDS) - {SINGLETON}))
        return [
            ("GET", f"{base}/methods", self.list_all),
            ("GET", f"{base}/methods/(?P<method_id>[^/]+)", self.get_any),
            ("DELETE", f"{base}/methods/(?P<method_id>[^/]+)", self.refuse_untyped_delete),
            ("GET", f"{base}/(?P<segment>{segments})", self.list_typed),
            ("GET", f"{base}/(?P<segment>{segments})/(?P<method_id>[^/]+)", self.get_typed),
            ("DELETE", f"{base}/(?P<segment>{segments})/(?P<method_id>[^/]+)", self.delete),
            ("GET", f"{base}/(?P<segment>{SINGLETON})", self.get_typed),
            ("DELETE", f"{base}/(?P<segment>{SINGLETON})", self.delete),
        ]

    def list_all(self, call: Call, user: str) -> Reply:
        account = self._entered(call, user, *READ_METHODS)
        return _ok({"value": [_shown(method, typed=True) for method in account.methods]})

    def get_any(self, call: Call, user: str, method_id: str) -> Reply:
        account = self._entered(call, user, *READ_METHODS)
        return _ok(_shown(self._found(account, method_id), typed=True))

    def list_typed(self, call: Call, user: str, segment: str) -> Reply:
        account = self._entered(call, user, *READ_METHODS)
        kind = _kind(segment)
        return _ok({"value": [_shown(method, typed=False) for method in account.methods if method.kind == kind]})

    def get_typed(self, call: Call, user: str, segment: str, method_id: str | None = None) -> Reply:
        account = self._entered(call, user, *READ_METHODS)
        return _ok(_shown(self._found(account, method_id, _kind(segment)), typed=False))

    def refuse_untyped_delete(self, call: Call, user: str, method_id: str) -> Reply:
        """The MFA service's own answer. Source: GitHub msgraph-sdk-powershell#937, read 2026-11-22."""
        self._entered(call, user, "UserAuthenticationMethod.ReadWrite.All")
        message = f"No HTTP resource was found that matches the request URI '…/authentication/methods/{method_id}'."
        return Reply(404, {"error": {"code": "notFound", "message": message}, "Message": message})

    def delete(self, call: Call, user: str, segment: str, method_id: str | None = None) -> Reply:
        """204 when it is gone; the default method is refused while another is left, mobile before alternateMobile."""
        kind = _kind(segment)
        if kind == "passwordAuthenticationMethod":
            raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
        permission = METHOD_PERMISSIONS[METHOD_SEGMENTS[kind]]
        account = self._entered(call, user, "UserAuthenticationMethod.ReadWrite.All", permission)
        # No check of the target's roles: Microsoft states none for applications, so the connector must protect them.
        method = self._found(account, method_id, kind)
        others = [
            other for other in account.methods if other.id not in (method.id, PASSWORD_METHOD_ID) and _is_mfa(other)
        ]
        if method.id == account.default_method and others:
            message = (
                f"The requested authentication method id of [{method.id}] matches the user's current default"
                " authentication method, and cannot be deleted until the default authentication method is changed"
            )
            raise GraphError(400, "badRequest", message)
        if method.phone_type == "mobile" and any(other.phone_type == "alternateMobile" for other in account.methods):
            message = "Cannot delete mobile phone number without first deleting alternate mobile number."
            raise GraphError(400, "badRequest", message)
        account.methods.remove(method)
        if method.id == account.default_method:
            account.default_method = None
        account.writes.append(f"delete {method.kind}")
        return Reply(204)

    def _entered(self, call: Call, user: str, *any_of: str) -> Account:
        """The throttle comes first and counts refused calls too: 5 requests in 10 seconds for one app in one tenant."""
        limits = self.world.limits
        wait = self.world.throttled(
            f"methods {call.tenant.id}", requests=limits.methods_requests, window_seconds=limits.methods_window_seconds
        )
        if wait is not None:
            raise GraphError(429, "tooManyRequests", "Too many requests.", {"Retry-After": str(wait)})
        call.require(*any_of)
        return account_of(call, user)

    def _found(self, account: Account, method_id: str | None, kind: str | None = None) -> Method:
        for method in account.methods:
            if (method_id is None or method.id == method_id.lower()) and kind in (None, method.kind):
                return method
        raise GraphError(404, "resourceNotFound", "The requested authentication method was not found for this user.")


def _kind(segment: str) -> str:
    return next(kind for name, kind in SEGMENT_KINDS.items() if name.lower() == segment.lower())


def _is_mfa(method: Method) -> bool:
    """Email serves self-service reset only and never holds the default back."""
    return method.kind != "emailAuthenticationMethod"


def _shown(method: Method, *, typed: bool) -> dict[str, Any]:
    odata: dict[str, Any] = {"@odata.type": f"#microsoft.graph.{method.kind}"} if typed else {}
    return odata | {"id": method.id} | method.properties


def _ok(body: dict[str, Any]) -> Reply:
    return Reply(200, body)
