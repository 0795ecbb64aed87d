"""Logs and error reports: what they say, and that no secret gets into them."""

from __future__ import annotations

import io
import json
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sentry_sdk
import structlog
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from connector.core.secret import Secret
from connector.http import Http
from connector.telemetry import LOUD_LIBRARIES, report, scrub, start_logging, start_sentry
from connector.telemetry.metrics import BUGS

MASK = Secret.MASK


def a_secret() -> str:
    return secrets.token_urlsafe(24)


# ---------------------------------------------------------------- scrubbing


@pytest.mark.parametrize(
    "key",
    [
        "password", "new_password", "passwd", "pass", "passphrase", "secret", "client_secret", "token", "access_token",
        "refresh_token_of_graph", "authorization", "Authorisation", "cookie", "Set-Cookie", "api_key", "apikey",
        "private_key", "pepper", "sealed", "credential", "credentials", "url", "link_url",
        "API-Key",
    ],
)  # fmt: skip
def test_a_value_under_a_telling_key_is_masked_whatever_it_is(key: str) -> None:
    hidden = a_secret()
    for value in (hidden, [hidden], {"x": hidden}, 12345):
        assert scrub({key: value}) == {key: MASK}
        assert scrub({"deeper": [{key: value}]}) == {"deeper": [{key: MASK}]}


@pytest.mark.parametrize(
    "key", ["passes", "case", "ticket", "attempt", "error", "state", "views_left", "passed", "urls_seen", "psa"]
)
def test_a_value_under_a_harmless_key_stays(key: str) -> None:
    assert scrub({key: "value"}) == {key: "value"}


@pytest.mark.parametrize(
    "form",
    [
        "https://links.example.com/s/{}",
        "opened /s/{} just now",
        "https://links.example.com/n/{}",
        "https://links.example.com/s/lnk_0123456789abcdef01234567#{}",
        "GET /s/lnk_0123456789abcdef01234567%23{} 404",
        "GET /s/lnk_0123456789abcdef01234567%2523{} 404",
        "https://push.example.com/p/{}/r",
        "GET /api/v2/pushes/{}/audit",
        "https://secrets.example.com/secret/{}",
        "GET /api/v2/receipt/{}",
        "POST /api/v1/private/{}/burn",
        "Authorization: Bearer {}",
        "authorization: basic {}",
        "Token {}",
        "refused eyJhbGciOiJub25l.{}.{}",
    ],
)
@pytest.mark.parametrize("key", ["event", "error", "exception"])
def test_what_looks_like_a_secret_is_masked_under_any_key(form: str, key: str) -> None:
    hidden = a_secret()
    text = form.format(hidden, hidden)
    for value in (text, [text], {"inner": text}, (text,), {text}):
        assert hidden not in repr(scrub({key: value}))


def test_what_does_not_look_like_a_secret_stays_word_for_word() -> None:
    text = (
        "HaloPSA answered 503 to GET https://msp.example.com/api/tickets. It is tried again; token of 3 letters: abc."
    )
    assert scrub({"error": text, "count": 3, "ok": True, "none": None}) == {
        "error": text, "count": 3, "ok": True, "none": None,
    }  # fmt: skip


def test_a_secret_is_masked_wherever_it_lies() -> None:
    assert scrub([Secret("x"), {"a": (Secret("y"),)}]) == [MASK, {"a": [MASK]}]


def test_something_that_contains_itself_comes_to_an_end() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "…" in repr(scrub(endless))


def test_what_is_scrubbed_is_not_changed() -> None:
    event = {"password": "x", "inner": {"token": "y"}}
    scrub(event)
    assert event == {"password": "x", "inner": {"token": "y"}}


# ---------------------------------------------------------------- logs


@dataclass(frozen=True)
class Log:
    """A started log and what was written to it."""

    stream: io.StringIO
    format: str

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def start() -> Iterator[Callable[..., Log]]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LOUD_LIBRARIES}

    def started(format: str = "json", level: str = "debug") -> Log:
        log = Log(io.StringIO(), format)
        start_logging(level=level, format=format, stream=log.stream)
        return log

    yield started
    root.handlers[:] = before
    root.setLevel(level)
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)
    structlog.reset_defaults()


def raises_with_a_password_in_its_hands(hidden: str) -> None:
    password = hidden
    holder = {"of": password, "and": [password]}
    raise RuntimeError(f"broken after {len(holder)} steps")


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("library", [False, True])
def test_a_traceback_shows_where_and_no_local_variable(start: Callable[..., Log], format: str, library: bool) -> None:
    log, hidden = start(format), a_secret()
    try:
        raises_with_a_password_in_its_hands(hidden)
    except RuntimeError:
        if library:
            logging.getLogger("uvicorn.error").exception("bug")
        else:
            structlog.get_logger("x").error("bug", exc_info=True)
    assert "broken after 2 steps" in log.text
    assert "raises_with_a_password_in_its_hands" in log.text
    assert hidden not in log.text


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_an_exception_says_is_scrubbed_too(start: Callable[..., Log], format: str) -> None:
    log, hidden = start(format), a_secret()
    try:
        raise ValueError(f"cannot open https://links.example.com/s/{hidden}")
    except ValueError:
        structlog.get_logger("x").error("bug", exc_info=True)
        logging.getLogger("alembic").exception("bug")
    assert "cannot open" in log.text
    assert hidden not in log.text


@pytest.mark.parametrize("format", ["json", "console"])
def test_fields_are_scrubbed(start: Callable[..., Log], format: str) -> None:
    log, hidden = start(format), a_secret()
    structlog.get_logger("x").info("sent", password=hidden, link=Secret(hidden), inner={"token": hidden}, to="rita")
    logging.getLogger("uvicorn.access").warning("GET /s/%s", hidden)
    assert "rita" in log.text
    assert "sent" in log.text
    assert "GET /s/***" in log.text
    assert hidden not in log.text


@pytest.mark.parametrize("format", ["json", "console"])
def test_an_object_is_scrubbed_by_what_it_would_show(start: Callable[..., Log], format: str) -> None:
    log, hidden = start(format), a_secret()
    structlog.get_logger("x").info("failed", why=ValueError(f"cannot open /s/{hidden}"))
    assert "cannot open" in log.text
    assert hidden not in log.text


def test_for_machines_each_event_is_one_line_of_json_with_time_and_level(start: Callable[..., Log]) -> None:
    log = start("json")
    structlog.get_logger("x").info("link_sent", case="case-1", lines="a\nb")
    logging.getLogger("sqlalchemy").warning("slow")
    first, second = log.lines()
    assert (first["event"], first["case"], first["level"], first["lines"]) == ("link_sent", "case-1", "info", "a\nb")
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("slow", "warning")


def test_for_people_an_event_is_a_line_of_words(start: Callable[..., Log]) -> None:
    log = start("console")
    structlog.get_logger("x").info("link_sent", case="case-1")
    assert "link_sent" in log.text
    assert "case=case-1" in log.text
    assert "{" not in log.text


def test_a_log_that_is_no_terminal_is_for_machines(start: Callable[..., Log]) -> None:
    log = start("auto")
    structlog.get_logger("x").info("link_sent")
    assert log.lines()[0]["event"] == "link_sent"


def test_a_level_is_kept(start: Callable[..., Log]) -> None:
    log = start(level="warning")
    structlog.get_logger("x").info("quiet")
    structlog.get_logger("x").warning("loud")
    assert [line["event"] for line in log.lines()] == ["loud"]


@pytest.mark.parametrize("name", LOUD_LIBRARIES)
def test_libraries_that_write_addresses_when_debugging_are_kept_quiet(start: Callable[..., Log], name: str) -> None:
    log = start(level="debug")
    logging.getLogger(name).debug("GET https://example.com/?token=x")
    logging.getLogger(f"{name}.inner").info("connected")
    assert log.text == ""


def test_an_answer_with_a_broken_header_shows_no_address(start: Callable[..., Log]) -> None:
    log, hidden = start(level="debug"), a_secret()
    answer = b"HTTP/1.1 200 OK\r\nX-Broken by a proxy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        http = Http(system="HaloPSA", scope="psa.halo")
        http.call("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/hidden/{hidden}")
        thread.join()
    assert hidden not in log.text


def test_starting_again_replaces_the_log(start: Callable[..., Log]) -> None:
    first, second = start(), start()
    structlog.get_logger("x").info("once")
    assert first.text == ""
    assert len(second.lines()) == 1


# ---------------------------------------------------------------- reports


class Post(Transport):
    """Keeps what Sentry would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    @property
    def events(self) -> list[dict[str, Any]]:
        found = [envelope.get_event() for envelope in self.envelopes]
        return [dict(event) for event in found if event is not None]


@pytest.fixture
def post() -> Iterator[Post]:
    post = Post()
    start_sentry(
        Secret("https://public@sentry.example.com/1"), environment="production", release="connector@1", transport=post
    )
    yield post
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def test_a_report_names_the_bug_the_release_and_the_tags(post: Post) -> None:
    try:
        raises_with_a_password_in_its_hands(a_secret())
    except RuntimeError as bug:
        report(bug, case="case-1", state="approved")
    (event,) = post.events
    (exception,) = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("RuntimeError", "broken after 2 steps")
    assert event["tags"] == {"case": "case-1", "state": "approved"}
    assert (event["environment"], event["release"]) == ("production", "connector@1")


def test_a_report_holds_no_local_variables_no_source_and_no_name_of_the_machine(post: Post) -> None:
    hidden = a_secret()
    try:
        raises_with_a_password_in_its_hands(hidden)
    except RuntimeError as bug:
        report(bug)
    (event,) = post.events
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert any(frame["function"] == "raises_with_a_password_in_its_hands" for frame in frames)
    for frame in frames:
        assert not {"vars", "context_line", "pre_context", "post_context"} & set(frame)
    assert not {"server_name", "request", "extra", "user"} & set(event)
    assert hidden not in repr(post.envelopes[0].serialize())


def test_a_report_is_scrubbed_as_a_whole(post: Post) -> None:
    hidden = a_secret()
    try:
        try:
            raise ValueError(f"Bearer {hidden}")
        except ValueError as first:
            raise RuntimeError(f"cannot open https://links.example.com/s/{hidden}") from first
    except RuntimeError as bug:
        report(bug, token=hidden, place=f"/s/{hidden}")
    (event,) = post.events
    assert len(event["exception"]["values"]) == 2, "the cause is told too"
    assert hidden not in repr(post.envelopes[0].serialize())


def test_a_report_carries_nothing_of_what_was_logged_or_done_before(post: Post) -> None:
    hidden = a_secret()
    logging.getLogger("x").warning("made %s", hidden)
    sentry_sdk.add_breadcrumb(message=hidden)
    report(RuntimeError("bug"))
    (event,) = post.events
    assert not event.get("breadcrumbs", {}).get("values")
    assert hidden not in repr(post.envelopes[0].serialize())


def test_tags_of_one_report_are_not_those_of_the_next(post: Post) -> None:
    report(RuntimeError("one"), case="case-1")
    report(RuntimeError("two"))
    assert [event.get("tags") or {} for event in post.events] == [{"case": "case-1"}, {}]


def test_what_is_only_logged_is_not_reported(post: Post) -> None:
    logging.getLogger("x").error("something")
    assert post.events == []


def test_without_sentry_a_bug_is_counted_all_the_same() -> None:
    before = BUGS._value.get()
    report(RuntimeError("bug"))
    assert BUGS._value.get() == before + 1


def test_a_library_that_writes_past_us_is_brought_back(start: Callable[..., Log]) -> None:
    own = io.StringIO()
    library = logging.getLogger("uvicorn.error")
    library.addHandler(logging.StreamHandler(own))
    library.propagate = False
    library.setLevel(logging.CRITICAL)
    log, hidden = start("json"), a_secret()
    library.warning("GET /s/%s", hidden)
    assert "GET /s/***" in log.text
    assert own.getvalue() == ""
