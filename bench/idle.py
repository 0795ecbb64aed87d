"""Calls of one idle poll with 0, 10 and 500 tickets waiting for their approval: all systems, nothing subtracted.

The tickets of the largest crowd are all raised within seconds, which is the worst case: the adapter to HaloPSA asks
for what changed since a little before the newest change that it knows, and for some minutes that is all of them. So
the figure is taken twice, at once and when it has been quiet for `SETTLE`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.figures import Figure, say
from bench.watch import SUBJECTS, WIDE_BRAKE, counted, metric, polls, start_counting, wait_for_polls
from sandbox.stage import Stage, wait_for

CROWDS = (0, 10, 500)
POLLS = 4
POLL_SECONDS = 2
SETTLE = 320.0
"""Seconds: five minutes, by which the adapter's questions overlap, and a little."""


@dataclass
class Crowd:
    """A stage with waiting tickets. It may be left alone while something else is measured.

    Attributes:
        figures: What has been measured so far.
    """

    folder: Path
    figures: list[Figure] = field(default_factory=list)
    _quiet_since: float = 0.0

    def __enter__(self) -> Self:
        """Raise the tickets, let them be recognised, and measure what can be measured at once. About a minute."""
        self.stage = Stage(self.folder, settings={"brake": WIDE_BRAKE, "poll_every": f"{POLL_SECONDS}s"}).__enter__()
        try:
            self.stage.start_all()
            before = 0
            for crowd in CROWDS:
                self._raise(crowd - before, crowd)
                before = crowd
                last = crowd == CROWDS[-1]
                self.figures.append(self._count(crowd, "just recognised" if last else ""))
            self._quiet_since = time.monotonic()
        except BaseException as failure:
            self.stage.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.__exit__(kind, error, trace)

    def finish(self) -> Sequence[Figure]:
        """Wait until the crowd has settled, measure once more; every figure."""
        left = SETTLE - (time.monotonic() - self._quiet_since)
        if left > 0:
            say(f"  idle: {left:.0f} s more of quiet")
            time.sleep(left)
        return [*self.figures, self._count(CROWDS[-1], f"after {SETTLE / 60:.0f} quiet minutes", aim=1)]

    def _raise(self, count: int, all_together: int) -> None:
        share, rest = divmod(count, len(SUBJECTS))
        start_counting(self.stage)
        for number, subject in enumerate(SUBJECTS):
            many = share + (number < rest)
            if many:
                wish = {"count": many, "type": "Password Reset", "subject": subject}
                self.stage.control("POST", "/bulk-tickets", wish)
        wait_for(
            f"{all_together} confirmations",
            lambda: counted(self.stage).of("smtp") >= count,
            seconds=240,
            every=0.2,
        )
        self._settle()

    def _settle(self) -> None:
        """Wait until no case is worked on any more: our own notes come back as changes at the next poll."""
        passes = -1.0
        while (now := metric(self.stage, "connector_passes_total")) != passes:
            passes = now
            wait_for_polls(self.stage, 2)

    def _count(self, crowd: int, when: str, *, aim: float | None = None) -> Figure:
        wait_for_polls(self.stage, 1)  # begin right behind a poll, so that whole ones are counted
        start = polls(self.stage)
        start_counting(self.stage)
        wait_for_polls(self.stage, POLLS)
        calls, made = counted(self.stage), polls(self.stage) - start
        words = ", ".join(f"{count} {name}" for name, count in sorted(calls.calls.items())) or "none"
        name = f"{crowd} waiting" + (f", {when}" if when else "")
        wanted = 1 if not when else aim
        return Figure(name, calls.everything / made, "calls a poll", wanted, f"{words} in {made} polls")


def measure(folder: Path) -> Sequence[Figure]:
    """Measure alone. About seven minutes, most of it quiet."""
    with Crowd(folder) as crowd:
        return crowd.finish()
