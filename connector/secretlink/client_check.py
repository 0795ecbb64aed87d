"""What `connector check` looks at in our own link service, from the connector's side. Changes nothing there."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from connector.core.ports import Clock, Finding, Level
from connector.errors import ConnectorError
from connector.http import Answer, Http

GREATEST_CLOCK_DIFFERENCE: Final = timedelta(seconds=60)
PUBLIC_TIMEOUT: Final = timedelta(seconds=10)
REFUSED: Final = (401, 403)
ALARMS: Final = "/alarms"
MARK: Final = "Content-Security-Policy"
"""A header that every answer of the link service bears with the same words, its refusals too."""


@dataclass(frozen=True)
class _Probe:
    """A call that has no effect, and what it tells whether the key may do.

    Attributes:
        lost: What does not work without the scope.
        needed: Whether requests fail without it.
    """

    scope: str
    method: str
    path: str
    lost: str
    needed: bool = True
    body: object | None = None


@dataclass(frozen=True)
class Check:
    """One look over the service.

    Attributes:
        http: For the API; `headers` hold the key.
        api: Where it is, with its version.
        url: What people open.
    """

    http: Http
    api: str
    api_url: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    clock: Clock

    def findings(self) -> Iterable[Finding]:
        """Whether the service is there, takes our key for all that we need, has our time, and can be reached."""
        try:
            told = [(probe, self._ask(probe)) for probe in _probes()]
        except ConnectorError as failure:
            yield Finding(Level.ERROR, "links", str(failure), "start it with: connector serve-links")
            return
        if any(answer.status == 401 for _, answer in told):
            yield Finding(
                Level.ERROR, "links.api_key", "the link service does not accept this key",
                "put the same secret into links.api_key here and into api_keys of the link service; one made by "
                "connector links new-key may also be over, or used from another network than it is for",
            )  # fmt: skip
            return
        yield Finding(Level.OK, "links", f"the link service at {self.api_url} answers and takes the key")
        for probe, answer in told:
            if answer.status == 403:
                yield Finding(
                    Level.ERROR if probe.needed else Level.WARNING, "links.api_key",
                    f"the key has no scope {probe.scope}: {probe.lost}",
                    f"add {probe.scope} to the scopes of this key in the link service's file, and start it anew",
                )  # fmt: skip
            elif answer.status == 404 and probe.path == ALARMS:
                yield Finding(
                    Level.ERROR, "links", 'the link service knows no alarms, so no mail can offer "this was not me"',
                    "bring the link service to the version of this program",
                )  # fmt: skip
        yield from self._check_clock(told[0][1])
        yield from self._check_public_address()

    def _ask(self, probe: _Probe) -> Answer:
        return self.http.call(
            probe.method,
            f"{self.api}{probe.path}",
            expect=(200, 404, 422, *REFUSED),
            repeatable=True,
            headers=self.headers,
            json=probe.body,
        )

    def _check_clock(self, answer: Answer) -> Iterable[Finding]:
        try:
            theirs = parsedate_to_datetime(answer.headers.get("Date", ""))
        except (OverflowError, TypeError, ValueError):
            return
        difference = abs(self.clock() - theirs.replace(tzinfo=theirs.tzinfo or UTC))
        if difference > GREATEST_CLOCK_DIFFERENCE:
            yield Finding(
                Level.WARNING, "links", f"its clock differs from ours by {int(difference.total_seconds())} s, "
                "so links live longer or shorter than they should", "synchronise both machines (NTP)",
            )  # fmt: skip

    def _check_public_address(self) -> Iterable[Finding]:
        """From here: a firewall may let people in there and not us, so nothing of it is an error."""
        try:
            alive = self._open("/healthz", expect=(200,))
        except ConnectorError:
            yield Finding(
                Level.WARNING, "links.url", f"{self.url} does not answer from this machine",
                "open it in a browser from outside; a page 'This link cannot be opened' is right",
            )  # fmt: skip
            return
        for path, what in (("s", "one-time links"), ("n", 'alarms ("this was not me")')):
            try:
                page = self._open(f"/{path}/{secrets.token_urlsafe(24)}", expect=(200, 404, 410))
                ours = page.headers.get(MARK) == alive.headers.get(MARK)
            except ConnectorError:
                ours = False
            if not ours:
                yield Finding(
                    Level.WARNING, "links.url", f"the pages of {what} under {self.url}/{path}/ are not answered by "
                    "the link service", "let the reverse proxy pass this path on as well; see deploy/proxy",
                )  # fmt: skip

    def _open(self, path: str, *, expect: tuple[int, ...]) -> Answer:
        return self.http.call(
            "GET", f"{self.url}{path}", expect=expect, timeout=PUBLIC_TIMEOUT, headers={"Accept": "text/html"}
        )


def _probes() -> tuple[_Probe, ...]:
    nowhere = f"lnk_check_{secrets.token_hex(12)}"  # a link that was never made
    return (
        _Probe("events:read", "GET", "/events?after=0&limit=1", "what happens to links is never told"),
        _Probe("links:create", "POST", "/links", "no link can be made", body={}),
        _Probe("links:create", "POST", ALARMS, 'no mail can offer "this was not me"', body={}),
        _Probe("links:revoke", "POST", f"/links/{nowhere}/revoke", "no link can be revoked"),
        _Probe("links:read", "GET", f"/links/{nowhere}", "connector links list does not work", needed=False),
    )
