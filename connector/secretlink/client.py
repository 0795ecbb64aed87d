"""The connector's side of our own link service: `links.kind: builtin`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Self

from connector.adapter import Surroundings
from connector.config import SecretValue, Section, Url, validate
from connector.core.ports import (
    AlarmWish,
    Capabilities,
    Clock,
    Finding,
    Level,
    Link,
    LinkEvent,
    LinkEventKind,
    LinkMode,
    LinkNews,
    LinkWish,
    Watched,
)
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError
from connector.http import Answer, Http, read_retry_after
from connector.secretlink.history import Page, Position, believe, read_page, shape_not_known
from connector.secretlink.seal import Terms, decode_token, lookup_of, new_token, seal

EVENTS_PER_CALL: Final = 200
LONGEST_WAIT_SECONDS: Final = 25
"""Below the 30 seconds that the service allows, and below what reverse proxies commonly give a silent answer (60)."""
WAIT_MARGIN_SECONDS: Final = 10
"""How much longer than the service may wait we listen for its answer."""
BUSY: Final = (429, 503)
LONGEST_NAME: Final = 200
LONGEST_TICKET: Final = 64
GREATEST_CLOCK_DIFFERENCE: Final = timedelta(seconds=60)
# These keys of `links` are the connector's own.
_KEYS_OF_THE_CONNECTOR: Final = frozenset(
    {"kind", "lifetime", "views", "mode", "human_check", "locale", "not_me_lifetime"}
)
_KNOWN_KINDS: Final = frozenset(kind.value for kind in LinkEventKind)


class BuiltinSection(Section):
    """`links` in `connector.yaml`, for `kind: builtin`.

    Attributes:
        url: What people open.
        api_url: Where the connector talks to it; the same address when left out.
    """

    url: Url
    api_url: Url | None = None
    api_key: SecretValue


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

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build it from `links` of the configuration.

        Raises:
            ConfigError: With every problem of the section.
        """
        own = {key: value for key, value in section.items() if key not in _KEYS_OF_THE_CONNECTOR}
        settings = validate(BuiltinSection, own, surroundings.place, where=name)
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

        Raises:
            ValueError: The wish cannot be a link: its id, views or password are out of range.
        """
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
                "ref": wish.ref,
                "mode": "path",
                "display_name": _one_line(wish.display_name, LONGEST_NAME),
                "ticket": _one_line(wish.ticket, LONGEST_TICKET),
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
            url=Secret(f"{self._url}/s/{token.reveal()}"),
            expires_at=datetime.fromtimestamp(expires_at, UTC),
            views=wish.views,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What our own link service can do."""
        return Capabilities(modes=frozenset({LinkMode.PATH}), human_check=False, alarms=False)

    def revoke(self, link_id: str, *, handle: str = "") -> None:  # noqa: ARG002 - our id is enough
        """Make the link dead; a repeat, or a link that was never made, is fine. See `core.ports.LinkService`."""
        self._call("POST", f"/links/{link_id}/revoke", expect=(200, 404))

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:  # noqa: ARG002 - it tells by itself
        """One page of events after the cursor, the kinds that concern nobody here left out.

        The cursor is the number of the last event with its mac; `history` says what is made sure of by it.

        Raises:
            PermanentError: The history does not go on where it was left, so nothing is concluded from it.
        """
        page = self._page(Position.parse(cursor))
        believe(page, self._page)
        try:
            found = [event for item in page.events if (event := _read_event(item)) is not None]
        except (KeyError, TypeError, ValueError):
            raise shape_not_known() from None
        return LinkNews(tuple(found), cursor=str(page.end), more=page.more)

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

    def arm(self, wish: AlarmWish) -> Secret:  # noqa: ARG002
        """See `core.ports.LinkService`."""
        raise PermanentError("This link service has no alarms.")

    def check(self) -> Iterable[Finding]:
        """Whether the service is there, takes our key, and has the same time."""
        try:
            answer = self._call("GET", "/events?after=0&limit=1", expect=(200,))
        except AuthenticationError:
            yield Finding(
                Level.ERROR, "links.api_key", "the link service does not accept this key",
                "put the same secret into links.api_key here and into api_keys of the link service",
            )  # fmt: skip
            return
        except ConnectorError as failure:
            yield Finding(Level.ERROR, "links", str(failure), "start it with: connector serve-links")
            return
        yield Finding(Level.OK, "links", f"the link service at {self._api_url} answers and takes the key")
        yield from self._check_clock(answer)
        if self._url != self._api_url:
            yield from self._check_public_address()

    def _check_clock(self, answer: Answer) -> Iterable[Finding]:
        try:
            theirs = parsedate_to_datetime(answer.headers.get("Date", ""))
        except (TypeError, ValueError):
            return
        difference = abs(self._clock() - theirs.replace(tzinfo=theirs.tzinfo or UTC))
        if difference > GREATEST_CLOCK_DIFFERENCE:
            yield Finding(
                Level.WARNING, "links", f"its clock differs from ours by {int(difference.total_seconds())} s, "
                "so links live longer or shorter than they should", "synchronise both machines (NTP)",
            )  # fmt: skip

    def _check_public_address(self) -> Iterable[Finding]:
        try:
            self._http.call("GET", f"{self._url}/healthz", expect=(200,), timeout=timedelta(seconds=10))
        except ConnectorError:
            # Not an error: a firewall may let people in there and not us.
            yield Finding(
                Level.WARNING, "links.url", f"{self._url} does not answer from this machine",
                "open it in a browser from outside; a page 'This link cannot be opened' is right",
            )  # fmt: skip

    def _page(self, after: Position) -> Page:
        answer = self._call("GET", f"/events?after={after.seq}&limit={EVENTS_PER_CALL}", expect=(200,))
        return read_page(after, answer.json())

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


def _read_event(item: Mapping[str, object]) -> LinkEvent | None:
    """An event in our words; `None` for a kind that we do not know or that belongs to no link."""
    kind, link_id = str(item["kind"]), item["link_id"]
    if kind not in _KNOWN_KINDS or link_id is None:
        return None
    location = item.get("location")
    return LinkEvent(
        seq=_whole(item["seq"]),
        link_id=str(link_id),
        kind=LinkEventKind(kind),
        at=datetime.fromisoformat(str(item["at"])),
        view=_whole(item.get("view")) if kind == LinkEventKind.REVEALED else 0,
        views_left=_whole(item.get("views_left")),
        ip=str(item.get("ip") or ""),
        place=str(location.get("words") or "") if isinstance(location, Mapping) else "",
        agent=str(item.get("agent") or ""),
    )


def _whole(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int):
        raise ValueError("not a whole number")
    return value


def _one_line(text: str, longest: int) -> str:
    """A directory's or ticket's words as the page shows them: the service takes one line of printable letters.

    A name with an emoji, a line break or 256 letters must not cost its owner the reset; and one with letters that
    turn the direction of writing must not look like somebody else's.
    """
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return " ".join(words)[:longest].strip()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii")
