"""The only user of `requests`: every call to another system goes through `Http`.

What it takes off the adapters: time limits, retries of what may be repeated, `Retry-After` (remembered for all threads,
so that a system that asked for a pause costs nobody a call or a wait), pacing, a budget of calls, proxy and CA bundle,
the translation of transport failures and of the common statuses into `connector.errors`, and a refusal of sandbox
answers in production.
What it never does: follow redirects, keep cookies, read `.netrc` or proxy variables from the environment, or put an
address' query, a header or a body into a message.
"""

from __future__ import annotations

import json as json_module
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import structlog
import tenacity
import urllib3
from prometheus_client import Counter, Gauge, Histogram

from connector.config.budget import Budget
from connector.errors import AuthenticationError, ConfigError, PermanentError, TemporaryError
from connector.pacing import LONGEST_WAIT_INSIDE_A_CALL, Gate, Spending

log = structlog.get_logger(__name__)

USER_AGENT = "psa-reset-connector/0.1"  # without "Mozilla": Request Tracker sends browsers to its login page
TRIES = 3
LONGEST_RETRY_AFTER = timedelta(hours=1)
LONGEST_BODY = 32 * 1024 * 1024
"""Bytes, unpacked. The longest answers are pages of tickets, of some hundred kilobytes."""
WAITS_OF_A_BODY = 4
"""A whole body has so many times the time limit of one wait, or who sends a byte now and then would hold a worker."""
_PIECE = 65_536
_TOO_LONG = f"is longer than {LONGEST_BODY // 1024**2} MB"
TEMPORARY = frozenset({408, 425, 429, *range(500, 600)}) - {501, 505}
"""Statuses that mend themselves; those from 520 on come from gateways (Cloudflare) before a system that is away."""

CALLS = Counter("connector_outside_calls_total", "Calls to other systems", ["system", "method", "result"])
SECONDS = Histogram("connector_outside_call_seconds", "Duration of calls to other systems", ["system"])
PUT_OFF = Counter(
    "connector_outside_calls_put_off_total",
    "Calls to other systems that were not sent because our budget of calls had no room",
    ["system", "scope", "kind"],
)
BUDGET_USED = Gauge(
    "connector_outside_budget_used_ratio", "Part of our budget of calls that is used just now", ["system", "scope"]
)


@dataclass(frozen=True)
class Answer:
    """What came back. `body` may hold anything: it is not part of the representation.

    Attributes:
        where: `GET https://host/path`, for messages.
    """

    status: int
    headers: Mapping[str, str]
    body: str = field(repr=False)
    system: str
    where: str

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            TemporaryError: It is something else: a login page, a gateway's error page, a cut answer.
        """
        try:
            return json_module.loads(self.body)
        except ValueError:
            raise TemporaryError(
                f"{self.system} sent something that is not JSON (status {self.status}) to {self.where}. "
                "Something between us and it may be answering in its place: check the address and the proxy."
            ) from None


class Http:
    """A client for one outside system. Safe to share between threads.

    Args:
        system: Its name in messages and metrics: `HaloPSA`, `Microsoft Graph`.
        scope: What an `AuthenticationError` pauses: `psa.halo`, `tenant.contoso`, `links`.
        timeout: For connecting and for each wait for data; a whole body has `WAITS_OF_A_BODY` times as long.
        ca_bundle: Path of a PEM file that replaces the system's authorities, or `None`.
        proxy: Address of an HTTP proxy, or `None` for none.
        refuse_sandbox: True in production: an answer with the header `X-Sandbox` is an error.
        budget: How often it may be called, retries included; `None`: as often as it lets us. See `Spending`.
        now, sleep: Monotonic seconds and how to wait; fakes in tests.
    """

    def __init__(
        self,
        *,
        system: str,
        scope: str,
        timeout: timedelta = timedelta(seconds=30),
        ca_bundle: str | None = None,
        proxy: str | None = None,
        refuse_sandbox: bool = True,
        budget: Budget | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.system = system
        self.scope = scope
        self._timeout = timeout
        self._verify: str | bool = ca_bundle or True
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._refuse_sandbox = refuse_sandbox
        self._now = now
        self._gate = Gate(now=now, sleep=sleep)
        self._spending = Spending(budget, now=now) if budget else None
        if self._spending:
            BUDGET_USED.labels(system, scope).set_function(self._spending.used)
        self._local = threading.local()

    def hold_off(self, wait: timedelta) -> None:
        """Make no calls for so long: the system asked for it where `call` cannot see it, inside a body.

        A repeat only ever makes it longer.
        """
        if self._gate.close(wait):
            log.info("asked_to_wait", system=self.system, scope=self.scope, seconds=round(wait.total_seconds(), 1))

    def call(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int] = (200, 201, 202, 204),
        repeatable: bool | None = None,
        once: bool = False,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: timedelta | None = None,
        background: bool = False,
        shown: str | None = None,
        with_body: bool = True,
    ) -> Answer:
        """Send one request and wait for its answer.

        Args:
            expect: Statuses that the caller wants to see itself; every other becomes an error.
            repeatable: Whether a second sending after an unclear failure is harmless; default: GET and HEAD only.
                A 429 or 503 with `Retry-After` was not carried out, so those are repeated for every method when
                the wait is short and few others wait.
            once: Never send it a second time, not even after one of those: a gateway may say it after the effect, and
                what has no id of ours would then be there twice.
            json, form, content: The body, at most one of them; `content` is sent as it is, for whoever has signed it.
            background: Nobody waits for it: a poll, a sweep. Only matters where there is a budget, of which the
                background leaves enough for what people wait for, and a little is kept for the background: so what is
                done in one go at the start (a check) is not of it, or no poll would follow for a whole window.
            shown: What messages say in place of `url`, where a part of its path is a secret.
            with_body: `False`: status and headers are all that is wanted. Then not a byte of the body is taken, however
                long it is, and the connection is not used again.

        Raises:
            TemporaryError: No answer, or 408, 429, 5xx. After it, the effect of a write is unknown. Or nothing was
                sent, because a 429 to an earlier call, of whatever thread, asked for a pause that is not over, or
                because the budget has no room for it; `retry_after` is then the least time until it may have.
            AuthenticationError: 401 or 403.
            PermanentError: Any other status that is not in `expect`.
        """
        may_repeat = method in ("GET", "HEAD") if repeatable is None else repeatable

        def worth_repeating(failure: BaseException) -> bool:
            if once or not isinstance(failure, _Failed):
                return False
            if failure.retry_after is not None and not self._gate.worth_waiting(failure.retry_after):
                return False
            return may_repeat or (failure.status in (429, 503) and failure.retry_after is not None)

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            if isinstance(failure, _Failed) and failure.retry_after is not None:
                return failure.retry_after.total_seconds()
            return float(tenacity.wait_random_exponential(multiplier=0.2, max=2)(state))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(worth_repeating),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=wait,
            sleep=self._gate.wait,
            reraise=True,
        )
        request = _Request(
            method=method,
            url=url,
            headers={
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                **(headers or {}),
            },
            params=dict(params) if params else None,
            json=json,
            body=content if content is not None else dict(form) if form else None,
            timeout=timeout or self._timeout,
            background=background,
            where=f"{method} {shown or _without_query(url)}",
            with_body=with_body,
        )
        self._pass_gate(request.where)
        return retrying(self._once, request, frozenset(expect))

    def ready(self, what: str) -> None:
        """Say whether a call would be sent now, without any wait. Sends nothing.

        For whoever has not begun yet: a worker that would only wait had better work for somebody else.

        Args:
            what: For the message: what would not be sent.

        Raises:
            TemporaryError: A pause that was asked for is not over, or the budget has no room.
        """
        left = self._gate.left()
        if left:
            raise self._on_hold(what, left)
        if self._spending and (wait := self._spending.left(background=False)):
            raise self._over_budget(what, self._spending.budget, wait)

    def _pass_gate(self, where: str) -> None:
        left = self._gate.left()
        if left and not self._gate.worth_waiting(left):
            raise self._on_hold(where, left)
        if left:
            self._gate.wait(left.total_seconds())

    def _on_hold(self, what: str, left: timedelta) -> TemporaryError:
        return TemporaryError(
            f"{self.system} has asked {self.scope} for a pause, of which {left.total_seconds():.1f} s are left, so "
            f"{what} was not sent. It is tried again by itself.",
            retry_after=left,
        )

    @contextmanager
    def _turn(self, where: str, *, background: bool) -> Iterator[None]:
        """Within the budget: waits for a short while, as for a pause, and has the call count from then on."""
        spending = self._spending
        if spending is None:
            yield
            return
        patience_ends = self._now() + LONGEST_WAIT_INSIDE_A_CALL.total_seconds()
        while wait := spending.take(background=background):
            if self._now() + wait > patience_ends or not self._gate.worth_waiting(timedelta(seconds=wait)):
                PUT_OFF.labels(self.system, self.scope, "background" if background else "foreground").inc()
                raise self._over_budget(where, spending.budget, wait)
            self._gate.wait(wait)
            if left := self._gate.left():  # somebody was asked for a pause meanwhile
                raise self._on_hold(where, left)
        try:
            yield
        finally:
            spending.give_back(background=background)

    def _over_budget(self, what: str, budget: Budget, wait: float) -> TemporaryError:
        return TemporaryError(
            f"{self.system}: the budget of {self.scope} ({budget.calls} calls in {budget.per.total_seconds():g} s) has "
            f"no room for {what} just now, so it is not sent. It is tried again by itself; if this is seen often, "
            f"raise {self.scope}.budget.share.",
            retry_after=timedelta(seconds=wait),
        )

    def _once(self, request: _Request, expect: frozenset[int]) -> Answer:
        where = request.where
        with self._turn(where, background=request.background):
            pause = self._gate.latest
            answer = self._send(request)
        if self._refuse_sandbox and "X-Sandbox" in answer.headers:
            raise ConfigError(
                f"{self.system} at {_origin(request.url)} is the sandbox, but this connector runs with "
                "environment: production. Point the configuration at the real system, or set environment: demo."
            )
        status = answer.status
        CALLS.labels(self.system, request.method, f"{status // 100}xx").inc()
        retry_after = read_retry_after(answer.headers.get("Retry-After"))
        if status != 429:
            self._gate.open(pause)
        elif retry_after is not None:
            self.hold_off(retry_after)
        if status in expect:
            return answer
        if status in TEMPORARY:
            raise _Failed(
                f"{self.system} answered {status} to {where}. It is tried again by itself.",
                retry_after=retry_after,
                status=status,
            )
        if status in (401, 403):
            raise AuthenticationError(
                f"{self.system} refused {where} ({status}). Check the credentials and rights of {self.scope}, "
                "then run: connector check",
                scope=self.scope,
            )
        if 300 <= status < 400:
            raise PermanentError(
                f"{self.system} sent {where} elsewhere ({status}). Check the address in the configuration: "
                "a login page or a moved host answers like that."
            )
        raise PermanentError(f"{self.system} refused {where} ({status}). See the address and the rights of this app.")

    def _send(self, request: _Request) -> Answer:
        started, where = time.perf_counter(), request.where
        try:
            response = self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                params=request.params,
                json=request.json,
                data=request.body,
                timeout=request.timeout.total_seconds(),
                allow_redirects=False,
                verify=self._verify,  # per request: a session's own value loses against REQUESTS_CA_BUNDLE
                proxies=self._proxies,
                stream=True,
            )
            with response:
                body = self._body_of(response, request) if request.with_body else ""
            return Answer(status=response.status_code, headers=response.headers, body=body, system=self.system,
                          where=where)  # fmt: skip
        except requests.exceptions.SSLError:
            CALLS.labels(self.system, request.method, "tls").inc()
            raise TemporaryError(
                f"{self.system} at {_origin(request.url)} showed a certificate that we do not trust. "
                "Check the address, and http.ca_bundle where an own authority is used."
            ) from None
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
            CALLS.labels(self.system, request.method, "timeout").inc()
            raise _Failed(
                f"{self.system} did not answer {where} within {request.timeout.total_seconds():g} s. "
                "It is tried again by itself.",
                status=0,
            ) from None
        except (requests.exceptions.ConnectionError, urllib3.exceptions.HTTPError):
            CALLS.labels(self.system, request.method, "no_connection").inc()
            raise _Failed(
                f"{self.system} at {_origin(request.url)} cannot be reached or cut the connection. "
                "It is tried again by itself; check the address and the network if it lasts.",
                status=0,
            ) from None
        except requests.exceptions.RequestException as failure:
            # The class name only: the text of some of these holds the whole address.
            raise TemporaryError(f"The call {where} failed ({type(failure).__name__}). It is tried again.") from None
        finally:
            SECONDS.labels(self.system).observe(time.perf_counter() - started)

    def _body_of(self, response: requests.Response, request: _Request) -> str:
        """The body, piece by piece as it comes: each piece may be a byte."""
        patience = WAITS_OF_A_BODY * request.timeout.total_seconds()
        patience_ends = time.monotonic() + patience
        content = bytearray()
        while piece := response.raw.read1(_PIECE):  # as it was sent: unpacking would wait for something to unpack
            content += piece
            if len(content) > LONGEST_BODY:
                raise self._no_end(request, _TOO_LONG)
            if time.monotonic() > patience_ends:
                raise self._no_end(request, f"takes longer than {patience:g} s")
        unpacked = _unpacked(bytes(content), response.headers.get("Content-Encoding", ""))
        if len(unpacked) > LONGEST_BODY:
            raise self._no_end(request, _TOO_LONG)
        try:
            return unpacked.decode(response.encoding or "utf-8", errors="replace")
        except (LookupError, UnicodeError):  # an encoding that nobody knows, or that is none of bodies
            return unpacked.decode(errors="replace")

    def _no_end(self, request: _Request, what: str) -> TemporaryError:
        CALLS.labels(self.system, request.method, "no_end").inc()
        return TemporaryError(
            f"{self.system} sends an answer to {request.where} that {what}, so it was not taken. It is tried again by "
            "itself; something between us may be answering in its place: check the address and the proxy."
        )

    @property
    def _session(self) -> requests.Session:
        """One session per thread: connections are kept, and `requests` promises nothing about sharing."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False  # .netrc would replace our Authorization header
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # none at all
            self._local.session = session
        return session


def _unpacked(content: bytes, encoding: str) -> bytes:
    """A body as it was before it was packed with `gzip` or `deflate`, or a little more than `LONGEST_BODY` of it.

    Raises:
        requests.exceptions.ConnectionError: It breaks off, or is not packed so.
    """
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate") or not content:
        return content
    unpacked = bytearray()
    try:
        while content and len(unpacked) <= LONGEST_BODY:  # of gzip one after the other is one, too (RFC 1952, 2.2)
            packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # tells gzip from zlib by itself
            unpacked += packed.decompress(content, LONGEST_BODY + 1 - len(unpacked))
            if not packed.eof:
                if len(unpacked) <= LONGEST_BODY:
                    raise requests.exceptions.ConnectionError("it breaks off")
                break
            content = packed.unused_data
    except zlib.error:
        raise requests.exceptions.ConnectionError("it is not packed so") from None
    return bytes(unpacked)


def read_retry_after(value: str | None, *, now: datetime | None = None) -> timedelta | None:
    """The wait that a `Retry-After` header asks for, seconds or HTTP date; `None` when absent or nonsense.

    Never negative and never over an hour: a vendor's mistake must not stop us for a year.
    """
    if not value:
        return None
    try:
        wait = timedelta(seconds=float(value))
    except (ValueError, OverflowError):
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):  # of a year that is longer than any
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait = moment - (now or datetime.now(UTC))
    return min(max(wait, timedelta(0)), LONGEST_RETRY_AFTER)


@dataclass(frozen=True)
class _Request:
    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    params: dict[str, str] | None = field(repr=False)
    json: object | None = field(repr=False)
    body: dict[str, str] | bytes | None = field(repr=False)
    timeout: timedelta
    background: bool
    where: str
    with_body: bool = True


class _Failed(TemporaryError):
    """A failure that may be repeated inside one call. `status` is 0 when there was no answer."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None, status: int) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}"
