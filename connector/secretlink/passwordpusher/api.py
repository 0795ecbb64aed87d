"""The calls to Password Pusher, in API v2 and v1, and what its answers hold.

A push's url token is a `Secret` here, and no message names an address with one in it. Bodies are never repeated: an
answer to a creation may echo what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from connector.core.secret import Secret
from connector.errors import AuthenticationError, PermanentError, TemporaryError
from connector.http import Answer, Http

DURATIONS: Final = (
    *(timedelta(minutes=minutes) for minutes in (15, 30, 45, 60)),
    *(timedelta(hours=hours) for hours in (6, 12)),
    *(timedelta(days=days) for days in (1, 2, 3, 4, 5, 6, 7)),
)
"""What `expire_after_duration` of the hosted service counts through, from 0; longer ones are of no use here.

Source: `durations.py` of pwpush-mcp 0.5.0 and `pwpush.ts` of a Raycast extension, which agree; read 2026-11-22.
"""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{6,64}")
_MOST_PAGES: Final = 200
# Rails' paging gives 25 or 50 a page, newest first; a page with fewer than this is the last one.
_SMALL_PAGE: Final = 20


class Edition(StrEnum):
    """Which Password Pusher it is, as far as its API goes."""

    V1 = "v1"
    """Before API v2: self-hosted of version 1."""
    OSS = "oss"
    HOSTED = "hosted"
    """pwpush.com, or self-hosted Pro."""


@dataclass(frozen=True)
class Push:
    """A push as lists and creations show it. Without its payload.

    Attributes:
        token: Its url token: whoever has it opens the push.
        views_left: As the service counts them, refused views included; `None` where it does not say.
    """

    token: Secret
    note: str
    created_at: datetime
    views_left: int | None


@dataclass(frozen=True)
class Row:
    """A row of a push's audit.

    Attributes:
        kind: In the words of v2: `creation view failed_view expire failed_passphrase admin_view owner_view edit
            creation_email_send`.
    """

    kind: str
    at: datetime
    ip: str
    user_agent: str


@dataclass(frozen=True)
class Order:
    """What a push is to be."""

    payload: Secret
    note: str
    views: int
    lifetime: timedelta

    @property
    def days(self) -> int:
        """The lifetime in whole days, at least one, never less than wanted: the connector ends it in time."""
        return max(1, -(-self.lifetime // timedelta(days=1)))

    @property
    def duration(self) -> int:
        """The longest of `DURATIONS` that is not above the lifetime, or the shortest there is."""
        fitting = [index for index, length in enumerate(DURATIONS) if length <= self.lifetime]
        return fitting[-1] if fitting else 0


class PushApi:
    """One Password Pusher with one account. Safe to use from several threads: it keeps nothing but the edition."""

    def __init__(self, *, http: Http, url: str, token: Secret, account_id: str = "") -> None:
        """Nothing is sent yet.

        Args:
            url: Where it is, without a slash at its end.
            token: The account's API token. Without one a push would be anonymous, and nobody could ask about it.
            account_id: Which of several accounts (hosted) pushes belong to; empty: the token's own.
        """
        self._http = http
        self._url = url
        self._token = token
        self._account_id = account_id
        self._edition: Edition | None = None

    def edition(self) -> Edition:
        """Which one it is; asked once, and again after `forget`.

        Raises:
            TemporaryError: It cannot be reached, or something else answers.
        """
        known = self._edition
        if known is None:
            # Public: neither edition wants a token here. Source: `Api::BaseController`, read 2026-11-22.
            answer = self._http.call("GET", f"{self._url}/api/v2/version", expect=(200, 404))
            if answer.status == 404:
                known = Edition.V1
            else:
                said = _mapping(answer.json(), answer).get("edition")
                # A 2.x that does not say is taken for self-hosted: it is the older, and lives in days.
                known = Edition.OSS if said in (None, "", "oss") else Edition.HOSTED
            self._edition = known
        return known

    def forget(self) -> None:
        """It may have been upgraded or replaced: ask for the edition anew."""
        self._edition = None

    def create(self, order: Order) -> tuple[Push, Mapping[str, Any]]:
        """Make a push, once: after an unclear failure there may be one, whose address nobody has.

        Returns:
            The push, and its answer for `kept`.

        Raises:
            PermanentError: The service does not take it.
            TemporaryError, AuthenticationError (scope `links`).
        """
        edition = self.edition()
        # The viewer may not delete: a mail scanner that presses every button would, and the requester with it.
        wish: dict[str, object] = {
            "payload": order.payload.reveal(),
            "kind": "text",
            "expire_after_views": order.views,
            "retrieval_step": True,
            "deletable_by_viewer": False,
            "note": order.note,
        }
        if edition is Edition.HOSTED:
            wish["expire_after_duration"] = order.duration
        else:
            # OSS takes days only and drops what it does not know without a word.
            # Source: `push_params` of `Api::V2::PushesController` and `Api::V1::…`, read 2026-11-22.
            wish["expire_after_days"] = order.days
        body: dict[str, object] = {"password": wish} if edition is Edition.V1 else {"push": wish}
        if self._account_id:
            body["account_id"] = self._account_id
        path = "/p.json" if edition is Edition.V1 else "/api/v2/pushes"
        answer = self._call("POST", path, expect=(200, 201, 400, 404, 422), json=body)
        if answer.status >= 400:
            self.forget()
            raise PermanentError(
                f"Password Pusher does not take the push ({answer.status}). Look at its limits for views and days "
                "(PWP__PW__EXPIRE_AFTER_…) and at links.views and links.lifetime, then run: connector check"
            )
        content = _mapping(answer.json(), answer)
        return _push(content, answer), content

    def active(self, *, since: datetime) -> Iterator[Push]:
        """The account's living pushes, newest first, without those made before `since`."""
        return self._listed("active", since)

    def expired(self, *, since: datetime) -> Iterator[Push]:
        """The account's dead pushes, newest first, without those made before `since`."""
        return self._listed("expired", since)

    def _listed(self, which: str, since: datetime) -> Iterator[Push]:
        path = f"/p/{which}.json" if self.edition() is Edition.V1 else f"/api/v2/pushes/{which}"
        more = {"account_id": self._account_id} if self._account_id else {}
        met: set[Secret] = set()
        for page in range(1, _MOST_PAGES + 1):
            answer = self._call("GET", path, params={"page": str(page), **more})
            content = answer.json()
            # Shown in the source as a bare list; a wrapping that holds one is taken, too.
            if isinstance(content, Mapping):
                content = content.get("pushes")
            if not isinstance(content, list):
                _unknown_shape(answer)
            pushes = [_push(_mapping(item, answer), answer) for item in content]
            fresh = [push for push in pushes if push.token not in met]
            met.update(push.token for push in fresh)
            yield from (push for push in fresh if push.created_at >= since)
            if not fresh or len(pushes) < _SMALL_PAGE or pushes[-1].created_at < since:
                return
        raise PermanentError(
            f"Password Pusher lists more than {_MOST_PAGES} pages of {which} pushes for this account. "
            "Give the connector an account of its own there."
        )

    def audit(self, token: Secret) -> Sequence[Row]:
        """What happened to a push, oldest first, the present included.

        Raises:
            PermanentError: The push belongs to another account, or is unknown.
            TemporaryError, AuthenticationError (scope `links`).
        """
        v1 = self.edition() is Edition.V1
        before, after = ("/p/", "/audit.json") if v1 else ("/api/v2/pushes/", "/audit")
        rows: list[Row] = []
        for page in range(1, _MOST_PAGES + 1):
            answer = self._call("GET", (before, token, after), expect=(200, 403, 404), params={"page": str(page)})
            # Version 1 tells a stranger off with status 200 and no rows.
            content = _mapping(answer.json(), answer) if answer.status == 200 else {"error": ""}
            if "error" in content:
                raise PermanentError(
                    "Password Pusher does not show what happened to one of our pushes: it is unknown there, or belongs "
                    "to another account. Check that links.token is that of the account that made it."
                )
            items = content.get("views" if v1 else "logs")
            if not isinstance(items, list):
                _unknown_shape(answer)
            found = [_row(_mapping(item, answer), answer) for item in items]
            # Rows have no id. Version 1 has no pages, and gives the same ones again for any.
            if not found or (page > 1 and found == rows[-len(found) :]):
                break
            rows += found
            if v1 or len(found) < _SMALL_PAGE:
                break
        if not v1:
            rows.reverse()  # newest first there; two of one moment keep their order
        return sorted(rows, key=lambda row: row.at)

    def expire(self, token: Secret) -> None:
        """Make a push dead. A repeat, or one that is dead or unknown, is fine.

        Raises:
            PermanentError: It is alive, and not ours to end.
            TemporaryError, AuthenticationError (scope `links`).
        """
        before, after = ("/p/", ".json") if self.edition() is Edition.V1 else ("/api/v2/pushes/", "")
        answer = self._call("DELETE", (before, token, after), expect=(200, 204, 404, 410, 422), repeatable=True)
        if answer.status == 200 and _mapping(answer.json(), answer).get("expired") is True:
            return
        # Already dead, or not ours: both are 422, with words in the language of the service. Unknown, or a service that
        # has moved its calls: both are 404. The list of the living knows.
        for push in self.active(since=datetime(1970, 1, 1, tzinfo=UTC)):
            if push.token == token:
                raise PermanentError(
                    "Password Pusher does not let us end one of its pushes. End it there by hand, and check that "
                    "links.token belongs to the account that made it."
                )

    def _call(
        self, method: str, path: str | tuple[str, Secret, str], *, expect: tuple[int, ...] = (200,), **more: Any
    ) -> Answer:
        if isinstance(path, str):
            url, shown = f"{self._url}{path}", None
        else:
            before, token, after = path
            url, shown = f"{self._url}{before}{token.reveal()}{after}", f"{self._url}{before}…{after}"
        try:
            return self._http.call(
                method,
                url,
                expect=expect,
                shown=shown,
                headers={"Authorization": f"Bearer {self._token.reveal()}"},
                **more,
            )
        except AuthenticationError:
            self.forget()
            raise AuthenticationError(
                "Password Pusher does not accept links.token, or has no accounts at all (PWP__ENABLE_LOGINS). Make a "
                "token in the account that the connector is to use, then run: connector check",
                scope="links",
            ) from None
        except TemporaryError:
            self.forget()
            raise


def kept(order: Order, edition: Edition, answer: Mapping[str, Any], *, end: datetime) -> bool:
    """Whether a push came out as it was ordered: its views, its end and its retrieval step.

    A service that clamps a value, or does not know it, answers 201 all the same. What the answer does not say counts as
    not kept. Version 1 has said all of these since 1.0.

    Args:
        end: When it is to be over, by our clock.
    """
    same = answer.get("expire_after_views") == order.views and answer.get("retrieval_step") is True
    shown = answer.get("html_url")
    if isinstance(shown, str) and not urlsplit(shown).path.rstrip("/").endswith("/r"):
        return False
    if edition is not Edition.HOSTED:
        return same and answer.get("expire_after_days") == order.days
    if answer.get("expire_after_duration") == order.duration:
        return same
    try:
        return same and _instant(answer.get("expires_at")) <= end + timedelta(minutes=5)
    except ValueError:
        return False


def _push(content: Mapping[str, Any], answer: Answer) -> Push:
    token, left = content.get("url_token"), content.get("views_remaining")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        _unknown_shape(answer)
    try:
        created_at = _instant(content.get("created_at"))
    except ValueError:
        _unknown_shape(answer)
    return Push(
        token=Secret(token),
        note=str(content.get("note") or ""),
        created_at=created_at,
        views_left=left if isinstance(left, int) else None,
    )


def _row(item: Mapping[str, Any], answer: Answer) -> Row:
    kind = item.get("kind")
    if isinstance(kind, int):
        # Version 1: 1 for an end, 0 for a view, which `successful` tells from a refused one.
        # Source: `audit` of `Api::V1::PushesController` at 1.4x, read 2026-11-22.
        kind = "expire" if kind == 1 else "view" if item.get("successful") else "failed_view"
    try:
        at = _instant(item.get("created_at"))
    except ValueError:
        _unknown_shape(answer)
    return Row(
        kind=str(kind),
        at=at,
        ip=str(item.get("ip") or "")[:64],
        user_agent=str(item.get("user_agent") or ""),
    )


def _instant(value: object) -> datetime:
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _mapping(content: object, answer: Answer) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        _unknown_shape(answer)
    return content


def _unknown_shape(answer: Answer) -> NoReturn:
    raise TemporaryError(
        f"Password Pusher answered {answer.where} in a shape that is not known here. Something may be answering in its "
        "place: check links.url, and the version there (connector check)."
    )
