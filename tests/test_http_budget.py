"""The budget of calls: never more than our share, people before polls, and polls never shut out."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from responses import RequestsMock

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.config.budget import LEAST_CALLS, Budget
from connector.core.ports import Psa
from connector.errors import ConfigError, PermanentError, TemporaryError
from connector.http import TRIES, Http
from connector.pacing import LONGEST_WAIT_INSIDE_A_CALL, WAITING_AT_ONCE, Spending
from connector.psa.halopsa.adapter import HaloPsa
from connector.psa.requesttracker.adapter import RequestTracker

ROOT = Path(__file__).parent.parent
URL = "https://msp.halopsa.example.com/api/Tickets"
PER = timedelta(minutes=3)
SECONDS = PER.total_seconds()
PATIENCE = LONGEST_WAIT_INSIDE_A_CALL.total_seconds()


class Walk:
    """Monotonic seconds that only go on when somebody sleeps, or when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, length: float) -> None:
        self.slept.append(length)
        self.seconds += length


@pytest.fixture
def walk() -> Walk:
    return Walk()


@pytest.fixture
def web() -> Iterator[RequestsMock]:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(URL, json={})
        mock.post(URL, json={})
        yield mock


def with_budget(walk: Walk, calls: int, *, scope: str = "psa.halo") -> Http:
    return Http(system="HaloPSA", scope=scope, budget=Budget(calls, PER), now=walk.now, sleep=walk.sleep)


def send(http: Http, count: int, *, background: bool = False) -> int:
    """How many of `count` calls were sent before the first was put off."""
    for number in range(count):
        try:
            http.call("GET", URL, background=background)
        except TemporaryError:
            return number
    return count


def put_off(http: Http, method: str = "GET", *, background: bool = False) -> TemporaryError:
    with pytest.raises(TemporaryError) as failure:
        http.call(method, URL, background=background)
    return failure.value


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"system": "HaloPSA", **labels}) or 0.0


# ---------------------------------------------------------------- what is sent


def test_over_the_budget_nothing_is_sent(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 10)
    assert send(http, 100) == 9, "one is the background's"
    assert send(http, 100, background=True) == 1
    for method in ("GET", "POST"):
        for background in (True, False):
            put_off(http, method, background=background)
    assert len(web.calls) == 10
    assert walk.slept == []


def test_without_a_budget_calls_are_sent_as_they_come(walk: Walk, web: RequestsMock) -> None:
    http = Http(system="HaloPSA", scope="psa.halo", now=walk.now, sleep=walk.sleep)
    assert send(http, 300) == send(http, 300, background=True) == 300


def test_what_was_put_off_says_whose_budget_for_what_and_which_key_raises_it(walk: Walk, web: RequestsMock) -> None:
    secret = secrets.token_hex(8)
    http = with_budget(walk, 10)
    send(http, 10)
    walk.seconds += 60
    with pytest.raises(TemporaryError) as held:
        http.call("POST", f"{URL}?token={secret}", headers={"Authorization": secret}, json={"a": secret})
    for part in ("HaloPSA", "psa.halo", "10 calls in 180 s", f"POST {URL}", "not sent", "psa.halo.budget.share"):
        assert part in str(held.value)
    assert held.value.retry_after == timedelta(seconds=120)
    assert secret not in f"{held.value} {held.value!r} {vars(held.value)}"


def test_when_the_wait_that_was_told_is_over_there_is_room(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 10)
    for _ in range(9):
        send(http, 1)
        walk.seconds += 5
    wait = put_off(http).retry_after
    assert wait == PER - timedelta(seconds=45)
    walk.seconds += wait.total_seconds()
    assert send(http, 2) == 1, "and only for one, because the window slides"


def test_retries_count(walk: Walk, web: RequestsMock) -> None:
    web.upsert("GET", URL, status=502)
    http = with_budget(walk, 12)
    send(http, 1)
    assert len(web.calls) == TRIES
    web.upsert("GET", URL, json={})
    assert send(http, 20) + TRIES == 11


def test_a_retry_is_put_off_too_when_there_is_no_room(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 10)
    send(http, 8)
    web.upsert("GET", URL, status=502)
    put_off(http)
    assert len(web.calls) == 9


def test_calls_that_get_no_answer_count(walk: Walk, web: RequestsMock) -> None:
    web.upsert("POST", URL, body=requests.exceptions.ConnectTimeout())
    http = with_budget(walk, 10)
    for _ in range(20):
        put_off(http, "POST")
    assert len(web.calls) == 9


def test_a_call_counts_until_the_window_has_passed_after_its_answer(walk: Walk, web: RequestsMock) -> None:
    """The vendor may count it as late as that."""

    def slowly(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        walk.seconds += 20
        return 200, {}, "{}"

    http = with_budget(walk, 10)
    web.remove("GET", URL)
    web.add_callback("GET", URL, callback=slowly)
    http.call("GET", URL)
    web.upsert("GET", URL, json={})
    assert send(http, 10) == 8
    walk.seconds += SECONDS - 10
    assert put_off(http).retry_after == timedelta(seconds=10)


def test_another_system_has_a_budget_of_its_own(walk: Walk, web: RequestsMock) -> None:
    full, other = with_budget(walk, 10), with_budget(walk, 10, scope="psa.other")
    send(full, 10)
    assert send(other, 5) == 5


# ---------------------------------------------------------------- waiting


def test_a_short_wait_is_waited_for(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 10)
    send(http, 9)
    walk.seconds += SECONDS - PATIENCE
    assert http.call("GET", URL).status == 200
    assert walk.slept == [PATIENCE]


def test_a_longer_one_is_not(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 10)
    send(http, 9)
    walk.seconds += SECONDS - PATIENCE - 0.5
    assert put_off(http).retry_after == timedelta(seconds=PATIENCE + 0.5)
    assert walk.slept == []


@pytest.mark.parametrize(("gap", "naps"), [(1, [2.0, 1.0]), (2, [2.0])])
def test_whoever_is_overtaken_while_waiting_waits_on_but_not_for_long_altogether(
    web: RequestsMock, gap: int, naps: list[float]
) -> None:
    walk = Walk()

    def sleep(length: float) -> None:
        walk.sleep(length)
        if len(walk.slept) == 1:
            assert send(http, 8) == 8

    http = Http(system="HaloPSA", scope="psa.halo", budget=Budget(10, PER), now=walk.now, sleep=sleep)
    send(http, 8)
    walk.seconds += gap
    send(http, 1)
    walk.seconds += SECONDS - gap - 2
    if gap == 1:
        assert http.call("GET", URL).status == 200
    else:
        assert put_off(http).retry_after == timedelta(seconds=gap)
    assert walk.slept == naps


def test_only_a_few_wait_at_once_and_the_others_are_put_off(web: RequestsMock) -> None:
    walk, over, asleep = Walk(), threading.Event(), threading.Semaphore(0)

    def sleep(seconds: float) -> None:
        asleep.release()
        assert over.wait(30)

    http = Http(system="HaloPSA", scope="psa.halo", budget=Budget(10, PER), now=walk.now, sleep=sleep)
    send(http, 9)
    walk.seconds += SECONDS - 2
    web.calls.reset()
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(http.call("GET", URL).status)) for _ in range(WAITING_AT_ONCE)
    ]
    for thread in threads:
        thread.start()
        assert asleep.acquire(timeout=30)
    assert put_off(http).retry_after == timedelta(seconds=2)
    assert len(web.calls) == 0
    walk.seconds += 2
    over.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * WAITING_AT_ONCE


def test_a_pause_that_somebody_was_asked_for_meanwhile_is_kept(web: RequestsMock) -> None:
    walk = Walk()

    def sleep(length: float) -> None:
        walk.seconds += length
        http.hold_off(timedelta(seconds=30))

    http = Http(system="HaloPSA", scope="psa.halo", budget=Budget(10, PER), now=walk.now, sleep=sleep)
    send(http, 9)
    walk.seconds += SECONDS - 1
    web.calls.reset()
    assert put_off(http).retry_after == timedelta(seconds=30)
    assert len(web.calls) == 0


def test_whoever_has_not_begun_is_told_without_a_wait_and_takes_nothing(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 10)
    for _ in range(30):
        http.ready("the next call")
    assert send(http, 20) == 9
    walk.seconds += SECONDS - 1
    with pytest.raises(TemporaryError) as failure:
        http.ready("the next call")
    assert failure.value.retry_after == timedelta(seconds=1)
    assert walk.slept == []


# ---------------------------------------------------------------- people before polls


def test_polls_leave_two_fifths_for_people(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 100)
    assert send(http, 200, background=True) == 60
    assert send(http, 200) == 40


def test_polls_are_put_off_first(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 100)
    assert send(http, 70) == 70
    assert send(http, 100, background=True) == 10, "its tenth is all that is left to it"
    assert send(http, 100) == 20


def test_a_burst_of_people_leaves_polls_a_tenth(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 100)
    assert send(http, 200) == 90
    assert send(http, 200, background=True) == 10


def test_a_poll_that_is_put_off_is_told_when_enough_has_gone_by(walk: Walk, web: RequestsMock) -> None:
    http = with_budget(walk, 100)
    for _ in range(70):
        send(http, 1)
        walk.seconds += 1
    send(http, 10, background=True)
    wait = put_off(http, background=True).retry_after
    # 80 are used: until fewer than 60 are, the first 21 have to go, of which the newest is 50 s old.
    assert wait == PER - timedelta(seconds=50)
    walk.seconds += wait.total_seconds()
    assert send(http, 1, background=True) == 1
    assert walk.slept == []


# ---------------------------------------------------------------- figures


def test_calls_put_off_are_counted_by_kind(walk: Walk, web: RequestsMock) -> None:
    scope = f"psa.{secrets.token_hex(4)}"
    http = with_budget(walk, 10, scope=scope)
    send(http, 9)
    send(http, 1, background=True)
    for background in (False, False, True, True, True):
        put_off(http, background=background)
    name = "connector_outside_calls_put_off_total"
    assert metric(name, scope=scope, kind="foreground") == 2
    assert metric(name, scope=scope, kind="background") == 3


def test_the_part_in_use_is_shown_and_falls_by_itself(walk: Walk, web: RequestsMock) -> None:
    scope = f"psa.{secrets.token_hex(4)}"
    http = with_budget(walk, 20, scope=scope)
    send(http, 5)
    assert metric("connector_outside_budget_used_ratio", scope=scope) == 0.25
    walk.seconds += SECONDS
    assert metric("connector_outside_budget_used_ratio", scope=scope) == 0


@pytest.mark.parametrize(("calls", "per"), [(LEAST_CALLS - 1, PER), (0, PER), (-5, PER), (10, timedelta(0))])
def test_a_budget_that_carries_nothing_is_refused(calls: int, per: timedelta) -> None:
    with pytest.raises(ValueError, match="at least"):
        Budget(calls, per)


# ---------------------------------------------------------------- the adapters


HALO = "https://msp.halopsa.example.com"
RT = "https://rt.example.com"
WHOLE = {"share": "100%", "calls": 50, "per": "1h"}


def surroundings() -> Surroundings:
    place = Place(folder=ROOT, production=True, environ={"PSA_SECRET": secrets.token_urlsafe(32)})
    return Surroundings(place=place, http=HttpSection(), clock=lambda: datetime(2026, 11, 22, 9, 0, tzinfo=UTC))


def halo(**more: Any) -> HaloPsa:
    section = {"kind": "halopsa", "url": HALO, "client_id": "6f0", "client_secret": {"env": "PSA_SECRET"}, "tenant": ""}
    return HaloPsa.from_config("halo", {**section, "mapping": "mappings/halopsa.yaml", **more}, surroundings())


def request_tracker(**more: Any) -> RequestTracker:
    section = {"kind": "requesttracker", "url": RT, "token": {"env": "PSA_SECRET"}}
    mapping = "mappings/requesttracker.yaml"
    return RequestTracker.from_config("rt", {**section, "mapping": mapping, **more}, surroundings())


@pytest.fixture
def halo_web() -> Iterator[RequestsMock]:
    """A HaloPSA with the names of the mapping and without tickets."""
    types = ("Password Reset", "MFA Reset", "Account Reset")
    statuses = ("Approved", "Rejected", "Closed", "Needs technician", "Retry reset", "Security alarm")
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(f"{HALO}/auth/token", json={"access_token": secrets.token_urlsafe(32), "expires_in": 3600})
        mock.get(f"{HALO}/api/TicketType", json=[{"id": 20 + at, "name": name} for at, name in enumerate(types)])
        mock.get(f"{HALO}/api/Status", json=[{"id": 40 + at, "name": name} for at, name in enumerate(statuses)])
        mock.get(f"{HALO}/api/Tickets", json={"record_count": 0, "tickets": []})
        mock.get(f"{HALO}/api/Tickets/1", status=404)
        yield mock


@pytest.fixture
def rt_web() -> Iterator[RequestsMock]:
    """A Request Tracker without tickets."""
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{RT}/REST/2.0/tickets", json={"items": [], "total": 0, "pages": 0})
        mock.get(f"{RT}/REST/2.0/ticket/1", status=404)
        yield mock


def reads(psa: Psa) -> int:
    """How often a ticket could be asked for before the budget put that off."""
    return until_put_off(lambda: psa.read("1"), psa.name)


def polls(psa: Psa) -> int:
    """How often changed tickets could be asked for before the budget put that off."""
    return until_put_off(lambda: psa.changed(None), psa.name)


def until_put_off(ask: Callable[[], object], name: str) -> int:
    for number in range(100):
        try:
            ask()
        except PermanentError:
            continue  # there is no such ticket, as was found out by asking
        except TemporaryError as failure:
            if f"psa.{name}.budget.share" not in str(failure):
                raise
            return number
    return 100


def test_halopsas_polls_leave_the_reads_before_a_reset_their_part(halo_web: RequestsMock) -> None:
    psa = halo(budget=WHOLE)
    assert polls(psa) == 30 - 3, "the token and the names came first"
    assert reads(psa) == 20
    assert len(halo_web.calls) == 50


def test_halopsas_reads_leave_the_polls_a_tenth(halo_web: RequestsMock) -> None:
    psa = halo(budget=WHOLE)
    assert reads(psa) == 45 - 3
    assert polls(psa) == 5


def test_a_check_of_halopsa_takes_nothing_of_what_is_kept_for_polls(halo_web: RequestsMock) -> None:
    psa = halo(budget=WHOLE)
    for _ in range(45 - 3 - 1):  # what people may have, but for one call: the check tries the credentials
        with pytest.raises(PermanentError):
            psa.read("1")
    found = list(psa.check())
    assert any("psa.halo.budget.share" in finding.text for finding in found)
    assert all(finding.temporary for finding in found if "psa.halo.budget.share" in finding.text)
    assert polls(psa) == 5


def test_halopsa_gets_a_fifth_of_what_it_publishes_unless_told_otherwise(halo_web: RequestsMock) -> None:
    assert polls(halo()) == 60 - 3
    assert polls(halo(budget={"share": "10%"})) == 30 - 3
    assert polls(halo(budget={"calls": 100, "per": "3m"})) == 12 - 3


def test_request_trackers_polls_leave_the_reads_before_a_reset_their_part(rt_web: RequestsMock) -> None:
    psa = request_tracker(budget=WHOLE)
    assert polls(psa) == 30
    assert reads(psa) == 10, "each is two calls"
    assert len(rt_web.calls) == 50


def test_a_check_of_request_tracker_takes_nothing_of_what_is_kept_for_polls(rt_web: RequestsMock) -> None:
    psa = request_tracker(budget=WHOLE)
    reads(psa)
    assert "psa.rt.budget.share" in " ".join(finding.text for finding in psa.check())
    assert polls(psa) == 5


def test_request_tracker_has_no_budget_unless_told(rt_web: RequestsMock) -> None:
    assert polls(request_tracker()) == reads(request_tracker()) == 100


@pytest.mark.parametrize(
    ("make", "budget", "words"),
    [
        (halo, {"share": 0.2}, "psa.halo: budget.share: 0.2 is not a share"),
        (halo, {"share": "1%", "calls": 100, "per": "1m"}, "psa.halo: budget.share: 1% of 100 calls are 1"),
        (halo, {"calls": 100}, "psa.halo: budget: calls and per belong together"),
        (halo, {"shares": "20%"}, "psa.halo: budget.shares: unknown key. Did you mean share?"),
        (request_tracker, {"share": "50%"}, "psa.rt: budget.calls: missing"),
        (request_tracker, {"calls": 600}, "psa.rt: budget.per: missing"),
        (request_tracker, {"share": "20", "calls": 600, "per": "1m"}, "psa.rt: budget.share: '20' is not a share"),
    ],
)
def test_a_budget_that_cannot_be_meant_stops_the_start_at_its_place(
    make: Any, budget: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError) as failure:
        make(budget=budget)
    assert any(problem.startswith(words) for problem in failure.value.problems), failure.value.problems


# ---------------------------------------------------------------- whatever happens


@dataclass
class Line:
    """Many threads at one budget, one step after another, on a clock of its own."""

    budget: Budget
    seconds: float = 0.0
    under_way: list[tuple[int, bool]] = field(default_factory=list)
    calls: list[list[float | bool | None]] = field(default_factory=list)
    """For each call that was sent: when, whether in the background, and when it was answered."""

    def __post_init__(self) -> None:
        self.spending = Spending(self.budget, now=lambda: self.seconds)

    def send(self, *, background: bool) -> float:
        wait = self.spending.take(background=background)
        if not wait:
            self.under_way.append((len(self.calls), background))
            self.calls.append([self.seconds, background, None])
        return wait

    def answer(self, which: int) -> None:
        if self.under_way:
            number, background = self.under_way.pop(which % len(self.under_way))
            self.calls[number][2] = self.seconds
            self.spending.give_back(background=background)

    def counted(self, at: float) -> list[bool]:
        """By plain reckoning: the kinds of those calls that any window ending at `at` may hold."""
        return [bool(kind) for _, kind, end in self.calls if end is None or end + self.budget.per.total_seconds() > at]


BUDGETS = st.builds(
    Budget, st.integers(LEAST_CALLS, 40), st.integers(1, 20).map(lambda number: timedelta(seconds=number))
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("people"), st.integers(1, 30)),
        st.tuples(st.just("polls"), st.integers(1, 30)),
        st.tuples(st.just("answer"), st.integers(0, 100)),
        st.tuples(st.just("answers"), st.integers(1, 30)),
        st.tuples(st.just("pass"), st.floats(0, 12, allow_nan=False)),
    ),
    max_size=80,
)


def play(line: Line, steps: list[tuple[str, float]]) -> Iterator[tuple[bool, bool]]:
    """Each call that was tried: whether in the background, and whether it was sent."""
    for what, number in steps:
        match what:
            case "people" | "polls":
                for _ in range(int(number)):
                    yield what == "polls", not line.send(background=what == "polls")
            case "answer":
                line.answer(int(number))
            case "answers":
                for _ in range(int(number)):
                    line.answer(0)
            case _:
                line.seconds += number


@given(BUDGETS, STEPS)
def test_no_window_ever_holds_more_than_the_budget(budget: Budget, steps: list[tuple[str, float]]) -> None:
    """Neither by the moments of sending nor by those of the answers, nor by any in between."""
    line = Line(budget)
    for _ in play(line, steps):
        assert len(line.counted(line.seconds)) <= budget.calls
    sent = [float(start or 0) for start, _, _ in line.calls]
    per = budget.per.total_seconds()
    for first, start in enumerate(sent):
        assert sum(start <= other < start + per for other in sent[first:]) <= budget.calls
    answered = sorted(float(end) for _, _, end in line.calls if end is not None)
    for first, end in enumerate(answered):
        assert sum(end <= other < end + per for other in answered[first:]) <= budget.calls


@given(BUDGETS, STEPS)
def test_people_are_never_refused_where_only_polls_have_called(budget: Budget, steps: list[tuple[str, float]]) -> None:
    line = Line(budget)
    for background, sent in play(line, steps):
        if not background and not sent:
            assert False in line.counted(line.seconds), "somebody else's call was there, not polls alone"


@given(BUDGETS, STEPS)
def test_people_are_only_refused_where_nine_tenths_are_used(budget: Budget, steps: list[tuple[str, float]]) -> None:
    line = Line(budget)
    for background, sent in play(line, steps):
        if not background and not sent:
            assert len(line.counted(line.seconds)) >= budget.calls - max(1, budget.calls // 10)


@given(BUDGETS, STEPS)
def test_polls_are_never_refused_while_they_have_not_had_their_tenth(
    budget: Budget, steps: list[tuple[str, float]]
) -> None:
    line = Line(budget)
    for background, sent in play(line, steps):
        if background and not sent:
            assert sum(line.counted(line.seconds)) >= max(1, budget.calls // 10)


@given(BUDGETS, STEPS)
def test_polls_beyond_their_tenth_are_only_sent_below_three_fifths(
    budget: Budget, steps: list[tuple[str, float]]
) -> None:
    line = Line(budget)
    for background, sent in play(line, steps):
        if background and sent:
            counted = line.counted(line.seconds)
            assert len(counted) - 1 < budget.calls * 60 // 100 or sum(counted) <= max(1, budget.calls // 10)


@given(BUDGETS, STEPS, st.booleans())
def test_the_wait_that_is_told_is_enough_when_nobody_else_calls(
    budget: Budget, steps: list[tuple[str, float]], background: bool
) -> None:
    line = Line(budget)
    for _ in play(line, steps):
        pass
    while line.under_way:
        line.answer(0)
    wait = line.send(background=background)
    if wait:
        assert wait <= budget.per.total_seconds() + 1e-6
        line.seconds += wait - min(wait / 2, 1e-6)
        assert line.spending.left(background=background), "and not a moment too long"
        line.seconds += 1e-6 + 1e-9
        assert not line.send(background=background)


@given(BUDGETS, st.booleans(), st.integers(0, 5))
def test_neither_side_is_starved_however_greedy_the_other_is(budget: Budget, background: bool, latency: int) -> None:
    """The greedy side tries at every step; the other one, once in a while, still gets through in each window."""
    line = Line(budget)
    step = budget.per.total_seconds() / 10
    came = 0
    for number in range(60):
        while not line.send(background=not background):
            pass
        for _ in range(max(0, len(line.under_way) - latency)):
            line.answer(0)
        if number % 10 == 9:
            came += not line.send(background=background)
            line.answer(len(line.under_way) - 1)
        line.seconds += step
    # With slow answers, a call may count for a little more than one window.
    assert came >= 3


def test_real_threads_together_stay_within_the_budget(web: RequestsMock) -> None:
    walk, start = Walk(), threading.Barrier(8)
    http = with_budget(walk, 50)
    sent: list[int] = []

    def work(number: int) -> None:
        start.wait(30)
        sent.append(send(http, 30, background=number % 2 == 0))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sent) == len(web.calls)
    assert 45 <= len(web.calls) <= 50
