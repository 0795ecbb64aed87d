"""The caretaker: everything in time, nothing for long, and loud when the history does not fit."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog.testing
from sqlalchemy import select, text, update
from sqlalchemy.exc import SQLAlchemyError

from connector.secretlink.seal import Pepper
from connector.secretlink.service.caretaker import (
    LONGEST_SLEEP,
    REST_ALONE,
    REST_AMONG_PEOPLE,
    SHORTEST_SLEEP,
    Caretaker,
    Pace,
)
from connector.secretlink.service.store import retention, tables
from connector.secretlink.service.store.ages import CLOCK_IS_RIGHT_AGAIN
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import START, FakeClock
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds


def caretaker(
    vault: Vault,
    clock: FakeClock,
    *,
    days: int = 90,
    ip_days: int | None = None,
    timer: Callable[[], float] | None = None,
) -> Caretaker:
    """One that has its timer from the clock, so that nobody sets it, if there is no other."""
    ip_retention = timedelta(days=ip_days) if ip_days is not None else None
    return Caretaker(
        vault,
        clock=clock,
        retention=timedelta(days=days),
        ip_retention=ip_retention,
        timer=timer or (lambda: clock().timestamp()),
    )


def settle(care: Caretaker, clock: FakeClock) -> int:
    """Let it work until it has nothing left to do at once; gives how many slices that took."""
    slices = 1
    while (rest := care.work()) < SHORTEST_SLEEP:
        clock.now += rest
        slices += 1
    clock.now += SHORTEST_SLEEP
    return slices


def test_it_wakes_for_the_next_expiry_and_ends_the_link_in_that_second(vault: Vault, clock: FakeClock) -> None:
    care = caretaker(vault, clock)
    settle(care, clock)
    clock.now = START + timedelta(seconds=1)
    assert care.work() == LONGEST_SLEEP
    create(vault, clock, lifetime=timedelta(seconds=30))
    assert care.work() == SHORTEST_SLEEP, "news under load are looked at once in a while"
    clock.now += SHORTEST_SLEEP
    assert care.work() == timedelta(seconds=30) - SHORTEST_SLEEP
    clock.advance(seconds=30)
    clock.now -= SHORTEST_SLEEP
    assert care.work() == LONGEST_SLEEP
    assert kinds(vault) == ["created", "expired"]


def test_after_a_long_absence_everything_is_caught_up_with_slice_by_slice(vault: Vault, clock: FakeClock) -> None:
    for _ in range(retention.LINKS_AT_ONCE * 2 + 1):
        create(vault, clock)
    clock.advance(days=1)
    care = caretaker(vault, clock)
    care.work()
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
    assert (check.report.events, check.report.broken_at) == (50, None)
    clock.advance(days=100)
    create(vault, clock)
    for _ in range(20):
        vault.purge(older_than=timedelta(days=90))
    assert vault.events(after=0, limit=1).events[0].seq > 50
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
        here,
        clock=clock,
        retention=timedelta(days=90),
        announce=lambda: announced.append(here.newest_event()),
        timer=lambda: clock().timestamp(),
    )
    settle(care, clock)
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


# ---------------------------------------------------------------- how it rests


def test_it_rests_as_long_as_it_worked_and_much_longer_while_there_are_people() -> None:
    pace = Pace()
    assert not pace.left(10.0), "it may work"
    assert pace.rest(10.0, 10.004, busy=True, sleep=timedelta(0)) == timedelta(seconds=0.004 * REST_ALONE)
    at = 10.004 + 0.004 * REST_ALONE
    assert not pace.left(at)
    pace.rest(at, at + 0.004, busy=True, sleep=timedelta(0))
    left = pace.left(at + 0.005)  # news: nobody else calls before the time
    assert left.total_seconds() == pytest.approx(0.004 * REST_AMONG_PEOPLE - 0.001, abs=1e-5)
    at += 0.005 + left.total_seconds()
    assert not pace.left(at)
    assert pace.rest(at, at + 0.5, busy=True, sleep=timedelta(0)) == timedelta(seconds=50), "on a slow disk too"
    at += 0.5 + 50
    assert not pace.left(at)
    assert pace.rest(at, at + 0.004, busy=True, sleep=timedelta(0)) == timedelta(seconds=0.004 * REST_ALONE), "alone"


def test_a_slice_that_hung_for_minutes_is_not_slept_off_for_hours() -> None:
    pace = Pace()
    assert pace.rest(0.0, 600.0, busy=True, sleep=timedelta(0)) == LONGEST_SLEEP


def test_while_there_is_little_to_do_news_by_the_hundred_are_looked_at_once_in_a_while() -> None:
    pace = Pace()
    pace.rest(0.0, 0.0002, busy=False, sleep=LONGEST_SLEEP)
    calls = [number / 1000 for number in range(1, 1000)]
    worked = []
    for at in calls:
        if not pace.left(at):
            pace.rest(at, at + 0.0002, busy=False, sleep=LONGEST_SLEEP)
            worked.append(at)
    assert 15 <= len(worked) <= 20


def test_a_database_that_is_away_is_not_asked_with_every_news(vault: Vault, clock: FakeClock) -> None:
    care = caretaker(vault, clock)
    with vault.engine.begin() as connection:
        connection.execute(text("ALTER TABLE link RENAME TO gone"))
    with pytest.raises(SQLAlchemyError):
        care.work()
    assert care.work() == SHORTEST_SLEEP


def test_the_history_is_checked_although_forgetting_goes_on_for_long(vault: Vault, clock: FakeClock) -> None:
    for _ in range(150):
        claim(vault, create(vault, clock, views=1))
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 290).values(ref="halo/1"))
    clock.advance(days=91)
    create(vault, clock)
    clock.advance(days=1)
    steps = itertools.count()
    care = caretaker(vault, clock, timer=lambda: next(steps) / 1000)  # each look at it is a millisecond later
    with structlog.testing.capture_logs() as logs:
        while not logs:
            care.work()
            assert vault.events(after=0, limit=1).events[0].seq < 280
    assert logs[0]["event"] == "link_history_broken"


def test_a_report_of_a_purge_that_somebody_changed_stops_neither_ends_nor_the_other_chores(
    vault: Vault, clock: FakeClock
) -> None:
    claim(vault, create(vault, clock, views=1))
    clock.advance(days=91)
    create(vault, clock)
    assert vault.purge(older_than=timedelta(days=90)).done == 1
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.kind == "purged").values(reason="nonsense"))
    care = caretaker(vault, clock)
    clock.advance(hours=1)
    with structlog.testing.capture_logs() as logs:
        for _ in range(8):
            with suppress(ValueError):  # of forgetting
                care.work()
            clock.now += LONGEST_SLEEP
    assert [line["at_seq"] for line in logs if line["event"] == "link_history_broken"] == [4]
    with vault.engine.connect() as connection:
        newest = select(tables.event.c.kind).order_by(tables.event.c.seq.desc()).limit(1)
        assert connection.execute(newest).scalar_one() == "expired"
    assert Path(f"{vault.engine.url.database}-wal").stat().st_size == 0, "it was tidied up"


# ---------------------------------------------------------------- a clock that is wrong

YEARS = timedelta(days=4 * 365)
HOUR = timedelta(hours=1)


@dataclass
class Machine:
    """A clock that can be set, and a timer that cannot."""

    clock: FakeClock
    passed: float = 0.0

    def timer(self) -> float:
        return self.passed

    def live(self, care: Caretaker, length: timedelta) -> None:
        """Let so much time pass, with the caretaker at work."""
        ends = self.passed + length.total_seconds()
        while self.passed < ends:
            rest = max(care.work().total_seconds(), 0.001)
            self.passed += rest
            self.clock.now += timedelta(seconds=rest)


@pytest.fixture
def machine(clock: FakeClock) -> Machine:
    return Machine(clock)


def a_past(vault: Vault, clock: FakeClock, *, days: int = 20) -> None:
    for _ in range(days):
        claim(vault, create(vault, clock, views=1))
        clock.advance(days=1)


@pytest.mark.parametrize("ahead", [YEARS, timedelta(days=85)], ids=["by years", "by days"])
def test_a_clock_that_jumps_ahead_for_some_hours_makes_nothing_forgotten(
    vault: Vault, clock: FakeClock, machine: Machine, ahead: timedelta
) -> None:
    a_past(vault, clock)
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, timedelta(days=1))
    events = vault.events(after=0, limit=500).events
    with structlog.testing.capture_logs() as logs:
        clock.now += ahead
        claim(vault, create(vault, clock, views=1))
        machine.live(care, CLOCK_IS_RIGHT_AGAIN - HOUR)
        clock.now -= ahead
        machine.live(care, timedelta(days=1))
    assert vault.events(after=0, limit=len(events)).events == events, "not even an address"
    assert [line["event"] for line in logs] == ["link_clock_set", "link_clock_set"]
    assert [abs(line["by_seconds"] / ahead.total_seconds()) for line in logs] == pytest.approx([1, 1], rel=0.01)


def test_a_clock_that_is_ahead_when_the_service_starts_makes_nothing_forgotten(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    a_past(vault, clock)
    events = vault.events(after=0, limit=500).events
    clock.now += YEARS
    for _ in range(3):  # starts; each with people who use it
        care = caretaker(vault, clock, timer=machine.timer)
        machine.live(care, 3 * HOUR)
        claim(vault, create(vault, clock, views=1))
    clock.now -= YEARS
    machine.live(caretaker(vault, clock, timer=machine.timer), timedelta(days=1))
    assert vault.events(after=0, limit=len(events)).events == events


def test_a_service_that_was_off_for_a_year_forgets_when_the_clock_has_been_right_for_hours(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    a_past(vault, clock)
    clock.advance(days=365)
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, CLOCK_IS_RIGHT_AGAIN - HOUR)
    assert len(vault.events(after=0, limit=500).events) == 40
    machine.live(care, 3 * HOUR)
    assert kinds(vault) == ["purged"]


def test_a_service_that_is_started_every_night_forgets_by_what_was_written_the_day_before(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    a_past(vault, clock, days=100)
    machine.live(caretaker(vault, clock, timer=machine.timer), HOUR)
    oldest = vault.events(after=0, limit=1).events[0].at_ms / 1000
    assert timedelta(days=89) < clock.now - datetime.fromtimestamp(oldest, UTC) < timedelta(days=92)


def test_a_clock_that_is_set_back_by_years_stops_nothing(vault: Vault, clock: FakeClock, machine: Machine) -> None:
    clock.now += YEARS
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, timedelta(days=2))
    clock.now -= YEARS
    a_past(vault, clock, days=1)
    machine.passed += 86_400
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 1).values(ref="halo/1"))
    with structlog.testing.capture_logs() as logs:
        machine.live(care, HOUR)
        machine.passed += timedelta(days=92).total_seconds()
        clock.advance(days=92)
        machine.live(care, HOUR)
    assert kinds(vault) == ["purged"]
    assert [line["event"] for line in logs] == ["link_clock_set", "link_history_broken"]
