"""Password Pusher's HTTP side: API v2, API v1, and the two pages that a person sees.

Sources: as in `passwordpusher_pushes`, with the answers that the clients pwpush 0.16.7 and pwpush-mcp 0.5.0 read.
"""

from __future__ import annotations

import html
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.passwordpusher_pushes import DURATIONS, Invalid, Log, Push, Visitor
from sandbox.world import World

PER_PAGE_OF_AUDIT = 50
MOST_PAGES_OF_AUDIT = 200
OSS_PARAMS = frozenset(
    {
        "name", "kind", "expire_after_days", "expire_after_views", "deletable_by_viewer", "retrieval_step", "payload",
        "note", "passphrase",
    }
)  # fmt: skip
PRO_PARAMS = (OSS_PARAMS - {"expire_after_days"}) | {"expire_after_duration"}
"""Rails' strong parameters: what is not named here is dropped without a word."""

Handler = Callable[[Request], Awaitable[Response]]


class PasswordPusher:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def app(self) -> ASGIApp:
        v2 = "/api/v2/pushes"
        calls: list[tuple[str, str, Handler]] = [
            ("GET", "/api/v2/version", self._v2(self.version)),
            ("POST", v2, self._v2(self._guarded(self.create))),
            ("GET", f"{v2}/active", self._v2(self._guarded(self.active, needs_token=True))),
            ("GET", f"{v2}/expired", self._v2(self._guarded(self.expired, needs_token=True))),
            ("GET", f"{v2}/{{token}}/audit", self._v2(self._guarded(self.audit, needs_token=True))),
            ("GET", f"{v2}/{{token}}/preview", self._v2(self._guarded(self.preview))),
            ("GET", f"{v2}/{{token}}", self._v2(self._guarded(self.show))),
            ("DELETE", f"{v2}/{{token}}", self._v2(self._guarded(self.destroy))),
            ("POST", "/p", self._guarded(self.create)),
            ("GET", "/p/active", self._guarded(self.active, needs_token=True)),
            ("GET", "/p/expired", self._guarded(self.expired, needs_token=True)),
            ("GET", "/p/{token}/audit", self._guarded(self.audit, needs_token=True)),
            ("GET", "/p/{token}/preview", self._guarded(self.preview)),
            ("DELETE", "/p/{token}", self._guarded(self.destroy)),
        ]
        # Every call works with and without the ending; `/p/{token}` without one is the page.
        routes = [Route(f"{path}.json", handler, methods=[method]) for method, path, handler in calls]
        routes += [
            Route("/p/{token}.json", self._guarded(self.show)),
            *(Route(path, handler, methods=[method]) for method, path, handler in calls if path.startswith("/api")),
            Route("/p/{token}/r", self.step_page),
            Route("/p/{token}", self.page),
        ]
        return Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})

    # -- before every call

    def _v2(self, handler: Handler) -> Handler:
        async def known(request: Request) -> Response:
            return await (_not_found(request, None) if self.world.pushes.edition == "v1" else handler(request))

        return known

    def _guarded(self, handler: Handler, *, needs_token: bool = False) -> Handler:
        async def guarded(request: Request) -> Response:
            wait = self.world.throttled("passwordpusher", requests=self.world.limits.pushes_requests, window_seconds=60)
            if wait is not None:
                return Response("Throttled\n", 429, {"Retry-After": str(wait)})
            offered = "authorization" in request.headers or "x-user-token" in request.headers
            if not self._visitor(request).owner and (offered or needs_token):
                return Response(status_code=401)  # a wrong token is refused where none would do, too
            return await handler(request)

        return guarded

    def _visitor(self, request: Request) -> Visitor:
        legacy = request.headers.get("x-user-token") if "x-user-email" in request.headers else None
        given = legacy or (request.headers.get("authorization", "").split() or [""])[-1]
        # Rails believes the proxies of private networks, and so a loopback peer.
        forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return Visitor(
            ip=forwarded or (request.client.host if request.client else ""),
            user_agent=request.headers.get("user-agent", ""),
            referrer=request.headers.get("referer", ""),
            owner=given == self.world.credentials.passwordpusher_token,
        )

    def _found(self, request: Request) -> Push | None:
        return self.world.pushes.kept.get(request.path_params["token"])

    # -- the API

    async def version(self, request: Request) -> Response:  # noqa: ARG002
        pushes = self.world.pushes
        return JSONResponse(
            {
                "application_version": "2.11.4",
                "api_version": "2.1",
                "edition": pushes.edition,
                "features": {
                    "anonymous_access": pushes.anonymous,
                    "api_token_authentication": True,
                    "accounts": {"enabled": pushes.edition == "pro"},
                    "pushes": {
                        "enabled": True,
                        "email_auto_dispatch": False,
                        "file_attachments": {"enabled": False, "requires_authentication": True},
                        "url_pushes": {"enabled": False},
                        "qr_code_pushes": {"enabled": False},
                    },
                    "requests": {"enabled": pushes.edition == "pro"},
                },
            }
        )

    async def create(self, request: Request) -> Response:
        key = "push" if _is_v2(request) else "password"
        try:
            body = json.loads(await request.body())
        except ValueError:
            form = await request.form()
            body = {key: {name[len(key) + 1 : -1]: value for name, value in form.items() if name.startswith(f"{key}[")}}
        wish = body.get(key) if isinstance(body, dict) else None
        if not isinstance(wish, dict) or not wish:
            return JSONResponse({"error": f"param is missing or the value is empty or invalid: {key}"}, 400)
        visitor = self._visitor(request)
        if not visitor.owner and not self.world.pushes.anonymous:
            return Response(status_code=401)
        permitted = PRO_PARAMS if self.world.pushes.edition == "pro" else OSS_PARAMS
        wish = {name: value for name, value in wish.items() if name in permitted}
        try:
            push = self.world.pushes.create(wish, visitor)
        except Invalid as invalid:
            return JSONResponse(invalid.errors, 422)
        return JSONResponse(self._shown(request, push, owner=_is_v2(request)), 201)

    async def active(self, request: Request) -> Response:
        return self._list(request, expired=False)

    async def expired(self, request: Request) -> Response:
        return self._list(request, expired=True)

    def _list(self, request: Request, *, expired: bool) -> Response:
        page = int(request.query_params.get("page", "1"))
        pushes = self.world.pushes.listed(expired=expired, page=page)
        return JSONResponse([self._shown(request, push, owner=True) for push in pushes])

    async def preview(self, request: Request) -> Response:
        push = self._found(request)
        return JSONResponse({"url": self._address(request, push)}) if push else await _not_found(request, None)

    async def show(self, request: Request) -> Response:
        """The API's way to the payload: it uses a view, or shows it to the owner without one."""
        push = self._found(request)
        if push is None:
            return await _not_found(request, None)
        visitor = self._visitor(request)
        if push.passphrase and request.query_params.get("passphrase") != push.passphrase:
            self.world.pushes.fail_passphrase(push, visitor)
            return JSONResponse({"error": "That passphrase is incorrect. Please try again."})
        shown = self._shown(request, push, owner=False)  # before it counts: the last view still reads as alive
        return JSONResponse({**shown, "payload": self.world.pushes.claim(push, visitor)})

    async def audit(self, request: Request) -> Response:
        push = self._found(request)
        if push is None:
            return await _not_found(request, None)
        v2 = _is_v2(request)
        if not push.owned:
            return JSONResponse({"error": "That push doesn't belong to you."}, 403 if v2 else 200)
        if self.world.pushes.edition == "v1":
            rows = [log for log in push.logs if log.kind not in ("creation", "failed_passphrase")]
            return JSONResponse({"views": [_old_row(log) for log in rows]})
        page = min(int(request.query_params.get("page", "1")), MOST_PAGES_OF_AUDIT)
        newest_first = push.logs[::-1][(page - 1) * PER_PAGE_OF_AUDIT : page * PER_PAGE_OF_AUDIT]
        if self.world.pushes.watched_by_staff:
            self.world.pushes.claim(push, Visitor("192.0.2.9", "", owner=True))
        return JSONResponse({"logs" if v2 else "views": [_row(log) for log in newest_first]})

    async def destroy(self, request: Request) -> Response:
        push, visitor = self._found(request), self._visitor(request)
        if push is None:
            return await _not_found(request, None)
        if not push.deletable_by_viewer and not (visitor.owner and push.owned):
            return JSONResponse({"error": "That push is not deletable by viewers and does not belong to you."}, 422)
        if push.expired:
            return JSONResponse({"error": "That push is already expired."}, 422)
        self.world.pushes.end(push, by=visitor)
        return JSONResponse(self._shown(request, push, owner=True))

    # -- the pages

    async def step_page(self, request: Request) -> Response:
        """The page in front: a plain link to the real one, which any crawler can follow."""
        push = self._found(request)
        if push is None or push.expired:
            return _gone()
        return _page(f'<p>Click below to view the secret.</p><a href="/p/{push.url_token}">Click Here to Proceed</a>')

    async def page(self, request: Request) -> Response:
        """The payload: to whoever asks, by GET."""
        push = self._found(request)
        payload = self.world.pushes.claim(push, self._visitor(request)) if push else None
        if push is None or payload is None:
            return _gone()
        left = push.views_remaining
        words = f"{left} more views" if left else "This is the last view of this push."
        return _page(f'<pre id="text_payload" class="spoiler">{html.escape(payload)}</pre><p>{words}</p>')

    # -- answers

    def _address(self, request: Request, push: Push) -> str:
        base = f"{request.url.scheme}://{request.url.netloc}/p/{push.url_token}"
        return f"{base}/r" if push.retrieval_step else base

    def _shown(self, request: Request, push: Push, *, owner: bool) -> dict[str, Any]:
        now = self.world.now()
        shown: dict[str, Any] = {
            "expire_after_views": push.views,
            "expired": push.expired,
            "url_token": push.url_token,
            "deletable_by_viewer": push.deletable_by_viewer,
            "retrieval_step": push.retrieval_step,
            "expired_on": _time(push.expired_on) if push.expired_on else None,
            "created_at": _time(push.created_at),
            "updated_at": _time(push.created_at),
            "expire_after_days": push.days,
            "days_remaining": push.days_remaining(now),
            "views_remaining": push.views_remaining,
            "deleted": push.deleted,
        }
        if _is_v2(request):
            address = self._address(request, push)
            # The passphrase is echoed. `json_url` with a retrieval step leads nowhere.
            shown |= {"passphrase": push.passphrase, "json_url": f"{address}.json", "html_url": address}
        if push.duration is not None:
            end = push.created_at + DURATIONS[push.duration]
            del shown["expire_after_days"], shown["days_remaining"]
            shown |= {
                "account_id": 1, "expire_after_duration": push.duration, "expires_at": _time(end),
                "expires_in": max(0, int((end - now).total_seconds())),
            }  # fmt: skip
        if owner:
            shown |= {"note": push.note, "name": push.name}
        return shown


def _is_v2(request: Request) -> bool:
    return request.url.path.startswith("/api/v2/")


def _row(log: Log) -> dict[str, Any]:
    at = _time(log.created_at)
    return {
        "ip": log.ip, "user_agent": log.user_agent, "referrer": log.referrer, "kind": log.kind, "created_at": at,
        "updated_at": at,
    }  # fmt: skip


def _old_row(log: Log) -> dict[str, Any]:
    """Version 1: 1 for an end, 0 for everything else."""
    successful = log.kind in ("view", "expire")
    return {**_row(log), "successful": successful, "kind": int(log.kind == "expire"), "url_id": None}


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _page(inside: str) -> HTMLResponse:
    return HTMLResponse(f"<!DOCTYPE html><html><head><title>Password Pusher</title></head><body>{inside}</body></html>")


def _gone() -> HTMLResponse:
    """The same for whatever is not there (any more), with status 200."""
    return _page("<p>We apologize but this secret link has expired.</p>")


async def _not_found(request: Request, error: Exception | None) -> Response:  # noqa: ARG001
    return JSONResponse({"error": "not-found"}, 404)
