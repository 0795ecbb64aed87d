"""Authentication methods in the imitated Graph: listing them, and removing each at its own address.

The order matters, as with Microsoft: the default method goes last, alternateMobile before mobile. Sources: GitHub
microsoftgraph/microsoft-graph-docs#14470 and #18091; learn.microsoft.com phoneAuthenticationMethod; read 2026-11-22.
"""

from __future__ import annotations

from typing import Any

from sandbox.directory import Account
from sandbox.graph_call import Call, GraphError, Handler, Reply, account_of, enter_reports_row, no_segment
from sandbox.methods import BETA_ONLY, METHOD_PERMISSIONS, METHOD_SEGMENTS, PASSWORD_METHOD_ID, Method
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
        return _ok({"value": [_shown(method, typed=True) for method in account.methods_at(self.world.now())]})

    def get_any(self, call: Call, user: str, method_id: str) -> Reply:
        account = self._entered(call, user, *READ_METHODS)
        return _ok(_shown(_found(account.methods_at(self.world.now()), method_id), typed=True))

    def list_typed(self, call: Call, user: str, segment: str) -> Reply:
        account = self._entered(call, user, *READ_METHODS)
        kind = self._kind(call, segment)
        listed = account.methods_at(self.world.now())
        return _ok({"value": [_shown(method, typed=False) for method in listed if method.kind == kind]})

    def get_typed(self, call: Call, user: str, segment: str, method_id: str | None = None) -> Reply:
        account = self._entered(call, user, *READ_METHODS)
        return _ok(
            _shown(_found(account.methods_at(self.world.now()), method_id, self._kind(call, segment)), typed=False)
        )

    def refuse_untyped_delete(self, call: Call, user: str, method_id: str) -> Reply:
        """The MFA service's own answer. Source: GitHub msgraph-sdk-powershell#937, read 2026-11-22."""
        self._entered(call, user, "UserAuthenticationMethod.ReadWrite.All")
        message = f"No HTTP resource was found that matches the request URI '…/authentication/methods/{method_id}'."
        return Reply(404, {"error": {"code": "notFound", "message": message}, "Message": message})

    def delete(self, call: Call, user: str, segment: str, method_id: str | None = None) -> Reply:
        """204 when it is gone; the default method is refused while another is left, mobile before alternateMobile."""
        kind = self._kind(call, segment)
        if kind == "passwordAuthenticationMethod":
            raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
        permission = METHOD_PERMISSIONS[METHOD_SEGMENTS[kind]]
        account = self._entered(call, user, "UserAuthenticationMethod.ReadWrite.All", permission)
        # No check of the target's roles: Microsoft states none for applications, so the connector must protect them.
        method = _found(account.methods, method_id, kind)
        others = [
            other for other in account.methods if other.id not in (method.id, PASSWORD_METHOD_ID) and _is_mfa(other)
        ]
        if method.id == account.default_method and others:
            message = self._default_refusal(method)
            raise GraphError(400, "badRequest", message)
        if method.phone_type == "mobile" and any(other.phone_type == "alternateMobile" for other in account.methods):
            message = "Cannot delete mobile phone number without first deleting alternate mobile number."
            raise GraphError(400, "badRequest", message)
        if method.stuck:
            raise GraphError(400, "badRequest", "This authentication method cannot be deleted.")
        account.remove(method, now=self.world.now(), shown_until=self.world.shown_from())
        account.writes.append(f"delete {method.kind}")
        return Reply(204)

    def _default_refusal(self, method: Method) -> str:
        """One of the two wordings on record. Sources: microsoft-graph-docs#14470 of 2021 and #18091 of 2022."""
        wording = self.world.habits.default_wording
        if wording == 1 or (not wording and self.world.faults.chance("the older wording", 0.5)):
            return (
                "Cannot delete default method with other methods configured."
                " Please change default method before deletion."
            )
        return (
            f"The requested authentication method id of [{method.id}] matches the user's current default"
            " authentication method, and cannot be deleted until the default authentication method is changed"
        )

    def _kind(self, call: Call, segment: str) -> str:
        """The type behind an address; some addresses exist in beta only, one perhaps."""
        known, kind = next(pair for pair in SEGMENT_KINDS.items() if pair[0].lower() == segment.lower())
        absent = known in BETA_ONLY or (known == SINGLETON and not self.world.habits.qr_code_in_v1)
        if absent and call.version != "beta":
            raise no_segment(segment)
        return kind

    def _entered(self, call: Call, user: str, *any_of: str) -> Account:
        """The throttle comes first, and counts refused calls too."""
        enter_reports_row(self.world, call)
        call.require(*any_of)
        return account_of(call, user)


def _found(methods: list[Method], method_id: str | None, kind: str | None = None) -> Method:
    for method in methods:
        if (method_id is None or method.id == method_id.lower()) and kind in (None, method.kind):
            return method
    raise GraphError(404, "resourceNotFound", "The requested authentication method was not found for this user.")


def _is_mfa(method: Method) -> bool:
    """Email serves self-service reset only and never holds the default back."""
    return method.kind != "emailAuthenticationMethod"


def _shown(method: Method, *, typed: bool) -> dict[str, Any]:
    odata: dict[str, Any] = {"@odata.type": f"#microsoft.graph.{method.kind}"} if typed else {}
    return odata | {"id": method.id} | method.properties


def _ok(body: dict[str, Any]) -> Reply:
    return Reply(200, body)
