"""The daemon: `schedule` starts the polls, a dispatcher claims due cases, worker threads carry them forward.

Whatever fails in a job is logged and counted, and the loop lives. `stop` (SIGTERM, SIGINT) takes no new work and
finishes what is in hand; every outside call has a time limit, so that ends. A process killed anyhow loses nothing:
see the crash rule in `reconciler`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import FrameType

import schedule
import structlog

from connector.core.case import Case, State
from connector.core.ports import CaseStore, Clock, LinkService, Psa, Push
from connector.errors import AuthenticationError, DatabaseError, PermanentError, TemporaryError
from connector.inbound import Health
from connector.intake import LINKS, LONGEST_REST, LinkListener, Polls
from connector.nudges import Nudges
from connector.outages import Outages
from connector.reconciler import LEASE, Pass, Reconciler, Result
from connector.telemetry import report
from connector.telemetry.metrics import CASES, PASS_SECONDS, PASSES, PAUSED

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
IDLE_SECONDS = 0.25
LINK_HISTORY = "link_history"
"""What is down while the link service tells a history that is not believed. Another outage than its being away, from
which it often comes back like that: restored from a backup."""
STALE_AFTER = 60.0
"""Seconds without a turn of the loop after which `/healthz` says so."""


@dataclass(frozen=True)
class Summary:
    """What `once` did.

    Attributes:
        passes: Passes over cases.
        failed: Systems that could not be asked, with the reason.
    """

    passes: int
    opened: int
    failed: Mapping[str, str]


class Runner:
    """One process that does the work.

    Args:
        links: Listened to for news, where it can announce them.
        workers: Cases that are worked on at the same time.
        counts: How many cases are in each state, for the metrics.
    """

    def __init__(
        self,
        *,
        store: CaseStore,
        psas: Mapping[str, Psa],
        links: LinkService,
        polls: Polls,
        reconciler: Reconciler,
        clock: Clock,
        workers: int,
        counts: Callable[[], Mapping[State, int]],
        lease: timedelta = LEASE,
    ) -> None:
        self._store = store
        self._psas = psas
        self._links = links
        self._polls = polls
        self._reconciler = reconciler
        self._clock = clock
        self._workers = workers
        self._counts = counts
        self._lease = lease
        self._stop = threading.Event()
        self._work = threading.Event()
        self._nudges = Nudges(store=store, psas=psas, clock=clock)
        self._busy: set[str] = set()
        self._free = threading.Condition()
        self._turned_at = time.monotonic()
        self._daily: dict[str, Callable[[], bool]] = {}
        self.outages = Outages()

    def every_day(self, name: str, job: Callable[[], bool]) -> None:
        """Have `run` do this when it starts, and then every 24 hours. Its failures end nothing."""
        self._daily[name] = job

    # ------------------------------------------------------------ the daemon

    def run(self) -> None:
        """Work until `stop` is called."""
        log.info("started", workers=self._workers, psas=sorted(self._psas))
        jobs = schedule.Scheduler()
        with (
            ThreadPoolExecutor(2 * len(self._psas) + 3, thread_name_prefix="poll") as pollers,
            ThreadPoolExecutor(len(self._psas), thread_name_prefix="nudged") as nudged,
            ThreadPoolExecutor(self._workers, thread_name_prefix="worker") as workers,
        ):
            # The database knows when each poll is due; these jobs only ask often enough.
            for name, psa in self._psas.items():
                jobs.every(1).seconds.do(self._submit, pollers, f"psa.{name}", self._poll_of(psa))
                jobs.every(10).seconds.do(self._submit, pollers, f"sweep.{name}", self._sweep_of(psa))
            jobs.every(1).seconds.do(self._submit, pollers, LINKS, self._poll_links)
            jobs.every(15).seconds.do(self._submit, pollers, "metrics", self._measure)
            for name, job in self._daily.items():
                jobs.every(24).hours.do(self._submit, pollers, name, job)
            dispatcher = threading.Thread(target=self._dispatch, args=(workers,), name="dispatcher")
            nudger = threading.Thread(target=self._nudge, args=(nudged,), name="nudger")
            dispatcher.start()
            nudger.start()
            if self._links.capabilities.announces:
                # A daemon, and never joined: it hangs in calls of half a minute, and nothing depends on it.
                threading.Thread(target=self._listen, args=(pollers,), name="listener", daemon=True).start()
            jobs.run_all()
            while not self._stop.wait(TICK_SECONDS):
                self._turned_at = time.monotonic()
                jobs.run_pending()  # the jobs only hand over to the pool and cannot raise
            self._work.set()
            nudger.join()
            dispatcher.join()
        log.info("stopped")

    def stop(self) -> None:
        """Take no new work, finish what is in hand. May be called from a signal handler."""
        self._stop.set()

    def hear(self, name: str, push: Push) -> None:
        """Take in what a PSA pushes. Quick, unless the adapter has to fetch what proves it; the work comes later.

        Raises:
            KeyError: There is no PSA of this name.
            PushRefused: It does not prove itself; nothing comes of it.
            TemporaryError, AuthenticationError: The proof cannot be checked now; nothing comes of it.
        """
        self._nudges.hear(name, self._psas[name].heard(push))

    def health(self) -> Health:
        """For `/healthz`."""
        well = time.monotonic() - self._turned_at < STALE_AFTER
        try:
            paused = self._store.paused()
        except DatabaseError as failure:
            return Health(False, {**self.outages.now, "database": str(failure)}, "")
        return Health(well, self.outages.now, paused)

    # ------------------------------------------------------------ once

    def once(self) -> Summary:
        """Poll everything, then work until nothing is due."""
        failed: dict[str, str] = {}
        opened = passes = 0
        for name, psa in self._psas.items():
            try:
                opened += self._polls.poll_psa(psa, early=True) or 0
            except (TemporaryError, AuthenticationError) as failure:
                failed[f"psa.{name}"] = str(failure)
        try:
            self._polls.poll_links(early=True)
        except (TemporaryError, AuthenticationError, PermanentError) as failure:
            failed[LINKS] = str(failure)
        while not self._stop.is_set():
            case = self._store.claim_due(now=self._clock(), lease=self._lease)
            if case is None:
                break
            passes += 1
            done = self._work_on(case)
            if done.result is not Result.DONE:
                failed.setdefault(f"ticket {done.case.psa}:{done.case.number}", done.result.value)
        return Summary(passes, opened, failed)

    # ------------------------------------------------------------ inside

    def _dispatch(self, workers: ThreadPoolExecutor) -> None:
        free = threading.Semaphore(self._workers)

        while not self._stop.is_set():
            free.acquire()
            if self._stop.is_set():
                return
            try:
                case = self._store.claim_due(now=self._clock(), lease=self._lease)
                self.outages.up("database")
            except DatabaseError as failure:
                self.outages.down("database", str(failure))
                free.release()
                self._stop.wait(1)
                continue
            if case is None:
                free.release()
                self._work.wait(IDLE_SECONDS)
                self._work.clear()
                continue
            workers.submit(self._work_on, case).add_done_callback(lambda _: free.release())

    def _nudge(self, pool: ThreadPoolExecutor) -> None:
        """Do what pushes ask for, as it comes."""
        while not self._stop.is_set():
            try:
                served = self._nudges.serve()
            except Exception as failure:
                self._told(failure, "nudges")
                self._stop.wait(1)
                continue
            if served.looks:
                self._work.set()
            for name in served.polls:
                pool.submit(self._poll_pushed, name)
            self._nudges.wait(TICK_SECONDS)

    def _poll_pushed(self, name: str) -> None:
        made = True

        def poll() -> bool:
            nonlocal made
            made = self._polls.poll_pushed(self._psas[name]) is not None
            if made:
                self._work.set()
            return made

        # After a poll that is running: that one may have passed the news already.
        self._do(f"psa.{name}", poll, patient=True)
        self._nudges.polled(name, made=made)

    def _work_on(self, case: Case) -> Pass:
        self._nudges.passing(case.id)
        with PASS_SECONDS.time():
            done = self._reconciler.work_on(case)
        PASSES.labels(done.result.value).inc()
        if done.authentication:
            self.outages.down(done.authentication, "it refuses our credentials or rights; run: connector check")
        return done

    def _poll_of(self, psa: Psa, *, early: bool = False) -> Callable[[], bool]:
        def poll() -> bool:
            asked = self._polls.poll_psa(psa, early=early) is not None
            if asked:
                self._work.set()
            return asked

        return poll

    def _sweep_of(self, psa: Psa) -> Callable[[], bool]:
        return lambda: self._polls.sweep_psa(psa)

    def _poll_links(self, *, announced: bool = False) -> bool:
        asked = self._polls.poll_announced_links() if announced else self._polls.poll_links()
        if asked:
            self.outages.up(LINK_HISTORY)
            self._work.set()
        return asked

    def _listen(self, pool: ThreadPoolExecutor) -> None:
        """Have the links polled as soon as their service has news."""

        def poll() -> None:
            # In the pool, which is waited for at the stop; and after a poll that is running, which may have passed it.
            with suppress(RuntimeError):  # the pool takes nothing any more
                job = partial(self._poll_links, announced=True)
                pool.submit(self._do, LINKS, job, patient=True).result()

        listener = LinkListener(store=self._store, links=self._links, poll=poll)
        while not self._stop.is_set():
            try:
                rest = listener.listen()
            except Exception as failure:
                self._told(failure, "listener")
                rest = LONGEST_REST
            self._stop.wait(rest.total_seconds())

    def _submit(self, pool: ThreadPoolExecutor, name: str, job: Callable[[], bool]) -> None:
        """Start a job unless its last run still goes on: a slow PSA must not pile up polls of itself."""
        if not self._stop.is_set():
            pool.submit(self._do, name, job)

    def _do(self, name: str, job: Callable[[], bool], *, patient: bool = False) -> None:
        """Do a job that nobody else does just now. `patient`: after whoever does it, not never."""
        with self._free:
            while name in self._busy:
                if not patient or self._stop.is_set():
                    return
                self._free.wait()
            self._busy.add(name)
        try:
            if job():
                self.outages.up(name)
        except Exception as failure:
            self._told(failure, name)
        finally:
            with self._free:
                self._busy.discard(name)
                self._free.notify_all()

    def _told(self, failure: Exception, job: str) -> None:
        """Say what a failed job means."""
        match failure:
            case DatabaseError():
                self.outages.down("database", str(failure))
            case TemporaryError() | AuthenticationError():
                self.outages.down(job, str(failure))
            case PermanentError() if job == LINKS:  # only a person can say what their history is worth
                self.outages.up(job)  # their service answers
                self.outages.down(LINK_HISTORY, str(failure))
            case _:
                log.error("bug", job=job, kind=type(failure).__name__, exc_info=failure)
                report(failure, job=job)

    def _measure(self) -> bool:
        for state, count in self._counts().items():
            CASES.labels(state.value).set(count)
        PAUSED.set(1 if self._store.paused() else 0)
        return True


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM and SIGINT (and SIGBREAK, which Windows services send)."""
    names = [name for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop()

    before = {name: signal.signal(getattr(signal, name), handle) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
