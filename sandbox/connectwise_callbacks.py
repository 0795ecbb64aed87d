"""ConnectWise's callbacks: their registration over HTTP, and the key with which a delivery can be checked.

Sources, read 2026-11-22: the Developer Guide; amp-labs/connectors (real requests, answers, refusals and deliveries).
"""

from __future__ import annotations

import re
import secrets
import uuid
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from sandbox import connectwise_setup_json as spell
from sandbox.connectwise_call import Call, Route, body_of, listed
from sandbox.connectwise_records import Callback, NoRecord, Rejected

LEVELS = {
    "ticket": ("owner", "board", "project", "phase", "status", "ticket", "integratorTag"),
    "contact": ("owner", "company", "contact", "integratorTag"),
    "company": ("owner", "company", "status", "territory", "type", "integratorTag"),
}
"""By type, those that are known here; only tickets are ever delivered."""


class Callbacks(Call):
    """The handlers; one instance per world."""

    def routes(self) -> list[Route]:
        return [
            *listed("/system/callbacks", self.list_callbacks),
            ("POST", "/system/callbacks", self.post_callback),
            ("GET", "/system/callbacks/{id:int}", self.get_callback),
            ("DELETE", "/system/callbacks/{id:int}", self.delete_callback),
        ]

    async def list_callbacks(self, request: Request) -> Response:
        known = ("type", "level", "objectId", "url", "description", "inactiveFlag")
        return self.rows(request, [self._row(one) for one in self.desk.callbacks.values()], known)

    async def get_callback(self, request: Request) -> Response:
        return self.single(request, self._row(self._callback(request)))

    async def post_callback(self, request: Request) -> Response:
        """Register; the same type, level and object twice is refused, `objectId` 0 becomes 1."""
        body = await body_of(request, "callbackEntry")
        problems = _problems(body)
        if problems:
            raise Rejected(400, "InvalidObject", "callbackEntry object is invalid", problems)
        desk = self.desk
        object_id = body["objectId"] or 1
        # Whether the URL counts too is not known; here two systems can each have a callback of the same level.
        same = (body["type"], body["level"], object_id, body["url"])
        if any(same == (one.type, one.level, one.object_id, one.url) for one in desk.callbacks.values()):
            row = _row("ObjectExists", "A matching callback entry already exists", "objectId")
            raise Rejected(400, "InvalidObject", "callbackEntry object is invalid", [row])
        callback = Callback(
            id=desk.next_callback,
            url=body["url"],
            object_id=object_id,
            type=body["type"],
            level=body["level"],
            description=str(body.get("description") or ""),
            inactive=bool(body.get("inactiveFlag")),
            self_suppressed=bool(body.get("isSelfSuppressedFlag")),
            created_by=desk.api_actor().identifier,
            at=desk.now(),
            key_id=str(uuid.uuid4()),
            signing_key=secrets.token_urlsafe(32),
        )
        desk.next_callback += 1
        desk.callbacks[callback.id] = callback
        return self.answer(self._row(callback), desk.habits.callback_created_status)

    async def delete_callback(self, request: Request) -> Response:
        del self.desk.callbacks[self._callback(request).id]
        return Response(status_code=204)

    async def key(self, request: Request) -> Response:
        """The signing key that a delivery's `Metadata.key_url` leads to."""
        wanted = request.query_params.get("id", "")
        for callback in self.desk.callbacks.values():
            if secrets.compare_digest(callback.key_id.encode(), wanted.encode()):
                return self.answer({"signing_key": callback.signing_key})
        raise NoRecord("Key", "with that id")

    def _row(self, callback: Callback) -> dict[str, Any]:
        return spell.callback_row(callback, self.desk.api_member)

    def _callback(self, request: Request) -> Callback:
        callback = self.desk.callbacks.get(request.path_params["id"])
        if callback is None:
            raise NoRecord("Callback", request.path_params["id"])
        return callback


def _problems(body: dict[str, Any]) -> list[dict[str, str]]:
    rows = [
        _row("MissingRequiredField", f"The {name} field is required.", name)
        for name in ("url", "objectId", "type", "level")
        if body.get(name) is None
    ]
    if rows:
        return rows
    parts = urlsplit(str(body["url"]))
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", str(body["url"])):
        rows.append(_row("InvalidField", "Invalid URL", "url"))
    if not isinstance(body["objectId"], int):
        rows.append(_row("InvalidField", "Invalid object", "objectId"))
    if body["level"] not in LEVELS.get(body["type"], ()):
        text = "Unrecognized level for type, see documentation for supported levels for each type"
        rows.append(_row("InvalidObject", text, "level"))
    if len(str(body.get("description") or "")) > 100:
        rows.append(_row("InvalidField", "The description field is longer than 100 characters.", "description"))
    return rows


def _row(code: str, message: str, field: str) -> dict[str, str]:
    return {"code": code, "message": message, "resource": "callbackEntry", "field": field}
