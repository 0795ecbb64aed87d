"""What the default share of HaloPSA's limit carries: 20 % of 500 calls in three minutes, while people keep approving.

Begun first and left alone: it makes about one call every two seconds, so the other figures do not mind. The share is
judged by the sandbox's own record of when calls arrived, over every stretch of three minutes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import psa_stages
from bench.figures import Figure, median, say
from bench.psa_crowd import Crowd, Request, crowded
from bench.watch import metric, start_counting

APPROVALS = 60
PER_SECOND = 2.0
CUSTOMERS = 4
POLL_EVERY = "15s"
SHARE, WINDOW = 100, timedelta(minutes=3)
READ = "/api/tickets/{id}"
RUN = 270.0
"""Seconds: a window and a half."""


@dataclass
class Squeeze:
    """A stage on which more is approved than the share can carry. It may be left alone while it works."""

    folder: Path
    approvals: int = APPROVALS
    seconds: float = RUN
    _requests: list[Request] = field(default_factory=list)
    _since: float = 0.0

    def __enter__(self) -> Self:
        """Recognise the tickets with a wide budget, start again with the default one, approve. About a minute."""
        say(f"  share: {self.approvals} tickets are recognised")
        self._scene = crowded(self.folder, customers=CUSTOMERS, users=-(-self.approvals // CUSTOMERS))
        self.crowd: Crowd = self._scene.__enter__()
        try:
            start_counting(self.crowd.stage)
            self.crowd.start(poll_every="1s")
            self._requests = self.crowd.raise_requests(self.approvals)
            self.crowd.recognise(self.approvals)
            self.crowd.stage.stop("connector")
            self.crowd.forget()
            self.crowd.start(poll_every=POLL_EVERY, push=True, budget=None)
            self._since = time.monotonic()
            self.crowd.approve(self._requests, per_second=PER_SECOND)
        except BaseException as failure:
            self._scene.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scene.__exit__(kind, error, trace)

    def finish(self) -> Sequence[Figure]:
        """Wait for the end of the run; every figure."""
        left = self.seconds - (time.monotonic() - self._since)
        if left > 0:
            say(f"  share: {left:.0f} s more")
            time.sleep(left)
        stage = self.crowd.stage
        minutes = (time.monotonic() - self._since) / 60
        calls = psa_stages.calls_of(stage, "halo")
        approved, ready = self.crowd.approved_at(self._requests), self.crowd.ready(self._requests)
        put_off = {
            side: int(metric(stage, "connector_outside_calls_put_off_total", system="HaloPSA", kind=side))
            for side in ("foreground", "background")
        }
        polls = [call.arrived for call in calls if call.is_poll]
        fullest = psa_stages.fullest(calls, WINDOW)
        return [
            Figure("default share: most calls in any 3 minutes", len(fullest), "calls", SHARE,
                   f"of {len(calls)} in {minutes:.1f} minutes, by the sandbox's record: {_kinds(fullest)}"),
            Figure("default share: passwords carried a minute", len(ready) / minutes, "a minute", None,
                   f"{len(ready)} of {len(approved)} approved at {PER_SECOND:g} a second; {_kinds(calls)}"),
            Figure("default share: calls a carried password", len(calls) / max(1, len(ready)), "calls", None,
                   "everything to HaloPSA, polls too"),
            Figure("default share: polls while it was squeezed", len(polls) / minutes, "a minute", None,
                   f"4 when idle; longest gap {_longest_gap(polls):.0f} s"),
            Figure("default share: calls put off", sum(put_off.values()), "times", None,
                   f"{put_off['foreground']} that people wait for, {put_off['background']} polls and sweeps"),
            *_waits(approved, ready),
        ]  # fmt: skip


def _kinds(calls: Sequence[psa_stages.Call]) -> str:
    reads = sum(call.method == "GET" and bool(call.subject) and call.template == READ for call in calls)
    notes = sum(call.method == "POST" and call.template == psa_stages.NOTE for call in calls)
    lists = sum(call.is_poll for call in calls)
    rest = len(calls) - reads - notes - lists
    return f"{reads} reads of tickets, {notes} notes, {lists} lists, {rest} for token, names, start-up checks"


def _waits(approved: dict[int, datetime], ready: dict[int, datetime]) -> Sequence[Figure]:
    waits = [(at - approved[number]).total_seconds() for number, at in ready.items()]
    if not waits:
        return []
    note = f"of those carried; {sum(wait <= 2 for wait in waits)} within 2 s"
    return [Figure("default share: p50", median(waits), "s", None, note)]


def _longest_gap(moments: Sequence[datetime]) -> float:
    return max(((after - before).total_seconds() for before, after in pairwise(moments)), default=0)
