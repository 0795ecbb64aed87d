"""The daemon's loop: it works, it lives, it stops in good order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from connector.core.case import State
from connector.core.ports import Capabilities, Push
from connector.core.steps import Policy
from connector.errors import AuthenticationError, PermanentError, PushRefused, TemporaryError
from connector.intake import Polls
from connector.outages import Outages
from connector.passwords import new_password
from connector.reconciler import Reconciler
from connector.runner import Runner, stopped_by_signals
from connector.telemetry.metrics import DOWN
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
    """A runner over fakes, with the real clock.

    Args:
        beside: Another process, whose database and systems it shares.
    """

    def __init__(
        self,
        *,
        every: timedelta = timedelta(milliseconds=50),
        announces: bool = False,
        beside: Service | None = None,
    ) -> None:
        self.store = beside.store if beside else MemoryCaseStore()
        self.psa = beside.psa if beside else FakePsa("halo", clock=now)
        self.links = beside.links if beside else FakeLinks(clock=now)
        if not beside:
            self.links.capabilities = Capabilities(announces=announces)
        self.directory = FakeDirectory([FakeAccount(upn="lea@contoso.example.com")])
        self.mailer = FakeMailer()
        polls = Polls(store=self.store, links=self.links, clock=now, every=every)
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
            links=self.links,
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


@pytest.fixture
def patient() -> Iterator[Service]:
    """A running service whose next regular poll is ten minutes away."""
    service = Service(every=timedelta(minutes=10))
    thread = threading.Thread(target=service.runner.run)
    thread.start()
    wait_for("the poll at the start", lambda: ("changed", "") in service.psa.calls)
    yield service
    service.runner.stop()
    thread.join(timeout=20)
    assert not thread.is_alive(), "it stops"


def count(service: Service, call: str) -> int:
    return sum(name == call for name, _ in service.psa.calls)


def at_rest(service: Service, ticket: str) -> bool:
    """Whether nobody works on its case, and nothing of it is still to be done."""
    (case,) = service.store.find(ticket)
    claimed = service.store.claim(case.id, now=now(), lease=timedelta(minutes=1))
    if claimed is None:
        return False
    service.store.save(claimed, now=now())
    return not service.store.outbox(case.id) and claimed.due_at is not None and claimed.due_at > now()


def test_a_push_of_a_new_ticket_is_answered_by_an_early_poll(patient: Service) -> None:
    ticket = patient.psa.add_ticket()
    patient.runner.hear("halo", Push(query={"ticket": ticket.id}))
    wait_for("recognition", lambda: states(patient) == {State.WAITING})


def test_a_push_about_an_approved_ticket_hands_the_password_over_without_a_list_call(patient: Service) -> None:
    ticket = patient.psa.add_ticket()
    patient.runner.hear("halo", Push())
    wait_for("recognition", lambda: states(patient) == {State.WAITING})
    lists = count(patient, "changed")
    patient.psa.approve(ticket.id, APPROVER)
    patient.runner.hear("halo", Push(query={"ticket": ticket.id}))
    wait_for("the link", lambda: states(patient) == {State.LINK_OUT})
    assert count(patient, "changed") == lists


def test_a_push_without_its_proof_has_no_effect_at_all(patient: Service) -> None:
    patient.psa.push_word = "a word"
    ticket = patient.psa.add_ticket()
    patient.runner.hear("halo", Push(headers={"x-word": "a word"}))
    wait_for("recognition", lambda: states(patient) == {State.WAITING})
    wait_for("the end of that pass", lambda: at_rest(patient, ticket.id))
    patient.psa.approve(ticket.id, APPROVER)
    calls = list(patient.psa.calls)
    for forged in (Push(query={"ticket": ticket.id}), Push(), Push(headers={"x-word": "another"})):
        with pytest.raises(PushRefused):
            patient.runner.hear("halo", forged)
    # Whatever a forged push had set going would be done before this true one of another ticket is.
    other = patient.psa.add_ticket(subject_text="nobody@contoso.example.com")
    patient.runner.hear("halo", Push(headers={"x-word": "a word"}, query={"ticket": "unknown"}))
    wait_for("the true push", lambda: patient.store.find(other.id))
    assert patient.psa.calls[len(calls)][0] == "changed", "the first call after the forged ones is that poll's"


def test_nobody_may_push_for_a_psa_that_is_not_configured(service: Service) -> None:
    with pytest.raises(KeyError):
        service.runner.hear("other", Push())


def test_a_push_while_a_poll_runs_is_followed_by_one_more_poll(patient: Service) -> None:
    """The running poll may have passed the news already."""
    asked, go_on = threading.Semaphore(0), threading.Event()

    def slow(call: str, moment: str) -> None:
        if call == "changed" and moment == "after":
            asked.release()
            go_on.wait(20)

    patient.psa.on_call = slow
    patient.runner.hear("halo", Push())
    assert asked.acquire(timeout=20)
    patient.psa.add_ticket()
    before = count(patient, "changed")
    for _ in range(10):
        patient.runner.hear("halo", Push())
    go_on.set()
    wait_for("recognition", lambda: states(patient) == {State.WAITING})
    assert count(patient, "changed") == before + 1


def test_a_push_while_the_regular_poll_runs_is_followed_by_one_more_poll() -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    def slow(call: str, moment: str) -> None:
        if call == "changed" and moment == "after":
            asked.release()
            go_on.wait(20)

    service = Service(every=timedelta(minutes=10))
    service.psa.on_call = slow
    thread = threading.Thread(target=service.runner.run)
    thread.start()
    try:
        for _ in range(2):  # the first poll and the sweep, which begin together
            assert asked.acquire(timeout=20)
        service.psa.add_ticket()
        service.runner.hear("halo", Push())
        go_on.set()
        wait_for("recognition", lambda: states(service) == {State.WAITING})
    finally:
        go_on.set()
        service.runner.stop()
        thread.join(timeout=20)


def test_a_defect_while_serving_pushes_is_survived(patient: Service) -> None:
    raised = threading.Event()

    def broken(name: str, moment: str) -> None:
        if name == "find" and not raised.is_set():
            raised.set()
            raise ZeroDivisionError("a bug")

    patient.store.on_call = broken
    patient.runner.hear("halo", Push(query={"ticket": "1"}))
    ticket = patient.psa.add_ticket()
    assert raised.wait(20)
    patient.runner.hear("halo", Push(query={"ticket": ticket.id}))
    wait_for("recognition all the same", lambda: states(patient) == {State.WAITING})


@pytest.fixture
def listening() -> Iterator[Service]:
    """A running service whose next regular poll is ten minutes away, and whose link service announces its news."""
    service = Service(every=timedelta(minutes=10), announces=True)
    thread = threading.Thread(target=service.runner.run)
    thread.start()
    wait_for("the first poll of the links", lambda: service.links.calls)
    yield service
    started = time.monotonic()
    service.runner.stop()
    thread.join(timeout=20)
    assert not thread.is_alive(), "it stops"
    assert time.monotonic() - started < 5, "nobody waits for the listener, which hangs in a call of 25 seconds"


def carried_to_a_link(service: Service) -> str:
    ticket = service.psa.add_ticket()
    service.runner.hear("halo", Push(query={"ticket": ticket.id}))
    wait_for("recognition", lambda: states(service) == {State.WAITING})
    service.psa.approve(ticket.id, APPROVER)
    service.runner.hear("halo", Push(query={"ticket": ticket.id}))
    wait_for("the link", lambda: states(service) == {State.LINK_OUT})
    [link_id] = service.links.alive()
    return link_id


def test_a_reveal_closes_the_ticket_without_waiting_for_the_next_poll(listening: Service) -> None:
    listening.links.open(listening.links.url_of(carried_to_a_link(listening)))
    wait_for("the end", lambda: states(listening) == {State.CLOSED})


def test_a_service_that_announces_nothing_is_not_listened_to(patient: Service) -> None:
    link_id = carried_to_a_link(patient)
    wait_for("the poll at the start", lambda: ("news", "") in patient.links.calls)
    assert not any(call == "await_news" for call, _ in patient.links.calls)
    assert link_id in patient.links.alive()


def test_several_processes_that_listen_take_in_each_reveal_once() -> None:
    first = Service(every=timedelta(minutes=10), announces=True)
    second = Service(every=timedelta(minutes=10), beside=first)
    threads = [threading.Thread(target=service.runner.run) for service in (first, second)]
    for thread in threads:
        thread.start()
    try:
        first.links.open(first.links.url_of(carried_to_a_link(first)))
        wait_for("the end", lambda: states(first) == {State.CLOSED})
    finally:
        for service, thread in zip((first, second), threads, strict=True):
            service.runner.stop()
            thread.join(timeout=20)
    [case] = first.store.cases()
    events = [line.entry.event for line in first.store.audit_of(case.id)]
    assert events.count("opened") == 1


def test_a_history_that_does_not_go_on_is_one_error_until_it_does(running: Service) -> None:
    """Also when the service was away before: restored from a backup, it comes back like that."""
    broken = PermanentError("The link service's history was rewritten. Look.")
    with structlog.testing.capture_logs() as logs:
        running.links.raise_before("news", TemporaryError("it is away"), *[broken] * 3)
        wait_for("the outage", lambda: "link_history" in running.runner.health().down)
        assert running.runner.health().down == {"link_history": str(broken)}
        assert DOWN.labels("link_history")._value.get() == 1
        wait_for("the recovery", lambda: not running.runner.health().down)
    told = [(log["event"], log["system"]) for log in logs if "system" in log]
    assert told == [
        ("system_down", "links"), ("system_up", "links"), ("system_down", "link_history"), ("system_up", "link_history")
    ]  # fmt: skip
    assert not [log for log in logs if log["event"] == "bug"]


def test_once_names_a_history_that_does_not_go_on(service: Service) -> None:
    service.links.raise_before("news", PermanentError("it was rewritten"))
    assert service.runner.once().failed == {"links": "it was rewritten"}


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
