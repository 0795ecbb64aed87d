"""How figures are counted: windows of budgets, aims that are least ones, links of the past, answers of servers."""

from __future__ import annotations

import math
import secrets
import socket
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.figures import Figure
from bench.links import Score, insert_past
from bench.links_load import Line
from bench.psa_stages import Call, fullest
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock, make_database, make_link, open_vault

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def calls_at(*seconds: float) -> list[Call]:
    moments = [START + timedelta(seconds=second) for second in seconds]
    return [Call("halo", "GET", "/api/tickets", "", moment, moment) for moment in moments]


def test_the_fullest_window_is_found_wherever_it_begins() -> None:
    calls = calls_at(0, 50, 61, 62, 63, 109, 200)
    assert [call.arrived.second + 60 * call.arrived.minute for call in fullest(calls, MINUTE)] == [50, 61, 62, 63, 109]


def test_a_call_that_comes_as_the_window_ends_is_of_the_next_one() -> None:
    assert len(fullest(calls_at(0, 60), MINUTE)) == 1
    assert len(fullest(calls_at(0, 59.999), MINUTE)) == 2


def test_calls_are_counted_whatever_order_they_were_recorded_in() -> None:
    assert len(fullest(calls_at(30, 0, 59, 20), MINUTE)) == 4


def test_without_calls_no_window_is_full() -> None:
    assert fullest([], MINUTE) == []


# ---------------------------------------------------------------- aims


@pytest.mark.parametrize(
    ("value", "aim", "at_least", "ratio"),
    [(5.0, 10.0, False, 0.5), (20.0, 10.0, False, 2.0), (20.0, 10.0, True, 0.5), (5.0, 10.0, True, 2.0),
     (0.0, 0.0, False, 0.0), (3.0, 0.0, False, math.inf), (0.0, 2.0, True, math.inf)],
)  # fmt: skip
def test_a_ratio_of_up_to_one_is_within_the_aim(value: float, aim: float, at_least: bool, ratio: float) -> None:
    assert Figure("a figure", value, "ms", aim, at_least=at_least).ratio == ratio


# ---------------------------------------------------------------- links


def test_a_secret_handed_out_twice_is_counted_once() -> None:
    assert Score(raced=[1, 1, 2, 0, 16]).twice == 2
    assert Score(raced=[1, 1, 0]).twice == 0


def test_links_of_the_past_are_ended_ones_that_can_be_forgotten(tmp_path: Path) -> None:
    clock = FakeClock(datetime.now(UTC))
    database = make_database(tmp_path)
    vault: Vault = open_vault(database, clock, secrets.token_bytes(32))
    vault.create(make_link(now=clock()).to_new_link())
    insert_past(tmp_path / "links.db", 50, 100)
    assert len(vault.list_links(state="expired", after="", limit=500)) == 50
    assert len(vault.list_links(state="active", after="", limit=500)) == 1
    with closing(sqlite3.connect(tmp_path / "links.db")) as connection:
        assert connection.execute("SELECT count(*) FROM link WHERE blob IS NOT NULL").fetchone() == (1,)
    assert vault.old_up_to([timedelta(days=101)]) == [0]
    (old,) = vault.old_up_to([timedelta(days=90)])
    while vault.purge(up_to=old).more:
        pass
    assert vault.list_links(state="expired", after="", limit=500) == ()
    with closing(sqlite3.connect(tmp_path / "links.db")) as connection:
        assert connection.execute("SELECT kind FROM event ORDER BY seq").fetchall() == [("created",), ("purged",)]
    vault.close()


def test_an_answer_is_read_to_its_end_however_it_arrives() -> None:
    """Also by halves, and with two on one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for _ in range(2):
                    connection.recv(1000)
                    for part in (b"HTTP/1.1 201 Cre", b"ated\r\nContent-LENGTH: 5\r", b"\n\r\nhe", b"llo"):
                        connection.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        line = Line(server.getsockname()[1])
        assert [line.ask(b"one"), line.ask(b"two")] == [(201, b"hello"), (201, b"hello")]
        line.close()
        thread.join()
