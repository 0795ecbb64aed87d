"""What time does: links run out, addresses are blanked, old things are forgotten; the chain still proves the rest."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import column, insert, select, text, update
from sqlalchemy import table as table_of

import connector.migrations
from connector.migrations import upgrade
from connector.secretlink.place import Place
from connector.secretlink.seal import Pepper
from connector.secretlink.service.store import retention, tables
from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.service.store.database import open_engine
from connector.secretlink.service.store.events import mask
from connector.secretlink.service.store.links import Revealed
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock, make_alarm, make_link, open_page, open_vault, written_before
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds
from tests.store.conftest import database_in

IN_LEEDS = Visitor(
    ip="203.0.113.9", place=Place("GB", "Leeds", "test"), user_agent="Mozilla/5.0", agent="Edge 156 on Windows"
)
MONTH = timedelta(days=30)


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


def age(vault: Vault, clock: FakeClock) -> None:
    """One link revealed long ago, one today, by a person in Leeds."""
    for days in (40, 0):
        link = create(vault, clock, views=1)
        vault.claim(link.lookup, token=link.key, nonce=secrets.token_urlsafe(18), visitor=IN_LEEDS)
        clock.advance(days=days)


def kept(vault: Vault) -> list[tuple[int, str | None]]:
    """What is still in the table: seq and link of each event. Readers are not told of what counts as removed."""
    event = tables.event.c
    with vault.engine.connect() as connection:
        return [(row.seq, row.link_id) for row in connection.execute(select(event.seq, event.link_id).order_by("seq"))]


def test_what_is_personal_is_blanked_in_time_and_the_chain_still_holds(vault: Vault, clock: FakeClock) -> None:
    age(vault, clock)
    head = vault.events(after=0, limit=1).head
    vault.blank(up_to=written_before(vault, clock, MONTH))
    old, young = (event for event in vault.events(after=0, limit=9).events if event.kind == "revealed")
    assert (old.ip, old.user_agent, old.city) == (None, None, None)
    assert old.place is not None
    assert (old.place.words, old.agent, old.view) == ("United Kingdom (approx.)", "Edge 156 on Windows", 1)
    assert (young.ip, young.user_agent, young.city) == ("203.0.113.9", "Mozilla/5.0", "Leeds")
    report = vault.verify_chain()
    assert (report.events, report.broken_at) == (4, None)
    assert vault.events(after=0, limit=1).head == head, "readers of the history find it as it was"
    assert not vault.blank(up_to=written_before(vault, clock, MONTH))


def test_nothing_is_left_of_an_address_to_try_guesses_against(vault: Vault, clock: FakeClock, pepper: bytes) -> None:
    age(vault, clock)
    with vault.engine.connect() as connection:
        row = connection.execute(select(tables.event).where(tables.event.c.seq == 2)).mappings().one()
    assert len(row["salt"]) == 16
    vault.blank(up_to=written_before(vault, clock, MONTH))
    with vault.engine.connect() as connection:
        blanked = connection.execute(select(tables.event).where(tables.event.c.seq == 2)).mappings().one()
    assert blanked["salt"] is None
    assert blanked["mac"] == row["mac"]


@pytest.mark.parametrize(
    "change",
    [{"ip": "198.51.100.1"}, {"view": 2}, {"country": "DE"}, {"blanked_mac": None}, {"mac": bytes(32)}, {"at_ms": 1}],
)
def test_a_blanked_event_is_as_hard_to_change_as_any(vault: Vault, clock: FakeClock, change: dict[str, object]) -> None:
    age(vault, clock)
    vault.blank(up_to=written_before(vault, clock, MONTH))
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 2).values(**change))
    assert vault.verify_chain().broken_at == 2


def test_who_can_only_write_the_database_cannot_blank(vault: Vault, clock: FakeClock) -> None:
    age(vault, clock)
    with vault.engine.begin() as connection:
        connection.execute(
            update(tables.event).where(tables.event.c.seq == 4).values(ip=None, user_agent=None, city=None, salt=None)
        )
    assert vault.verify_chain().broken_at == 4


def test_blanking_does_not_vouch_for_an_event_that_was_changed_before(vault: Vault, clock: FakeClock) -> None:
    age(vault, clock)
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 2).values(view=7))
    vault.blank(up_to=written_before(vault, clock, MONTH))
    assert personal(vault) == [4]
    assert vault.verify_chain().broken_at == 2


def test_the_first_event_after_a_purge_can_be_blanked_too(vault: Vault, clock: FakeClock) -> None:
    age(vault, clock)
    vault.purge(up_to=written_before(vault, clock, MONTH))
    assert personal(vault) == [4]
    clock.advance(days=40)
    vault.blank(up_to=written_before(vault, clock, MONTH))
    assert personal(vault) == []
    assert vault.verify_chain().broken_at is None
    vault.purge(up_to=3)
    assert vault.verify_chain().broken_at is None


@pytest.mark.parametrize(
    ("ip", "masked"),
    [
        ("203.0.113.9", "203.0.113.0"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("2001:db8:aaaa:bbbb::1", "2001:db8:aaaa::"),
        ("not an address", None),
        (None, None),
    ],
)
def test_a_masked_address_says_the_network_only(ip: str | None, masked: str | None) -> None:
    assert mask(ip) == masked


def test_with_masking_no_whole_address_is_ever_written(database: str, clock: FakeClock, pepper: bytes) -> None:
    vault = Vault(database, Pepper(pepper), clock=clock, mask_ip=True)
    link = create(vault, clock)
    claim(vault, link)
    open_page(vault, link.lookup, SOMEBODY)
    vault.report_link(link.lookup, visitor=SOMEBODY)
    vault.record_burst(visitor=SOMEBODY)
    assert {event.ip for event in vault.events(after=0, limit=9).events} == {"203.0.113.0", None}
    assert vault.verify_chain().broken_at is None
    vault.close()


def test_many_links_run_out_a_part_at_a_time_and_a_late_one_does_not_open(vault: Vault, clock: FakeClock) -> None:
    links = [create(vault, clock) for _ in range(retention.LINKS_AT_ONCE + 3)]
    clock.advance(hours=1)
    assert vault.expire_due() == retention.LINKS_AT_ONCE
    late = next(link for link in links if (record := vault.look(link.lookup)) is not None and record.state == "active")
    assert not isinstance(claim(vault, late), Revealed)
    record = vault.find(late.terms.link_id)
    assert record is not None
    assert record.state == "expired"
    assert vault.expire_due() == 2
    assert vault.expire_due() == 0
    assert kinds(vault).count("expired") == len(links)
    assert vault.verify_chain().broken_at is None


def test_much_is_forgotten_a_part_at_a_time_and_the_chain_holds_after_each(vault: Vault, clock: FakeClock) -> None:
    for _ in range(retention.STRETCH // 2 + 30):
        claim(vault, create(vault, clock, views=1))
    old = vault.newest_event()
    vault.arm(make_alarm(clock.now)[0])
    clock.advance(days=100)
    young = create(vault, clock)
    slices, seqs = 0, [0]
    while vault.purge(up_to=old, over_up_to=old).more:
        slices += 1
        assert vault.verify_chain().broken_at is None
        seqs.append(kept(vault)[0][0])
    assert seqs == sorted(seqs), "it goes from the front"
    assert max(after - before for before, after in itertools.pairwise(seqs)) <= retention.MOST_EVENTS_AT_ONCE
    assert slices >= retention.STRETCH // retention.MOST_EVENTS_AT_ONCE
    assert kinds(vault) == ["created", "purged", "purged"], "one for each stretch"
    assert isinstance(claim(vault, young), Revealed)
    with vault.engine.connect() as connection:
        assert len(connection.execute(select(tables.link.c.id)).all()) == 1


def test_who_is_killed_while_forgetting_goes_on_where_it_was(database: str, clock: FakeClock, pepper: bytes) -> None:
    vault = open_vault(database, clock, pepper)
    links = [create(vault, clock, views=1) for _ in range(40)]
    for link in links:
        claim(vault, link)
    clock.advance(days=100)
    old = vault.newest_event()
    more = True
    while more:
        # Each time by another process, of which nothing is left but what it has committed.
        vault.close()
        vault = open_vault(database, clock, pepper)
        more = vault.purge(up_to=old).more
        assert vault.verify_chain().broken_at is None
        events = kept(vault)
        assert [seq for seq, _ in events] == list(range(events[0][0], 82))
        assert [event.seq for event in vault.events(after=0, limit=500).events] == [81], "the rest counts as removed"
        has_events = {link_id for _, link_id in events}
        assert {record.terms.link_id for record in vault.list_links(state=None, after="", limit=500)} == {
            link.terms.link_id for link in links if link.terms.link_id in has_events
        }
    assert kinds(vault) == ["purged"]
    vault.close()


def test_what_was_announced_is_removed_though_nothing_more_is_old_by_now(vault: Vault, clock: FakeClock) -> None:
    for _ in range(retention.MOST_EVENTS_AT_ONCE):
        claim(vault, create(vault, clock, views=1))
    clock.advance(days=100)
    assert vault.purge(up_to=vault.newest_event()).more
    while vault.purge(up_to=0).more:
        pass
    assert kinds(vault) == ["purged"]
    assert vault.verify_chain().broken_at is None


@pytest.mark.parametrize(
    ("worked", "written", "events"),
    [(0.001, 0.010, (32, 64, 64)), (0.001, 0.003, (16, 32, 64)), (0.001, 0.001, (16, 16, 32))],
)
def test_where_the_disk_is_slow_a_slice_takes_more(worked: float, written: float, events: tuple[int, ...]) -> None:
    assert tuple(retention.fitting(before, worked=worked, written=written) for before in (16, 32, 64)) == events


def personal(vault: Vault) -> list[int]:
    event = tables.event.c
    with vault.engine.connect() as connection:
        some = select(event.seq).where(event.ip.is_not(None) | event.user_agent.is_not(None)).order_by(event.seq)
        return list(connection.execute(some).scalars())


def test_each_written_event_is_told_and_nothing_else(database: str, clock: FakeClock, pepper: bytes) -> None:
    told: list[int] = []
    vault = Vault(database, Pepper(pepper), clock=clock, on_event=lambda: told.append(vault.newest_event()))
    vault.record_burst(visitor=SOMEBODY)
    assert told == [1]
    assert vault.purge(up_to=1) == retention.Slice(more=False, wrote_event=True)
    assert kinds(vault) == ["purged"], "though no link went"
    assert vault.purge(up_to=1) == retention.Slice(more=False, wrote_event=False)
    assert told == [1, 2]
    vault.close()


def test_of_a_link_that_has_ended_old_events_go_and_it_goes_with_the_last(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    claim(vault, link)
    vault.revoke(link.terms.link_id)
    vault.purge(up_to=2)
    assert kinds(vault) == ["revoked", "purged"]
    assert vault.find(link.terms.link_id) is not None
    vault.purge(up_to=3)
    assert vault.find(link.terms.link_id) is None
    assert vault.verify_chain().broken_at is None


def test_a_link_that_cannot_live_any_more_is_ended_and_holds_nothing_up(vault: Vault, clock: FakeClock) -> None:
    clock.now += timedelta(days=4 * 365)
    link = create(vault, clock, lifetime=timedelta(days=20))
    clock.now -= timedelta(days=4 * 365)
    young = create(vault, clock)
    assert vault.purge(up_to=1) == retention.Slice(more=False, wrote_event=False)
    assert vault.purge(up_to=2, over_up_to=1) == retention.Slice(more=False, wrote_event=True)
    assert kinds(vault) == ["created", "expired", "purged"]
    assert not isinstance(claim(vault, link), Revealed)
    assert isinstance(claim(vault, young), Revealed)
    assert vault.verify_chain().broken_at is None


def test_an_alarm_is_forgotten_when_what_was_written_after_it_is_old_and_it_cannot_live(
    vault: Vault, clock: FakeClock
) -> None:
    first, second = make_alarm(clock.now)[0], make_alarm(clock.now)[0]
    create(vault, clock)
    vault.arm(first)
    claim(vault, create(vault, clock))
    vault.arm(second)
    for up_to, over_up_to, left in (
        (9, 0, {first.id, second.id}),
        (0, 9, {first.id, second.id}),
        (1, 1, {first.id, second.id}),  # how long after that event it was made, nobody knows
        (2, 2, {second.id}),
        (9, 4, set()),
    ):
        vault.purge(up_to=up_to, over_up_to=over_up_to)
        with vault.engine.connect() as connection:
            assert set(connection.execute(select(tables.alarm.c.id)).scalars()) == left


def first_form(key: bytes, before: bytes, values: list[object]) -> bytes:
    """As events were authenticated by the version before, said once more in other words."""
    content = json.dumps(values, separators=(",", ":"), ensure_ascii=True).encode()
    return hmac.new(key, before + content, hashlib.sha256).digest()


@pytest.fixture(params=["sqlite", "postgresql"])
def older_database(request: pytest.FixtureRequest, tmp_path: Path, pepper: bytes, clock: FakeClock) -> Iterator[str]:
    """As the version before left it: one link that is over, one that lives, four events."""
    if request.param == "sqlite":
        url = f"sqlite:///{(tmp_path / 'older.db').as_posix()}"
        fill_as_before(url, pepper, clock)
        yield url
        return
    with database_in(request.getfixturevalue("postgres_server")) as url:
        fill_as_before(url, pepper, clock)
        yield url


def fill_as_before(url: str, pepper: bytes, clock: FakeClock) -> None:
    engine = open_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(connector.migrations.__file__).parent / "links"))
    config.set_main_option("path_separator", "os")
    config.attributes["version_table"] = "alembic_version_links"
    before, key = bytes(32), Pepper(pepper).chain_key
    now_ms = int(clock.now.timestamp() * 1000)
    names = ("seq", "link_id", "ref", "kind", "at_ms", "view", "views_left", "reason", "nonce", "ip", "country", "city",
             "place_source", "user_agent", "agent", "suspect")  # fmt: skip
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for name, state in (("lnk_older-0001", "expired"), ("lnk_older-0002", "active")):
            link = make_link(now=clock.now)
            connection.execute(
                text(
                    "INSERT INTO link (id, lookup_mac, pepper_id, content_mac, mode, blob, state, views, max_views, "
                    "expires_at, created_ms, ended_ms, ref, display_name, ticket, time_zone) VALUES (:id, :lookup, "
                    ":pepper, :content, 'path', NULL, :state, 0, 2, :expires, :now, :ended, 'halo/1', 'Anna', '1', "
                    "'UTC')"
                ),
                {"id": name, "lookup": secrets.token_bytes(32), "pepper": Pepper(pepper).key_id,
                 "content": secrets.token_bytes(32), "state": state, "expires": link.terms.expires_at, "now": now_ms,
                 "ended": now_ms if state == "expired" else None},
            )  # fmt: skip
        rows: list[tuple[object, ...]] = [
            (1, "lnk_older-0001", "halo/1", "created", now_ms, None, 2, None, None, *[None] * 7),
            (2, "lnk_older-0001", "halo/1", "page_opened", now_ms, None, 2, None, None, "203.0.113.9", "GB", "Leeds",
             "test", "Mozilla/5.0", "Edge", "none"),
            (3, "lnk_older-0001", "halo/1", "expired", now_ms, 0, 0, None, None, *[None] * 7),
            (4, "lnk_older-0002", "halo/1", "created", now_ms, None, 2, None, None, *[None] * 7),
        ]  # fmt: skip
        older_event = table_of("event", *(column(name) for name in (*names, "mac")))
        for row in rows:
            before = first_form(key, before, list(row))
            connection.execute(insert(older_event).values(**dict(zip(names, row, strict=True)), mac=before))
    engine.dispose()
    upgrade(url, "links")


def test_events_written_by_the_version_before_still_verify_and_the_chain_goes_on(
    older_database: str, clock: FakeClock, pepper: bytes
) -> None:
    vault = open_vault(older_database, clock, pepper)
    create(vault, clock)
    report = vault.verify_chain()
    assert (report.events, report.broken_at, report.unchecked) == (5, None, 0)
    record = vault.find("lnk_older-0002")
    assert record is not None
    assert (record.mode, record.locale, record.checked, record.check_failures) == ("path", "en", False, 0)
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 2).values(ip="198.51.100.1"))
    assert vault.verify_chain().broken_at == 2
    vault.close()


def test_events_of_the_version_before_lose_what_is_personal_too(
    older_database: str, clock: FakeClock, pepper: bytes
) -> None:
    vault = open_vault(older_database, clock, pepper)
    clock.advance(days=40)
    vault.blank(up_to=written_before(vault, clock, MONTH))
    assert vault.events(after=1, limit=1).events[0].ip is None
    assert vault.verify_chain().broken_at is None
    vault.close()


def test_events_of_the_version_before_verify_across_a_change_of_the_pepper(
    older_database: str, clock: FakeClock, pepper: bytes
) -> None:
    newer = secrets.token_bytes(32)
    vault = Vault(older_database, Peppers(Pepper(newer), Pepper(pepper)), clock=clock)
    create(vault, clock)
    assert vault.verify_chain().broken_at is None
    vault.close()
    clock.advance(days=1)
    vault = Vault(older_database, Pepper(newer), clock=clock)
    report = vault.verify_chain()
    assert (report.broken_at, report.unchecked) == (None, 4)
    vault.close()
