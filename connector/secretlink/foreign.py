"""What the adapters to other people's link services share: calls whose addresses are secrets, reading many links."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from connector.core.ports import LinkEvent, Watched
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError
from connector.http import Answer, Http

log = structlog.get_logger(__name__)

Path = str | tuple[str, Secret, str]
"""Of a call, behind the service's address; with a secret in its middle where the path leads to a password."""


def is_due(last: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether it is time again. A last time in the future counts for nothing: the clock was set back meanwhile."""
    return last is None or not timedelta(0) <= now - last < every


_UNKNOWN: Final = (404, 410)


class NotShown(PermanentError):
    """The service does not know one of our links, or does not show it to us: that link's trouble, and no other's."""


@contextmanager
def without_history() -> Iterator[None]:
    """In `news` of a service that keeps no history: there a `PermanentError` would say that it broke off."""
    try:
        yield
    except PermanentError as failure:
        raise TemporaryError(str(failure)) from None


class ForeignCalls:
    """Calls to one service with one account. Safe to use from several threads: it keeps nothing."""

    def __init__(
        self, *, http: Http, url: str, authorization: Secret, refused: str, forget: Callable[[], None]
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: Where the service is, without a slash at its end.
            authorization: The value of that header.
            refused: What to say when the account is not accepted, and what to do then.
            forget: Called after any failure: the service may have been replaced or upgraded meanwhile.
        """
        self._http = http
        self._url = url
        self._authorization = authorization
        self._refused = refused
        self._forget = forget

    def call(self, method: str, path: Path, *, expect: tuple[int, ...] = (200,), **more: Any) -> Answer:
        """Send one request; `more` as `Http.call` takes it. No message names a path's secret.

        Raises:
            TemporaryError: It is away; or it says, where the caller does not expect that, that there is no such call:
                so does a gateway before a service that is away, and one that was upgraded.
            PermanentError, AuthenticationError (scope `links`).
        """
        if isinstance(path, str):
            url, shown = f"{self._url}{path}", None
        else:
            before, hidden, after = path
            url, shown = f"{self._url}{before}{hidden.reveal()}{after}", f"{self._url}{before}…{after}"
        headers = {"Authorization": self._authorization.reveal()}
        try:
            answer = self._http.call(method, url, expect={*expect, *_UNKNOWN}, shown=shown, headers=headers, **more)
        except AuthenticationError:
            self._forget()
            raise AuthenticationError(self._refused, scope="links") from None
        except ConnectorError:
            self._forget()
            raise
        if answer.status not in expect:
            self._forget()
            raise TemporaryError(
                f"{answer.system} does not know {answer.where} ({answer.status}): it was upgraded, or something else "
                "answers in its place. If that lasts, check links.url, then run: connector check. It is tried again by "
                "itself."
            )
        return answer


def events_of_all(watched: Sequence[Watched], read: Callable[[Watched], Sequence[LinkEvent]]) -> list[LinkEvent]:
    """The events of each link. One that cannot be read now does not hold up the others' news, nor their ends.

    Raises:
        AuthenticationError: Of the first link: it is the same for all.
        ConnectorError: None of them can be read. A `read` that has `NotShown` to say logs it and raises nothing.
    """
    events: list[LinkEvent] = []
    trouble: list[ConnectorError] = []
    for link in watched:
        try:
            events += read(link)
        except AuthenticationError:
            raise
        except ConnectorError as failure:
            trouble.append(failure)
            log.info("link_unread", link=link.id, error=str(failure))
    if trouble and len(trouble) == len(watched):
        raise trouble[-1]
    return events
