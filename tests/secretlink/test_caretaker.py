"""The caretaker: everything in time, nothing for long, and loud when the history does not fit."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog.testing
from sqlalchemy import select, text, update
from sqlalchemy.exc import SQLAlchemyError

from connector.secretlink.seal import Pepper
from connector.secretlink.service.api.routes import LONGEST_LIFETIME
from connector.secretlink.service.caretaker import (
    LONGEST_SLEEP,
    NOTHING_LIVES_SO_LONG,
    REST_ALONE,
    REST_AMONG_PEOPLE,
    SHORTEST_SLEEP,
    Caretaker,
    Pace,
)
from connector.secretlink.service.store import retention, tables
from connector.secretlink.service.store.events import Event
from connector.secretlink.service.store.marks import IN_A_ROW
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


HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEARS = timedelta(days=4 * 365)


def leave_marks(vault: Vault, clock: FakeClock) -> None:
    """As many hours pass as prove something."""
    for _ in range(IN_A_ROW):
        vault.old_up_to([YEARS])
        clock.advance(hours=1)


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
    leave_marks(vault, clock)
    care = caretaker(vault, clock, days=90, ip_days=30)
    clock.advance(days=30)
    for days in (0, 60):
        assert kinds(vault) == ["created", "revealed"]
        assert (vault.events(after=1, limit=1).events[0].ip is None) == (days == 60)
        clock.advance(days=days)
        for _ in range(IN_A_ROW):
            settle(care, clock)
            clock.advance(minutes=61)
        settle(care, clock)
    assert kinds(vault) == ["purged"]
    assert vault.verify_chain().broken_at is None


def test_without_a_time_of_their_own_addresses_stay_as_long_as_their_events(vault: Vault, clock: FakeClock) -> None:
    claim(vault, create(vault, clock, views=1))
    leave_marks(vault, clock)
    clock.advance(days=88)
    leave_marks(vault, clock)
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
        vault.purge(up_to=1400)
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
    leave_marks(vault, clock)
    clock.advance(days=91)
    leave_marks(vault, clock)
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
    create(vault, clock)
    vault.purge(up_to=2)
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


def test_an_event_that_cannot_be_blanked_stops_nothing_from_being_forgotten(vault: Vault, clock: FakeClock) -> None:
    claim(vault, create(vault, clock, views=1))
    with vault.engine.begin() as connection:
        refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'no'); END"
        connection.execute(text(refuse))
    leave_marks(vault, clock)
    for days in (60, 31):
        clock.advance(days=days)
        claim(vault, create(vault, clock, views=1))
        leave_marks(vault, clock)
    care = caretaker(vault, clock, days=90, ip_days=30)
    failed = 0
    for _ in range(12):
        try:
            care.work()
        except SQLAlchemyError:
            failed += 1
        clock.now += LONGEST_SLEEP
    assert failed >= 1
    assert kinds(vault) == ["created", "revealed"] * 2 + ["purged"]


def test_a_link_whose_end_is_beyond_all_dates_stops_nothing(vault: Vault, clock: FakeClock) -> None:
    create(vault, clock)
    create(vault, clock)
    with vault.engine.begin() as connection:
        connection.execute(text("UPDATE link SET expires_at = 999999999999999 WHERE id = (SELECT min(id) FROM link)"))
    care = caretaker(vault, clock)
    settle(care, clock)
    clock.advance(hours=1)
    settle(care, clock)
    assert kinds(vault) == ["created", "created", "expired"]
    assert vault.next_expiry() == datetime.max.replace(microsecond=0, tzinfo=UTC)


# ---------------------------------------------------------------- a clock that is wrong


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
            self.let_pass(max(care.work().total_seconds(), 0.001))

    def let_pass(self, seconds: float) -> None:
        self.passed += seconds
        self.clock.now += timedelta(seconds=seconds)


@pytest.fixture
def machine(clock: FakeClock) -> Machine:
    return Machine(clock)


def a_past(vault: Vault, clock: FakeClock, *, days: int = 20) -> None:
    """A service that runs for some minutes a day."""
    for _ in range(days):
        claim(vault, create(vault, clock, views=1))
        vault.old_up_to([YEARS])
        clock.advance(days=1)


def starts_with(events: Sequence[Event], vault: Vault) -> bool:
    """Whether not even an address of these was forgotten."""
    return vault.events(after=0, limit=500).events[: len(events)] == tuple(events)


@pytest.mark.parametrize("ahead", [YEARS, timedelta(days=85)], ids=["by years", "by days"])
def test_a_clock_that_jumps_ahead_for_some_hours_makes_nothing_forgotten(
    vault: Vault, clock: FakeClock, machine: Machine, ahead: timedelta
) -> None:
    a_past(vault, clock)
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, DAY)
    events = vault.events(after=0, limit=500).events
    with structlog.testing.capture_logs() as logs:
        clock.now += ahead
        claim(vault, create(vault, clock, views=1))
        machine.live(care, 11 * HOUR)
        clock.now -= ahead
        machine.live(care, DAY)
    assert starts_with(events, vault)
    assert [line["event"] for line in logs] == ["link_clock_went_back"]
    assert logs[0]["by_seconds"] == pytest.approx(ahead.total_seconds(), rel=0.01)


def test_two_jumps_ahead_a_day_apart_make_nothing_forgotten_though_nobody_came_between(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    a_past(vault, clock)
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, DAY)
    events = vault.events(after=0, limit=500).events
    for _ in range(2):
        clock.now += YEARS
        claim(vault, create(vault, clock, views=1))
        machine.live(care, 3 * HOUR)
        clock.now -= YEARS
        machine.live(care, DAY)
    assert starts_with(events, vault)


def test_a_jump_ahead_in_the_middle_of_a_slice_makes_nothing_forgotten(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    errors = itertools.repeat(timedelta(0))
    vault = Vault(database, Pepper(pepper), clock=lambda: clock.now + next(errors))
    a_past(vault, clock)
    events = vault.events(after=0, limit=500).events
    errors = itertools.cycle([YEARS, timedelta(0)])  # wrong each second time that somebody looks at it
    care = caretaker(vault, clock)
    for _ in range(50):
        settle(care, clock)
        clock.advance(minutes=61)
    assert starts_with(events, vault)
    vault.close()


def test_a_clock_that_is_ahead_whenever_the_service_starts_makes_nothing_forgotten(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    a_past(vault, clock)
    events = vault.events(after=0, limit=500).events
    for _ in range(3):  # days; each with people who use it
        clock.now += YEARS
        care = caretaker(vault, clock, timer=machine.timer)
        machine.live(care, 5 * HOUR)
        claim(vault, create(vault, clock, views=1))
        clock.now -= YEARS
        machine.live(care, 5 * HOUR)
        machine.let_pass(14 * HOUR.total_seconds())
    machine.live(care, DAY)
    assert starts_with(events, vault)


def test_a_clock_that_is_behind_at_the_first_start_makes_nothing_forgotten(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    clock.now -= timedelta(days=120)
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, 5 * HOUR)
    claim(vault, create(vault, clock, views=1))
    machine.live(care, 6 * HOUR)
    clock.now += timedelta(days=120)
    machine.live(care, HOUR)
    claim(vault, create(vault, clock, views=1))
    events = vault.events(after=0, limit=500).events
    machine.live(care, 2 * DAY)
    assert starts_with(events, vault)


def test_a_clock_that_is_behind_later_makes_nothing_forgotten_or_blanked(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, DAY)
    create(vault, clock)
    machine.let_pass(40 * DAY.total_seconds())  # it is off
    clock.now -= timedelta(days=35)  # and goes on later than when it was switched off
    care = caretaker(vault, clock, timer=machine.timer, ip_days=30)
    machine.live(care, 5 * HOUR)
    claim(vault, create(vault, clock, views=1))
    machine.live(care, 6 * HOUR)
    clock.now += timedelta(days=35)
    machine.live(care, 2 * DAY)
    assert [event.ip for event in vault.events(after=0, limit=9).events if event.kind == "revealed"] == [SOMEBODY.ip]


def test_a_clock_that_runs_too_fast_makes_nothing_forgotten(vault: Vault, clock: FakeClock, machine: Machine) -> None:
    a_past(vault, clock, days=40)
    care = caretaker(vault, clock, days=39, timer=machine.timer)
    machine.live(care, DAY)
    events = vault.events(after=0, limit=500).events
    for _ in range(11 * 60):
        care.work()
        machine.passed += 60
        clock.advance(minutes=30)
    clock.now -= 11 * 29 * HOUR
    machine.live(care, HOUR)
    assert starts_with(events, vault)


def test_a_service_that_was_off_for_a_year_forgets_when_it_has_been_up_for_half_a_day(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    a_past(vault, clock)
    clock.advance(days=365)
    care = caretaker(vault, clock, timer=machine.timer)
    machine.live(care, 11 * HOUR)
    assert len(vault.events(after=0, limit=500).events) == 40
    machine.live(care, 3 * HOUR)
    assert kinds(vault) == [*["created", "revealed"] * (IN_A_ROW - 1), "purged"]
    machine.let_pass(90 * DAY.total_seconds())
    machine.live(care, DAY)
    # Of when the last ones were written it only knows that it was before it was back.
    assert set(kinds(vault)) == {"purged"}


def test_a_service_that_runs_an_hour_a_day_forgets_some_weeks_later(
    vault: Vault, clock: FakeClock, machine: Machine
) -> None:
    a_past(vault, clock, days=130)
    machine.live(caretaker(vault, clock, timer=machine.timer), HOUR)
    oldest = vault.events(after=0, limit=1).events[0].at_ms / 1000
    assert timedelta(days=90) < clock.now - datetime.fromtimestamp(oldest, UTC) < timedelta(days=90 + 2 * IN_A_ROW)


def test_a_clock_that_is_set_back_by_years_stops_nothing(vault: Vault, clock: FakeClock, machine: Machine) -> None:
    clock.now += YEARS
    care = caretaker(vault, clock, timer=machine.timer)
    create(vault, clock, lifetime=timedelta(days=20))
    machine.live(care, 2 * DAY)
    clock.now -= YEARS
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 1).values(ref="halo/1"))
    with structlog.testing.capture_logs() as logs:
        machine.live(care, DAY)
        machine.let_pass(92 * DAY.total_seconds())
        machine.live(care, DAY)
    assert kinds(vault) == ["expired", "purged"]
    assert {line["event"] for line in logs} == {"link_clock_went_back", "link_history_broken"}


def test_nothing_lives_as_long_as_that_which_counts_as_over() -> None:
    assert NOTHING_LIVES_SO_LONG > LONGEST_LIFETIME


def test_several_processes_leave_one_mark_an_hour_between_them(
    links_postgres: str, clock: FakeClock, pepper: bytes
) -> None:
    vaults = [Vault(links_postgres, Pepper(pepper), clock=clock) for _ in range(3)]
    cares = [caretaker(vault, clock) for vault in vaults]
    for _ in range(10 * 60):
        for care in cares:
            while care.work() < SHORTEST_SLEEP:
                clock.advance(seconds=0.01)
        clock.advance(seconds=59)
    with vaults[0].engine.connect() as connection:
        instants = connection.execute(select(tables.mark.c.at_ms).order_by(tables.mark.c.id)).scalars().all()
    assert 9 <= len(instants) <= 11
    assert all(after - before >= 3_600_000 for before, after in itertools.pairwise(instants))
    for vault in vaults:
        vault.close()


def test_marks_that_are_of_no_use_are_dropped(vault: Vault, clock: FakeClock) -> None:
    for _ in range(400):
        vault.old_up_to([10 * DAY, 2 * DAY])
        clock.advance(hours=1)
    with vault.engine.connect() as connection:
        assert 240 < len(connection.execute(select(tables.mark.c.id)).all()) < 240 + 2 * IN_A_ROW + 2
