"""Many password resets over many tenants, with Graph's latency as the only cost, and what one throttled tenant costs
the others.

Real: runner, reconciler, SQLite store, letters, `GraphDirectory` with MSAL over sockets. In memory: PSA, link service,
mail server. Graph is `bench.graph_server`, in a process of its own. Tokens are warm and every ticket is recognised
before the clock starts; it starts with the approvals, and a reset is done when the mail with its link is accepted.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.figures import Figure, say
from bench.graph_server import METHODS, account_id, domain, tenant_id
from connector.adapter import Surroundings
from connector.config import GraphSection, HttpSection, Place, TenantSection
from connector.core.case import Action, Case, Person, State
from connector.core.ports import Email, Letter, LetterWriter, Push
from connector.core.secret import Secret
from connector.core.steps import Policy
from connector.graph import GraphDirectory
from connector.intake import Polls
from connector.migrations import upgrade
from connector.passwords import new_password
from connector.reconciler import Pass, Reconciler
from connector.runner import Runner
from connector.store import open_store
from connector.telemetry import start_logging
from sandbox.stage import call, wait_for
from tests.fakes.links import FakeLinks
from tests.fakes.mailer import FakeMailer
from tests.fakes.psa import FakePsa
from tests.fakes.world import real_letters, wide_limits

TENANTS = 20
RESETS = 500
WORKERS = 8
CALL_SECONDS = 0.1
WANTED_SHARE = 0.8
"""Of the ideal throughput: every worker always in a call."""
RETRY_AFTER = 10
MAY_LOSE_PERCENT = 5.0
THROTTLED = 7
"""The number of the tenant that is refused every call."""
COMMITS = 200
POLL_EVERY = timedelta(seconds=15)
PATIENCE = 300.0


def measure(folder: Path) -> Sequence[Figure]:
    """Measure both crowds and the MFA resets. About three minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    with logging_to(folder / "log"), imitation(folder) as ports:
        _crowd(folder / "warm", ports, RESETS // 10)  # templates, statements, imports
        commit = _commit(folder / "commits.db")
        calm = _crowd(folder / "calm", ports)
        held = _crowd(folder / "held", ports, throttled=(THROTTLED,))
        return [*_calm_figures(calm, commit), *_held_figures(calm, held), *_methods(folder / "mfa", ports)]


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Log as a service does, into a file."""
    with path.open("w", encoding="utf-8") as stream:
        start_logging(format="json", stream=stream)
        try:
            yield
        finally:
            start_logging()


@dataclass(frozen=True)
class Ports:
    """Where the imitation listens, and the authorities file for its token endpoint."""

    graph: int
    authority: int
    ca_bundle: Path

    def rules(self, **rules: object) -> None:
        """Set `bench.graph_server.Rules`, and count from nothing."""
        call("POST", f"http://127.0.0.1:{self.graph}/bench/rules", rules)

    def counts(self) -> dict[str, dict[str, int]]:
        """`bench.graph_server.Counts`."""
        counts: dict[str, dict[str, int]] = call("GET", f"http://127.0.0.1:{self.graph}/bench/counts")
        return counts


@contextmanager
def imitation(folder: Path) -> Iterator[Ports]:
    """The imitated Graph, as a process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.graph_server", str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield Ports(**json.loads(server.stdout.readline()), ca_bundle=folder / "ca.pem")
    finally:
        server.stdin.close()
        server.wait(10)
        server.stdout.close()


class TimedMail(FakeMailer):
    """Remembers when each mail with a link was accepted, by the monotonic clock."""

    def __init__(self) -> None:
        super().__init__()
        self.with_link: set[str] = set()
        self.ready_at: list[tuple[float, str]] = []

    def send(self, email: Email) -> None:
        super().send(email)
        if email.message_id in self.with_link:
            self.ready_at.append((time.monotonic(), email.to.rpartition("@")[2]))


class MarkingLetters:
    """Tells the mailer which mails carry a link."""

    def __init__(self, writer: LetterWriter, mailer: TimedMail) -> None:
        self._writer = writer
        self._mailer = mailer

    def write(self, letter: Letter, *, link: Secret | None = None) -> Email:
        email = self._writer.write(letter, link=link)
        if link is not None:
            self._mailer.with_link.add(email.message_id)
        return email


class TimedReconciler(Reconciler):
    """Adds up for how long the tickets of each client had a worker."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.seconds: dict[str, float] = defaultdict(float)
        self._adding = threading.Lock()

    def work_on(self, case: Case) -> Pass:
        started = time.monotonic()
        done = super().work_on(case)
        with self._adding:
            self.seconds[case.client_id] += time.monotonic() - started
        return done


class Service:
    """One connector: everything that production has, but PSA, links and mail in memory."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        folder.mkdir(parents=True)
        database = f"sqlite:///{folder / 'connector.db'}"
        upgrade(database, "connector")
        place = Place(folder=folder, production=False, environ={})
        graph = GraphSection(
            client_id="bench",
            client_secret=Secret("bench"),
            authority=f"https://localhost:{ports.authority}",
            url=f"http://127.0.0.1:{ports.graph}",
        )
        tenants = {f"t{number}": TenantSection(tenant_id=tenant_id(number)) for number in range(TENANTS)}
        self.store = open_store(database)
        self.psa = FakePsa("halo", clock=_now)
        self.mailer = TimedMail()
        links = FakeLinks(clock=_now)
        polls = Polls(store=self.store, links=links, clock=_now, every=POLL_EVERY)
        surroundings = Surroundings(place=place, http=HttpSection(ca_bundle=str(ports.ca_bundle)), clock=_now)
        self.reconciler = TimedReconciler(
            store=self.store,
            psas={"halo": self.psa},
            directory=GraphDirectory.from_settings(graph, tenants, surroundings),
            links=links,
            letters=MarkingLetters(real_letters(), self.mailer),
            mailer=self.mailer,
            limits=wide_limits(),
            policy_for=lambda psa, client: Policy(tenant=f"t{client}", approvers=None, timing=psa.rules.timing),
            link_events=polls.read_links_now,
            new_password=new_password,
            clock=_now,
        )
        self.runner = Runner(
            store=self.store,
            psas={"halo": self.psa},
            links=links,
            polls=polls,
            reconciler=self.reconciler,
            clock=_now,
            workers=WORKERS,
            counts=self.store.counts,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.runner.run, name="runner")
        thread.start()
        try:
            yield
        finally:
            self.runner.stop()
            thread.join()
            self.store.close()

    def raise_tickets(self, count: int, *, tenants: Sequence[int], action: Action = Action.PASSWORD) -> None:
        """That many tickets, spread evenly, each for another account; wait until all wait for their approval."""
        for number in range(count):
            tenant = tenants[number % len(tenants)]
            self.psa.add_ticket(
                client_id=str(tenant),
                action=action,
                subject_text=f"{account_id(tenant, str(number))}@{domain(tenant)}",
                requester=_person(tenant, "requester"),
                approvers=(_person(tenant, "approver"),),
            )
        self._push()
        wait_for("recognition", lambda: self.store.counts()[State.WAITING] == count, seconds=PATIENCE, every=0.2)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is due: our own notes come back as changes once."""
        self._push()
        quiet = 0
        while quiet < 5:
            time.sleep(0.2)
            owed = any(self.store.outbox(case.id) for case in self.store.cases(open_only=True))
            quiet = 0 if owed else quiet + 1

    def _push(self) -> None:
        """Have it poll now, as a push does."""
        self.runner.hear("halo", Push(headers={}, query={}, body=b""))

    def approve_all(self) -> float:
        """Every approver says yes now. Returns the moment, by the monotonic clock."""
        for ticket in list(self.psa.tickets.values()):
            self.psa.approve(ticket.id, ticket.approvers[0])
        started = time.monotonic()
        self._push()
        return started


@dataclass(frozen=True)
class Crowd:
    """What one crowd of resets took.

    Attributes:
        calls: To Graph, of the tenants that were not throttled.
        refused: Calls that were refused with 429.
        ready: Seconds from the approvals to each mail with a link.
        cpu: Seconds of processor time of the connector's process, all threads.
        held_share: Of the workers' time, what went to the tickets of throttled tenants.
    """

    calls: int
    refused: int
    ready: Sequence[float]
    cpu: float
    held_share: float

    @property
    def seconds(self) -> float:
        return max(self.ready)

    @property
    def ideal(self) -> float:
        """With every worker always in a call, and nothing else to do."""
        return self.calls * CALL_SECONDS / WORKERS

    @property
    def per_second(self) -> float:
        return len(self.ready) / self.seconds


def _crowd(folder: Path, ports: Ports, resets: int = RESETS, *, throttled: Sequence[int] = ()) -> Crowd:
    ports.rules()
    service = Service(folder, ports)
    out = {domain(number) for number in throttled}
    wanted = resets * (TENANTS - len(throttled)) // TENANTS
    with service.running():
        service.raise_tickets(resets, tenants=range(TENANTS))
        ports.rules(seconds=CALL_SECONDS, throttled=[tenant_id(number) for number in throttled],
                    retry_after=RETRY_AFTER)  # fmt: skip
        service.reconciler.seconds.clear()
        cpu, started = time.process_time(), service.approve_all()
        ready: list[float] = []

        def done() -> bool:
            ready[:] = [at - started for at, where in list(service.mailer.ready_at) if where not in out]
            return len(ready) >= wanted

        wait_for("every link", done, seconds=PATIENCE, every=0.05)
        cpu = time.process_time() - cpu
        held = sum(service.reconciler.seconds[str(number)] for number in throttled)
        counts = ports.counts()
    ids = {tenant_id(number) for number in throttled}
    calls = sum(count for tenant, count in counts["calls"].items() if tenant not in ids)
    ready = sorted(ready)[:wanted]
    crowd = Crowd(calls, sum(counts["refused"].values()), ready, cpu, held / (WORKERS * ready[-1]))
    say(f"  graph: {wanted} resets in {crowd.seconds:.1f} s, ideal {crowd.ideal:.1f} s, processor {crowd.cpu:.1f} s, "
        f"{counts['kinds']}, {crowd.refused} refused")  # fmt: skip
    return crowd


def _commit(path: Path) -> float:
    """Seconds that one commit takes on this disk, with the settings of the store: they come one after the other."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE kept (number INTEGER)")
        started = time.monotonic()
        for number in range(COMMITS):
            connection.execute("INSERT INTO kept VALUES (?)", (number,))
        return (time.monotonic() - started) / COMMITS


def _calm_figures(calm: Crowd, commit: float) -> Sequence[Figure]:
    share = calm.ideal / calm.seconds
    note = f"{calm.calls} calls of {CALL_SECONDS * 1000:.0f} ms, {WORKERS} workers: {calm.ideal:.1f} s ideal"
    return [
        Figure(f"{RESETS} resets, {TENANTS} tenants", calm.seconds, "s", calm.ideal / WANTED_SHARE, note),
        Figure("achieved ÷ ideal", share, "", None, f"at least {WANTED_SHARE} is wanted"),
        Figure("calls per reset", calm.calls / RESETS, "calls", None, "from the approval; look-ups of a batch are one"),
        # What keeps it from the ideal: both go one after the other, however many workers there are.
        Figure(
            "processor time per reset",
            calm.cpu / RESETS * 1000,
            "ms",
            None,
            f"the connector's process; {calm.seconds / RESETS * 1000:.0f} ms went by",
        ),
        Figure("one commit on this disk", commit * 1000, "ms", None, "a reset makes about ten"),
    ]


def _held_figures(calm: Crowd, held: Crowd) -> Sequence[Figure]:
    others = TENANTS - 1
    note = f"{held.per_second:.2f} resets a second against {calm.per_second:.2f} when nobody is throttled"
    return [
        # The first is what the others can lose by it; the second holds everything else that differs between two runs.
        Figure(f"one tenant throttled: workers' time taken from {others}", held.held_share * 100, "%",
               MAY_LOSE_PERCENT, f"all the time that its {RESETS // TENANTS} tickets had a worker"),
        Figure(f"one tenant throttled: the other {others} lose", (1 - held.per_second / calm.per_second) * 100, "%",
               MAY_LOSE_PERCENT, note),
        Figure(f"one tenant throttled: the other {others} are done", held.seconds, "s", None,
               f"{calm.seconds * len(held.ready) / len(calm.ready):.1f} s is their share of the calm run"),
        Figure("one tenant throttled: its calls", held.refused, "calls", None,
               f"each refused with 429, Retry-After {RETRY_AFTER}"),
    ]  # fmt: skip


def _methods(folder: Path, ports: Ports) -> Sequence[Figure]:
    """One account with five methods, then three of one tenant at the same time."""
    return [figure for tenant, count in enumerate((1, 3)) for figure in _removals(folder, ports, count, tenant)]


def _removals(folder: Path, ports: Ports, count: int, tenant: int) -> Sequence[Figure]:
    ports.rules()
    service = Service(folder / str(count), ports)
    with service.running():
        service.raise_tickets(count, tenants=(tenant,), action=Action.MFA)
        ports.rules(seconds=CALL_SECONDS)
        started = service.approve_all()
        wait_for("the end", lambda: service.store.counts()[State.CLOSED] == count, seconds=PATIENCE, every=0.02)
        seconds = time.monotonic() - started
        counts = ports.counts()
    name = f"{count} MFA reset{'s at once' if count > 1 else ''} with {len(METHODS)} methods"
    calls = sum(counts["method_calls"].values())
    return [
        Figure(name, seconds, "s", None, f"{calls} calls about methods of one tenant, 5 per 10 s allowed"),
        Figure(f"{name}: provoked 429", sum(counts["refused"].values()), "calls", None, "none is wanted"),
    ]


def _person(tenant: int, name: str) -> Person:
    address = f"{account_id(tenant, name)}@{domain(tenant)}"
    return Person(name=name.title(), email=address, ids=frozenset({f"fake.user:{tenant}/{name}"}))


def _now() -> datetime:
    return datetime.now(UTC)
