"""The calls to Password Pusher, in API v2 and v1, and what its answers hold.

A push's url token is a `Secret` here, and no message names an address with one in it. Bodies are never repeated: an
answer to a creation may echo what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from connector.core.secret import Secret
from connector.errors import PermanentError
from connector.http import Http
from connector.secretlink.foreign import ForeignCalls, NotShown
from connector.secretlink.passwordpusher.pushes import (
    Edition,
    Order,
    Push,
    Row,
    mapping_of,
    push_of,
    row_of,
    unknown_shape,
)

_MOST_PAGES: Final = 200
# Rails' paging gives 25 or 50 a page, newest first; a page with fewer than this is the last one.
_SMALL_PAGE: Final = 20


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
        self._calls = ForeignCalls(
            http=http,
            url=url,
            authorization=Secret(f"Bearer {token.reveal()}"),
            refused="Password Pusher does not accept links.token, or has no accounts at all (PWP__ENABLE_LOGINS). Make "
            "a token in the account that the connector is to use, then run: connector check",
            forget=self.forget,
        )
        self._account_id = account_id
        self._edition: Edition | None = None

    def edition(self) -> Edition:
        """Which one it is; asked once, and again after `forget`.

        Raises:
            TemporaryError: It cannot be reached, or something else answers.
            AuthenticationError (scope `links`).
        """
        known = self._edition
        if known is None:
            known = self._asked()
            if known is Edition.V1:
                # A gateway says 404, too, while what is behind it starts. So version 1 has to answer as such, and what
                # it does not know, it does not know a moment later either.
                self._calls.call("GET", _list_path("active", Edition.V1))
                known = self._asked()
            self._edition = known
        return known

    def _asked(self) -> Edition:
        # Public: neither edition wants a token here. Source: `Api::BaseController`, read 2026-11-22.
        answer = self._http.call("GET", f"{self._url}/api/v2/version", expect=(200, 404))
        if answer.status == 404:
            return Edition.V1
        said = mapping_of(answer.json(), answer).get("edition")
        # A 2.x that does not say is taken for self-hosted: it is the older, and lives in days.
        return Edition.OSS if said in (None, "", "oss") else Edition.HOSTED

    def forget(self) -> None:
        """It may have been upgraded or replaced: ask for the edition anew."""
        self._edition = None

    def create(self, order: Order, edition: Edition) -> tuple[Push, Mapping[str, Any]]:
        """Make a push, once: after an unclear failure there may be one, whose address nobody has.

        Returns:
            The push, and its answer for `kept`.

        Raises:
            PermanentError: The service does not take it.
            TemporaryError, AuthenticationError (scope `links`).
        """
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
        answer = self._calls.call("POST", path, expect=(200, 201, 400, 422), once=True, json=body)
        if answer.status >= 400:
            self.forget()
            raise PermanentError(
                f"Password Pusher does not take the push ({answer.status}). Look at its limits for views and days "
                "(PWP__PW__EXPIRE_AFTER_…) and at links.views and links.lifetime, then run: connector check"
            )
        content = mapping_of(answer.json(), answer)
        return push_of(content, answer), content

    def active(self, *, since: datetime) -> Iterator[Push]:
        """The account's living pushes, newest first, without those made before `since`."""
        return self._listed("active", since)

    def expired(self, *, since: datetime) -> Iterator[Push]:
        """The account's dead pushes, newest first, without those made before `since`."""
        return self._listed("expired", since)

    def _listed(self, which: str, since: datetime) -> Iterator[Push]:
        path = _list_path(which, self.edition())
        more = {"account_id": self._account_id} if self._account_id else {}
        met: set[Secret] = set()
        for page in range(1, _MOST_PAGES + 1):
            answer = self._calls.call("GET", path, params={"page": str(page), **more})
            content = answer.json()
            # Shown in the source as a bare list; a wrapping that holds one is taken, too.
            if isinstance(content, Mapping):
                content = content.get("pushes")
            if not isinstance(content, list):
                unknown_shape(answer)
            pushes = [push_of(mapping_of(item, answer), answer) for item in content]
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
            NotShown: The push belongs to another account, or is unknown.
            TemporaryError, AuthenticationError (scope `links`).
        """
        v1 = self.edition() is Edition.V1
        before, after = ("/p/", "/audit.json") if v1 else ("/api/v2/pushes/", "/audit")
        rows: list[Row] = []
        for page in range(1, _MOST_PAGES + 1):
            answer = self._calls.call("GET", (before, token, after), expect=(200, 403, 404), params={"page": str(page)})
            # Version 1 tells a stranger off with status 200 and no rows.
            content = mapping_of(answer.json(), answer) if answer.status == 200 else {"error": ""}
            if "error" in content:
                self.forget()
                raise NotShown(
                    "Password Pusher does not show what happened to one of our pushes: it is unknown there, or belongs "
                    "to another account. Check that links.token is that of the account that made it."
                )
            items = content.get("views" if v1 else "logs")
            if not isinstance(items, list):
                unknown_shape(answer)
            found = [row_of(mapping_of(item, answer), answer) for item in items]
            # Version 1 has no pages, and gives the same ones again for any.
            fresh = _beyond(rows, found)
            rows += fresh
            if not fresh or v1 or len(found) < _SMALL_PAGE:
                break
        if not v1:
            rows.reverse()  # newest first there; two of one moment keep their order
        return sorted(rows, key=lambda row: row.at)

    def expire(self, token: Secret) -> bool:
        """Make a push dead. A repeat, or one that is dead or unknown, is fine.

        Returns:
            Whether it was alive for sure; `False` also where it was this that ended it, but the first answer was lost.

        Raises:
            PermanentError: It is alive, and not ours to end.
            TemporaryError, AuthenticationError (scope `links`).
        """
        before, after = ("/p/", ".json") if self.edition() is Edition.V1 else ("/api/v2/pushes/", "")
        answer = self._calls.call("DELETE", (before, token, after), expect=(200, 204, 404, 410, 422), repeatable=True)
        if answer.status == 200 and mapping_of(answer.json(), answer).get("expired") is True:
            return True
        # Already dead, or not ours: both are 422, with words in the language of the service. Unknown, or a service that
        # has moved its calls: both are 404. The list of the living knows.
        for push in self.active(since=datetime(1970, 1, 1, tzinfo=UTC)):
            if push.token == token:
                raise PermanentError(
                    "Password Pusher does not let us end one of its pushes. End it there by hand, and check that "
                    "links.token belongs to the account that made it."
                )
        return False


def _beyond(rows: Sequence[Row], page: Sequence[Row]) -> Sequence[Row]:
    """What of a page is not at the end of the rows before it: a row that came in meanwhile has moved those on.

    Rows have no id. What is alike to the millisecond and stands just there counts as the same row.
    """
    same = (count for count in range(min(len(rows), len(page)), 0, -1) if rows[-count:] == page[:count])
    return page[next(same, 0) :]


def _list_path(which: str, edition: Edition) -> str:
    return f"/p/{which}.json" if edition is Edition.V1 else f"/api/v2/pushes/{which}"
