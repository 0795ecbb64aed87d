"""Changing the pepper: what was made before goes on working, and what can no longer be read is said."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta

import pytest
import structlog.testing
from sqlalchemy import select, update

from connector.errors import ConfigError
from connector.secretlink.seal import Pepper, check_of
from connector.secretlink.service.options import LinkServiceOptions
from connector.secretlink.service.pages.challenge import Challenges
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.links import Conflict, Refused, Revealed
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.web import create_app
from tests.secretlink.support import Browser, FakeClock, make_alarm, make_link, new_nonce, options_for
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


def open_with(database: str, clock: FakeClock, *peppers: bytes) -> Vault:
    return Vault(database, Peppers(*map(Pepper, peppers)), clock=clock)


def test_links_and_alarms_of_the_old_pepper_go_on_under_the_new_one(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    before = open_with(database, clock, pepper)
    link = make_link(now=clock.now)
    new_link = link.to_new_link(check=check_of(link.key, "4242"))
    before.create(new_link)
    alarm, _ = make_alarm(clock.now)
    before.arm(alarm)
    before.close()
    after = open_with(database, clock, secrets.token_bytes(32), pepper)
    nonce = new_nonce()
    for counted in (True, False):
        shown = after.claim(
            link.lookup, token=link.key, check=check_of(link.key, "4242"), nonce=nonce, visitor=SOMEBODY
        )
        assert isinstance(shown, Revealed)
        assert (shown.password, shown.counted) == (link.password, counted)
    wrong = after.claim(link.lookup, token=link.key, check=check_of(link.key, "1"), nonce=nonce, visitor=SOMEBODY)
    assert isinstance(wrong, Refused)
    assert after.create(new_link)[1] is False, "a repeated create is still known as one"
    with pytest.raises(Conflict):
        after.create(make_link(now=clock.now).to_new_link(lookup=link.lookup))
    assert after.arm(alarm)[1] is False
    raised = after.raise_alarm(alarm.lookup, visitor=SOMEBODY)
    assert raised is not None
    assert raised.state == "raised"
    after.close()


def test_the_chain_holds_across_a_change_and_names_the_pepper_of_each_event(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    newer = secrets.token_bytes(32)
    before = open_with(database, clock, pepper)
    claim(before, create(before, clock))
    before.close()
    after = open_with(database, clock, newer, pepper)
    claim(after, create(after, clock))
    assert kinds(after) == ["created", "revealed", "created", "revealed"]
    report = after.verify_chain()
    assert (report.events, report.broken_at, report.unchecked) == (4, None, 0)
    with after.engine.connect() as connection:
        named = connection.execute(select(tables.event.c.pepper_id).order_by(tables.event.c.seq)).scalars().all()
    assert named == [Pepper(pepper).key_id] * 2 + [Pepper(newer).key_id] * 2
    # The name is a part of what is authenticated: an event cannot be passed off as one of another pepper.
    with after.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 3).values(pepper_id=Pepper(pepper).key_id))
    assert after.verify_chain().broken_at == 3
    after.close()


def test_without_the_old_pepper_its_events_are_unchecked_but_nothing_after_them_can_hide_so(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    newer = secrets.token_bytes(32)
    before = open_with(database, clock, pepper)
    claim(before, create(before, clock, views=1))
    before.close()
    rotated = open_with(database, clock, newer, pepper)
    create(rotated, clock)
    create(rotated, clock)
    rotated.close()
    after = open_with(database, clock, newer)
    report = after.verify_chain()
    assert (report.events, report.broken_at, report.unchecked) == (4, None, 2)
    with after.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 4).values(pepper_id="0123456789ab"))
    assert after.verify_chain().broken_at == 4
    after.close()


def test_a_pepper_that_live_links_need_cannot_be_left_out(database: str, clock: FakeClock, pepper: bytes) -> None:
    before = open_with(database, clock, pepper)
    first, _ = create(before, clock), create(before, clock, lifetime=timedelta(hours=2))
    claim(before, create(before, clock, views=1))
    before.close()
    newer = secrets.token_bytes(32)
    with pytest.raises(ConfigError) as refusal:
        open_with(database, clock, newer)
    assert "2 links" in str(refusal.value)
    assert "old_peppers" in str(refusal.value)
    assert "2026-11-22T12:00:00" in str(refusal.value)
    rotated = open_with(database, clock, newer, pepper)
    with rotated.engine.connect() as connection:
        states = connection.execute(select(tables.link.c.state).order_by(tables.link.c.state)).scalars().all()
    rotated.close()
    assert states == ["active", "active", "consumed"], "the refusal changed nothing"
    clock.advance(hours=2)
    after = open_with(database, clock, newer)
    assert claim(after, first) == Refused("unknown", None)
    assert after.expire_due() == 2
    after.close()


def test_alarms_that_cannot_be_heard_any_more_are_said_but_stop_nobody(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    before = open_with(database, clock, pepper)
    before.arm(make_alarm(clock.now)[0])
    before.close()
    with structlog.testing.capture_logs() as logs:
        open_with(database, clock, secrets.token_bytes(32)).close()
    assert [(line["event"], line["alarms"]) for line in logs] == [("alarms_of_unknown_pepper", 1)]
    clock.advance(days=8)
    with structlog.testing.capture_logs() as logs:
        open_with(database, clock, secrets.token_bytes(32)).close()
    assert logs == []


def test_a_page_opened_before_the_change_can_still_be_acted_on(clock: FakeClock) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    page = Challenges(old, clock=clock).for_page("lnk_example-0001")
    clock.advance(seconds=1)
    assert Challenges(new, clock=clock).for_step("lnk_example-0001", page) is None
    step = Challenges(new, old, clock=clock).for_step("lnk_example-0001", page)
    assert step is not None
    clock.advance(seconds=1)
    assert Challenges(new, clock=clock).problem_with("lnk_example-0001", step, needs_step=True) is None


def test_the_whole_service_takes_old_peppers_from_its_options(
    database: str, clock: FakeClock, pepper: bytes, api_key: str
) -> None:
    link = make_link(now=clock.now)
    first = create_app(options_for(database, pepper, api_key), clock=clock)
    browser = Browser(first, clock, api_key)
    assert browser.create(link).status == 201
    challenge = browser.challenge_of(link)
    first.state.vault.close()
    changed = options_for(database, secrets.token_bytes(32), api_key, old_peppers=(pepper,))
    assert isinstance(changed, LinkServiceOptions)
    assert pepper.hex() not in repr(changed)
    assert json.dumps(repr(pepper)) not in json.dumps(repr(changed))
    second = create_app(changed, clock=clock)
    browser = Browser(second, clock, api_key)
    clock.advance(seconds=1)
    step = browser.post_json(f"{link.path}/step", {"challenge": challenge})
    assert step.status == 200
    clock.advance(seconds=1)
    body = {"challenge": step.json()["challenge"], "nonce": new_nonce()}
    shown = browser.post_json(f"{link.path}/reveal", body)
    assert shown.json()["password"] == link.password.reveal()
    second.state.vault.close()
