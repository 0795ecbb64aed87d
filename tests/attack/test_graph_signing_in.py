"""Many threads and one sign-in service; and answers of it that are none."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from connector.errors import ConnectorError, TemporaryError
from connector.http import Http
from tests.graph.border import ID, Back, Border
from tests.graph.conftest import border  # noqa: F401 - a fixture
from tests.graph.test_signin import sign_in_of

WORKERS = 8


def test_two_threads_that_were_refused_with_the_same_old_token_both_try_the_new_one(border: Border) -> None:  # noqa: F811
    """Else the second case is handed off as "protected" in the minute after the customer's admin has consented."""
    sign_in = sign_in_of(border)
    old = sign_in.token()
    assert sign_in.renew(old)  # one thread, which has not come to ask for the new one yet
    assert sign_in.renew(old)


class Hanging(Http):
    """A service that takes every call and answers none, once all the threads are on their way."""

    def __init__(self, all_there: threading.Event) -> None:
        super().__init__(system="Microsoft sign-in", scope="tenant.contoso")
        self.calls = 0
        self._all_there = all_there

    def call(self, method: str, url: str, **_: Any) -> Any:
        self.calls += 1
        self._all_there.wait(10)
        threading.Event().wait(0.2)  # until the last of them stands in line, too
        raise TemporaryError(f"{method} {url} was not answered in time. It is tried again by itself.")


def test_those_in_line_behind_a_sign_in_that_failed_do_not_each_try_it_again(border: Border) -> None:  # noqa: F811
    """One tenant whose sign-in hangs (90 s a try) would hold all eight workers for twelve minutes, leases and all."""
    all_there = threading.Event()
    http = Hanging(all_there)
    sign_in = sign_in_of(border, http=http)
    arrived = threading.Semaphore(0)
    failures: list[ConnectorError] = []

    def work() -> None:
        arrived.release()
        try:
            sign_in.token()
        except ConnectorError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for _ in threads:
        arrived.acquire()
    all_there.set()
    for thread in threads:
        thread.join()
    assert [type(failure) for failure in failures] == [TemporaryError] * WORKERS
    assert http.calls == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": "x", "expires_in": None},
        {"access_token": "x", "expires_in": float("inf")},
        {"access_token": "x", "expires_in": 3599, "refresh_in": None},
        {"access_token": "x", "expires_in": 3599, "scope": 5},
        {"access_token": "x", "expires_in": 3599, "id_token": "x"},
        {"error": "invalid_client", "suberror": ["x"]},
    ],
    ids=str,
)
def test_an_odd_answer_of_the_sign_in_service_is_tried_again_later(border: Border, answer: dict[str, Any]) -> None:  # noqa: F811
    """The third bug hands a case off; trouble of the sign-in service never does."""
    border.token_answers.append(Back(200, answer))
    with pytest.raises(ConnectorError):
        border.directory().read("contoso", ID)
