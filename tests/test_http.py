"""The one client for all HTTP: what it repeats, how it translates failures, and what it never lets out."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from responses import RequestsMock, matchers

from connector.errors import AuthenticationError, ConfigError, ConnectorError, PermanentError, TemporaryError
from connector.http import LONGEST_RETRY_AFTER, TRIES, USER_AGENT, Answer, Http, read_retry_after
from connector.pacing import Pace

URL = "https://psa.example.com/api/tickets"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Bench:
    """An `Http` with a clock of its own: its waits are noted and not slept."""

    def __init__(self, **settings: object) -> None:
        self.waits: list[float] = []
        self.http = Http(system="HaloPSA", scope="psa.halo", sleep=self.waits.append, **settings)  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def web() -> Iterator[RequestsMock]:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def how_sent(web: RequestsMock) -> list[dict[str, Any]]:
    """With which bundle, proxy and time limit each request went out."""
    return [vars(call.request)["req_kwargs"] for call in web.calls]


def shown(failure: BaseException) -> str:
    """Everything that a log or a report may show of an exception."""
    return f"{failure} {failure!r} {failure.args} {vars(failure)}"


# ---------------------------------------------------------------- an answer


def test_an_answer_is_handed_on(bench: Bench, web: RequestsMock) -> None:
    web.get(URL, json={"a": 1}, headers={"X-Total": "7"})
    answer = bench.http.call("GET", URL, params={"page": "2"})
    assert (answer.status, answer.json(), answer.headers["X-Total"]) == (200, {"a": 1}, "7")
    assert web.calls[0].request.url == f"{URL}?page=2"


def test_we_say_who_we_are_and_not_that_we_are_a_browser(bench: Bench, web: RequestsMock) -> None:
    web.get(URL, json={})
    bench.http.call("GET", URL, headers={"Authorization": "Bearer x"})
    headers = web.calls[0].request.headers
    assert headers["User-Agent"] == USER_AGENT
    assert "Mozilla" not in headers["User-Agent"]
    assert headers["Authorization"] == "Bearer x"


def test_a_body_is_sent_as_json_or_as_a_form(bench: Bench, web: RequestsMock) -> None:
    web.post(URL, json={}, match=[matchers.json_params_matcher({"a": "ä"})])
    web.post(f"{URL}/token", json={}, match=[matchers.urlencoded_params_matcher({"grant_type": "client_credentials"})])
    bench.http.call("POST", URL, json={"a": "ä"})
    bench.http.call("POST", f"{URL}/token", form={"grant_type": "client_credentials"})
    assert len(web.calls) == 2


def test_bytes_are_sent_as_they_are(bench: Bench, web: RequestsMock) -> None:
    web.post(URL, status=204)
    body = '{"b": 1,\n "a": "ü"}'.encode()
    bench.http.call("POST", URL, content=body, headers={"Content-Type": "application/json"})
    sent = web.calls[0].request
    assert (sent.body, sent.headers["Content-Type"]) == (body, "application/json")


@pytest.mark.parametrize("status", [200, 302, 401, 404, 429, 500])
def test_a_path_that_is_a_secret_is_in_no_message(bench: Bench, web: RequestsMock, status: int) -> None:
    token = secrets.token_urlsafe(9)
    url = f"https://push.example.com/p/{token}/audit"
    web.get(url, status=status, body="not JSON")
    with pytest.raises(ConnectorError) as failure:
        bench.http.call("GET", url, shown="https://push.example.com/p/…/audit").json()
    assert "/p/…/audit" in str(failure.value)
    assert token not in shown(failure.value)


@pytest.mark.parametrize("trouble", [requests.ConnectionError, requests.Timeout, requests.exceptions.InvalidURL])
def test_a_path_that_is_a_secret_stays_one_without_an_answer(
    bench: Bench, web: RequestsMock, trouble: type[Exception]
) -> None:
    token = secrets.token_urlsafe(9)
    url = f"https://push.example.com/p/{token}/audit"
    web.get(url, body=trouble(f"something about {url}"))
    with pytest.raises(TemporaryError) as failure:
        bench.http.call("GET", url, shown="https://push.example.com/p/…/audit")
    assert token not in shown(failure.value)


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", '{"cut": ', "\ufeff"])
def test_an_answer_that_is_not_json_is_temporary_and_its_body_stays_out_of_the_message(
    bench: Bench, web: RequestsMock, body: str
) -> None:
    secret = secrets.token_hex(8)
    web.get(URL, body=f"{body}{secret}")
    answer = bench.http.call("GET", URL)
    with pytest.raises(TemporaryError, match="not JSON") as failure:
        answer.json()
    assert secret not in shown(failure.value)
    assert failure.value.__suppress_context__
    assert secret not in repr(answer)


def test_a_status_that_the_caller_expects_is_no_failure(bench: Bench, web: RequestsMock) -> None:
    web.get(URL, status=404)
    assert bench.http.call("GET", URL, expect=(200, 404)).status == 404


# ---------------------------------------------------------------- statuses


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_what_to_check_and_is_not_repeated(bench: Bench, web: RequestsMock, status: int) -> None:
    web.get(URL, status=status)
    with pytest.raises(AuthenticationError, match=f"{status}") as refusal:
        bench.http.call("GET", URL)
    assert refusal.value.scope == "psa.halo"
    assert "connector check" in str(refusal.value)
    assert len(web.calls) == 1


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 422])
def test_what_is_wrong_for_good_is_permanent_and_not_repeated(bench: Bench, web: RequestsMock, status: int) -> None:
    web.get(URL, status=status)
    with pytest.raises(PermanentError, match=f"{status}"):
        bench.http.call("GET", URL)
    assert len(web.calls) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_temporary_and_a_read_is_repeated(bench: Bench, web: RequestsMock, status: int) -> None:
    web.get(URL, status=status)
    with pytest.raises(TemporaryError, match=f"{status}"):
        bench.http.call("GET", URL)
    assert len(web.calls) == TRIES
    assert len(bench.waits) == TRIES - 1
    assert all(0 <= wait <= 2 for wait in bench.waits)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_a_write_is_not_repeated_after_an_unclear_failure(bench: Bench, web: RequestsMock, method: str) -> None:
    web.add(method, URL, status=500)
    with pytest.raises(TemporaryError):
        bench.http.call(method, URL, json={})
    assert len(web.calls) == 1


def test_a_write_whose_repeat_is_harmless_is_repeated(bench: Bench, web: RequestsMock) -> None:
    web.post(URL, status=500)
    web.post(URL, status=201, json={})
    assert bench.http.call("POST", URL, repeatable=True).status == 201


def test_a_read_that_works_at_last_is_fine(bench: Bench, web: RequestsMock) -> None:
    web.get(URL, status=503)
    web.get(URL, body=requests.exceptions.ConnectionError())
    web.get(URL, json={"a": 1})
    assert bench.http.call("GET", URL).json() == {"a": 1}


def test_a_redirect_is_not_followed(bench: Bench, web: RequestsMock) -> None:
    web.get(URL, status=302, headers={"Location": "https://login.example.com/?back=secret"})
    web.get("https://login.example.com/", body="Sign in")
    with pytest.raises(PermanentError, match="elsewhere") as failure:
        bench.http.call("GET", URL)
    assert len(web.calls) == 1
    assert "login.example.com" not in shown(failure.value)


# ---------------------------------------------------------------- waits that the other side asks for


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_short_wait_is_kept_inside_the_call_for_writes_too(
    bench: Bench, web: RequestsMock, method: str, status: int
) -> None:
    web.add(method, URL, status=status, headers={"Retry-After": "3"})
    web.add(method, URL, json={})
    assert bench.http.call(method, URL).status == 200
    assert bench.waits == [3]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 503])
def test_what_is_to_be_sent_once_is_not_repeated_though_a_short_wait_is_named(
    bench: Bench, web: RequestsMock, method: str, status: int
) -> None:
    web.add(method, URL, status=status, headers={"Retry-After": "3"})
    with pytest.raises(TemporaryError) as failure:
        bench.http.call(method, URL, once=True)
    assert failure.value.retry_after == timedelta(seconds=3)
    assert (len(web.calls), bench.waits) == (1, [])


def test_a_long_wait_is_the_callers(bench: Bench, web: RequestsMock) -> None:
    web.get(URL, status=429, headers={"Retry-After": "120"})
    with pytest.raises(TemporaryError) as failure:
        bench.http.call("GET", URL)
    assert failure.value.retry_after == timedelta(minutes=2)
    assert (len(web.calls), bench.waits) == (1, [])


def test_a_throttled_write_without_a_named_wait_is_not_repeated(bench: Bench, web: RequestsMock) -> None:
    web.post(URL, status=429)
    with pytest.raises(TemporaryError) as failure:
        bench.http.call("POST", URL)
    assert failure.value.retry_after is None
    assert len(web.calls) == 1


def test_a_write_that_failed_is_not_repeated_though_a_wait_is_named(bench: Bench, web: RequestsMock) -> None:
    web.post(URL, status=500, headers={"Retry-After": "1"})
    with pytest.raises(TemporaryError):
        bench.http.call("POST", URL)
    assert len(web.calls) == 1, "a 500 may have been carried out"


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("5", timedelta(seconds=5)),
        ("0", timedelta(0)),
        ("1.5", timedelta(seconds=1.5)),
        ("-5", timedelta(0)),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), timedelta(seconds=90)),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), timedelta(0)),
        ("Sun, 22 Nov 2026 12:00:30 -0000", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 14:00:30 +0200", timedelta(seconds=30)),
        ("86400000", LONGEST_RETRY_AFTER),
        ("1e300", None),
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_and_never_stops_us_for_long(
    value: str | None, wait: timedelta | None
) -> None:
    assert read_retry_after(value, now=NOW) == wait


# ---------------------------------------------------------------- no answer at all


@pytest.mark.parametrize(
    "failure",
    [
        requests.exceptions.ConnectTimeout,
        requests.exceptions.ReadTimeout,
        requests.exceptions.ConnectionError,
        requests.exceptions.SSLError,
        requests.exceptions.ProxyError,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
        requests.exceptions.TooManyRedirects,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whatever_breaks_on_the_way_is_temporary_and_shows_nothing(
    bench: Bench, web: RequestsMock, failure: type[Exception], method: str
) -> None:
    secret = secrets.token_hex(8)
    web.add(method, URL, body=failure(f"Max retries exceeded with url: /api/tickets?token={secret}"))
    with pytest.raises(TemporaryError) as told:
        bench.http.call(
            method, f"{URL}?token={secret}", headers={"Authorization": f"Bearer {secret}"}, form={"secret": secret}
        )
    assert secret not in shown(told.value)
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    assert len(web.calls) == 1 or method == "GET"


@contextmanager
def a_server(*, answer: bytes, hold: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A socket on this machine that reads each request whole, sends `answer`, and cuts the connection."""
    got: list[bytes] = []
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                got.append(connection.recv(65536))
                if hold:
                    over.wait(30)
                elif answer:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"not HTTP at all\r\n\r\n",
    ],
)
def test_a_connection_that_is_cut_after_a_write_had_its_effect_is_temporary_and_sent_once(
    bench: Bench, answer: bytes
) -> None:
    with a_server(answer=answer) as (url, got):
        with pytest.raises(TemporaryError):
            bench.http.call("POST", url, json={"note": "x"})
        assert len(got) == 1


def test_a_server_that_never_answers_is_waited_for_as_long_as_the_limit_says() -> None:
    bench = Bench(timeout=timedelta(seconds=0.1))
    with a_server(answer=b"", hold=True) as (url, got):
        with pytest.raises(TemporaryError, match=r"within 0\.1 s"):
            bench.http.call("POST", url)
        assert len(got) == 1


def test_a_port_where_nobody_listens_is_temporary(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TemporaryError, match="cannot be reached"):
        bench.http.call("GET", f"http://127.0.0.1:{port}")


# ---------------------------------------------------------------- what is never let in or out


def test_cookies_are_neither_kept_nor_sent(bench: Bench, web: RequestsMock) -> None:
    web.get(URL, json={}, headers={"Set-Cookie": "session=abc; Path=/"})
    for _ in range(3):
        bench.http.call("GET", URL)
    assert all("Cookie" not in call.request.headers for call in web.calls)


def test_nothing_of_the_environment_reaches_a_call(
    web: RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine psa.example.com login eve password x\n", encoding="utf-8")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(home / "authorities.pem"))
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    web.get(URL, json={})
    Bench().http.call("GET", URL)
    assert "Authorization" not in web.calls[0].request.headers
    (sent,) = how_sent(web)
    assert not sent["proxies"]
    assert sent["verify"] is True


def test_the_bundle_and_the_proxy_of_the_configuration_are_used_for_each_call(
    web: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/somewhere/else.pem")
    bench = Bench(ca_bundle="/ours.pem", proxy="http://proxy.example.com:3128", timeout=timedelta(seconds=7))
    web.get(URL, json={})
    bench.http.call("GET", URL)
    bench.http.call("GET", URL, timeout=timedelta(seconds=3))
    first, second = how_sent(web)
    assert first["verify"] == "/ours.pem"
    assert first["proxies"]["https"] == "http://proxy.example.com:3128"
    assert (first["timeout"], second["timeout"]) == (7, 3)


@pytest.mark.parametrize("status", [200, 401, 500])
def test_an_answer_of_the_sandbox_is_refused_in_production(web: RequestsMock, status: int) -> None:
    web.get(URL, status=status, json={}, headers={"X-Sandbox": "1"})
    with pytest.raises(ConfigError, match="is the sandbox"):
        Bench().http.call("GET", URL, expect=(200, 401, 500))
    assert len(web.calls) == 1
    assert Bench(refuse_sandbox=False).http.call("GET", URL, expect=(200, 401, 500)).status == status


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 422, 429, 500])
def test_no_failure_shows_a_query_a_header_or_a_body(bench: Bench, web: RequestsMock, status: int) -> None:
    secret = secrets.token_hex(8)
    web.post(URL, status=status, json={"error": secret}, headers={"X-Secret": secret, "Location": f"/{secret}"})
    with pytest.raises(ConnectorError) as failure:
        bench.http.call(
            "POST",
            f"{URL}?token={secret}",
            params={"password": secret},
            headers={"Authorization": f"Bearer {secret}"},
            json={"password": secret},
        )
    assert secret not in shown(failure.value)
    assert "POST https://psa.example.com/api/tickets" in str(failure.value)


def test_credentials_in_an_address_do_not_show(bench: Bench, web: RequestsMock) -> None:
    secret = secrets.token_hex(8)
    web.get("https://psa.example.com/x", status=500)
    with pytest.raises(TemporaryError) as failure:
        bench.http.call("GET", f"https://eve:{secret}@psa.example.com/x")
    assert secret not in shown(failure.value)


def test_an_answer_does_not_show_its_body() -> None:
    secret = secrets.token_hex(8)
    assert secret not in repr(Answer(status=200, headers={}, body=secret, system="HaloPSA", where="GET x"))


# ---------------------------------------------------------------- threads


def test_each_thread_has_connections_of_its_own(bench: Bench) -> None:
    sessions: list[requests.Session] = []
    threads = [threading.Thread(target=lambda: sessions.append(bench.http._session)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(session) for session in sessions}) == 3
    assert bench.http._session is bench.http._session, "and keeps them"


# ---------------------------------------------------------------- the pace


class Walk:
    """Monotonic seconds that only go on when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, length: float) -> None:
        assert length > 0
        self.seconds += length


def test_calls_up_to_the_limit_go_at_once_and_the_next_waits_its_turn() -> None:
    walk = Walk()
    pace = Pace(5, timedelta(seconds=10), now=walk.now, sleep=walk.sleep)
    turns = []
    for _ in range(12):
        pace.take_turn()
        turns.append(walk.seconds - 100)
    assert turns == [0] * 5 + [10] * 5 + [20] * 2


def test_no_window_ever_holds_more_calls_than_the_limit() -> None:
    walk = Walk()
    pace = Pace(3, timedelta(seconds=10), now=walk.now, sleep=walk.sleep)
    turns = []
    for pause in (0, 4, 0, 0, 5, 0, 0, 1, 0, 30, 0, 0, 0):
        walk.seconds += pause
        pace.take_turn()
        turns.append(walk.seconds)
    for turn in turns:
        assert sum(1 for other in turns if turn <= other < turn + 10) <= 3


def test_after_a_rest_nobody_waits() -> None:
    walk = Walk()
    pace = Pace(2, timedelta(seconds=10), now=walk.now, sleep=walk.sleep)
    for _ in range(2):
        pace.take_turn()
    walk.seconds += 10
    before = walk.seconds
    pace.take_turn()
    assert walk.seconds == before


def test_threads_that_come_at_once_each_get_a_turn_of_their_own() -> None:
    waits: list[float] = []
    pace = Pace(2, timedelta(seconds=10), now=lambda: 0.0, sleep=waits.append)
    threads = [threading.Thread(target=pace.take_turn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [10, 10, 20, 20, 30, 30]


def test_what_is_not_worth_a_wait_takes_a_turn_only_when_one_is_free() -> None:
    seconds = [0.0]
    pace = Pace(2, timedelta(seconds=10), now=lambda: seconds[0], sleep=lambda _: pytest.fail("nobody waits"))
    assert pace.try_turn()
    pace.take_turn()
    assert not pace.try_turn()
    assert not pace.try_turn(), "and a refusal takes no turn"
    seconds[0] = 10.0
    assert pace.try_turn()
    assert pace.try_turn()
    assert not pace.try_turn()
