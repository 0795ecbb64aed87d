"""Nobody is told of an event that the service did not write, whoever can write its database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from sqlalchemy import delete, insert, select, update

from connector.core.case import State
from connector.secretlink.client import BuiltinLinks
from connector.secretlink.seal import Pepper
from connector.secretlink.service.news import News
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import BEFORE_THE_FIRST, HistoryBroken
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.webhooks import Webhooks
from tests.fakes.world import SUBJECT, World
from tests.secretlink.running import running
from tests.secretlink.support import (
    Browser,
    FakeClock,
    make_alarm,
    make_database,
    open_vault,
    options_for,
    written_before,
)
from tests.secretlink.test_client import client
from tests.secretlink.test_vault import claim, create, kinds
from tests.secretlink.test_webhooks import Bench, Receiver, new_secret, receiver  # noqa: F401 - a fixture

MONTH = timedelta(days=30)


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


def change(vault: Vault, statement: Any) -> None:
    """As somebody who can write the database and has no pepper."""
    with vault.engine.begin() as connection:
        connection.execute(statement)


def row_of(vault: Vault, seq: int) -> dict[str, Any]:
    with vault.engine.connect() as connection:
        found = connection.execute(select(tables.event).where(tables.event.c.seq == seq)).mappings().one()
    return dict(found)


def forge(vault: Vault, kind: str, **values: Any) -> int:
    """One more event, made of the newest one; its seq."""
    newest = vault.newest_event()
    row = row_of(vault, newest) | {"seq": newest + 1, "kind": kind, "mac": secrets.token_bytes(32), "nonce": None}
    change(vault, insert(tables.event).values(row | values))
    return newest + 1


Forgery = Callable[[Vault], int]
"""Changes the history; gives the seq of the first event that does not fit then."""


def reported(vault: Vault) -> int:
    with vault.engine.connect() as connection:
        about = connection.execute(select(tables.alarm.c.about)).scalar_one()
    return forge(vault, "reported", link_id=None, ref=about, reason="notice")


def expired(vault: Vault) -> int:
    return forge(vault, "expired")


def of_unknown_pepper(vault: Vault) -> int:
    return forge(vault, "reported", pepper_id="0123456789ab")


def of_the_first_form(vault: Vault) -> int:
    return forge(vault, "reported", pepper_id=None, form=1, salt=None)


def blanked(vault: Vault) -> int:
    return forge(vault, "reported", blanked_mac=secrets.token_bytes(32))


def changed(vault: Vault) -> int:
    change(vault, update(tables.event).where(tables.event.c.seq == 2).values(kind="expired"))
    return 2


def passed_off_as_of_another_pepper(vault: Vault) -> int:
    change(vault, update(tables.event).where(tables.event.c.seq == 2).values(kind="expired", pepper_id="0123456789ab"))
    return 2


def removed(vault: Vault) -> int:
    change(vault, delete(tables.event).where(tables.event.c.seq == 2))
    return 3


def passed_off_as_purged(vault: Vault) -> int:
    seq = forge(vault, "purged", reason=f"2:{row_of(vault, 2)['mac'].hex()}")
    change(vault, delete(tables.event).where(tables.event.c.seq <= 2))
    return seq


def purged_in_no_words(vault: Vault) -> int:
    seq = forge(vault, "purged", reason="nonsense")
    change(vault, delete(tables.event).where(tables.event.c.seq <= 2))
    return seq


FORGERIES = (
    reported, expired, of_unknown_pepper, of_the_first_form, blanked, changed, passed_off_as_of_another_pepper,
    removed, passed_off_as_purged, purged_in_no_words,
)  # fmt: skip


def three_events(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    claim(vault, link)
    claim(vault, link)
    vault.arm(make_alarm(clock.now)[0])


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("after", [0, 1])
def test_a_page_with_an_event_that_was_not_written_so_is_refused_and_told_once(
    vault: Vault, clock: FakeClock, forgery: Forgery, after: int
) -> None:
    three_events(vault, clock)
    at_seq = forgery(vault)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(HistoryBroken) as refusal:
                vault.events(after=after, limit=500)
    assert refusal.value.at_seq == at_seq
    assert [(line["event"], line["log_level"]) for line in logs] == [("link_history_broken", "error")]
    assert logs[0]["at_seq"] == refusal.value.at_seq
    assert "halo/4242" not in f"{logs}{refusal.value}"


def test_what_stands_before_a_forged_event_is_still_told(vault: Vault, clock: FakeClock) -> None:
    three_events(vault, clock)
    at_seq = forge(vault, "expired")
    assert [event.seq for event in vault.events(after=0, limit=at_seq - 1).events] == [1, 2, 3]
    create(vault, clock)
    with pytest.raises(HistoryBroken):
        vault.events(after=3, limit=500)


def test_the_api_answers_503_and_links_go_on(browser: Browser, clock: FakeClock) -> None:
    vault: Vault = browser.app.state.vault  # type: ignore[attr-defined]
    three_events(vault, clock)
    reported(vault)
    answer = browser.api("GET", "/events?after=0")
    assert (answer.status, answer.json()["error"]) == (503, "history_broken")
    assert "event 4" in answer.json()["message"]
    assert "retry-after" not in answer.headers, "whoever minds it would make no links meanwhile"
    link = create(vault, clock)
    assert browser.reveal(link).status == 200
    assert browser.api("POST", f"/links/{link.terms.link_id}/revoke").status == 200


@pytest.mark.parametrize("kind", ["reported", "expired"])
def test_a_connector_does_nothing_upon_an_event_that_was_forged(
    database: str, pepper: bytes, api_key: str, kind: str
) -> None:
    class Unhurried(BuiltinLinks):
        """Links run out at the service by themselves."""

        def expire(self, now: datetime) -> None:
            pass

    world = World()
    world.directory.account(SUBJECT).alternate_mails = ("lea.private@example.org",)
    with running(options_for(database, pepper, api_key), clock=world.clock) as url:
        real = client(url, api_key, world.clock)  # type: ignore[arg-type]
        real.__class__ = Unhurried
        world.links = real  # type: ignore[assignment]
        world.restart()
        ticket = world.carried_out()
        before, mails = world.password_in_force(), len(world.mails)
        other = open_vault(database, world.clock, pepper)  # type: ignore[arg-type]
        with other.engine.connect() as connection:
            about, link_id = connection.execute(select(tables.alarm.c.about, tables.alarm.c.link_id)).one()
        if kind == "reported":
            forge(other, kind, link_id=None, ref=about, reason="notice")
        else:
            forge(other, kind, link_id=link_id)
        other.close()
        world.run_for(minutes=5)
        assert world.password_in_force() == before
        assert world.state_of(ticket) is State.LINK_OUT
        assert world.case_of(ticket).outcome is None
        assert len(world.mails) == mails


def test_a_webhook_tells_nobody_of_a_forged_event_and_goes_on_when_it_is_gone(
    database: str,
    pepper: bytes,
    receiver: Receiver,  # noqa: F811
) -> None:
    bench = Bench(database, pepper, lambda: datetime.now(UTC), (new_secret(),))
    link = bench.made()

    async def tell(until: Callable[[], bool]) -> None:
        bench.news = News()
        webhooks = Webhooks(bench.options(receiver.url), bench.vault, bench.news, clock=bench.clock)
        task = asyncio.create_task(webhooks.run())
        for _ in range(400):
            await asyncio.sleep(0.005)
            if until():
                break
        bench.news.close()
        await task
        assert until()

    asyncio.run(tell(lambda: True))  # from here on it tells
    seq = forge(bench.vault, "revoked")
    with structlog.testing.capture_logs() as logs:
        asyncio.run(tell(lambda: any(line["event"] == "link_history_broken" for line in logs)))
    assert receiver.deliveries == []
    assert [line["event"] for line in logs] == ["link_history_broken"]
    change(bench.vault, delete(tables.event).where(tables.event.c.seq == seq))
    bench.reveal(link)
    asyncio.run(tell(lambda: len(receiver.deliveries) == 1))
    assert receiver.deliveries[0].content["type"] == "link.revealed"
    bench.vault.close()


# ---------------------------------------------------------------- what is in good order


def test_from_every_place_of_a_whole_history_the_rest_is_read(vault: Vault, clock: FakeClock) -> None:
    assert vault.events(after=0, limit=10).events == ()
    three_events(vault, clock)
    for after in (0, 1, 2, 3):
        page = vault.events(after=after, limit=10)
        assert [event.seq for event in page.events] == list(range(after + 1, 4))
        assert page.anchor == (row_of(vault, after)["mac"] if after else BEFORE_THE_FIRST)
        assert page.next_mac == row_of(vault, 3)["mac"]
    beyond = vault.events(after=9, limit=10)
    assert (beyond.events, beyond.anchor, beyond.next_mac, beyond.head.seq) == ((), None, None, 3)


def test_a_history_that_was_blanked_and_purged_is_read_on(vault: Vault, clock: FakeClock) -> None:
    for _ in range(2):
        claim(vault, create(vault, clock, views=1))
        clock.advance(days=40)
    young = create(vault, clock, views=1)
    claim(vault, young)
    vault.blank(up_to=written_before(vault, clock, MONTH))
    assert vault.events(after=0, limit=10).events[1].ip is None
    while vault.purge(up_to=2).more:
        pass
    for after in (0, 1, 2):
        page = vault.events(after=after, limit=10)
        assert [event.seq for event in page.events] == [3, 4, 5, 6, 7]
        assert page.anchor == (None if after else BEFORE_THE_FIRST)
    change(vault, update(tables.event).where(tables.event.c.seq == 4).values(views_left=1))
    with pytest.raises(HistoryBroken):
        vault.events(after=0, limit=10)


def test_from_a_place_in_what_counts_as_removed_it_is_read_on_as_long_as_it_is_there(
    vault: Vault, clock: FakeClock
) -> None:
    for _ in range(40):
        claim(vault, create(vault, clock, views=1))
    clock.advance(days=100)
    assert vault.purge(up_to=80).more
    assert [event.seq for event in vault.events(after=75, limit=10).events] == list(range(76, 82))
    assert [event.seq for event in vault.events(after=0, limit=10).events] == [81]


def test_the_history_is_read_across_a_change_of_the_pepper(database: str, clock: FakeClock, pepper: bytes) -> None:
    before = open_vault(database, clock, pepper)
    claim(before, create(before, clock))
    before.close()
    after = Vault(database, Peppers(Pepper(secrets.token_bytes(32)), Pepper(pepper)), clock=clock)
    create(after, clock)
    assert kinds(after) == ["created", "revealed", "created"]
    assert [event.kind for event in after.events(after=1, limit=10).events] == ["revealed", "created"]
    after.close()


def test_events_of_a_pepper_that_is_gone_are_passed_over_whatever_they_say(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    before = open_vault(database, clock, pepper)
    claim(before, create(before, clock, views=1))
    claim(before, create(before, clock, views=1))
    before.close()
    vault = Vault(database, Pepper(secrets.token_bytes(32)), clock=clock)
    page = vault.events(after=0, limit=1)
    assert (page.events, page.more, page.head.seq, page.anchor) == ((), False, 4, BEFORE_THE_FIRST)
    claim(vault, create(vault, clock, views=1))
    # Nobody could tell that this one is not what was written: so it is not told.
    change(vault, update(tables.event).where(tables.event.c.seq == 2).values(kind="reported"))
    for after in (0, 1, 2, 3, 4):
        page = vault.events(after=after, limit=1)
        assert [(event.seq, page.more) for event in page.events] == [(5, True)]
        assert page.anchor == (row_of(vault, after)["mac"] if after else BEFORE_THE_FIRST)
    # What follows them proves where they end.
    change(vault, update(tables.event).where(tables.event.c.seq == 4).values(mac=secrets.token_bytes(32)))
    with pytest.raises(HistoryBroken):
        vault.events(after=0, limit=10)
    vault.close()


@pytest.mark.parametrize("column", ["mac", "salt", "at_ms", "ref", "pepper_id", "blanked_mac", "form"])
@pytest.mark.parametrize("value", ["a word", b"bytes", 1.5])
def test_a_row_that_cannot_even_be_read_is_said_to_be_broken(
    tmp_path: Path, clock: FakeClock, pepper: bytes, column: str, value: object
) -> None:
    """SQLite keeps whatever type it is given."""
    vault = open_vault(make_database(tmp_path), clock, pepper)
    three_events(vault, clock)
    with vault.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE event SET {column} = ? WHERE seq = 2", (value,))  # noqa: S608 - from above
    assert vault.verify_chain().broken_at == 2
    with pytest.raises(HistoryBroken) as refusal:
        vault.events(after=0, limit=10)
    assert refusal.value.at_seq == 2
    vault.close()
