"""What a visitor, a key, a receiver, or whoever writes the database without the pepper can do to the link service."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import update
from sqlalchemy.engine import make_url
from starlette.requests import Request
from starlette.types import Message

from connector.errors import ConfigError
from connector.secretlink.agent import name_agent
from connector.secretlink.seal import Pepper, _derive, check_of
from connector.secretlink.service.answers import BodyTooSlow, read_body
from connector.secretlink.service.caretaker import Caretaker
from connector.secretlink.service.news import News
from connector.secretlink.service.options import WebhookOptions
from connector.secretlink.service.pages.challenge import Challenges
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.service.store.links import Refused, Revealed
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.webhooks import DELIVERED, Webhooks
from connector.store import exclusive
from tests.secretlink.conftest import (
    _links_postgres,
    api_key,
    app,
    browser,
    clock,
    database,
    links_postgres,
    pepper,
    vault,
)
from tests.secretlink.support import (
    Answer,
    Browser,
    FakeClock,
    encode,
    make_alarm,
    make_link,
    new_nonce,
    open_page,
    open_vault,
)
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds
from tests.store.conftest import postgres_server

__all__ = [
    "_links_postgres",
    "api_key",
    "app",
    "browser",
    "clock",
    "database",
    "links_postgres",
    "pepper",
    "postgres_server",
    "vault",
]

FORM = {"content-type": "application/x-www-form-urlencoded"}


def send_form(browser: Browser, path: str, **fields: str) -> Answer:
    return browser.send("POST", path, body=urlencode(fields).encode(), headers=FORM)


# ---------------------------------------------------------------- visitors


def test_a_form_cannot_use_a_view_of_a_link_that_only_a_browser_can_open(browser: Browser) -> None:
    link = make_link(views=2)
    browser.create(link, mode="fragment")
    path = f"/s/{link.terms.link_id}"
    challenge = browser.get(path).text.split('data-challenge="', 1)[1].split('"', 1)[0]
    browser.clock.advance(seconds=2)
    answer = send_form(
        browser, f"{path}/reveal", challenge=challenge, nonce=new_nonce(), lookup=encode(link.lookup), word="SHOW"
    )
    assert answer.status == 403
    assert browser.views_of(link) == 0, "counted, and shown to nobody"


def test_what_has_to_be_typed_is_not_to_be_read_on_the_page_that_reports_the_link(browser: Browser) -> None:
    link, number = make_link(views=2), f"INC{secrets.randbelow(10**9):09}"
    assert browser.create(link, ticket=number, human_check=encode(check_of(link.key, number))).status == 201
    step = browser.step_of(link)
    wish = {"challenge": step, "nonce": new_nonce(), "answer": number}
    assert browser.post_json(f"{link.path}/reveal", wish).status == 200
    for path in (link.path, f"{link.path}/not-me"):
        page = browser.get(path)
        assert page.status == 200
        assert number not in page.text


# ---------------------------------------------------------------- keys


def test_a_password_that_is_no_text_is_refused_like_any_damaged_one(vault: Vault, clock: FakeClock) -> None:
    link = make_link(now=clock.now)
    nonce = secrets.token_bytes(12)
    padded = (3).to_bytes(2, "big") + b"\xff\xfe\xfd" + bytes(59)
    key = _derive(link.key, f"secretlink/1 enc {link.terms.link_id}")
    vault.create(link.to_new_link(sealed=nonce + AESGCM(key).encrypt(nonce, padded, link.terms.associated_data())))
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer.reason == "damaged"
    assert kinds(vault) == ["created", "refused"]


# ---------------------------------------------------------------- whoever writes the database


def change(vault: Vault, table: str, row_id: str, **values: object) -> None:
    which = tables.metadata.tables[table]
    with vault.engine.begin() as connection:
        assert connection.execute(update(which).where(which.c.id == row_id).values(values)).rowcount == 1


def test_who_writes_the_database_cannot_aim_an_alarm_at_somebody_else(vault: Vault, clock: FakeClock) -> None:
    alarm, _ = make_alarm(clock.now, about="case-0011")
    vault.arm(alarm)
    change(vault, "alarm", alarm.id, about="case-9999")
    vault.raise_alarm(alarm.lookup, visitor=SOMEBODY)
    assert [event.ref for event in vault.events(after=0, limit=10).events] == []


def test_who_writes_the_database_cannot_take_the_typed_check_away(vault: Vault, clock: FakeClock) -> None:
    link = make_link(now=clock.now)
    vault.create(link.to_new_link(check=check_of(link.key, "4242")))
    change(vault, "link", link.terms.link_id, check_mac=None)
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer.reason == "unknown"
    assert [event.kind for event in vault.events(after=0, limit=10).events] == ["created"]


def test_who_writes_the_database_cannot_have_a_link_speak_for_another_one(vault: Vault, clock: FakeClock) -> None:
    link = make_link(now=clock.now)
    vault.create(link.to_new_link())
    change(vault, "link", link.terms.link_id, display_name="Somebody Else")
    assert isinstance(claim(vault, link), Refused)


def test_a_blanked_history_of_a_pepper_that_is_gone_is_unchecked_and_not_broken(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    before = Vault(database, Pepper(pepper), clock=clock)
    claim(before, create(before, clock))
    clock.advance(days=2)
    assert not before.blank(up_to=before.newest_event())
    before.expire_due()
    before.close()
    after = Vault(database, Peppers(Pepper(secrets.token_bytes(32))), clock=clock)
    report = after.verify_chain()
    assert (report.broken_at, report.unchecked) == (None, 3)
    after.close()


# ---------------------------------------------------------------- beside the service


def test_a_backup_that_reads_the_database_does_not_make_visitors_wait(vault: Vault, clock: FakeClock) -> None:
    create(vault, clock)
    reader = sqlite3.connect(make_url(str(vault.engine.url)).database or "", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM link").fetchall()
    create(vault, clock)
    began = time.monotonic()
    vault.checkpoint()
    assert time.monotonic() - began < 2
    reader.close()


@pytest.fixture
def endless() -> Iterator[tuple[str, list[int]]]:
    """A receiver whose answer has no end; and how much of it was taken."""
    taken: list[int] = [0]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(5)
            connection.recv(65536)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
                while taken[0] < 200_000_000:
                    taken[0] += connection.send(bytes(1_000_000))
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/", taken
    listener.close()
    thread.join()


def test_a_receiver_without_an_end_does_not_fill_the_memory(
    vault: Vault, clock: FakeClock, endless: tuple[str, list[int]]
) -> None:
    url, taken = endless
    create(vault, clock)
    webhooks = Webhooks(
        WebhookOptions(url, (secrets.token_bytes(32),), frozenset({"created"})), vault, News(), clock=clock
    )
    outcome = webhooks._deliver(vault.events(after=0, limit=1).events[0])
    assert taken[0] < 50_000_000
    assert outcome is DELIVERED


def test_a_body_that_never_comes_gives_its_connection_back() -> None:
    async def receive() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError("unreachable")

    async def ask() -> None:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"4000")]}
        await asyncio.wait_for(read_body(Request(scope, receive), within=timedelta(milliseconds=20)), 10)

    with pytest.raises(BodyTooSlow):
        asyncio.run(ask())


def test_another_name_of_a_database_is_no_way_around_its_lock(tmp_path: Path) -> None:
    (tmp_path / "links.db").touch()
    (tmp_path / "current.db").symlink_to(tmp_path / "links.db")
    with (
        exclusive(f"sqlite:///{tmp_path / 'links.db'}"),
        pytest.raises(ConfigError, match="already works"),
        exclusive(f"sqlite:///{tmp_path / 'current.db'}"),
    ):
        pass


def test_no_address_is_kept_longer_because_a_link_before_it_lived_long(vault: Vault, clock: FakeClock) -> None:
    create(vault, clock, lifetime=timedelta(days=31))  # its first event stays while it lives
    claim(vault, create(vault, clock))
    caretaker = Caretaker(vault, clock=clock, retention=timedelta(days=2), timer=lambda: clock().timestamp())
    for _ in range(4 * 24):
        clock.advance(minutes=61)
        while caretaker.work() < timedelta(seconds=1):
            clock.advance(seconds=1)
    events = vault.events(after=0, limit=10).events
    assert "revealed" in [event.kind for event in events]
    assert [event.seq for event in events if event.ip or event.user_agent] == []


@pytest.mark.parametrize("mode", ["path", "fragment"])
@pytest.mark.parametrize("checked", [False, True])
def test_whatever_is_asked_in_whichever_way_counts_what_it_shows_and_nothing_else(
    browser: Browser, pepper: bytes, mode: str, checked: bool
) -> None:
    clock = browser.clock
    challenges = Challenges(Pepper(pepper).challenge_key, clock=clock)
    link, number = make_link(views=20, now=clock.now), f"{secrets.randbelow(10**9):09}"
    check = check_of(link.key, number)
    browser.create(link, mode=mode, human_check=encode(check) if checked else None, ticket="" if checked else number)
    token, link_id = link.token.reveal(), link.terms.link_id
    shown = 0
    for behind, form, step, lookup in itertools.product(
        (token, link_id, f"{link_id}%2523{token}", f"{link_id}%23{token}"), (False, True), (False, True), (False, True)
    ):
        challenge = challenges.for_page(link_id)
        clock.advance(seconds=1)
        if step:
            challenge = challenges.for_step(link_id, challenge) or ""
            clock.advance(seconds=1)
        fields = {
            "challenge": challenge,
            "nonce": new_nonce(),
            "word": "SHOW",
            "answer": number,
            "check": encode(check),
        }
        fields |= {"lookup": encode(link.lookup)} if lookup else {}
        for end in ("reveal", "step", "ended", "not-me/page", "not-me/step"):
            before = browser.views_of(link)
            path = f"/s/{behind}/{end}"
            answer = send_form(browser, path, **fields) if form else browser.post_json(path, fields)
            assert answer.status < 500, (end, behind == link_id, form, step, lookup)
            gave = link.password.reveal() in answer.text.replace('<span class="piece">', "").replace("</span>", "")
            gave = gave or '"sealed"' in answer.text
            assert browser.views_of(link) - before == gave, (end, behind == link_id, form, step, lookup)
            assert not checked or number not in answer.text
            shown += gave
    assert shown >= 3


def test_a_link_that_the_version_before_made_still_opens(vault: Vault, clock: FakeClock, pepper: bytes) -> None:
    link = make_link(now=clock.now)
    vault.create(link.to_new_link())
    content = link.to_new_link().canonical(form=1)
    before = hmac.new(Pepper(pepper).content_key, content, hashlib.sha256).digest()
    change(vault, "link", link.terms.link_id, content_mac=before, sealed_digest=None)
    assert isinstance(claim(vault, link), Revealed)
    change(vault, "link", link.terms.link_id, locale="de")
    assert isinstance(claim(vault, link), Refused), "it had no language"


@pytest.mark.parametrize("browser_name", ["Chrome/", "Edg/", "Version/1", "Firefox/"])
def test_no_browser_has_a_name_that_postgresql_would_not_take(
    links_postgres: str, clock: FakeClock, pepper: bytes, browser_name: str
) -> None:
    shared = open_vault(links_postgres, clock, pepper)
    link = create(shared, clock)
    user_agent = f"{browser_name}{'1' * 270} Safari/ Windows"
    visitor = Visitor(user_agent=user_agent, agent=name_agent(user_agent))
    open_page(shared, link.lookup, visitor)
    assert kinds(shared) == ["created", "page_opened"]
    shared.close()


def test_a_whole_line_of_addresses_guesses_no_faster_than_one(browser: Browser) -> None:
    guess = f"/s/{secrets.token_urlsafe(24)}"
    answers = [browser.get(guess, peer=f"2001:db8:1:2::{number:x}").status for number in range(1, 33)]
    assert answers == [404] * 30 + [429] * 2
    assert browser.get(guess, peer="2001:db8:1:3::1").status == 404, "the neighbours are somebody else"


def test_a_clock_that_is_set_back_does_not_make_an_old_click_fresh(vault: Vault, clock: FakeClock) -> None:
    link, nonce = create(vault, clock), new_nonce()
    clock.advance(minutes=50)
    assert isinstance(claim(vault, link, nonce), Revealed)
    clock.advance(minutes=-40)
    again = claim(vault, link, nonce)
    assert isinstance(again, Refused)
    assert again.reason == "repeated"
