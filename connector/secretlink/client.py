"""The connector's side of our own link service: `links.kind: builtin`."""

from __future__ import annotations

import base64
import hmac
import json
import math
import secrets
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from urllib.parse import urlencode

from connector.adapter import Surroundings
from connector.config import ApiKeyValue, LinksSection, Section, Url, validate
from connector.core.ports import (
    AlarmWish,
    Capabilities,
    Clock,
    Finding,
    HumanCheck,
    Link,
    LinkMode,
    LinkNews,
    LinkWish,
    Watched,
)
from connector.core.secret import Secret
from connector.errors import PermanentError, TemporaryError
from connector.http import Answer, Http, read_retry_after
from connector.secretlink.client_answers import ListedLink, read_event, read_link
from connector.secretlink.client_check import Check
from connector.secretlink.history import Page, Position, believe, read_page, shape_not_known
from connector.secretlink.seal import (
    TOKEN_BYTES,
    Terms,
    check_of,
    decode_token,
    lookup_of,
    new_token,
    normalise_answer,
    seal,
)

EVENTS_PER_CALL: Final = 200
LONGEST_WAIT_SECONDS: Final = 25
"""Below the 30 seconds that the service allows, and what a reverse proxy gives a silent answer: nginx by default 60
(proxy_read_timeout, read 2026-11-22)."""
WAIT_MARGIN_SECONDS: Final = 10
"""How much longer than the service may wait we listen for its answer."""
BUSY: Final = (429, 503)
LONGEST_NAME: Final = 200
LONGEST_TICKET: Final = 64
LOCALES: Final = frozenset({"en", "de"})
LONGEST_ALARM: Final = timedelta(days=31) - timedelta(minutes=5)
"""The service takes none beyond 31 days, by its own clock."""


class BuiltinSection(Section):
    """`links` in `connector.yaml`, for `kind: builtin`.

    Attributes:
        url: What people open.
        api_url: Where the connector talks to it; the same address when left out.
    """

    url: Url
    api_url: Url | None = None
    api_key: ApiKeyValue


class BuiltinLinks:
    """Makes and follows one-time links at our own link service. Safe to use from several threads.

    The token and the key that seals the password are made here and never sent; the service gets the sealed bytes.
    """

    def __init__(
        self, *, http: Http, url: str, api_url: str, api_key: Secret, clock: Clock, waiting: Http | None = None
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: What people open, without a slash at its end.
            api_url: Where the service listens for us.
            clock: Gives the present; a link's expiry is counted from it.
            waiting: What `await_news` calls by, so that its long calls stay out of the figures of the others.
        """
        self._http = http
        self._waiting = waiting or http
        self._url = url
        self._api = f"{api_url}/api/v1"
        self._api_url = api_url
        self._api_key = api_key
        self._clock = clock
        self._alarm_key = secrets.token_bytes(32)

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build it from `links` of the configuration.

        Raises:
            ConfigError: With every problem of the section.
        """
        settings = validate(BuiltinSection, LinksSection.adapters_part(section), surroundings.place, where=name)
        return cls(
            http=surroundings.http_for(system="The link service", scope="links"),
            waiting=surroundings.http_for(system="The link service (waiting)", scope="links"),
            url=settings.url,
            api_url=settings.api_url or settings.url,
            api_key=settings.api_key,
            clock=surroundings.clock,
        )

    def create(self, wish: LinkWish, password: Secret) -> Link:
        """Seal the password under a new token and store it behind a new link. See `core.ports.LinkService`.

        Every call makes another token: after a `TemporaryError` a link may exist, but nobody has its address.

        Where the ticket's number has to be typed, the service gets it nowhere: not for the page, and not in `ref`
        either. Beside a stolen database a mail's address alone would else do: its check says whether an answer is
        right only to who has the token, but a number that stands there in clear needs no check.

        Raises:
            ValueError: The wish cannot be a link: its id, views or password are out of range.
            PermanentError: Also when there is no ticket number to ask for.
        """
        checked = wish.human_check is HumanCheck.TICKET_NUMBER
        # Without a digit in it the page takes no answer for a ticket's number, and the link would never open.
        if checked and not set(normalise_answer(wish.ticket)) & set(string.digits):
            raise PermanentError(
                f"Link {wish.id} is to ask for the ticket's number, but there is no digit in it. "
                "Set links.human_check: off for this customer."
            )
        # Rounded up: a whole second is what the service counts in, and nobody gets less than was wished.
        expires_at = math.ceil((self._clock() + wish.lifetime).timestamp())
        terms = Terms(wish.id, wish.views, expires_at)
        token = new_token()
        key = decode_token(token.reveal())
        answer = self._call(
            "POST",
            "/links",
            expect=(200, 201, 409, 422),
            body={
                "id": terms.link_id,
                "lookup": _encode(lookup_of(key)),
                "sealed": _encode(seal(password, token=key, terms=terms)),
                "max_views": terms.max_views,
                "expires_at": terms.expires_at,
                "ref": "" if checked else wish.ref,
                "mode": wish.mode.value,
                "locale": wish.locale,
                "human_check": _encode(check_of(key, wish.ticket)) if checked else None,
                "display_name": _one_line(wish.display_name, LONGEST_NAME),
                "ticket": "" if checked else _one_line(wish.ticket, LONGEST_TICKET),
                "time_zone": wish.time_zone,
            },
        )
        if answer.status == 409:
            raise PermanentError(
                f"The link service has another link with the id {wish.id} already. Retry the case: it gets a new id."
            )
        if answer.status == 422:
            raise PermanentError(
                f"The link service does not accept the link {wish.id}. Compare the clocks of both machines and the "
                "versions of connector and link service, then run: connector check"
            )
        return Link(
            id=wish.id,
            url=Secret(f"{self._url}/s/{_behind_the_slash(wish, token)}"),
            expires_at=datetime.fromtimestamp(expires_at, UTC),
            views=wish.views,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What our own link service can do."""
        return Capabilities(locales=LOCALES)

    def revoke(self, link_id: str, *, handle: str = "") -> bool:  # noqa: ARG002 - our id is enough
        """Make the link dead; a repeat, or a link that was never made, is fine. See `core.ports.LinkService`."""
        return self._call("POST", f"/links/{link_id}/revoke", expect=(200, 404)).status == 200

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:  # noqa: ARG002 - it tells by itself
        """One page of events after the cursor, the kinds that concern nobody here left out.

        The cursor is the number of the last event with its mac; `history` says what is made sure of by it.

        Raises:
            PermanentError: The history does not go on where it was left, so nothing is concluded from it.
        """
        after = Position.parse(cursor)
        page = self._page(after)
        believe(page, self._page)
        try:
            found = [event for item in page.events if (event := read_event(item, base=after.base)) is not None]
        except (KeyError, TypeError, ValueError):
            raise shape_not_known() from None
        return LinkNews(tuple(found), cursor=str(page.end), more=page.more)

    def begin_anew(self, cursor: str) -> str:
        """See `client_answers.KeepsHistory`."""
        return str(Position.parse(cursor).anew())

    def await_news(self, cursor: str, timeout: timedelta) -> bool:
        """Hold a call open until the service has an event after the cursor. See `core.ports.LinkService`.

        It is sent once, whatever becomes of it: whoever waits decides when to wait again.

        Args:
            timeout: At most 25 seconds are waited.

        Raises:
            TemporaryError, AuthenticationError.
        """
        after = Position.parse(cursor)
        seconds = min(math.ceil(timeout.total_seconds()), LONGEST_WAIT_SECONDS)
        answer = self._waiting.call(
            "GET",
            f"{self._api}/events?after={after.seq}&limit=1&wait={seconds}",
            expect=(200, *BUSY),
            repeatable=False,
            headers=self._headers,
            timeout=timedelta(seconds=seconds + WAIT_MARGIN_SECONDS),
        )
        if answer.status in BUSY:  # taken here, or a short Retry-After would be waited out and the call repeated
            raise TemporaryError(
                f"The link service answered {answer.status} while its news were waited for. They are polled for.",
                retry_after=read_retry_after(answer.headers.get("Retry-After")),
            )
        page = read_page(after, answer.json())
        return bool(page.events) or page.head.seq != after.seq

    def arm(self, wish: AlarmWish) -> Secret:
        """Store an alarm, and give its address. See `core.ports.LinkService`.

        The token is made here and only its lookup is sent: nobody at the service can press it either. Id and token are
        worked out from the mail and all that is sent, with a key that this process made for itself and takes with it:
        so a mail that is tried for days has one alarm, and no token is kept anywhere. Each further process makes one
        more. A key that all of them share would spare that, but there is none for it: the link service sees the API key
        with each call, and could then work out every alarm and press it.
        """
        wish = replace(wish, lifetime=min(wish.lifetime, LONGEST_ALARM))
        content: dict[str, object] = {
            "about": wish.about,
            "link_id": wish.link_id or None,
            "source": wish.source.value,
            "display_name": _one_line(wish.display_name, LONGEST_NAME),
            "ticket": _one_line(wish.ticket, LONGEST_TICKET),
            "time_zone": wish.time_zone,
            "locale": wish.locale,
            "brand": None,
            "expires_at": math.ceil(wish.ends_at(self._clock()).timestamp()),
        }
        token = self._worked_out("token", wish.mail, content)[:TOKEN_BYTES]
        answer = self._call(
            "POST",
            "/alarms",
            expect=(200, 201, 404, 409, 422),
            body={
                "id": f"alm_{self._worked_out('id', wish.mail, content)[:12].hex()}",
                "lookup": _encode(lookup_of(token)),
                **content,
            },
        )
        if answer.status not in (200, 201):
            raise PermanentError(
                f"The link service does not take the alarm of the mail {wish.mail} ({answer.status}). Compare the "
                "clocks of both machines and the versions of connector and link service, then run: connector check"
            )
        return Secret(f"{self._url}/n/{_encode(token)}")

    def listed(self, state: str = "") -> Iterator[ListedLink]:
        """The service's links, in the order of their ids. See `client_answers.ListingLinks`.

        Raises:
            TemporaryError, AuthenticationError (scope `links`).
        """
        after, more = "", True
        while more:
            query = {name: value for name, value in {"limit": 100, "state": state, "after": after}.items() if value}
            content = self._call("GET", f"/links?{urlencode(query)}", expect=(200,)).json()
            try:
                following, more = str(content["next"]), content["more"] is True
                found = [read_link(item) for item in content["links"]]
            except (KeyError, TypeError, ValueError):
                raise shape_not_known() from None
            yield from found
            more = more and following != after
            after = following

    def check(self) -> Iterable[Finding]:
        """Whether the service is there, takes our key for all that we need, has our time, and can be reached."""
        return Check(
            http=self._http, api=self._api, api_url=self._api_url, url=self._url, headers=self._headers,
            clock=self._clock,
        ).findings()  # fmt: skip

    def _page(self, after: Position) -> Page:
        answer = self._call("GET", f"/events?after={after.seq}&limit={EVENTS_PER_CALL}", expect=(200,))
        return read_page(after, answer.json())

    def _worked_out(self, what: str, mail: str, content: Mapping[str, object]) -> bytes:
        """32 bytes for one purpose and one alarm, that nobody else can work out."""
        return hmac.digest(self._alarm_key, json.dumps([what, mail, content], sort_keys=True).encode(), "sha256")

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._api_key.reveal()}"}

    def _call(self, method: str, path: str, *, expect: tuple[int, ...], body: object | None = None) -> Answer:
        return self._http.call(
            method,
            f"{self._api}{path}",
            expect=expect,
            repeatable=True,  # creates and revocations are idempotent by the link's id
            headers=self._headers,
            json=body,
        )


def _behind_the_slash(wish: LinkWish, token: Secret) -> str:
    return f"{wish.id}#{token.reveal()}" if wish.mode is LinkMode.FRAGMENT else token.reveal()


def _one_line(text: str, longest: int) -> str:
    """A directory's or ticket's words as the page shows them: the service takes one line of printable letters.

    A name with an emoji, a line break or 256 letters must not cost its owner the reset; and one with letters that
    turn the direction of writing must not look like somebody else's.
    """
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return " ".join(words)[:longest].strip()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii")
