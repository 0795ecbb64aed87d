"""OneTimeSecret's HTTP side: API v2, API v1, and the page that a person sees.

Sources: as in `onetimesecret_secrets`, with the answers that the client onetimesecret 1 (API v1) reads.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.onetimesecret_secrets import Receipt
from sandbox.world import World

Handler = Callable[[Request], Awaitable[Response]]
V1_STATES = {"new": "new", "revealed": "received", "burned": "burned", "expired": "expired"}


class OneTimeSecret:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def app(self) -> ASGIApp:
        v2: list[tuple[str, str, Handler]] = [
            ("GET", "/status", self.status),
            ("GET", "/version", self.version),
            ("POST", "/secret/conceal", self.conceal),
            ("GET", "/secret/{id}/status", self.secret_status),
            ("POST", "/secret/{id}/reveal", self.reveal),
        ]
        v1: list[tuple[str, str, Handler]] = [
            ("GET", "/status", self.status),
            ("GET", "/authcheck", self.old_authcheck),
            ("POST", "/share", self.old_share),
            ("POST", "/secret/{id}", self.old_secret),
        ]
        for name in ("receipt", "private"):  # the second is the older name, and still works
            v2 += [
                ("GET", f"/{name}/recent", self.recent),
                ("GET", f"/{name}/{{id}}", self.receipt),
                ("POST", f"/{name}/{{id}}/burn", self.burn),
            ]
        for name in ("receipt", "private", "metadata"):
            v1 += [
                ("GET", f"/{name}/recent", self.old_recent),
                ("POST", f"/{name}/{{id}}/burn", self.old_burn),
                ("GET", f"/{name}/{{id}}", self.old_receipt),
                ("POST", f"/{name}/{{id}}", self.old_receipt),
            ]
        routes = [Route(f"/api/v2{path}", self._of(2, handler), methods=[method]) for method, path, handler in v2]
        routes += [Route(f"/api/v1{path}", self._of(1, handler), methods=[method]) for method, path, handler in v1]
        routes += [Route("/secret/{id}", self.page, methods=["GET"])]
        routes += [Route("/secret/{id}", self.page_shown, methods=["POST"])]
        return Starlette(routes=routes, exception_handlers={404: _unknown, 405: _unknown})

    def _of(self, version: int, handler: Handler) -> Handler:
        async def known(request: Request) -> Response:
            if version > self.world.secrets.version:
                return await _unknown(request, None)
            if "authorization" in request.headers and not self._signed_in(request):
                return JSONResponse({"error": "Invalid credentials"}, 401)
            return await handler(request)

        return known

    def _signed_in(self, request: Request) -> bool:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, _, token = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        known = self.world.credentials
        return (user, token) == (known.onetimesecret_username, known.onetimesecret_token)

    # -- v2

    async def status(self, request: Request) -> Response:  # noqa: ARG002
        return JSONResponse({"status": "nominal", "locale": "en"})

    async def version(self, request: Request) -> Response:  # noqa: ARG002
        return JSONResponse({"version": ["0", "26", "6"], "locale": "en"})

    async def conceal(self, request: Request) -> Response:
        wish = (await _json(request)).get("secret")
        if not isinstance(wish, dict):
            return JSONResponse({"message": "Incorrect payload format"}, 422)
        content = wish.get("secret")
        if not isinstance(content, str) or not content.strip():
            return JSONResponse({"message": "You did not provide anything to share"}, 422)
        receipt = self.world.secrets.conceal(
            content,
            wish.get("ttl"),
            # The key's presence decides: an empty passphrase is one.
            passphrase=str(wish["passphrase"]) if "passphrase" in wish else None,
            owned=self._signed_in(request),
        )
        shown = self._shown(receipt, with_secret=True)
        return self._answer(
            {
                "success": True,
                "record": {
                    "receipt": shown,
                    "metadata": shown,
                    "secret": {
                        "identifier": receipt.secret_identifier,
                        "key": receipt.secret_identifier,
                        "state": "new",
                        "secret_ttl": receipt.ttl,
                        "lifespan": receipt.ttl,
                        "has_passphrase": receipt.passphrase is not None,
                    },
                    "share_domain": None,
                },
                "details": {"kind": "conceal", "recipient": [], "recipient_safe": []},
            }
        )

    async def receipt(self, request: Request) -> Response:
        receipt = self.world.secrets.receipt(request.path_params["id"])
        if receipt is None:
            return await _unknown(request, None)
        return self._answer(
            {
                "record": self._shown(receipt, with_secret=receipt.state == "new"),
                "details": {"type": "record", "secret_value": None, "show_secret": receipt.state == "new"},
            }
        )

    async def recent(self, request: Request) -> Response:
        if not self._signed_in(request):
            return JSONResponse({"error": "Authentication required"}, 401)
        records = [self._shown(receipt, with_secret=True) for receipt in self.world.secrets.recent()]
        return self._answer(
            {
                "success": True,
                "custid": self.world.credentials.onetimesecret_username,
                "count": len(records),
                "records": records,
                "details": {"type": "list", "has_items": bool(records)},
            }
        )

    async def burn(self, request: Request) -> Response:
        receipt = self.world.secrets.receipt(request.path_params["id"])
        if receipt is None:
            return await _unknown(request, None)
        asked = (await _json(request)).get("continue") in (True, "true")
        done = asked and self.world.secrets.burn(receipt)
        return self._answer({"success": done, "record": self._shown(receipt), "details": {"type": "record"}})

    async def secret_status(self, request: Request) -> Response:
        receipt = self.world.secrets.secret(request.path_params["id"])
        if receipt is None:
            return JSONResponse({"record": {"state": "unknown"}, "details": {"current_expiration": None}})
        return self._answer({"record": {"state": "new", "secret_ttl": receipt.ttl}, "details": {}})

    async def reveal(self, request: Request) -> Response:
        """What the page's own script calls, without an account."""
        wish = await _json(request)
        receipt = self.world.secrets.secret(request.path_params["id"])
        if receipt is None:
            return await _unknown(request, None)
        if receipt.passphrase and wish.get("passphrase") != receipt.passphrase:
            return JSONResponse({"message": "Incorrect passphrase"}, 422)
        if wish.get("continue") not in (True, "true"):
            return self._answer({"success": False, "record": {"state": "new"}, "details": {"show_secret": False}})
        content = self.world.secrets.reveal(receipt)
        return self._answer(
            {
                "success": True,
                "record": {"state": "revealed", "secret_value": content},
                "details": {"show_secret": True},
            }
        )

    def _shown(self, receipt: Receipt, *, with_secret: bool = False) -> dict[str, Any]:
        revealed = receipt.ended if receipt.state == "revealed" else None
        burned = receipt.ended if receipt.state == "burned" else None
        shown: dict[str, Any] = {
            "identifier": receipt.identifier,
            "key": receipt.identifier,
            "shortid": receipt.identifier[:8],
            "secret_shortid": receipt.secret_identifier[:8],
            "state": receipt.state,
            "secret_ttl": receipt.ttl,
            "receipt_ttl": 2 * receipt.ttl,
            "metadata_ttl": 2 * receipt.ttl,
            "lifespan": 2 * receipt.ttl,
            "created": receipt.created.timestamp(),
            "updated": (receipt.ended or receipt.created).timestamp(),
            "previewed": None,
            "revealed": revealed.timestamp() if revealed else None,
            "received": revealed.timestamp() if revealed else None,
            "burned": int(burned.timestamp()) if burned else None,
            "is_previewed": False,
            "is_revealed": receipt.state == "revealed",
            "is_received": receipt.state == "revealed",
            "is_burned": receipt.state == "burned",
            "is_expired": receipt.state == "expired",
            "is_orphaned": False,
            "is_destroyed": receipt.state != "new",
            "has_passphrase": receipt.passphrase is not None,
            "memo": None,
        }
        if with_secret:
            shown["secret_identifier"] = receipt.secret_identifier if receipt.state == "new" else None
        return shown

    def _answer(self, content: dict[str, Any]) -> Response:
        return JSONResponse(_as_text(content) if self.world.secrets.text_numbers else content)

    # -- v1

    async def old_authcheck(self, request: Request) -> Response:
        if not self._signed_in(request):
            return JSONResponse({"message": "Not authorized"}, 401)
        return JSONResponse({"status": "nominal", "custid": self.world.credentials.onetimesecret_username})

    async def old_share(self, request: Request) -> Response:
        form = await _form(request)
        if not form.get("secret", "").strip():
            return JSONResponse({"message": "You did not provide anything to share"}, 404)
        receipt = self.world.secrets.conceal(
            form["secret"], form.get("ttl"), passphrase=form.get("passphrase") or None, owned=self._signed_in(request)
        )
        shown = self._old_shown(receipt) | {"secret_key": receipt.secret_identifier}
        return JSONResponse(shown | {"passphrase_required": receipt.passphrase is not None})

    async def old_recent(self, request: Request) -> Response:
        if not self._signed_in(request):
            return JSONResponse({"message": "Not authorized"}, 401)
        return JSONResponse([self._old_shown(receipt) for receipt in self.world.secrets.recent()])

    async def old_receipt(self, request: Request) -> Response:
        receipt = self.world.secrets.receipt(request.path_params["id"])
        if receipt is None:
            return JSONResponse({"message": "Unknown secret"}, 404)
        shown = self._old_shown(receipt)
        return JSONResponse(
            shown | ({"secret_key": receipt.secret_identifier} if receipt.state == "new" else {"secret_ttl": -1})
        )

    async def old_burn(self, request: Request) -> Response:
        receipt = self.world.secrets.receipt(request.path_params["id"])
        if receipt is None or not self.world.secrets.burn(receipt):
            return JSONResponse({"message": "Unknown secret"}, 404)
        return JSONResponse({"state": self._old_shown(receipt), "secret_shortkey": receipt.secret_identifier[:8]})

    async def old_secret(self, request: Request) -> Response:
        receipt = self.world.secrets.secret(request.path_params["id"])
        given = (await _form(request)).get("passphrase")
        if receipt is None or (receipt.passphrase and given != receipt.passphrase):
            return JSONResponse({"message": "Unknown secret"}, 404)
        return JSONResponse({"value": self.world.secrets.reveal(receipt), "secret_key": receipt.secret_identifier})

    def _old_shown(self, receipt: Receipt) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "custid": self.world.credentials.onetimesecret_username if receipt.owned else "anon",
            "metadata_key": receipt.identifier,
            "ttl": receipt.ttl,
            "metadata_ttl": 2 * receipt.ttl,
            "secret_ttl": receipt.ttl,
            "state": V1_STATES[receipt.state],
            "updated": int((receipt.ended or receipt.created).timestamp()),
            "created": int(receipt.created.timestamp()),
            "recipient": [],
        }
        if receipt.state == "revealed" and receipt.ended is not None:
            shown["received"] = int(receipt.ended.timestamp())
        return shown

    # -- the page

    async def page(self, request: Request) -> Response:
        """Shows no secret: a script, or this form, has to ask for it."""
        if self.world.secrets.secret(request.path_params["id"]) is None:
            return _page("<p>That secret is unknown, or was viewed already.</p>", 404)
        return _page('<form method="post"><button name="continue" value="true">Click to reveal</button></form>')

    async def page_shown(self, request: Request) -> Response:
        receipt = self.world.secrets.secret(request.path_params["id"])
        if receipt is None or (await _form(request)).get("continue") != "true":
            return _page("<p>That secret is unknown, or was viewed already.</p>", 404)
        return _page(f'<textarea id="secret">{html.escape(self.world.secrets.reveal(receipt))}</textarea>')


async def _json(request: Request) -> dict[str, Any]:
    try:
        content = json.loads(await request.body() or b"{}")
    except ValueError:
        return dict(await _form(request))
    return content if isinstance(content, dict) else {}


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def _as_text(value: Any) -> Any:
    """Every number as a string, as v2's route file announces it; yes and no as well."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _page(inside: str, status: int = 200) -> HTMLResponse:
    page = f"<!DOCTYPE html><html><head><title>Onetime Secret</title></head><body>{inside}</body></html>"
    return HTMLResponse(page, status)


async def _unknown(request: Request, error: Exception | None) -> Response:  # noqa: ARG001
    return JSONResponse({"message": "Unknown secret", "error": "Not found"}, 404)
