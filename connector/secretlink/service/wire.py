"""The service's end of a connection: what a client may send, how slowly, and what is answered before the application.

uvicorn's httptools protocol parses HTTP/1.1 with llhttp, the strict parser of Node.js, but takes its time: a head may
grow for ever, and who sends a letter a minute keeps the connection. Here every step has a bound, see `Bounds`, and so
has the number of connections: the service needs file handles for its database too.

Beyond llhttp this refuses what the two ends of a proxied connection might read in two ways (RFC 9112, sections 3.2 and
6; RFC 9110, section 7.8): a request without a `Host` or with several, of another version than 1.0 and 1.1, with another
`Transfer-Encoding` than `chunked`, or with a body and an `Upgrade`, which llhttp would read as one more request.
Trailers are dropped; uvicorn would add them to the headers. What is refused is never quoted, here or in a log.

What it needs of uvicorn (0.54; `tests/secretlink/test_wire.py` says what a newer one changed), besides the callbacks
of `asyncio.Protocol` and of httptools:

- `_unset_keepalive_if_required()`, `on_response_complete()` and `timeout_keep_alive_handler()`: the clock of a
  connection that rests between two requests. It starts with the end of an answer; the first byte stops it.
- `cycle`, the newest request's `response_started`, `response_complete`, `keep_alive` and `disconnected`; `pipeline`,
  those that wait, the newest first; `_start_asgi_task()`, which begins to work on one.
- `flow.write_paused`: the client does not take what was sent.
- `parser`, `headers`, `transport`, `loop`, `connections`, `server_state.default_headers`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from heapq import nsmallest
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

import httptools
import structlog
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from connector.secretlink.service.answers import BODY_TIME, UNIFORM_HEADERS

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_DROPPED_AT_ONCE: Final = 32
_LAST_MOMENT: Final = timedelta(seconds=2)
"""Docker kills what has not ended 10 s after it was told to."""
_TELL_EVERY: Final = timedelta(minutes=1)
_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: "This is not a request that this service can read.",
    HTTPStatus.REQUEST_TIMEOUT: "This request came too slowly. Send it again.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The address and the headers are too large.",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Bounds:
    """What a client may ask of a connection.

    Attributes:
        head_bytes: Request line and headers.
        body_bytes: A body as it travels, with the frames of its chunks; what the application takes is less.
        head_time: From the connection, or from the first byte after an answer, to the last byte of the head.
        body_time: From there to the last byte of the body. The application answers a body that it waits for earlier.
        send_time: How long a client may not take what was sent.
        pipelined: Requests that wait for the answer to an earlier one.
        connections: Of everybody. Twice as many file handles are what a process usually has: some bursts that are let
            in before any of them is looked at, and the database, need theirs.
    """

    head_bytes: int = 16 * 1024
    body_bytes: int = 32 * 1024
    head_time: timedelta = timedelta(seconds=10)
    body_time: timedelta = BODY_TIME + timedelta(seconds=5)
    send_time: timedelta = timedelta(seconds=30)
    pipelined: int = 8
    connections: int = 512


class Crowd:
    """The connections of one server, and who has to leave when there are too many.

    Whoever has waited longest to send or to take something goes first: a person's request takes milliseconds, while
    someone who holds connections must hold them for long. A request that is being worked on is never dropped.
    """

    def __init__(self, *, now: Callable[[], float]) -> None:
        """Begin.

        Args:
            now: Seconds on some clock that only goes forward.
        """
        self._now = now
        self._told_at = float("-inf")

    def makes_room(self, newcomer: BoundedHttp, connections: Collection[object], *, most: int) -> bool:
        """Drop who has waited longest, if need be.

        Returns:
            Whether the newcomer may stay: not where everybody is being worked for.
        """
        others = [one for one in connections if isinstance(one, BoundedHttp) and one is not newcomer]
        others = [one for one in others if not one.dropped]
        if len(others) < most:
            return True
        if self._now() - self._told_at >= _TELL_EVERY.total_seconds():
            self._told_at = self._now()
            log.warning("link_service_full", connections=most)
        waiting = [one for one in others if one.waits_for_its_client]
        # Several at once: looking through all of them for each newcomer would cost a flood nothing and us much.
        for dropped in nsmallest(_DROPPED_AT_ONCE, waiting, key=lambda one: one.waits_since):
            dropped.drop()
        return bool(waiting)


class _Stage(Enum):
    """How much of a request has come."""

    REST = auto()  # nothing, or empty lines before it
    HEAD = auto()
    BODY = auto()


class _Malformed(Exception):
    """Stops the parser; what for is nobody's business."""


class BoundedHttp(HttpToolsProtocol):
    """One connection. Made by `bounded_http`."""

    bounds: ClassVar[Bounds]
    crowd: ClassVar[Crowd]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._stage = _Stage.REST
        self._taken = 0  # bytes of this stage
        self._at_work = self.cycle  # the newest whose work has begun; none before the first
        self._may_stay = True  # after the answer to the newest
        self._reads_on = True
        self._request_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self.waits_since = self.loop.time()
        self.dropped = False
        """It is gone from the connections only in a later turn of the loop."""

    @property
    def waits_for_its_client(self) -> bool:
        """Whether nothing is done for this connection before its client sends, or takes, something."""
        if self.flow.write_paused or self.transport.is_closing():
            return True
        if self.pipeline:
            return False  # what came before those is worked on
        return not self._owes_an_answer or self._stage is _Stage.BODY

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client in, or close its connection when there are too many."""
        super().connection_made(_Joining(transport, self.loop, self._begin_to_end))
        most = self.bounds.connections
        if len(self.connections) <= most or self.crowd.makes_room(self, self.connections, most=most):
            self._watch()
        else:
            self.drop()

    def drop(self) -> None:
        """End the connection without a word, whatever is still to be sent."""
        self.dropped = True
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._stop(self._request_timer)
        self._stop(self._send_timer)
        super().connection_lost(exc)
        # uvicorn tells the newest request alone, which may only wait for the one that is worked on.
        if not getattr(self._at_work, "response_complete", True):
            self._at_work.disconnected = True
            self._at_work.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse no more than the bounds allow. The same as uvicorn's otherwise, without its lines in the log."""
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            # What nobody waited for, see `_begin_to_end`.
            self._taken += len(data)
            if self._taken > self.bounds.body_bytes:
                self.transport.abort()
            return
        if not self._reads_on:
            self.flow.pause_reading()  # again: an application that waits for its client's leaving resumes it
            return
        while data and not self.transport.is_closing():
            in_body = self._stage is _Stage.BODY
            room = (self.bounds.body_bytes if in_body else self.bounds.head_bytes) - self._taken
            if room <= 0:
                large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if in_body else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._refuse(large)
                return
            part, data = data[:room], data[room:]
            self._taken += len(part)
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserError:
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
            except httptools.HttpParserUpgrade:
                # RFC 9110, section 7.8: an upgrade may be ignored. The parser took what follows for something else
                # than HTTP, so it is not read, and the connection ends with the answer.
                self.cycle.keep_alive = False
                return
        if self._request_timer is None and (self._taken or self._stage is not _Stage.REST):
            self._watch()

    def eof_received(self) -> None:
        """The client sends nothing more: what was answered by now is sent, and has as long as any other answer.

        Nobody can tell whether it still listens. Who only waits for news has most likely gone.
        """
        self.transport.close()

    def on_message_begin(self) -> None:
        """The first letter of a request line."""
        super().on_message_begin()
        self._stage = _Stage.HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is dropped: a proxy that guards headers may pass it on."""
        if self._stage is _Stage.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The end of the head: the application starts."""
        if self._is_malformed() or len(self.pipeline) >= self.bounds.pipelined:
            raise _Malformed
        super().on_headers_complete()
        # An answer that is given before the body has come says that it is the last one: nobody knows whether the body
        # will come at all, and the next request would be taken for it. RFC 9112, section 9.3; RFC 9110, section 10.1.1.
        self._may_stay = self.cycle.keep_alive
        self.cycle.keep_alive = False
        self._enter(_Stage.BODY)

    def on_message_complete(self) -> None:
        """The end of a request."""
        super().on_message_complete()
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._may_stay
        self._enter(_Stage.REST)

    def shutdown(self) -> None:
        """The service ends: so does the connection, with the answer to what was asked.

        What is on its way has a moment to come; a body that drips would else hold up the end until it is too late.
        """
        self._may_stay = False
        super().shutdown()
        self.loop.call_later(_LAST_MOMENT.total_seconds(), self._leave)

    def _leave(self) -> None:
        if self.waits_for_its_client:
            self.drop()

    def on_response_complete(self) -> None:
        """The end of an answer."""
        self.waits_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not take what is sent to it."""
        super().pause_writing()
        self._expect_the_end()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop(self._send_timer)
            self._send_timer = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._at_work = cycle
        super()._start_asgi_task(cycle, app)

    def _begin_to_end(self) -> bool:
        """The connection is being closed. Whether it is still to be read from, for nothing.

        So it is where the client was answered while it may go on sending: if that were refused, the system would say so
        at once, and the answer might be lost with it. The client hears of the end all the same, and goes.
        RFC 9112, section 9.6.
        """
        self._expect_the_end()
        sends_on = self._stage is _Stage.BODY and not self.pipeline and not self._owes_an_answer
        if sends_on or not self._reads_on:
            self.flow.resume_reading()
            return True
        return False

    def _expect_the_end(self) -> None:
        """Cut the connection unless all that was written is taken in time."""
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self.bounds.send_time.total_seconds(), self.transport.abort)

    @property
    def _owes_an_answer(self) -> bool:
        """Whether the newest request whose head has come waits for its answer."""
        return not getattr(self.cycle, "response_complete", True)  # there is none before the first request

    def _is_malformed(self) -> bool:
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        if version not in ("1.0", "1.1") or names.count(b"host") > 1 or (b"host" not in names and version == "1.1"):
            return True
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or version == "1.0"):
            return True
        return self.parser.should_upgrade() and (b"content-length" in names or bool(codings))

    def _enter(self, stage: _Stage) -> None:
        self._stage = stage
        self._taken = 0
        self._stop(self._request_timer)
        self._request_timer = None

    def _watch(self) -> None:
        time = self.bounds.body_time if self._stage is _Stage.BODY else self.bounds.head_time
        self._request_timer = self.loop.call_later(time.total_seconds(), self._be_out_of_time)

    def _be_out_of_time(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()

    def _refuse(self, status: HTTPStatus) -> None:
        """End the connection, with an answer where the client waits for one of just this request."""
        if self.transport.is_closing():
            return
        if self.pipeline and self._stage is _Stage.BODY:
            self.pipeline.popleft()  # this one, which nobody has begun to work on
            self._end_after(self.pipeline[0][0] if self.pipeline else self._at_work)
            return
        if self._stage is _Stage.BODY:
            if not self.cycle.response_started:
                self._answer(status)
        elif self._owes_an_answer:
            self._end_after(self.cycle)
            return
        elif self._stage is _Stage.HEAD:
            self._answer(status)
        self.transport.close()

    def _end_after(self, last: RequestResponseCycle) -> None:
        """Answer what came before a bad request, in order, and read nothing more."""
        self.cycle = last
        last.keep_alive = False
        self._reads_on = False
        self._enter(_Stage.REST)
        self.flow.pause_reading()

    def _answer(self, status: HTTPStatus) -> None:
        words = _WORDS[status].encode("ascii")
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(words)),
            (b"connection", b"close"),
            *((name.lower().encode("ascii"), value.encode("ascii")) for name, value in UNIFORM_HEADERS.items()),
        ]
        lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode("ascii"))]
        lines += [b"%s: %s" % header for header in headers]
        self.transport.write(b"\r\n".join([*lines, b"", words]))


class _Joining(asyncio.Transport):
    """Sends what is written in one turn of the loop at once, so that head and body of an answer are one packet."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, on_close: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._on_close = on_close
        self._held: list[bytes] = []
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closed:
            return
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(bytes(data))

    def close(self) -> None:
        if self.is_closing():
            return
        self._send()
        self._closed = True
        if self._on_close():
            with suppress(OSError):  # the client was faster
                self._transport.write_eof()
                return
        self._transport.close()

    def abort(self) -> None:
        self._held.clear()
        self._closed = True
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._closed or self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _send(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()


def bounded_http(bounds: Bounds | None = None) -> type[BoundedHttp]:
    """The protocol of one server: what `uvicorn.Config` takes as `http`."""
    chosen = bounds or Bounds()

    class OneServers(BoundedHttp):
        bounds = chosen
        crowd = Crowd(now=time.monotonic)

    return OneServers
