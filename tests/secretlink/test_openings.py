"""Openings and refusals wait a moment, share a commit, and are never lost to anything but a killed process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests
import structlog.testing
from sqlalchemy import Connection, event, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from connector.secretlink.seal import Pepper
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind, Visitor
from connector.secretlink.service.store.database import open_engine, reading
from connector.secretlink.service.store.links import Conflict, Refused, Revealed
from connector.secretlink.service.store.openings import MOST_WAITING
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, full_disk, make_link, new_nonce, open_page, options_for, written_before
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds


class Waiting:
    """Counts how often a vault said that an opening waits, and what it announced."""

    def __init__(self) -> None:
        self.openings = 0
        self.announced = 0

    def opening(self) -> None:
        self.openings += 1

    def announce(self) -> None:
        self.announced += 1


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def patient(database: str, clock: FakeClock, pepper: bytes, waiting: Waiting) -> Iterator[Vault]:
    """A vault whose openings wait until somebody writes them."""
    opened = Vault(
        database, Pepper(pepper), clock=clock, on_event=waiting.announce, on_opening=waiting.opening, mask_ip=True
    )
    yield opened
    opened.close()


def written(database: str) -> list[str]:
    """What the tables hold, asked past the vault."""
    engine = open_engine(database)
    with reading(engine) as connection:
        found = list(connection.scalars(select(tables.event.c.kind).order_by(tables.event.c.seq)))
    engine.dispose()
    return found


def test_an_opening_waits_and_is_then_written_as_it_happened(
    patient: Vault, database: str, clock: FakeClock, waiting: Waiting
) -> None:
    link = create(patient, clock)
    happened = clock.now
    open_page(patient, link.lookup, SOMEBODY)
    assert (written(database), waiting.openings, waiting.announced) == (["created"], 1, 1)
    clock.advance(seconds=30)
    patient.write_openings()
    patient.write_openings()
    assert (written(database), waiting.announced) == (["created", "page_opened"], 2)
    opened = patient.events(after=1, limit=1).events[0]
    assert (opened.at_ms, opened.views_left) == (int(happened.timestamp() * 1000), 2)
    assert (opened.ip, opened.agent) == ("203.0.113.0", SOMEBODY.agent), "what waits is masked, too"
    assert patient.verify_chain().broken_at is None


def test_what_came_before_a_view_stands_before_it_and_shares_its_commit(patient: Vault, clock: FakeClock) -> None:
    link = create(patient, clock)
    open_page(patient, link.lookup, SOMEBODY)
    open_page(patient, link.lookup, SOMEBODY)
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(patient.engine, "commit", count)
    assert isinstance(claim(patient, link), Revealed)
    event.remove(patient.engine, "commit", count)
    assert commits == 1
    assert kinds(patient) == ["created", "page_opened", "page_opened", "revealed"]


def test_whoever_asks_for_events_is_told_of_those_that_waited(patient: Vault, clock: FakeClock) -> None:
    link = create(patient, clock)
    open_page(patient, link.lookup, SOMEBODY)
    page = patient.events(after=0, limit=1)
    assert page.more
    assert page.head.seq == 2


def test_when_something_else_fails_openings_wait_on(
    patient: Vault, database: str, clock: FakeClock, waiting: Waiting
) -> None:
    link = create(patient, clock)
    open_page(patient, link.lookup, SOMEBODY)
    with pytest.raises(Conflict):
        patient.create(replace(link.to_new_link(), ref="another"))
    assert (written(database), waiting.announced) == (["created"], 1)
    patient.write_openings()
    assert written(database) == ["created", "page_opened"]


def test_openings_outlive_a_database_that_is_away(patient: Vault, database: str, clock: FakeClock) -> None:
    link = create(patient, clock)
    open_page(patient, link.lookup, SOMEBODY)
    engine = patient.engine

    def away(*_: object) -> None:
        raise ConnectionError("away")

    event.listen(engine, "begin", away)
    with pytest.raises(ConnectionError):
        patient.write_openings()
    with pytest.raises(ConnectionError):
        claim(patient, link)
    event.remove(engine, "begin", away)
    assert isinstance(claim(patient, link), Revealed)
    assert written(database) == ["created", "page_opened", "revealed"]


@pytest.fixture
def shared(links_postgres: str, clock: FakeClock, pepper: bytes) -> Iterator[Vault]:
    """The same on PostgreSQL."""
    opened = Vault(links_postgres, Pepper(pepper), clock=clock, on_opening=lambda: None)
    yield opened
    opened.close()


def test_openings_outlive_a_server_that_takes_nothing_for_a_while(
    shared: Vault, links_postgres: str, clock: FakeClock
) -> None:
    """As after a failover to a replica."""
    link = create(shared, clock)
    open_page(shared, link.lookup, SOMEBODY)

    @event.listens_for(shared.engine, "begin")
    def read_only(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    with pytest.raises(SQLAlchemyError):
        shared.write_openings()
    event.remove(shared.engine, "begin", read_only)
    shared.write_openings()
    assert written(links_postgres) == ["created", "page_opened"]


def test_openings_outlive_a_table_that_is_not_there_for_a_moment(
    shared: Vault, links_postgres: str, clock: FakeClock
) -> None:
    """As while a dump is restored."""
    link = create(shared, clock)
    open_page(shared, link.lookup, SOMEBODY)
    with shared.engine.begin() as connection:
        connection.execute(text("ALTER TABLE event RENAME TO event_elsewhere"))
    with structlog.testing.capture_logs() as logs, pytest.raises(SQLAlchemyError):
        shared.write_openings()
    with shared.engine.begin() as connection:
        connection.execute(text("ALTER TABLE event_elsewhere RENAME TO event"))
    shared.write_openings()
    assert written(links_postgres) == ["created", "page_opened"]
    assert logs == []


@pytest.mark.parametrize("letters", ["\ud800", "\0"])
def test_an_opening_that_the_database_does_not_take_holds_up_nobody_and_takes_no_other_along(
    shared: Vault, clock: FakeClock, letters: str
) -> None:
    """No visitor can send such letters as it is (see `Visitors`); should one find a way, it must stop no reveal."""
    link, other = create(shared, clock), create(shared, clock)
    open_page(shared, other.lookup, SOMEBODY)
    open_page(shared, link.lookup, Visitor(user_agent=letters))
    open_page(shared, other.lookup, SOMEBODY)
    with structlog.testing.capture_logs() as logs:
        assert isinstance(claim(shared, link), Revealed)
    assert [(line["event"], line["events"]) for line in logs] == [("link_openings_dropped", 1)]
    open_page(shared, link.lookup, SOMEBODY)
    assert kinds(shared) == ["created", "created", "page_opened", "page_opened", "revealed", "page_opened"]
    assert shared.verify_chain().broken_at is None


def test_on_a_nearly_full_disk_openings_wait_and_keep_nobody_from_what_there_is_room_for(
    patient: Vault, database: str, clock: FakeClock, waiting: Waiting
) -> None:
    shown, revoked, made = create(patient, clock), create(patient, clock), make_link(now=clock.now)
    for number in range(MOST_WAITING - 2):
        open_page(patient, (shown, revoked)[number % 2].lookup, Visitor(user_agent="x" * 300))
    patient.checkpoint()
    announced = waiting.announced
    with full_disk(room=100_000):
        assert isinstance(claim(patient, shown), Revealed)
        with pytest.raises(OperationalError):
            patient.write_openings()
        assert patient.revoke(revoked.terms.link_id) is not None
        patient.create(made.to_new_link())
        assert [one.kind for one in patient.events(after=2, limit=9).events] == ["revealed", "revoked", "created"]
    assert waiting.announced == announced + 3
    patient.write_openings()
    assert written(database)[2:] == ["revealed", "revoked", "created", *["page_opened"] * (MOST_WAITING - 2)]
    open_page(patient, made.lookup, SOMEBODY)
    assert isinstance(claim(patient, made), Revealed)
    assert written(database)[-2:] == ["page_opened", "revealed"], "they come along again"
    assert patient.verify_chain().broken_at is None


def test_a_link_that_there_is_no_room_for_either_is_not_made(patient: Vault, database: str, clock: FakeClock) -> None:
    open_page(patient, create(patient, clock).lookup, SOMEBODY)
    patient.checkpoint()
    with full_disk(room=1), pytest.raises(OperationalError):
        patient.create(make_link(now=clock.now).to_new_link())
    patient.write_openings()
    assert written(database) == ["created", "page_opened"]


def test_of_a_link_that_was_forgotten_meanwhile_nothing_is_written(patient: Vault, clock: FakeClock) -> None:
    gone = create(patient, clock, views=1)
    claim(patient, gone)
    record = patient.find(gone.terms.link_id)
    assert record is not None
    clock.advance(days=40)
    there = create(patient, clock)
    assert patient.purge(up_to=written_before(patient, clock, timedelta(days=30))).wrote_event
    visited = patient.visit(record, EventKind.PAGE_OPENED, visitor=SOMEBODY)
    assert visited.state == "consumed"
    open_page(patient, there.lookup, SOMEBODY)
    patient.write_openings()
    assert kinds(patient) == ["created", "purged", "page_opened"], "that of the link which is still there"
    assert patient.verify_chain().broken_at is None


def test_a_flood_that_waits_fills_neither_disk_nor_memory(patient: Vault, database: str, clock: FakeClock) -> None:
    flooded, other = create(patient, clock), create(patient, clock)
    record = patient.look(flooded.lookup)
    assert record is not None
    for _ in range(MOST_WAITING):
        patient.visit(record, EventKind.PAGE_OPENED, visitor=Visitor())
    assert written(database) == ["created", "created"]
    open_page(patient, other.lookup, SOMEBODY)
    assert written(database) == ["created", "created", *["page_opened"] * 100]
    patient.write_openings()
    assert written(database)[102:] == ["page_opened"]


def test_a_link_whose_time_is_over_is_ended_at_once(patient: Vault, database: str, clock: FakeClock) -> None:
    link = create(patient, clock)
    record = patient.look(link.lookup)
    assert record is not None
    clock.advance(hours=1)
    assert patient.visit(record, EventKind.PAGE_OPENED, visitor=SOMEBODY).state == "expired"
    assert written(database) == ["created", "expired"]
    assert isinstance(claim(patient, link), Refused)
    assert written(database) == ["created", "expired", "refused", "refused"]


def test_the_same_click_is_answered_again_and_not_counted_behind_waiting_openings(
    patient: Vault, clock: FakeClock
) -> None:
    link, nonce = create(patient, clock), new_nonce()
    for _ in range(2):
        open_page(patient, link.lookup, SOMEBODY)
        shown = patient.claim(link.lookup, token=link.key, nonce=nonce, visitor=SOMEBODY)
        assert isinstance(shown, Revealed)
        assert shown.link.views == 1
    assert kinds(patient) == ["created", "page_opened", "revealed", "page_opened"]


def test_the_service_writes_them_by_itself_and_the_last_ones_when_it_stops(
    database: str, pepper: bytes, api_key: str
) -> None:
    link = make_link(now=datetime.now(UTC))
    with running(options_for(database, pepper, api_key), clock=lambda: datetime.now(UTC)) as url:
        key = {"Authorization": f"Bearer {api_key}"}
        made = requests.post(f"{url}/api/v1/links", headers=key, json=link.to_body(), timeout=10)
        assert made.status_code == 201
        assert requests.get(url + link.path, timeout=10).status_code == 200
        deadline = time.monotonic() + 30
        while written(database) == ["created"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert written(database) == ["created", "page_opened"]
        assert requests.get(url + link.path, timeout=10).status_code == 200
    assert written(database) == ["created", "page_opened", "page_opened"]
