"""The connector's side of the link service: make, look at and revoke links, arm alarms, read events.

Every operation is declared in `openapi`; this is what they do. Each wants a key first and says nothing without.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connector.secretlink.place import IpNetwork, client_ip
from connector.secretlink.seal import is_link_id
from connector.secretlink.service.answers import API_BODY_LIMIT, BadBody, WrongContentType, error_answer, read_json
from connector.secretlink.service.api.answers import AlarmAnswer, EventListAnswer, LinkAnswer, LinkListAnswer
from connector.secretlink.service.api.bodies import AlarmBody, CreateBody
from connector.secretlink.service.api.keys import ApiKey, ApiKeys, Refusal, Scope
from connector.secretlink.service.api.openapi import (
    EXAMPLE_LIVES,
    LONGEST_WAIT,
    OPERATIONS,
    Number,
    Operation,
    Word,
    document,
)
from connector.secretlink.service.news import News, WaitingPlaces
from connector.secretlink.service.store.links import Conflict, EventPage, LinkRecord
from connector.secretlink.service.store.vault import Vault

LONGEST_LIFETIME: Final = timedelta(days=31)
_WITHOUT_A_PLACE: Final = timedelta(seconds=1)
_LOOK_AGAIN: Final = timedelta(seconds=2)
"""How long a reader trusts that events are announced to it where other processes write too."""

Query = Mapping[str, int | str]
Endpoint = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True)
class Call:
    """One request whose key and query are in order.

    Attributes:
        key: `None` where none was asked for.
        query: Every parameter of the operation; the default for what was left out.
    """

    request: Request
    key: ApiKey | None
    query: Query

    def number(self, name: str) -> int:
        """A parameter that is a number."""
        return int(self.query[name])

    def word(self, name: str) -> str:
        """A parameter that is a text."""
        return str(self.query[name])


class Api:
    """The endpoints under `/api/v1`."""

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
        self._news = news
        self._trusted = tuple(trusted_proxies)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._look_again = LONGEST_WAIT if vault.engine.dialect.name == "sqlite" else _LOOK_AGAIN
        self._latest: tuple[tuple[int, int, int], EventPage] | None = None
        self.places = WaitingPlaces()
        self._document: tuple[datetime, bytes] | None = None
        self._endpoints: Mapping[str, Endpoint] = {
            "createLink": self.create,
            "listLinks": self.list_links,
            "showLink": self.show,
            "revokeLink": self.revoke,
            "armAlarm": self.arm,
            "readEvents": self.events,
            "describeApi": self.describe,
        }

    def routes(self) -> list[Route]:
        """For the application: one for each address, so that a 405 names all of its methods."""
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in OPERATIONS:
            by_path.setdefault(operation.path, {})[operation.method] = operation
        return [Route(path, self._answering(ways), methods=list(ways)) for path, ways in by_path.items()]

    async def create(self, call: Call) -> Response:
        """201 made, 200 made before with the same content, 409 other content, 422 wrong."""
        new = CreateBody.read(await read_json(call.request, limit=API_BODY_LIMIT)).to_new_link()
        self._refuse_too_long(new.terms.expires_at, "a link")
        try:
            record, created = self._vault.create(new)
        except Conflict:
            return error_answer(409, "conflict", "a link with this id or this token exists and has other content")
        except ValueError:
            return _born_expired()
        return JSONResponse(LinkAnswer.of(record).content(), 201 if created else 200)

    async def arm(self, call: Call) -> Response:
        """201 made, 200 made before with the same content, 409 other content, 422 wrong."""
        new = AlarmBody.read(await read_json(call.request, limit=API_BODY_LIMIT)).to_new_alarm()
        if new.link_id is not None and call.key is not None and Scope.LINKS_REVOKE not in call.key.scopes:
            # Whoever arms an alarm can press it, and that ends the link.
            return _refuse(self._keys.refuse(call.key, Scope.LINKS_REVOKE))
        self._refuse_too_long(new.expires_at, "an alarm")
        try:
            record, created = self._vault.arm(new)
        except Conflict:
            return error_answer(409, "conflict", "an alarm with this id or this token exists and has other content")
        except ValueError:
            return _born_expired()
        return JSONResponse(AlarmAnswer.of(record).content(), 201 if created else 200)

    async def list_links(self, call: Call) -> Response:
        """The links behind an id; states and counts, never content."""
        self._vault.expire_due()
        limit, after = call.number("limit"), call.word("after")
        found = self._vault.list_links(state=call.word("state") or None, after=after, limit=limit + 1)
        links = [LinkAnswer.of(record) for record in found[:limit]]
        answer = LinkListAnswer(links=links, next=links[-1].id if links else after, more=len(found) > limit)
        return JSONResponse(answer.content())

    async def show(self, call: Call) -> Response:
        """State and counts, never content."""
        self._vault.expire_due()
        return self._with_link(call, self._vault.find)

    async def revoke(self, call: Call) -> Response:
        """Ends the link. One that has ended stays as it is; 200 both times."""
        return self._with_link(call, self._vault.revoke)

    async def events(self, call: Call) -> Response:
        """Events after a cursor; waits up to `wait` seconds for the first.

        Whoever waits is woken by the next event and served in turn, so that a crowd of readers never holds up a
        reveal. Who goes away is forgotten at once; when the service stops, everybody gets what there is.
        """
        page = await self._read(call)
        if call.number("wait") and not page.events:
            page = await self._wait_for_events(call, page)
        return JSONResponse(EventListAnswer.of(page, after=call.number("after")).content())

    async def describe(self, _: Call) -> Response:
        """The OpenAPI document; made now and then, because its example is sealed with a fresh token and runs out."""
        now = self._clock()
        if self._document is None or not timedelta(0) <= now - self._document[0] < EXAMPLE_LIVES / 2:
            self._document = now, json.dumps(document(now=now), ensure_ascii=False).encode()
        return Response(self._document[1], media_type="application/json")

    async def _wait_for_events(self, call: Call, page: EventPage) -> EventPage:
        now = asyncio.get_running_loop().time
        deadline = now() + call.number("wait")
        gone = asyncio.ensure_future(_going_away(call.request))
        try:
            with self.places.place_of(call.key.name if call.key else "") as free:
                if not free:
                    # Not woken with the crowd, and not sent back at once either, only to ask again at once.
                    deadline = min(deadline, now() + _WITHOUT_A_PLACE.total_seconds())
                while not page.events and (left := deadline - now()) > 0 and not self._news.closed:
                    # Nobody else has had a turn since the page was read, so nothing is missed.
                    with self._news.listening() as news:
                        heard = {gone, news} if free else {gone}
                        patience = min(left, self._look_again.total_seconds())
                        await asyncio.wait(heard, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                        woken = news.done()
                    if gone.done():  # nobody reads the answer
                        break
                    page = await self._read(call, woken=woken)
        finally:
            gone.cancel()
        return page

    async def _read(self, call: Call, *, woken: bool = False) -> EventPage:
        """The events that a call asks for. One reader after the other, with everybody else's requests in between.

        Args:
            woken: By an announcement. What was read since then for somebody else with the same cursor, as most have
                it, is then new enough.
        """
        async with self._turn:
            wish = (self._news.announced, call.number("after"), call.number("limit"))
            if not woken or self._latest is None or self._latest[0] != wish:
                if not woken:
                    # Links run out by a timer; doing it here too means that a late timer never hides an expiry.
                    self._vault.expire_due()
                page = self._vault.events(after=wish[1], limit=wish[2])
                self._latest = ((self._news.announced, *wish[1:]), page)
            return self._latest[1]

    def _answering(self, ways: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            operation = ways["GET" if request.method == "HEAD" else request.method]
            try:
                key = self._admit(request, operation)
                if isinstance(key, Refusal):
                    return _refuse(key)
                return await self._endpoints[operation.id](Call(request, key, _read_query(request, operation)))
            except WrongContentType as error:
                return error_answer(415, "content_type", str(error))
            except BadBody as error:
                return error_answer(422, "invalid", str(error))

        return answer

    def _admit(self, request: Request, operation: Operation) -> ApiKey | Refusal | None:
        """The key that a request shows; `None` where none is asked for."""
        if operation.scope is None:
            return None
        peer = request.client.host if request.client else None
        ip = client_ip(peer, request.headers.getlist("x-forwarded-for"), self._trusted)
        return self._keys.judge(request.headers.getlist("authorization"), ip=ip, scope=operation.scope)

    def _refuse_too_long(self, expires_at: int, what: str) -> None:
        if datetime.fromtimestamp(expires_at, UTC) > self._clock() + LONGEST_LIFETIME:
            raise BadBody(f"expires_at: {what} lives at most {LONGEST_LIFETIME.days} days")

    def _with_link(self, call: Call, act: Callable[[str], LinkRecord | None]) -> Response:
        link_id = call.request.path_params["link_id"]
        # Looked at first: PostgreSQL would take offence at some of what is no id.
        record = act(link_id) if is_link_id(link_id) else None
        if record is None:
            return error_answer(404, "unknown", "there is no link with this id")
        return JSONResponse(LinkAnswer.of(record).content())


async def _going_away(request: Request) -> None:
    """Ends when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refuse(refusal: Refusal) -> Response:
    if refusal.missing is not None:
        # The form of RFC 6750, section 3.1.
        challenge = f'Bearer error="insufficient_scope", scope="{refusal.missing}"'
        message = f"this key may not do this: it has no scope {refusal.missing}"
        return error_answer(403, "forbidden", message, headers={"WWW-Authenticate": challenge})
    # One answer for a key that is unknown, over, or used from elsewhere: only the operator learns which, from the log.
    message = "send Authorization: Bearer with one of the link service's api_keys"
    return error_answer(401, "unauthorised", message, headers={"WWW-Authenticate": "Bearer"})


def _born_expired() -> Response:
    return error_answer(422, "invalid", "expires_at: this is in the past; compare the clocks of both machines")


def _read_query(request: Request, operation: Operation) -> Query:
    """Every parameter of an operation.

    Raises:
        BadBody: One is wrong, there twice, or unknown: a misspelt one would otherwise silently ask for something else.
    """
    shown = request.query_params.multi_items()
    known = {one.name: one for one in operation.query}
    if any(name not in known for name, _ in shown):
        there_is = f"known here: {', '.join(known)}" if known else "there is none here"
        raise BadBody(f"the query has an unknown parameter; {there_is}")
    values = dict(shown)
    if len(values) < len(shown):
        raise BadBody("the query has a parameter twice")
    return {name: _read_parameter(one, values.get(name)) for name, one in known.items()}


def _read_parameter(parameter: Number | Word, text: str | None) -> int | str:
    if isinstance(parameter, Word):
        if text is None:
            return ""
        if parameter.known and text not in parameter.known:
            raise BadBody(f"{parameter.name}: must be one of {', '.join(parameter.known)}")
        if len(text) > parameter.longest or (parameter.pattern and not re.fullmatch(parameter.pattern, text)):
            raise BadBody(f"{parameter.name}: must be at most {parameter.longest} letters, digits, '-' or '_'")
        return text
    if text is None:
        return parameter.default
    # Length first: turning a very long row of digits into a number takes long.
    well_formed = text.isascii() and text.isdecimal() and len(text) <= 19
    if not (well_formed and parameter.least <= int(text) <= parameter.most):
        raise BadBody(f"{parameter.name}: must be a whole number from {parameter.least} to {parameter.most}")
    return int(text)
