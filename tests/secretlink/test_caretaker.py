"""The caretaker: everything in time, nothing for long, and loud when the history does not fit."""

from __future__ import annotations

import secrets
from datetime import timedelta

import structlog.testing
from sqlalchemy import update

from connector.secretlink.seal import Pepper
from connector.secretlink.service.caretaker import LONGEST_SLEEP, Caretaker
from connector.secretlink.service.store import retention, tables
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds

SOON = timedelta(milliseconds=50)


def caretaker(vault: Vault, clock: FakeClock, *, days: int = 90, ip_days: int | None = None) -> Caretaker:
    ip_retention = timedelta(days=ip_days) if ip_days is not None else None
    return Caretaker(vault, clock=clock, retention=timedelta(days=days), ip_retention=ip_retention)


def settle(care: Caretaker, clock: FakeClock) -> int:
    """Let it work until it has nothing left to do at once; gives how many slices that took."""
    slices = 1
    while care.work() == SOON:
        clock.now += SOON
        slices += 1
    clock.now += SOON
    return slices


def test_it_wakes_for_the_next_expiry_and_ends_the_link_in_that_second(vault: Vault, clock: FakeClock) -> None:
    care = caretaker(vault, clock)
    assert care.work() == LONGEST_SLEEP
    create(vault, clock, lifetime=timedelta(seconds=30))
    assert care.work() == SOON, "news under load are looked at once in a while"
    clock.now += SOON
    assert care.work() == timedelta(seconds=30) - SOON
    clock.advance(seconds=30)
    clock.now -= SOON
    assert care.work() == LONGEST_SLEEP
    assert kinds(vault) == ["created", "expired"]


def test_after_a_long_absence_everything_is_caught_up_with_slice_by_slice(vault: Vault, clock: FakeClock) -> None:
    for _ in range(retention.LINKS_AT_ONCE * 2 + 1):
        create(vault, clock)
    clock.advance(days=1)
    care = caretaker(vault, clock)
    assert care.work() == SOON
    assert vault.next_expiry() is not None
    assert settle(care, clock) >= 2
    assert vault.next_expiry() is None


def test_old_things_are_blanked_and_forgotten_each_in_its_time(vault: Vault, clock: FakeClock) -> None:
    claim(vault, create(vault, clock, views=1))
    care = caretaker(vault, clock, days=90, ip_days=30)
    settle(care, clock)
    assert vault.events(after=1, limit=1).events[0].ip is not None
    clock.advance(days=31)
    settle(care, clock)
    assert vault.events(after=1, limit=1).events[0].ip is None
    assert kinds(vault) == ["created", "revealed"]
    clock.advance(days=60)
    settle(care, clock)
    assert kinds(vault) == ["purged"]
    assert vault.verify_chain().broken_at is None


def test_without_a_time_of_their_own_addresses_stay_as_long_as_their_events(vault: Vault, clock: FakeClock) -> None:
    claim(vault, create(vault, clock, views=1))
    clock.advance(days=89)
    settle(caretaker(vault, clock), clock)
    assert vault.events(after=1, limit=1).events[0].ip == SOMEBODY.ip


def test_a_history_that_was_changed_is_said_at_the_start_and_every_day(vault: Vault, clock: FakeClock) -> None:
    for _ in range(3):
        create(vault, clock)
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 2).values(ref="halo/1"))
    care = caretaker(vault, clock)
    for _ in range(2):
        with structlog.testing.capture_logs() as logs:
            settle(care, clock)
            settle(care, clock)
        broken = [line for line in logs if line["event"] == "link_history_broken"]
        assert [(line["at_seq"], line["log_level"]) for line in broken] == [(2, "error")]
        clock.advance(days=1)


def test_a_long_history_is_checked_to_its_end_though_parts_are_forgotten_meanwhile(
    vault: Vault, clock: FakeClock
) -> None:
    for _ in range(700):
        create(vault, clock, lifetime=timedelta(hours=1))
    clock.advance(hours=2)
    while vault.expire_due():
        pass
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 1400).values(ref="halo/1"))
    check = vault.check_chain(None)
    assert not check.done
    assert (check.report.events, check.report.broken_at) == (200, None)
    clock.advance(days=100)
    create(vault, clock)
    for _ in range(3):
        vault.purge(older_than=timedelta(days=90))
    while not check.done:
        check = vault.check_chain(check)
    assert check.report.broken_at == 1400


def test_events_of_a_pepper_that_is_gone_are_mentioned(database: str, clock: FakeClock, pepper: bytes) -> None:
    before = Vault(database, Pepper(pepper), clock=clock)
    claim(before, create(before, clock, views=1))
    before.close()
    vault = Vault(database, Pepper(secrets.token_bytes(32)), clock=clock)
    with structlog.testing.capture_logs() as logs:
        settle(caretaker(vault, clock), clock)
    assert [(line["event"], line["events"]) for line in logs] == [("link_history_of_unknown_pepper", 2)]
    vault.close()


def test_events_of_another_process_are_announced_within_a_second(
    links_postgres: str, clock: FakeClock, pepper: bytes
) -> None:
    here, there = (Vault(links_postgres, Pepper(pepper), clock=clock) for _ in range(2))
    announced: list[int] = []
    care = Caretaker(
        here, clock=clock, retention=timedelta(days=90), announce=lambda: announced.append(here.newest_event())
    )
    assert care.work() == timedelta(seconds=1)
    clock.advance(seconds=1)
    assert care.work() == timedelta(seconds=1)
    assert announced == []
    create(there, clock)
    clock.advance(seconds=1)
    assert care.work() == timedelta(seconds=1)
    assert announced == [1]
    here.close()
    there.close()
