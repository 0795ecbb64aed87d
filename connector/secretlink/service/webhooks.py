"""Telling a URL what happened: Standard Webhooks, signed, in order, at least once.

A webhook only ever says "look": the events of the API stay the truth, and a delivery holds what they hold, never a
secret. Deliveries happen in a thread of their own, one at a time; the database is touched from the event loop alone,
like by everybody else. Nothing that a receiver does or leaves holds up a reveal.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import queue
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError

from connector.errors import ConnectorError, TemporaryError
from connector.http import read_retry_after
from connector.secretlink.service.answers import say_failure
from connector.secretlink.service.api.answers import EventAnswer, instant
from connector.secretlink.service.cuttable import CuttableHttp
from connector.secretlink.service.news import News
from connector.secretlink.service.options import WebhookOptions
from connector.secretlink.service.signature import signed_headers
from connector.secretlink.service.store.chain import Event, HistoryBroken
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.store.webhook_cursor import LEASE_MS, WebhookCursor

TIMEOUT: Final = timedelta(seconds=15)
"""For a whole delivery, from the first packet to the end of the answer's head; after it nothing more is sent.

The wait may be longer: nobody can end the look-up of a name, see `cuttable`. Far below the lease, so that whoever takes
over does not deliver beside us.
"""
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(hours=1)
GIVE_UP_AFTER: Final = timedelta(days=3)
"""Older news is told to nobody: it is dropped with a line in the log."""
_IDLE: Final = timedelta(seconds=30)
_IDLE_AMONG_OTHERS: Final = timedelta(seconds=2)
_EVENTS_AT_ONCE: Final = 50
_GONE: Final = 410

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of one delivery.

    Attributes:
        why: In a word, for the log: `delivered`, `gone`, `no_answer`, `too_slow`, the status, or what else failed.
        retry_after: What the receiver asked for.
        text: The same in a sentence, which says what to do; `None` where the word says all. It names the receiver's
            host and nothing else of its address.
    """

    why: str
    retry_after: timedelta | None = None
    text: str | None = None


DELIVERED: Final = Outcome("delivered")
GONE: Final = Outcome("gone")
TOO_SLOW: Final = Outcome("too_slow")


class Webhooks:
    """Delivers the events of one vault to one URL, for as long as `run` runs."""

    def __init__(
        self,
        options: WebhookOptions,
        vault: Vault,
        news: News,
        *,
        clock: Callable[[], datetime],
        first_wait: timedelta = FIRST_WAIT,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        """Nothing is sent yet.

        Args:
            first_wait: After the first failure; it doubles with each further one.
            timeout: How long a whole delivery may take, with the look-up of a name that takes no longer.
        """
        self._options = options
        self._vault = vault
        self._news = news
        self._clock = clock
        self._cursor = WebhookCursor(vault.engine, holder=secrets.token_hex(8))
        self._first_wait = first_wait
        # What other processes write is not announced here.
        self._idle = _IDLE if vault.engine.dialect.name == "sqlite" else _IDLE_AMONG_OTHERS
        self._timeout = timeout
        self._http = CuttableHttp(
            system="The webhook's receiver", scope="webhook", timeout=timeout, ca_bundle=options.ca_bundle,
            proxy=options.proxy,
        )  # fmt: skip
        parts = urlsplit(options.url)
        self._shown = f"{parts.scheme}://{parts.netloc}"
        self._done: int | None = None
        self._taken_ms = 0
        self._failures = 0
        self._off = False

    async def run(self) -> None:
        """Deliver until the service stops or the receiver says that it is gone for good."""
        thread = _OwnThread()
        try:
            while not self._news.closed and not self._off:
                try:
                    pause = await self._round(thread)
                except HistoryBroken:  # it is in the log
                    pause = _IDLE
                except Exception as error:
                    # Links go on, and so does this: what happened is in the database, and is told when it works again.
                    say_failure(error)
                    pause = _IDLE
                await self._pause(pause)
        finally:
            thread.close()
            self._http.cut()
            with suppress(SQLAlchemyError):
                self._cursor.give_back()

    async def _pause(self, length: timedelta) -> None:
        """Until there is news; after a failure, for as long as it takes."""
        if not length:
            await asyncio.sleep(0)  # there is more to do: but first everybody else has a turn
            return
        # Nothing is awaited from the end of the round to here, so no news is missed.
        now = asyncio.get_running_loop().time
        ends = now() + length.total_seconds()
        while not self._news.closed and not self._off and (left := ends - now()) > 0:
            if await self._news.wait(timedelta(seconds=left)) and not self._failures:
                return

    async def _round(self, thread: _OwnThread) -> timedelta:
        """Deliver what there is; gives the time to wait before the next round."""
        announced = self._news.announced
        done = self._take_cursor()
        if done is None:
            return _IDLE
        page = self._vault.events(after=done, limit=_EVENTS_AT_ONCE)
        if page.head.seq < done:
            todo = "was a backup of the database restored? What happened from here on is told"
            log.warning("webhook_history_shorter", done=done, head=page.head.seq, todo=todo)
            self._done = done = page.head.seq
            self._cursor.save(done, now_ms=self._now_ms())
        dropped = 0
        for event in page.events:
            if event.kind in self._options.kinds:
                if self._is_too_old(event):
                    dropped += 1
                elif (outcome := await self._send(thread, event)) is DELIVERED:
                    self._after_success(event)
                    if not self._cursor.save(event.seq, now_ms=self._now_ms()):
                        self._done = None
                        return _IDLE
                else:
                    self._tell_of_dropped(dropped)
                    return self._after_failure(event, outcome)
            self._done = event.seq  # saved with the next delivery, or when the cursor is taken again
        self._tell_of_dropped(dropped)
        # What was announced while something was delivered was heard by nobody.
        return timedelta(0) if page.more or self._news.announced != announced else self._idle

    def _take_cursor(self) -> int | None:
        """The last event that is done with; `None` while another process delivers."""
        now_ms = self._now_ms()
        if self._done is None or not 0 <= now_ms - self._taken_ms < LEASE_MS // 2:
            head = self._vault.newest_event()
            self._done = self._cursor.take(now_ms=now_ms, head=head, done=self._done)
            self._taken_ms = now_ms
        return self._done

    def _tell_of_dropped(self, count: int) -> None:
        if count:
            log.error("webhook_dropped", events=count, older_than=str(GIVE_UP_AFTER), to=self._shown)

    async def _send(self, thread: _OwnThread, event: Event) -> Outcome:
        """One try. When its time is over nothing more is sent, whatever the receiver is at by then."""
        ending = asyncio.get_running_loop().call_later(self._timeout.total_seconds(), self._http.cut)
        try:
            return await thread.run(partial(self._deliver, event))
        finally:
            ending.cancel()

    def _deliver(self, event: Event) -> Outcome:
        """One try. In the other thread: touches nothing but the network."""
        with self._http.cuttable() as was_cut:
            outcome = self._ask(event)
            # Of an answer that was cut off, the part that came may well look like a whole one.
            return TOO_SLOW if was_cut() else outcome

    def _ask(self, event: Event) -> Outcome:
        body = _body_of(event)
        headers = signed_headers(
            body, message_id=message_id(event), now=self._clock(), secrets=self._options.secrets
        )  # fmt: skip
        try:
            answer = self._http.call(
                "POST", self._options.url, content=body, headers={"Content-Type": "application/json", **headers},
                expect=range(200, 600), shown=self._shown, with_body=False,
            )  # fmt: skip
        except TemporaryError as error:
            return Outcome("no_answer", error.retry_after, _sentence(error))
        except ConnectorError as error:
            return Outcome(type(error).__name__, text=_sentence(error))
        if 200 <= answer.status < 300:
            return DELIVERED
        if answer.status == _GONE:
            return GONE
        return Outcome(str(answer.status), read_retry_after(answer.headers.get("Retry-After")))

    def _after_success(self, event: Event) -> None:
        if self._failures:
            log.info("webhook_back", to=self._shown, tries=self._failures + 1, seq=event.seq)
        self._failures = 0

    def _after_failure(self, event: Event, outcome: Outcome) -> timedelta:
        if outcome is GONE:
            self._off = True
            todo = "take webhook out of the file, or mend the receiver and restart the link service"
            log.error("webhook_off", to=self._shown, status=_GONE, seq=event.seq, todo=todo)
            return timedelta(0)
        self._failures += 1
        if self._failures == 1:
            said = {} if outcome.text is None else {"text": outcome.text}
            log.warning("webhook_away", to=self._shown, why=outcome.why, seq=event.seq, **said)
        return wait_after(self._failures, outcome.retry_after, first=self._first_wait)

    def _is_too_old(self, event: Event) -> bool:
        return self._clock() - datetime.fromtimestamp(event.at_ms / 1000, UTC) > GIVE_UP_AFTER

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def wait_after(failures: int, retry_after: timedelta | None = None, *, first: timedelta = FIRST_WAIT) -> timedelta:
    """How long to wait before the next try: doubled with each failure, up to an hour; longer if the receiver asks."""
    grown = min(first * (1 << min(failures - 1, 20)), LONGEST_WAIT)
    return max(grown, retry_after or timedelta(0))


def _sentence(error: ConnectorError) -> str:
    # What speaks HTTP knows the connector's file alone.
    return str(error).replace("http.ca_bundle", "webhook.ca_bundle")


def message_id(event: Event) -> str:
    """By which a receiver knows a repeat: of this event alone, in this database alone."""
    # The number alone would come again after a backup was restored.
    origin = json.dumps([event.seq, event.at_ms, event.kind, event.link_id]).encode()
    return f"evt_{event.seq}_{hashlib.sha256(origin).hexdigest()[:16]}"


def _body_of(event: Event) -> bytes:
    content = {
        "type": f"link.{event.kind}",
        "timestamp": instant(event.at_ms),
        "data": EventAnswer.of(event).content(),
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


class _OwnThread:
    """Runs one function after the other beside the event loop. The end of the program does not wait for it."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon: what is on its way when the service stops is sent again after the start.
        self._thread = threading.Thread(target=self._work_off, name="webhook", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], Outcome]) -> Outcome:
        """What the function gives or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()

        def settle(outcome: Outcome | None, error: BaseException | None) -> None:
            if future.done():
                return
            if outcome is None:
                future.set_exception(error or RuntimeError("nothing came of it"))
            else:
                future.set_result(outcome)

        def work() -> None:
            outcome: Outcome | None = None
            error: BaseException | None = None
            try:
                outcome = function()
            except Exception as failure:
                error = failure
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, outcome, error)

        self._work.put(work)
        return await future

    def close(self) -> None:
        """Take nothing more; what is in hand is not waited for."""
        self._work.put(None)

    def _work_off(self) -> None:
        while (work := self._work.get()) is not None:
            work()
