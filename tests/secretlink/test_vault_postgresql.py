"""The vault on PostgreSQL: several processes write at once, and each is as careful as if it were alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from connector.secretlink.seal import Pepper
from connector.secretlink.service.store.database import looking, open_engine, reading, writing
from connector.secretlink.service.store.links import Revealed
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock
from tests.secretlink.test_vault import claim, create


@pytest.fixture
def vaults(links_postgres: str, clock: FakeClock, pepper: bytes) -> Iterator[list[Vault]]:
    """Four services, each with connections of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Vault(links_postgres, Pepper(pepper), clock=clock))) for _ in range(4)]


def test_a_link_claimed_through_several_services_at_once_shows_exactly_its_views(
    vaults: list[Vault], clock: FakeClock
) -> None:
    for views in (1, 2, 3):
        link = create(vaults[0], clock, views=views)
        gate = threading.Barrier(16)

        def open_it(number: int) -> bool:
            gate.wait()  # noqa: B023 - used up before the next round
            return isinstance(claim(vaults[number % 4], link), Revealed)  # noqa: B023

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(open_it, range(16))) == views
    assert vaults[0].verify_chain().broken_at is None


def test_a_reader_with_a_cursor_misses_nothing_while_all_of_them_write(vaults: list[Vault], clock: FakeClock) -> None:
    seen: list[int] = []
    done = threading.Event()

    def write(number: int) -> None:
        for _ in range(12):
            claim(vaults[number % 4], create(vaults[number % 4], clock))

    def read() -> None:
        while True:
            finish = done.is_set()
            page = vaults[0].events(after=seen[-1] if seen else 0, limit=7)
            seen.extend(event.seq for event in page.events)
            if finish and not page.more:
                return
            done.wait(0.002)

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    done.set()
    reader.join()
    assert seen == list(range(1, 8 * 12 * 2 + 1))


def test_timers_of_several_services_end_each_link_once(vaults: list[Vault], clock: FakeClock) -> None:
    for _ in range(40):
        create(vaults[0], clock)
    clock.advance(hours=1)
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda number: vaults[number % 4].expire_due(), range(8)))
    assert sum(ended) == 40
    kinds = [event.kind for event in vaults[0].events(after=0, limit=500).events]
    assert (kinds.count("created"), kinds.count("expired"), len(kinds)) == (40, 40, 80)


@pytest.mark.parametrize("read", ["check", "page"])
def test_what_another_service_forgets_in_the_middle_of_reading_is_no_break(
    vaults: list[Vault], clock: FakeClock, read: str
) -> None:
    here, there = vaults[:2]
    for _ in range(40):
        claim(here, create(here, clock, views=1))
    clock.advance(days=40)
    claim(here, create(here, clock, views=1))
    assert there.purge(up_to=80).more, "announced, and removed in part"
    claim(here, create(here, clock, views=1))
    clock.advance(days=60)
    create(here, clock)
    forgotten: list[bool] = []

    @event.listens_for(here.engine, "after_cursor_execute")
    def between(*call: Any) -> None:
        if "'purged'" in call[2] and not forgotten:
            forgotten.append(True)
            while there.purge(up_to=85).more:
                pass

    if read == "check":
        assert here.check_chain(None).report.broken_at is None
    else:
        assert [each.seq for each in here.events(after=0, limit=10).events] == list(range(81, 87))
    assert forgotten
    assert there.events(after=0, limit=1).events[0].seq > 85
    assert here.verify_chain().broken_at is None


def test_only_what_reads_several_things_sees_one_moment(links_postgres: str) -> None:
    engine = open_engine(links_postgres)
    told = []
    for connect in (reading, looking, reading, Engine.connect):
        with connect(engine) as connection:
            told.append(connection.execute(text("SHOW transaction_isolation")).scalar_one())
    with writing(engine) as connection:
        told.append(connection.execute(text("SHOW transaction_isolation")).scalar_one())
    engine.dispose()
    assert told == ["repeatable read", "read committed", "repeatable read", "read committed", "read committed"]


def test_who_freezes_in_the_middle_does_not_hold_the_others_up_for_ever(links_postgres: str) -> None:
    engine = open_engine(links_postgres)
    with engine.connect() as connection:
        settings = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
        }
    assert settings == {
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "10s",
        "transaction_isolation": "read committed",
    }
    engine.dispose()


def test_a_counted_view_is_written_before_it_is_shown_however_the_server_is_set_up(links_postgres: str) -> None:
    admin = open_engine(links_postgres)
    with admin.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    admin.dispose()
    engine = open_engine(links_postgres)
    with engine.connect() as connection:
        found = connection.execute(text("SHOW synchronous_commit")).scalar_one()
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {name} RESET synchronous_commit"))
    engine.dispose()
    assert found == "on"
