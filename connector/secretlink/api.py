"""The connector's side of the link service: make, look at and revoke links, read events."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connector.secretlink.answers import BadBody, BodyTooLarge, error_answer, read_json
from connector.secretlink.chain import Event, Head
from connector.secretlink.keys import ApiKeys, Refusal, Scope
from connector.secretlink.links import Conflict, EventPage, LinkRecord, NewLink
from connector.secretlink.place import IpNetwork, client_ip
from connector.secretlink.seal import LOOKUP_BYTES, MOST_VIEWS, Terms, is_link_id
from connector.secretlink.vault import Vault

LONGEST_LIFETIME: Final = timedelta(days=31)
MOST_EVENTS: Final = 500
LONGEST_WAIT: Final = timedelta(seconds=30)
_MOST_SEALED_BYTES: Final = 2048

Endpoint = Callable[[Request], Awaitable[Response]]


class News:
    """Wakes those who wait for events. Belongs to one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.closed = False

    def announce(self) -> None:
        """Something happened: wake everybody once."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """The service stops: nobody waits any more."""
        self.closed = True
        self.announce()

    async def wait(self, timeout: timedelta) -> bool:
        """Wait for the next announcement. `False` when the time is over or the service stops."""
        if self.closed or timeout <= timedelta(0):
            return False
        try:
            await asyncio.wait_for(self._changed.wait(), timeout.total_seconds())
        except TimeoutError:
            return False
        return not self.closed


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone of the IANA list") from None
    return name


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text.strip()


def _link_id(text: str) -> str:
    if not is_link_id(text):
        raise ValueError("must be 8 to 64 letters, digits, '-' or '_'")
    return text


_Line = Annotated[str, Field(max_length=200), AfterValidator(_line)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class BrandBody(_Strict):
    """Who helps, for one link. What is left out comes from the service's own settings."""

    name: Annotated[_Line, Field(max_length=80)] | None = None
    phone: Annotated[_Line, Field(max_length=40)] | None = None
    url: Annotated[_Line, Field(pattern=r"^https?://[^\s/?#]+([/?#]\S*)?$")] | None = None
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None


class CreateBody(_Strict):
    """The body of `POST /api/v1/links`."""

    id: Annotated[str, AfterValidator(_link_id)]
    lookup: Annotated[str, Field(max_length=64)]
    sealed: Annotated[str, Field(max_length=3000)]
    max_views: Annotated[int, Field(ge=1, le=MOST_VIEWS)]
    expires_at: Annotated[int, Field(gt=0, le=253_402_300_799)]
    ref: _Line
    mode: Literal["path"] = "path"
    display_name: _Line
    ticket: Annotated[_Line, Field(max_length=64)]
    time_zone: Annotated[str, Field(max_length=64), AfterValidator(_known_zone)] = "UTC"
    brand: BrandBody | None = None

    def to_new_link(self) -> NewLink:
        """The same in the vault's words.

        Raises:
            BadBody: `lookup` or `sealed` is not what it must be.
        """
        lookup, sealed = _decode(self.lookup, "lookup"), _decode(self.sealed, "sealed")
        if len(lookup) != LOOKUP_BYTES:
            raise BadBody(f"lookup must be {LOOKUP_BYTES} bytes")
        if len(sealed) > _MOST_SEALED_BYTES:
            raise BadBody(f"sealed must be at most {_MOST_SEALED_BYTES} bytes")
        return NewLink(
            terms=Terms(self.id, self.max_views, self.expires_at),
            lookup=lookup,
            sealed=sealed,
            ref=self.ref,
            mode=self.mode,
            display_name=self.display_name,
            ticket=self.ticket,
            time_zone=self.time_zone,
            brand=self.brand.model_dump_json(exclude_none=True) if self.brand else None,
        )


class Api:
    """The endpoints under `/api/v1`. Every one of them wants a key first and says nothing without."""

    def __init__(
        self,
        vault: Vault,
        keys: ApiKeys,
        news: News,
        *,
        trusted_proxies: Sequence[IpNetwork],
        clock: Callable[[], datetime],
    ) -> None:
        self._vault = vault
        self._keys = keys
        self._trusted = tuple(trusted_proxies)
        self._news = news
        self._clock = clock

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/api/v1/links", self._guarded(self.create, Scope.LINKS_CREATE), methods=["POST"]),
            Route("/api/v1/links/{link_id}", self._guarded(self.show, Scope.LINKS_READ), methods=["GET"]),
            Route("/api/v1/links/{link_id}/revoke", self._guarded(self.revoke, Scope.LINKS_REVOKE), methods=["POST"]),
            Route("/api/v1/events", self._guarded(self.events, Scope.EVENTS_READ), methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """`POST /api/v1/links`: 201 made, 200 made before with the same content, 409 other content, 422 wrong."""
        try:
            body = CreateBody.model_validate(await read_json(request))
        except ValidationError as error:
            return error_answer(422, "invalid", _say(error))
        new = body.to_new_link()
        if datetime.fromtimestamp(new.terms.expires_at, UTC) > self._clock() + LONGEST_LIFETIME:
            return error_answer(422, "invalid", f"expires_at: a link lives at most {LONGEST_LIFETIME.days} days")
        try:
            record, created = self._vault.create(new)
        except Conflict:
            return error_answer(409, "conflict", "a link with this id or this token exists and has other content")
        except ValueError:
            return error_answer(422, "invalid", "expires_at: this is in the past; compare the clocks of both machines")
        return JSONResponse(_describe(record), 201 if created else 200)

    async def show(self, request: Request) -> Response:
        """`GET /api/v1/links/{id}`: state and counts, never content."""
        self._vault.expire_due()
        return self._answer(self._vault.find(request.path_params["link_id"]))

    async def revoke(self, request: Request) -> Response:
        """`POST /api/v1/links/{id}/revoke`: ends the link. One that has ended stays as it is; 200 both times."""
        return self._answer(self._vault.revoke(request.path_params["link_id"]))

    async def events(self, request: Request) -> Response:
        """`GET /api/v1/events?after=&limit=&wait=`: events after a cursor; waits up to `wait` seconds for the first."""
        try:
            after = _number(request, "after", default=0, most=2**62)
            limit = _number(request, "limit", default=200, most=MOST_EVENTS, least=1)
            wait = _number(request, "wait", default=0, most=int(LONGEST_WAIT.total_seconds()))
        except ValueError as error:
            return error_answer(422, "invalid", str(error))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            # Links run out by a timer; doing it here too means that a late timer never hides an expiry.
            self._vault.expire_due()
            page = self._vault.events(after=after, limit=limit)
            left = timedelta(seconds=deadline - loop.time())
            if page.events or not await self._news.wait(left):
                return JSONResponse(_describe_page(page, after))

    def _guarded(self, endpoint: Endpoint, scope: Scope) -> Endpoint:
        async def guarded(request: Request) -> Response:
            ip = client_ip(
                request.client.host if request.client else None,
                request.headers.getlist("x-forwarded-for"),
                self._trusted,
            )
            key = self._keys.judge(request.headers.getlist("authorization"), ip=ip, scope=scope)
            if isinstance(key, Refusal):
                return _refuse(key)
            try:
                return await endpoint(request)
            except BodyTooLarge:
                return error_answer(413, "too_large", "the body is above 4 KB", headers={"Connection": "close"})
            except BadBody as error:
                return error_answer(422, "invalid", str(error))

        return guarded

    def _answer(self, record: LinkRecord | None) -> Response:
        if record is None:
            return error_answer(404, "unknown", "there is no link with this id")
        return JSONResponse(_describe(record))


def _refuse(refusal: Refusal) -> Response:
    if refusal.missing is not None:
        # The form of RFC 6750, section 3.1.
        challenge = f'Bearer error="insufficient_scope", scope="{refusal.missing}"'
        message = f"this key may not do this: it has no scope {refusal.missing}"
        return error_answer(403, "forbidden", message, headers={"WWW-Authenticate": challenge})
    # One answer for a key that is unknown, over, or used from elsewhere: only the operator learns which, from the log.
    message = "send Authorization: Bearer with one of the link service's api_keys"
    return error_answer(401, "unauthorised", message, headers={"WWW-Authenticate": "Bearer"})


def _decode(text: str, name: str) -> bytes:
    """Base64 in the URL-safe alphabet, padding optional."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadBody(f"{name} is not base64url") from None


def _number(request: Request, name: str, *, default: int, most: int, least: int = 0) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    # Length first: turning a very long row of digits into a number takes long.
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and least <= int(text) <= most):
        raise ValueError(f"{name}: must be a whole number from {least} to {most}")
    return int(text)


def _say(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in problems)[
        :800
    ]


def _describe(record: LinkRecord) -> Mapping[str, object]:
    return {
        "id": record.terms.link_id,
        "state": record.state,
        "views": record.views,
        "max_views": record.terms.max_views,
        "expires_at": record.terms.expires_at,
        "created_at": _instant(record.created_ms),
        "first_view_at": _instant(record.first_view_ms),
        "last_view_at": _instant(record.last_view_ms),
        "ended_at": _instant(record.ended_ms),
        "ref": record.ref,
    }


def _describe_page(page: EventPage, after: int) -> Mapping[str, object]:
    return {
        "events": [_describe_event(event) for event in page.events],
        "head": _describe_head(page.head),
        "anchor": page.anchor.hex() if page.anchor is not None else None,
        "next": page.events[-1].seq if page.events else after,
        "more": page.more,
    }


def _describe_head(head: Head) -> Mapping[str, object]:
    return {"seq": head.seq, "mac": head.mac.hex()}


def _describe_event(event: Event) -> Mapping[str, object]:
    place = event.place
    return {
        "seq": event.seq,
        "link_id": event.link_id,
        "ref": event.ref,
        "kind": event.kind,
        "at": _instant(event.at_ms),
        "view": event.view,
        "views_left": event.views_left,
        "reason": event.reason,
        "ip": event.ip,
        "location": {"country": place.country, "city": place.city, "source": place.source, "words": place.words}
        if place
        else None,
        "user_agent": event.user_agent,
        "agent": event.agent,
        "suspect": event.suspect,
    }


def _instant(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
