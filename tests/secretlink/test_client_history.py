"""The history that the link service tells is believed only as long as it goes on where it was left."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlalchemy.engine import make_url

from connector.core.ports import LinkEventKind
from connector.core.secret import Secret
from connector.errors import PermanentError, TemporaryError
from connector.secretlink.client import BuiltinLinks
from connector.secretlink.history import Page, Position, believe, read_page
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.telling import number
from tests.contracts.links import read_on
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, open_vault, options_for, written_before
from tests.secretlink.test_client import client, wish

DAY = timedelta(days=1)


@pytest.fixture
def vault(database: str, clock: FakeClock, pepper: bytes) -> Iterator[Vault]:
    vault = open_vault(database, clock, pepper)
    yield vault
    vault.close()


@pytest.fixture
def links(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[BuiltinLinks]:
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        yield client(url, api_key, clock)


def make(links: BuiltinLinks, count: int = 1) -> list[str]:
    return [links.create(wish(), Secret(secrets.token_urlsafe())).id for _ in range(count)]


def test_the_cursor_holds_the_mac_of_the_last_event_that_was_read(links: BuiltinLinks, vault: Vault) -> None:
    make(links, 3)
    _, cursor = read_on(links)
    assert cursor == f"3:{vault.events(after=3, limit=1).head.mac.hex()}"
    assert read_on(links, cursor) == ([], cursor)


def test_a_cursor_of_an_older_connector_is_taken_as_it_is_and_learns_the_mac(links: BuiltinLinks) -> None:
    make(links, 2)
    _, cursor = read_on(links, "2")
    assert cursor == read_on(links)[1]
    assert Position.parse(cursor).mac


def test_a_history_that_begins_anew_is_told_under_numbers_that_were_never_used(links: BuiltinLinks) -> None:
    make(links, 3)
    events, cursor = read_on(links)
    anew = links.begin_anew(cursor)
    again, after = read_on(links, anew)
    assert [event.seq for event in again] == [4, 5, 6]
    assert [replace(event, seq=event.seq - 3) for event in again] == events
    assert after == f"{cursor}+3"
    make(links, 1)
    assert [event.seq for event in read_on(links, after)[0]] == [7]
    assert [event.seq for event in read_on(links, links.begin_anew(after))[0]] == [7, 8, 9, 10]
    assert links.begin_anew("of another kind") == ""


def test_a_history_without_events_leaves_the_cursor_empty(links: BuiltinLinks) -> None:
    assert read_on(links) == ([], "")


def test_a_history_of_several_pages_goes_on_from_page_to_page(links: BuiltinLinks) -> None:
    made = make(links, 230)
    first = links.news("")
    assert first.more
    assert Position.parse(first.cursor).mac
    second = links.news(first.cursor)
    assert [event.link_id for event in (*first.events, *second.events)] == made


@pytest.mark.parametrize("cursor", ["page=3;2026-11-22", "x.1", "12:short", f"{10**19}.ab", "1795.0"])
def test_after_another_kind_of_service_our_own_is_read_from_its_beginning(links: BuiltinLinks, cursor: str) -> None:
    made = make(links, 2)
    events, after = read_on(links, cursor)
    assert [event.link_id for event in events] == made
    assert read_on(links, after) == ([], after)
    assert not links.await_news(after, timedelta(milliseconds=1))


def test_a_case_that_took_in_the_numbers_of_another_service_hears_of_its_new_link(links: BuiltinLinks) -> None:
    """Those are made of the time, and ours are counted from 1."""
    theirs = number(datetime.now(UTC), "lnk_before")
    make(links, 3)
    events, after = read_on(links, f"{theirs}.{secrets.token_hex(4)}")
    assert [event.seq - theirs for event in events] == [1, 2, 3]
    make(links, 1)
    assert [event.seq - theirs for event in read_on(links, after)[0]] == [4]
    assert max(event.seq for event in events) < 2**63, "as the database counts"


def change(vault: Vault, *, seq: int) -> None:
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == seq).values(mac=secrets.token_bytes(32)))


def test_a_history_that_was_rewritten_is_not_believed_and_none_of_its_events_is_told(
    links: BuiltinLinks, vault: Vault
) -> None:
    make(links, 2)
    _, cursor = read_on(links)
    change(vault, seq=2)
    make(links, 1)
    with pytest.raises(PermanentError, match=r"rewritten.*accept-history"):
        links.news(cursor)
    with pytest.raises(PermanentError, match="rewritten"):
        links.news(cursor)  # however often it is asked


def test_a_change_after_what_was_read_is_no_contradiction(links: BuiltinLinks, vault: Vault) -> None:
    make(links, 2)
    cursor = links.news("1").cursor
    change(vault, seq=1)  # only the service itself, which has the key, can see this one
    make(links, 1)
    assert len(links.news(cursor).events) == 1


def test_an_event_that_was_taken_out_of_the_middle_is_missed_by_the_service_itself(
    links: BuiltinLinks, vault: Vault
) -> None:
    make(links, 1)
    _, cursor = read_on(links)
    make(links, 3)
    with vault.engine.begin() as connection:
        connection.execute(delete(tables.event).where(tables.event.c.seq == 3))
    with pytest.raises(TemporaryError, match="503"):
        links.news(cursor)


def test_a_jump_that_the_service_did_not_see_is_seen() -> None:
    after = Position(1, "a" * 64)
    jumped = an_answer(events=[{"seq": 3}], head={"seq": 3, "mac": "b" * 64}, anchor=after.mac, next=3)
    with pytest.raises(PermanentError, match="jumps from event 1 to event 3"):
        believe(read_page(after, jumped), nobody())


def test_the_event_that_was_read_last_is_missed_when_it_is_gone_without_a_purge(
    links: BuiltinLinks, vault: Vault
) -> None:
    make(links, 2)
    _, cursor = read_on(links)
    make(links, 1)
    with vault.engine.begin() as connection:
        connection.execute(delete(tables.event).where(tables.event.c.seq <= 2))
    with pytest.raises(TemporaryError, match="503"):
        links.news(cursor)
    after = Position.parse(cursor)
    lost = an_answer(events=[{"seq": 3, "kind": "created"}], head={"seq": 3, "mac": "b" * 64}, anchor=None, next=3)
    with pytest.raises(PermanentError, match=r"lost its event 2.*rewritten"):
        believe(read_page(after, lost), nobody())


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_service_restored_from_a_backup_is_not_believed_even_when_it_has_gone_on_since(
    database: str, clock: FakeClock, pepper: bytes, api_key: str, tmp_path: Path, goes_on: bool
) -> None:
    file = Path(str(make_url(database).database))
    backup = tmp_path / "backup.db"
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        make(client(url, api_key, clock), 2)
    shutil.copy(file, backup)
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        make(client(url, api_key, clock), 2)
        _, cursor = read_on(client(url, api_key, clock))
    for kept in file.parent.glob(f"{file.name}*"):
        kept.unlink()
    shutil.copy(backup, file)
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        restored = client(url, api_key, clock)
        if goes_on:
            make(restored, 5)
        with pytest.raises(PermanentError, match="restored from a backup"):
            restored.news(cursor)
        assert len(read_on(restored)[0]) == (7 if goes_on else 2), "accepted, it is read from its beginning"


def purge(vault: Vault, clock: FakeClock) -> None:
    clock.advance(days=3)
    vault.expire_due()
    clock.advance(days=3)
    vault.purge(up_to=written_before(vault, clock, DAY))


def test_a_purge_of_what_was_read_is_no_break(links: BuiltinLinks, vault: Vault, clock: FakeClock) -> None:
    make(links, 2)
    clock.advance(days=3)
    _, cursor = read_on(links)
    clock.advance(days=3)
    vault.purge(up_to=written_before(vault, clock, DAY))
    [newer] = make(links, 1)
    events, after = read_on(links, cursor)
    assert [event.link_id for event in events] == [newer]
    assert read_on(links, after) == ([], after)


def test_a_purge_of_what_was_never_read_is_said_as_what_it_is(
    links: BuiltinLinks, vault: Vault, clock: FakeClock
) -> None:
    make(links, 2)
    _, cursor = read_on(links)
    purge(vault, clock)
    make(links, 1)
    with pytest.raises(PermanentError, match=r"removed its events up to 4 .* up to 2 had been read") as told:
        links.news(cursor)
    assert "rewritten" not in str(told.value)


def test_a_purge_is_found_behind_more_events_than_a_page_holds(
    links: BuiltinLinks, vault: Vault, clock: FakeClock
) -> None:
    make(links, 1)
    clock.advance(days=3)
    _, cursor = read_on(links)
    clock.advance(days=3)
    made = make(links, 210)  # between the event that was read last and the purge that removes it
    vault.purge(up_to=written_before(vault, clock, DAY))
    assert [event.link_id for event in read_on(links, cursor)[0]] == made


def test_a_purge_that_names_another_event_than_the_one_that_was_read_is_no_excuse(
    links: BuiltinLinks, vault: Vault, clock: FakeClock
) -> None:
    make(links, 1)
    clock.advance(days=3)
    _, cursor = read_on(links)
    clock.advance(days=3)
    vault.purge(up_to=written_before(vault, clock, DAY))
    with vault.engine.begin() as connection:
        forged = f"2:{secrets.token_hex(32)}"
        connection.execute(update(tables.event).where(tables.event.c.kind == "purged").values(reason=forged))
    with pytest.raises(TemporaryError, match="503"):
        links.news(cursor)
    after = Position.parse(cursor)
    told = an_answer(
        events=[{"seq": 3, "kind": "purged", "reason": forged}], head={"seq": 3, "mac": "b" * 64}, anchor=None, next=3
    )
    with pytest.raises(PermanentError, match=r"removed another event 2.*rewritten"):
        believe(read_page(after, told), nobody())


# ---------------------------------------------------------------- the forms of an answer


def an_answer(**changes: object) -> dict[str, object]:
    mac = secrets.token_hex(32)
    answer: dict[str, object] = {
        "events": [{"seq": 1, "kind": "created"}], "head": {"seq": 1, "mac": mac}, "anchor": "0" * 64, "next": 1,
        "next_mac": mac, "more": False,
    }  # fmt: skip
    return answer | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"head": None},
        {"head": {"seq": -1, "mac": "0" * 64}},
        {"head": {"seq": 1, "mac": "not a mac"}},
        {"next": 2},
        {"next": True},
        {"next_mac": "f" * 63},
        {"next_mac": None},
        {"events": [{"kind": "created"}]},
        {"events": ["created"]},
        {"anchor": 5},
    ],
)
def test_an_answer_of_another_shape_is_temporary_and_moves_nothing(changes: dict[str, object]) -> None:
    with pytest.raises(TemporaryError, match="same version"):
        read_page(Position(0), an_answer(**changes))
    for content in ([], "x", None):
        with pytest.raises(TemporaryError):
            read_page(Position(0), content)


def test_an_empty_page_has_nothing_behind_it_whatever_it_says() -> None:
    assert not read_page(Position(0), an_answer(events=[], next=0, more=True)).more


def nobody() -> Callable[[Position], Page]:
    def ask(after: Position) -> Page:
        raise AssertionError(f"nothing is missing, and still it asks behind {after}")

    return ask


def test_a_page_that_goes_on_is_believed_without_another_call() -> None:
    page = read_page(Position(0), an_answer())
    believe(page, nobody())
    assert page.end.seq == 1


def test_events_are_told_only_in_their_order() -> None:
    jumbled = an_answer(events=[{"seq": 2}, {"seq": 1}], head={"seq": 2, "mac": "0" * 64})
    with pytest.raises(PermanentError, match="jumps"):
        believe(read_page(Position(0), jumbled), nobody())


def test_the_kind_that_is_told_to_the_connector_is_the_services() -> None:
    from connector.secretlink.history import PURGED
    from connector.secretlink.service.store.chain import EventKind

    assert EventKind.PURGED == PURGED
    assert {kind.value for kind in LinkEventKind} >= {"created", "revealed", "expired", "revoked"}
