"""The daemon's loop: it works, it lives, it stops in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from connector.core.case import State
from connector.core.steps import Policy
from connector.errors import AuthenticationError, TemporaryError
from connector.intake import Polls
from connector.passwords import new_password
from connector.reconciler import Reconciler
from connector.runner import Outages, Runner, stopped_by_signals
from sandbox.stage import wait_for
from tests.fakes.directory import FakeAccount, FakeDirectory
from tests.fakes.links import FakeLinks
from tests.fakes.mailer import FakeMailer
from tests.fakes.psa import APPROVER, FakePsa
from tests.fakes.store import MemoryCaseStore
from tests.fakes.world import PlainLetters, wide_limits


def now() -> datetime:
    return datetime.now(UTC)


class Service:
    """A runner over fakes, with the real clock."""

    def __init__(self) -> None:
        self.store = MemoryCaseStore()
        self.psa = FakePsa("halo", clock=now)
        self.links = FakeLinks(clock=now)
        self.directory = FakeDirectory([FakeAccount(upn="lea@contoso.example.com")])
        self.mailer = FakeMailer()
        polls = Polls(store=self.store, links=self.links, clock=now, every=timedelta(milliseconds=50))
        reconciler = Reconciler(
            store=self.store,
            psas={"halo": self.psa},
            directory=self.directory,
            links=self.links,
            letters=PlainLetters(),
            mailer=self.mailer,
            limits=wide_limits(),
            policy_for=lambda psa, _: Policy(tenant="contoso", approvers=None, timing=psa.rules.timing),
            link_events=polls.read_links_now,
            new_password=new_password,
            clock=now,
        )
        self.runner = Runner(
            store=self.store,
            psas={"halo": self.psa},
            polls=polls,
            reconciler=reconciler,
            clock=now,
            workers=3,
            counts=self.store.counts,
        )


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def running(service: Service) -> Iterator[Service]:
    thread = threading.Thread(target=service.runner.run)
    thread.start()
    yield service
    service.runner.stop()
    thread.join(timeout=20)
    assert not thread.is_alive(), "it stops"


def states(service: Service) -> set[State]:
    return {case.state for case in service.store.cases()}


def test_once_carries_a_ticket_as_far_as_it_goes(service: Service) -> None:
    ticket = service.psa.add_ticket()
    summary = service.runner.once()
    assert (summary.opened, summary.failed) == (1, {})
    service.psa.approve(ticket.id, APPROVER)
    service.runner.once()
    assert states(service) == {State.LINK_OUT}


def test_once_names_what_could_not_be_asked(service: Service) -> None:
    service.psa.raise_before("changed", TemporaryError("it is away"))
    assert service.runner.once().failed == {"psa.halo": "it is away"}


def test_the_daemon_carries_tickets_from_raised_to_closed(running: Service) -> None:
    tickets = [running.psa.add_ticket() for _ in range(4)]
    wait_for("recognition", lambda: states(running) == {State.WAITING})
    for ticket in tickets:
        running.psa.approve(ticket.id, APPROVER)
    wait_for("the links", lambda: states(running) == {State.LINK_OUT})
    for link_id in running.links.alive():
        running.links.open(running.links.url_of(link_id))
    wait_for("the end", lambda: states(running) == {State.CLOSED})


def test_a_defect_in_a_poll_does_not_end_the_loop(running: Service) -> None:
    running.psa.raise_before("changed", ZeroDivisionError("a bug"))
    running.psa.add_ticket()
    wait_for("recognition all the same", lambda: states(running) == {State.WAITING})


def test_a_daily_job_runs_at_the_start_and_its_failure_ends_nothing(service: Service) -> None:
    done = threading.Event()

    def job() -> bool:
        done.set()
        raise ZeroDivisionError("a bug")

    service.runner.every_day("warnings", job)
    thread = threading.Thread(target=service.runner.run)
    thread.start()
    try:
        wait_for("the daily job", done.is_set)
        service.psa.add_ticket()
        wait_for("recognition all the same", lambda: states(service) == {State.WAITING})
    finally:
        service.runner.stop()
        thread.join(timeout=20)


def test_a_nudge_names_a_configured_psa(service: Service) -> None:
    assert not service.runner.nudge("other")
    service.psa.add_ticket()
    assert service.runner.nudge("halo")
    wait_for("the poll", lambda: service.store.cases())


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    with structlog.testing.capture_logs() as logs:
        outages = Outages()
        for _ in range(5):
            outages.down("psa.halo", "it is away")
        assert outages.now == {"psa.halo": "it is away"}
        outages.up("psa.halo")
        outages.up("psa.halo")
    assert [log["event"] for log in logs] == ["system_down", "system_up"]
    assert outages.now == {}


def test_a_refused_poll_shows_in_the_health_until_it_works_again(running: Service) -> None:
    running.psa.raise_before("changed", *[AuthenticationError("refused", scope="psa.halo")] * 2)
    wait_for("the outage", lambda: "psa.halo" in running.runner.health().down)
    assert running.runner.health().well, "one PSA that refuses us does not make the service unwell"
    wait_for("the recovery", lambda: "psa.halo" not in running.runner.health().down)


def test_a_signal_stops_and_the_handlers_are_put_back() -> None:
    stopped = threading.Event()
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_signals(stopped.set):
        signal.raise_signal(signal.SIGTERM)
        assert stopped.is_set()
    assert signal.getsignal(signal.SIGTERM) is before
