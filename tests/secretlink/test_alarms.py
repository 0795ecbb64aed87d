"""Alarms: armed once, raised once, and the link behind them dies in that very moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from connector.secretlink.service.store.links import AlarmRecord, Conflict, Refused, Revealed
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock, make_alarm, new_nonce
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


def test_raising_it_ends_the_link_and_is_told_once_with_what_it_is_about(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    claim(vault, link)
    new, _ = make_alarm(clock.now, link_id=link.terms.link_id)
    record, created = vault.arm(new)
    assert (created, record.state, record.raised_ms) == (True, "armed", None)
    assert kinds(vault) == ["created", "revealed"], "arming is nobody's news"
    raised = vault.raise_alarm(new.lookup, visitor=SOMEBODY)
    assert raised is not None
    assert (raised.state, raised.about) == ("raised", "case-4242")
    assert raised.raised_ms == int(clock.now.timestamp() * 1000)
    reported, revoked = vault.events(after=2, limit=9).events
    assert (reported.kind, reported.ref, reported.link_id, reported.reason, reported.ip) == (
        "reported", "case-4242", link.terms.link_id, "accessed", "203.0.113.9"
    )  # fmt: skip
    assert (revoked.kind, revoked.link_id, revoked.reason, revoked.view) == (
        "revoked", link.terms.link_id, "reported", 1
    )  # fmt: skip
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer.reason == "revoked"
    assert vault.verify_chain().broken_at is None


def test_raising_it_again_changes_nothing(vault: Vault, clock: FakeClock) -> None:
    new, _ = make_alarm(clock.now)
    vault.arm(new)
    first = vault.raise_alarm(new.lookup, visitor=SOMEBODY)
    clock.advance(minutes=5)
    assert vault.raise_alarm(new.lookup, visitor=SOMEBODY) == first
    assert kinds(vault) == ["reported"]


def test_pressed_many_times_at_once_it_is_told_once(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    new, _ = make_alarm(clock.now, link_id=link.terms.link_id)
    vault.arm(new)
    gate = threading.Barrier(8)

    def press(_: int) -> AlarmRecord | None:
        gate.wait()
        return vault.raise_alarm(new.lookup, visitor=SOMEBODY)

    with ThreadPoolExecutor(8) as pool:
        assert {record.state for record in pool.map(press, range(8)) if record} == {"raised"}
    assert kinds(vault) == ["created", "reported", "revoked"]


def test_it_works_when_the_link_is_used_up_and_when_it_is_long_forgotten(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=1)
    claim(vault, link)
    for link_id, named in ((link.terms.link_id, link.terms.link_id), ("lnk_forgotten-one", None), (None, None)):
        new, _ = make_alarm(clock.now, link_id=link_id, source="notice")
        vault.arm(new)
        vault.raise_alarm(new.lookup, visitor=SOMEBODY)
        event = vault.events(after=vault.events(after=0, limit=1).head.seq - 1, limit=1).events[0]
        assert (event.kind, event.link_id, event.reason) == ("reported", named, "notice")
    record = vault.find(link.terms.link_id)
    assert record is not None
    assert record.state == "consumed"


def test_after_its_time_it_tells_nothing(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    new, _ = make_alarm(clock.now, link_id=link.terms.link_id, expires_at=int(clock.now.timestamp()) + 60)
    vault.arm(new)
    clock.advance(seconds=59, milliseconds=999)
    armed = vault.look_alarm(new.lookup)
    assert armed is not None
    assert armed.state == "armed"
    clock.advance(milliseconds=1)
    late = vault.raise_alarm(new.lookup, visitor=SOMEBODY)
    assert late is not None
    assert (late.state, late.raised_ms) == ("expired", None)
    assert kinds(vault) == ["created"]
    assert isinstance(claim(vault, link), Revealed)


def test_arming_again_changes_nothing_and_another_one_under_its_id_or_token_is_refused(
    vault: Vault, clock: FakeClock
) -> None:
    new, _ = make_alarm(clock.now)
    vault.arm(new)
    vault.raise_alarm(new.lookup, visitor=SOMEBODY)
    record, created = vault.arm(new)
    assert (created, record.state) == (False, "raised")
    for change in ({"about": "case-7"}, {"link_id": "lnk_another-one"}, {"source": "notice"}, {"locale": "de"}):
        other, _ = make_alarm(clock.now, **({"id": new.id, "lookup": new.lookup} | change))
        with pytest.raises(Conflict):
            vault.arm(other)
    same_token, _ = make_alarm(clock.now, lookup=new.lookup)
    with pytest.raises(Conflict):
        vault.arm(same_token)
    born_dead, _ = make_alarm(clock.now, expires_at=int(clock.now.timestamp()))
    with pytest.raises(ValueError, match="past"):
        vault.arm(born_dead)
    assert vault.look_alarm(born_dead.lookup) is None


def test_an_alarm_is_no_link_and_a_link_no_alarm(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    new, token = make_alarm(clock.now)
    vault.arm(new)
    assert vault.look(new.lookup) is None
    answer = vault.claim(new.lookup, token=token, nonce=new_nonce(), visitor=SOMEBODY)
    assert isinstance(answer, Refused)
    assert answer.reason == "unknown"
    assert vault.look_alarm(link.lookup) is None
    assert vault.raise_alarm(link.lookup, visitor=SOMEBODY) is None
    assert kinds(vault) == ["created"]


def test_who_has_a_used_link_can_report_it_from_its_page_once(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=1)
    claim(vault, link)
    for _ in range(2):
        record = vault.report_link(link.lookup, visitor=SOMEBODY)
        assert record is not None
        assert record.state == "consumed"
    event = vault.events(after=2, limit=9).events
    assert [(one.kind, one.link_id, one.ref, one.reason) for one in event] == [
        ("reported", link.terms.link_id, "halo/4242", "page")
    ]
    assert vault.report_link(make_alarm()[0].lookup, visitor=SOMEBODY) is None


def test_reporting_a_link_that_lives_ends_it(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=2)
    claim(vault, link)
    record = vault.report_link(link.lookup, visitor=SOMEBODY)
    assert record is not None
    assert record.state == "revoked"
    assert kinds(vault) == ["created", "revealed", "reported", "revoked"]


@pytest.mark.parametrize("views", [1, 2])
def test_a_link_can_be_reported_for_a_week_after_it_was_last_shown(vault: Vault, clock: FakeClock, views: int) -> None:
    link = create(vault, clock, views=views)
    claim(vault, link)
    clock.advance(days=6.9)
    assert vault.report_link(link.lookup, visitor=SOMEBODY)
    assert "reported" in kinds(vault)


@pytest.mark.parametrize("views", [1, 2])
def test_a_link_that_is_long_over_cannot_be_reported(vault: Vault, clock: FakeClock, views: int) -> None:
    link = create(vault, clock, views=views)
    claim(vault, link)
    clock.advance(days=7)
    vault.expire_due()
    before = kinds(vault)
    record = vault.report_link(link.lookup, visitor=SOMEBODY)
    assert record is not None
    assert record.state != "active"
    assert kinds(vault) == before


def test_a_link_that_nobody_opened_cannot_be_reported_and_lives_on(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=1)
    record = vault.report_link(link.lookup, visitor=SOMEBODY)
    assert record is not None
    assert record.state == "active"
    assert kinds(vault) == ["created"]


def test_the_page_s_report_and_a_mail_s_alarm_are_two_reports(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=1)
    claim(vault, link)
    new, _ = make_alarm(clock.now, link_id=link.terms.link_id)
    vault.arm(new)
    vault.raise_alarm(new.lookup, visitor=SOMEBODY)
    vault.report_link(link.lookup, visitor=SOMEBODY)
    assert kinds(vault) == ["created", "revealed", "reported", "reported"]
