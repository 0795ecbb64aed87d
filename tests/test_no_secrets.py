"""No secret comes to rest: what Sentry is told, what recordings hold, and the search itself.

Whole cases by real processes: `tests/e2e/test_no_secrets.py`.
"""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sentry_sdk
import structlog
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from connector.core.secret import Secret
from connector.passwords import new_password
from connector.telemetry import report, start_logging, start_sentry
from tests.canary import Canary, files_in, leaks, shapes
from tests.fakes.world import World

TESTS = Path(__file__).parent
CASSETTES = sorted(path for folder in TESTS.rglob("cassettes") for path in folder.rglob("*") if path.is_file())
DSN = "https://public@sentry.example.com/1"

# ---------------------------------------------------------------- Sentry


class Caught(Transport):
    """Takes what would go to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.envelopes: list[bytes] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope.serialize())

    @property
    def everything(self) -> bytes:
        return b"\n".join(self.envelopes)


@pytest.fixture
def caught() -> Iterator[Caught]:
    yield Caught()
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def bug_in_the_middle_of_a_delivery(where: str) -> tuple[BaseException, list[Canary]]:
    """A defect right where password and link are at hand in the clear, in local variables of several frames."""
    world = World()
    seen: list[Canary] = []

    def password_at_hand(call: str, moment: str) -> None:
        if (call, moment) == ("set_password", "before"):
            in_the_clear = world.passwords[-1].reveal()
            raise ValueError(f"a defect with a password of {len(in_the_clear)} characters")

    def link_at_hand(call: str, moment: str) -> None:
        if (call, moment) == ("send", "before") and world.letters.links:
            [in_the_clear] = [link.reveal() for link in world.letters.links.values()]
            seen.append(Canary("the link", in_the_clear))
            raise ValueError(f"a defect with a link of {len(in_the_clear)} characters")

    world.directory.on_call = password_at_hand if where == "directory" else None
    world.mailer.on_call = link_at_hand if where == "mailer" else None
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert world.bugs, "the defect was met"
    seen += [Canary("a password", password.reveal()) for password in world.passwords]
    return world.bugs[0], seen


@pytest.mark.parametrize("where", ["directory", "mailer"])
def test_a_defect_in_the_middle_of_a_delivery_tells_sentry_no_secret(caught: Caught, where: str) -> None:
    start_sentry(Secret(DSN), environment="production", release="test", transport=caught)
    bug, canaries = bug_in_the_middle_of_a_delivery(where)
    report(bug, state="approved", psa="halo")
    assert b"a defect with" in caught.everything, "the report arrived"
    assert b'"_deliver_behind"' in caught.everything, "with its way through the code"
    assert b'"vars"' not in caught.everything, "no local variables"
    assert leaks(canaries, {"Sentry": caught.everything}) == []
    assert shapes({"Sentry": caught.everything}) == []


def test_with_sentrys_own_defaults_the_same_defect_would_show_the_password(caught: Caught) -> None:
    """The proof that the test above can fail."""
    sentry_sdk.init(dsn=DSN, transport=caught, default_integrations=False)
    bug, canaries = bug_in_the_middle_of_a_delivery("directory")
    sentry_sdk.capture_exception(bug)
    assert leaks(canaries, {"Sentry": caught.everything}) != []


def test_a_link_in_the_message_of_a_defect_is_struck_out_for_sentry(caught: Caught) -> None:
    start_sentry(Secret(DSN), environment="production", release="test", transport=caught)
    token = secrets.token_urlsafe(32)
    try:
        raise RuntimeError(f"cannot open https://links.example.com/s/{token}")
    except RuntimeError as bug:
        report(bug)
    assert b"cannot open" in caught.everything
    assert leaks([Canary("a link's token", token)], {"Sentry": caught.everything}) == []


def test_nothing_of_a_failed_calls_address_or_headers_reaches_sentry_as_a_breadcrumb(caught: Caught) -> None:
    start_sentry(Secret(DSN), environment="production", release="test", transport=caught)
    token = secrets.token_urlsafe(32)
    sentry_sdk.add_breadcrumb(category="http", data={"url": f"https://links.example.com/s/{token}"})
    logging.getLogger("urllib3").error("GET /s/%s", token)
    report(RuntimeError("a defect"))
    assert b"a defect" in caught.everything
    assert leaks([Canary("a link's token", token)], {"Sentry": caught.everything}) == []


# ---------------------------------------------------------------- logs


@pytest.fixture
def logged() -> Iterator[Callable[[str], io.StringIO]]:
    """Starts logging at level debug in a format, as the program does; the handlers are put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in list(logging.root.manager.loggerDict)}

    def start(format: str) -> io.StringIO:
        stream = io.StringIO()
        start_logging(level="debug", format=format, stream=stream)
        return stream

    yield start
    root.handlers[:], root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_logged_traceback_shows_no_local_variables(logged: Callable[[str], io.StringIO], format: str) -> None:
    stream = logged(format)
    bug, canaries = bug_in_the_middle_of_a_delivery("directory")
    structlog.get_logger("test").error("bug", exc_info=bug)
    logging.getLogger("some.library").error("bug", exc_info=bug)
    said = stream.getvalue()
    assert said.count("a defect with a password") >= 2, "both tracebacks are there"
    assert leaks(canaries, {"the log": said.encode()}) == []


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_is_logged_by_mistake_is_struck_out(logged: Callable[[str], io.StringIO], format: str) -> None:
    stream = logged(format)
    password, token, bearer = new_password(), secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    log = structlog.get_logger("test")
    log.debug("mistake", candidate=password, password=password.reveal(), link=f"https://links.example.com/s/{token}")
    log.debug("mistake", headers={"Authorization": f"Bearer {bearer}"}, said=[f"Bearer {bearer}"])
    logging.getLogger("some.library").debug("calling https://links.example.com/s/%s", token)
    logging.getLogger("some.library").debug("sent %r and %s", password, password)
    canaries = [Canary("password", password.reveal()), Canary("token", token), Canary("bearer", bearer)]
    assert stream.getvalue().count("***") >= 7
    assert leaks(canaries, {"the log": stream.getvalue().encode()}) == []


# ---------------------------------------------------------------- recordings


def values_in(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in parsed JSON with the name that it stands under."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from values_in(value, str(name))
    elif isinstance(content, list):
        for value in content:
            yield from values_in(value, key)
    elif isinstance(content, str):
        yield key, content


SECRET_NAMES = ("authorization", "cookie", "set-cookie", "password", "newpassword", "client_secret", "access_token",
                "refresh_token", "token", "secret", "api-key", "x-api-key")  # fmt: skip


def test_there_are_recordings_to_look_through() -> None:
    assert len(CASSETTES) > 20


@pytest.mark.parametrize("cassette", CASSETTES, ids=lambda path: path.stem)
def test_no_recording_holds_anything_that_looks_like_a_secret(cassette: Path) -> None:
    text = cassette.read_text(encoding="utf-8")
    named = [name for name, value in values_in(json.loads(text)) if name.casefold() in SECRET_NAMES and value]
    assert named == []
    assert shapes({cassette.name: text.encode()}) == []


@pytest.mark.parametrize(
    "planted",
    [
        lambda: {"Authorization": ["token " + secrets.token_hex(16)]},
        lambda: {"body": {"string": json.dumps({"note": f"https://links.example.com/s/{secrets.token_urlsafe(32)}"})}},
        lambda: {"body": {"string": f"1-14-{secrets.token_hex(16)}"}},
        lambda: {"headers": {"x": [f"Bearer {secrets.token_urlsafe(24)}"]}},
        lambda: {"Set-Cookie": [f"RT_SID={secrets.token_hex(16)}"]},
    ],
)
def test_a_secret_planted_into_a_recording_is_found(planted: Callable[[], Any], tmp_path: Path) -> None:
    path = tmp_path / CASSETTES[0].name
    content = json.loads(CASSETTES[0].read_text(encoding="utf-8"))
    content["interactions"][0]["response"]["planted"] = planted()
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AssertionError):
        test_no_recording_holds_anything_that_looks_like_a_secret(path)


# ---------------------------------------------------------------- the search itself

FORMS: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda value: f"x {value} y".encode(),
    "in other letters": lambda value: value.lower().encode(),
    "UTF-16": lambda value: value.encode("utf-16-le"),
    "hex": lambda value: value.encode().hex().encode(),
    "capital hex": lambda value: value.encode().hex().upper().encode(),
    "in an address": lambda value: quote(value).encode(),
    "in HTML": lambda value: html.escape(f"<b>{value}</b>").encode(),
    "in JSON": lambda value: json.dumps({"a": value}).encode(),
    "base64 alone": lambda value: base64.b64encode(value.encode()),
    "base64 behind one": lambda value: base64.b64encode(b"u" + value.encode()),
    "base64 behind two and before more": lambda value: base64.b64encode(b"u:" + value.encode() + b"more"),
    "base64 of a sentence": lambda value: base64.b64encode(f"dana@contoso.com:{value}".encode()),
    "URL-safe base64": lambda value: base64.urlsafe_b64encode(f"???>>>{value}".encode()).rstrip(b"="),
    "cut off": lambda value: value[: len(value) * 2 // 3].encode(),
    "without its beginning": lambda value: value[len(value) // 3 :].encode(),
    "backwards": lambda value: value.encode()[::-1],
}
MAKERS: dict[str, Callable[[], str]] = {
    "a passphrase": lambda: new_password().reveal(),
    "a token": lambda: secrets.token_urlsafe(32),
    "awkward characters": lambda: f"ü&<{secrets.token_urlsafe(16)}>\"'+/=",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("maker", MAKERS)
def test_a_secret_is_found_in_every_form(form: str, maker: str) -> None:
    canary = Canary("it", MAKERS[maker]())
    noise = secrets.token_bytes(300)
    planted = noise + FORMS[form](canary.value) + noise
    assert leaks([canary], {"noise": noise}) == []
    assert len(leaks([canary], {"noise": noise, "planted": planted})) == 1


def test_a_find_names_the_place_and_never_the_secret() -> None:
    canary = Canary("the password", new_password().reveal())
    [leak] = leaks([canary], {"connector.log": canary.value.encode().hex().encode()})
    assert leak == "the password (as hex) is in connector.log"
    assert canary.value not in repr(canary)


def test_what_is_too_short_to_look_for_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Canary("a word", "short")


def test_a_database_in_use_is_read_with_its_write_ahead_log_and_left_alone(tmp_path: Path) -> None:
    canary = Canary("it", secrets.token_urlsafe(32))
    with closing(sqlite3.connect(tmp_path / "some.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE t (a)")
        # Longer than a page: the raw file holds it in pieces.
        connection.execute("INSERT INTO t VALUES (?)", ("x" * 4090 + canary.value + "x" * 4096,))
        found = files_in(tmp_path)
        assert {"some.db", "some.db-wal", "some.db, row by row"} <= set(found)
        assert any("row by row" in leak for leak in leaks([canary], found))
        connection.execute("INSERT INTO t VALUES (1)")  # nobody holds a lock
    assert any("row by row" in leak for leak in leaks([canary], files_in(tmp_path))), "and when it is closed"


def test_files_are_left_out_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.secret").write_text("given")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "b.txt").write_text("left behind")
    assert files_in(tmp_path, without=("*.secret",)) == {"tmp/b.txt": b"left behind"}
