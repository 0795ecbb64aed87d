"""A system that asks for a pause: it is kept by all threads, costs nobody else anything, and holds few workers."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from responses import RequestsMock
from structlog.testing import capture_logs

from connector.errors import TemporaryError
from connector.http import Http
from connector.pacing import LONGEST_WAIT_INSIDE_A_CALL, WAITING_AT_ONCE

URL = "https://graph.example.com/v1.0/users"
OTHER = "https://graph.example.com/v1.0/organization"


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
def http(walk: Walk) -> Http:
    return Http(system="Microsoft Graph", scope="tenant.contoso", now=walk.now, sleep=walk.sleep)


@pytest.fixture
def web() -> Iterator[RequestsMock]:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def throttle(web: RequestsMock, wait: str | None = "30", *, status: int = 429) -> None:
    web.upsert("GET", URL, status=status, headers={"Retry-After": wait} if wait else {})


def refused(http: Http, method: str = "GET", url: str = URL) -> TemporaryError:
    with pytest.raises(TemporaryError) as failure:
        http.call(method, url)
    return failure.value


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_nothing_is_sent_before_a_pause_is_over(http: Http, web: RequestsMock, walk: Walk, method: str) -> None:
    throttle(web, "30")
    assert refused(http).retry_after == timedelta(seconds=30)
    walk.seconds += 12
    held = refused(http, method, f"{OTHER}?name={secrets.token_hex(4)}")
    assert held.retry_after == timedelta(seconds=18)
    assert len(web.calls) == 1
    assert walk.slept == []


def test_what_was_held_back_says_who_asked_for_how_long_and_for_what(http: Http, web: RequestsMock) -> None:
    secret = secrets.token_hex(8)
    throttle(web)
    refused(http)
    with pytest.raises(TemporaryError) as held:
        http.call("POST", f"{OTHER}?token={secret}", headers={"Authorization": f"Bearer {secret}"}, json={"a": secret})
    for part in ("Microsoft Graph", "tenant.contoso", "30.0 s", f"POST {OTHER}", "tried again"):
        assert part in str(held.value)
    assert secret not in f"{held.value} {held.value!r} {vars(held.value)}"


def test_when_the_pause_is_over_calls_are_sent_again(http: Http, web: RequestsMock, walk: Walk) -> None:
    throttle(web, "30")
    web.get(OTHER, json={})
    refused(http)
    walk.seconds += 30
    assert http.call("GET", OTHER).status == 200


def test_another_customer_is_not_held_up(http: Http, web: RequestsMock, walk: Walk) -> None:
    throttle(web)
    web.get(OTHER, json={})
    refused(http)
    other = Http(system="Microsoft Graph", scope="tenant.fabrikam", now=walk.now, sleep=walk.sleep)
    assert other.call("GET", OTHER).status == 200


def test_a_short_rest_of_a_pause_is_waited_for(http: Http, web: RequestsMock, walk: Walk) -> None:
    throttle(web, "30")
    web.get(OTHER, json={})
    refused(http)
    walk.seconds += 30 - LONGEST_WAIT_INSIDE_A_CALL.total_seconds()
    assert http.call("GET", OTHER).status == 200
    assert walk.slept == [LONGEST_WAIT_INSIDE_A_CALL.total_seconds()]


def test_a_wait_that_would_hold_a_worker_for_long_is_put_off(http: Http, web: RequestsMock, walk: Walk) -> None:
    throttle(web, "10")
    assert refused(http).retry_after == timedelta(seconds=10)
    assert walk.slept == []


def test_a_pause_never_gets_shorter(http: Http, web: RequestsMock, walk: Walk) -> None:
    http.hold_off(timedelta(seconds=60))
    http.hold_off(timedelta(seconds=5))
    assert refused(http).retry_after == timedelta(seconds=60)
    http.hold_off(timedelta(seconds=90))
    assert refused(http).retry_after == timedelta(seconds=90)
    assert len(web.calls) == 0


def test_a_pause_is_told_once(http: Http, web: RequestsMock, walk: Walk) -> None:
    with capture_logs() as logs:
        http.hold_off(timedelta(seconds=30))
        http.hold_off(timedelta(seconds=40))
        refused(http)
        walk.seconds += 40
        http.hold_off(timedelta(seconds=20))
    told = [(line["event"], line["system"], line["scope"], line["seconds"]) for line in logs]
    assert told == [("asked_to_wait", "Microsoft Graph", "tenant.contoso", seconds) for seconds in (30, 20)]


def test_a_429_that_names_no_wait_begins_no_pause(http: Http, web: RequestsMock, walk: Walk) -> None:
    throttle(web, None)
    web.get(OTHER, json={})
    refused(http)
    assert http.call("GET", OTHER).status == 200


def test_a_503_is_of_one_place_and_holds_nothing_else_back(http: Http, web: RequestsMock) -> None:
    throttle(web, "30", status=503)
    web.get(OTHER, json={})
    assert refused(http).retry_after == timedelta(seconds=30)
    assert http.call("GET", OTHER).status == 200


def test_a_429_that_the_caller_wants_to_see_begins_a_pause_too(http: Http, web: RequestsMock) -> None:
    throttle(web, "30")
    assert http.call("GET", URL, expect=(429,)).status == 429
    assert refused(http, url=OTHER).retry_after == timedelta(seconds=30)
    assert len(web.calls) == 1


# ---------------------------------------------------------------- the end of a pause before its time


def test_a_call_that_is_let_through_ends_the_pause(http: Http, web: RequestsMock, walk: Walk) -> None:
    http = Http(system="Microsoft Graph", scope="tenant.contoso", now=walk.now, sleep=walk.slept.append)
    web.get(URL, status=429, headers={"Retry-After": "2"})
    web.get(URL, json={})
    assert http.call("GET", URL).status == 200
    assert http.call("GET", URL).status == 200
    assert walk.slept == [2], "by the clock, the pause was never over"


def test_an_answer_to_a_call_that_was_sent_before_the_pause_does_not_end_it(http: Http, web: RequestsMock) -> None:
    throttle(web, "30")

    def meanwhile(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        refused(http)
        return 200, {}, "{}"

    web.add_callback("GET", OTHER, callback=meanwhile)
    assert http.call("GET", OTHER).status == 200
    assert refused(http, url=OTHER).retry_after == timedelta(seconds=30)


# ---------------------------------------------------------------- many threads


def test_only_a_few_calls_wait_at_once_and_the_others_are_put_off(web: RequestsMock) -> None:
    walk, over, asleep = Walk(), threading.Event(), threading.Semaphore(0)
    web.get(OTHER, json={})

    def sleep(seconds: float) -> None:
        asleep.release()
        assert over.wait(30)

    http = Http(system="Microsoft Graph", scope="tenant.contoso", now=walk.now, sleep=sleep)
    http.hold_off(timedelta(seconds=2))
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(http.call("GET", OTHER).status)) for _ in range(WAITING_AT_ONCE)
    ]
    for thread in threads:
        thread.start()
        assert asleep.acquire(timeout=30)
    assert refused(http, url=OTHER).retry_after == timedelta(seconds=2)
    assert len(web.calls) == 0
    walk.seconds += 2
    over.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * WAITING_AT_ONCE
    assert http.call("GET", OTHER).status == 200, "and nobody counts as waiting any more"


def test_a_crowd_of_a_throttled_customer_costs_one_call_a_pause(http: Http, web: RequestsMock, walk: Walk) -> None:
    throttle(web, "10")
    for _ in range(3):
        failures: list[Any] = [refused(http, "POST") if number else refused(http) for number in range(25)]
        assert all(failure.retry_after == timedelta(seconds=10) for failure in failures)
        walk.seconds += 10
    assert len(web.calls) == 3
    assert walk.slept == []


def test_whoever_has_not_begun_waits_for_no_rest_however_short(http: Http, walk: Walk) -> None:
    http.ready("the next call")
    http.hold_off(timedelta(seconds=30))
    walk.seconds += 29.5
    with pytest.raises(TemporaryError) as failure:
        http.ready("the next call")
    assert failure.value.retry_after == timedelta(seconds=0.5)
    assert walk.slept == []
    walk.seconds += 0.5
    http.ready("the next call")
