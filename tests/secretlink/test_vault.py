"""The vault: views are counted exactly, nothing is shown without a record, nothing survives its end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from connector.secretlink.place import Place
from connector.secretlink.seal import Pepper
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.service.store.links import Conflict, Refused, Revealed
from connector.secretlink.service.store.retention import Slice
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock, Made, make_link, new_nonce, open_page, open_vault, written_before

SOMEBODY = Visitor(ip="203.0.113.9", place=Place("GB", None, "test"), user_agent="x", agent="Edge 156 on Windows")


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


def create(vault: Vault, clock: FakeClock, *, views: int = 2, lifetime: timedelta = timedelta(minutes=60)) -> Made:
    link = make_link(views=views, lifetime=lifetime, now=clock.now)
    _, created = vault.create(link.to_new_link())
    assert created
    return link


def claim(vault: Vault, link: Made, nonce: str | None = None) -> Revealed | Refused:
    return vault.claim(link.lookup, token=link.key, nonce=nonce or new_nonce(), visitor=SOMEBODY)


def claim_at_once(vault: Vault, link: Made, *, nonces: list[str]) -> list[Revealed | Refused]:
    gate = threading.Barrier(len(nonces))

    def open_it(nonce: str) -> Revealed | Refused:
        gate.wait()
        return claim(vault, link, nonce)

    with ThreadPoolExecutor(len(nonces)) as pool:
        return list(pool.map(open_it, nonces))


def kinds(vault: Vault) -> list[str]:
    return [event.kind for event in vault.events(after=0, limit=1000).events]


def blob_of(vault: Vault, link: Made) -> bytes | None:
    with vault.engine.begin() as connection:
        found: bytes | None = connection.execute(
            select(tables.link.c.blob).where(tables.link.c.id == link.terms.link_id)
        ).scalar_one()
    return found


def test_each_view_shows_the_password_and_the_last_one_wipes_it(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=2)
    first = claim(vault, link)
    assert isinstance(first, Revealed)
    assert (first.password, first.link.views_left, first.link.state) == (link.password, 1, "active")
    second = claim(vault, link)
    assert isinstance(second, Revealed)
    assert (second.password, second.link.views_left, second.link.state) == (link.password, 0, "consumed")
    assert blob_of(vault, link) is None
    third = claim(vault, link)
    assert isinstance(third, Refused)
    assert third.reason == "consumed"
    assert kinds(vault) == ["created", "revealed", "revealed", "refused"]


@pytest.mark.parametrize("views", [1, 2])
def test_sixteen_at_once_get_exactly_as_many_views_as_there_are(vault: Vault, clock: FakeClock, views: int) -> None:
    for link in [create(vault, clock, views=views) for _ in range(6)]:
        answers = claim_at_once(vault, link, nonces=[new_nonce() for _ in range(16)])
        shown = [answer for answer in answers if isinstance(answer, Revealed)]
        assert len(shown) == views
        assert all(answer.password == link.password for answer in shown)
        assert len(answers) == 16
        assert sorted(event.view or 0 for event in vault.views_of(link.terms.link_id)) == list(range(1, views + 1))
    assert vault.verify_chain().broken_at is None


def test_the_same_click_sent_at_once_from_many_threads_is_one_view(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=2)
    answers = claim_at_once(vault, link, nonces=[new_nonce()] * 8)
    assert all(isinstance(answer, Revealed) for answer in answers)
    assert sum(isinstance(answer, Revealed) and answer.counted for answer in answers) == 1
    found = vault.find(link.terms.link_id)
    assert found is not None
    assert found.views == 1


def test_the_same_nonce_is_answered_again_for_a_minute_and_then_refused_uncounted(
    vault: Vault, clock: FakeClock
) -> None:
    link = create(vault, clock, views=2)
    nonce = new_nonce()
    claim(vault, link, nonce)
    clock.advance(seconds=60)
    again = claim(vault, link, nonce)
    assert isinstance(again, Revealed)
    assert (again.password, again.counted, again.link.views) == (link.password, False, 1)
    clock.advance(seconds=1)
    late = claim(vault, link, nonce)
    assert isinstance(late, Refused)
    assert late.reason == "repeated"
    found = vault.find(link.terms.link_id)
    assert found is not None
    assert found.views == 1


def test_after_the_last_view_nothing_is_kept_for_a_repeated_click(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=1)
    nonce = new_nonce()
    assert isinstance(claim(vault, link, nonce), Revealed)
    again = claim(vault, link, nonce)
    assert isinstance(again, Refused)
    assert again.reason == "repeated"


def test_a_link_that_ran_out_is_refused_in_that_very_second(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, lifetime=timedelta(minutes=60))
    clock.advance(minutes=60, milliseconds=-1)
    assert isinstance(claim(vault, link), Revealed)
    clock.advance(milliseconds=1)
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer.reason == "expired"
    assert blob_of(vault, link) is None
    assert kinds(vault) == ["created", "revealed", "expired", "refused"]


def test_a_link_that_ran_out_while_the_service_was_down_is_reported_once(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    before = open_vault(database, clock, pepper)
    link = create(before, clock)
    before.close()
    clock.advance(hours=2)
    after = open_vault(database, clock, pepper)
    assert after.next_expiry() is not None
    assert after.expire_due() == 1
    assert after.expire_due() == 0
    assert after.next_expiry() is None
    assert blob_of(after, link) is None
    (event,) = after.events(after=1, limit=10).events
    assert (event.kind, event.link_id, event.view, event.ref) == ("expired", link.terms.link_id, 0, "halo/4242")
    after.close()


def test_a_revoked_link_is_dead_and_revoking_again_changes_nothing(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    for _ in range(2):
        record = vault.revoke(link.terms.link_id)
        assert record is not None
        assert record.state == "revoked"
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer.reason == "revoked"
    assert blob_of(vault, link) is None
    assert kinds(vault) == ["created", "revoked", "refused"]
    assert vault.revoke("lnk_never-made") is None


def test_a_used_up_link_stays_used_up_when_it_is_revoked(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=1)
    claim(vault, link)
    record = vault.revoke(link.terms.link_id)
    assert record is not None
    assert record.state == "consumed"
    assert kinds(vault) == ["created", "revealed"]


def test_creating_the_same_link_again_changes_nothing(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    claim(vault, link)
    record, created = vault.create(link.to_new_link())
    assert (created, record.views) == (False, 1)
    assert kinds(vault) == ["created", "revealed"]


@pytest.mark.parametrize("change", ["ref", "display_name", "ticket", "time_zone", "brand", "sealed"])
def test_another_link_under_the_same_id_is_refused(vault: Vault, clock: FakeClock, change: str) -> None:
    link = create(vault, clock)
    other = make_link(now=clock.now)
    value: object = other.sealed if change == "sealed" else "another"
    with pytest.raises(Conflict):
        vault.create(link.to_new_link(**{change: value}))
    answer = claim(vault, link)
    assert isinstance(answer, Revealed)
    assert answer.password == link.password


def test_a_token_belongs_to_one_link(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    other = make_link(now=clock.now)
    with pytest.raises(Conflict):
        vault.create(other.to_new_link(lookup=link.lookup))
    assert vault.find(other.terms.link_id) is None
    assert kinds(vault) == ["created"]


def test_a_link_is_not_made_when_it_would_be_over_already(vault: Vault, clock: FakeClock) -> None:
    link = make_link(now=clock.now, lifetime=timedelta(0))
    with pytest.raises(ValueError, match="past"):
        vault.create(link.to_new_link())
    assert kinds(vault) == []


@pytest.mark.parametrize("change", [{"max_views": 20}, {"expires_at": 4_102_444_800}])
def test_who_stretches_a_link_in_the_database_gets_nothing_and_uses_no_view(
    vault: Vault, clock: FakeClock, change: dict[str, int]
) -> None:
    link = create(vault, clock, views=1)
    with vault.engine.begin() as connection:
        connection.execute(update(tables.link).values(**change))
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer == Refused("unknown", None)
    assert blob_of(vault, link) is not None
    assert kinds(vault) == ["created"]


def test_a_swapped_blob_does_not_open(vault: Vault, clock: FakeClock) -> None:
    link, other = create(vault, clock), create(vault, clock)
    with vault.engine.begin() as connection:
        connection.execute(
            update(tables.link)
            .where(tables.link.c.id == link.terms.link_id)
            .values(blob=blob_of_raw(connection, other))
        )
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer.reason == "damaged"


def blob_of_raw(connection: object, link: Made) -> bytes:
    return connection.execute(  # type: ignore[attr-defined, no-any-return]
        select(tables.link.c.blob).where(tables.link.c.id == link.terms.link_id)
    ).scalar_one()


def test_the_database_itself_refuses_more_views_than_allowed(vault: Vault, clock: FakeClock) -> None:
    create(vault, clock, views=1)
    with pytest.raises(IntegrityError), vault.engine.begin() as connection:
        connection.execute(update(tables.link).values(views=2))
    with pytest.raises(IntegrityError), vault.engine.begin() as connection:
        connection.execute(update(tables.link).values(state="consumed"))


def test_changing_removing_or_shortening_the_history_shows(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    claim(vault, link)
    claim(vault, link)
    assert vault.verify_chain().broken_at is None
    head = vault.events(after=0, limit=1).head
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 2).values(ip="198.51.100.1"))
    assert vault.verify_chain().broken_at == 2
    with vault.engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == 2).values(ip="203.0.113.9"))
    assert vault.verify_chain().broken_at is None
    with vault.engine.begin() as connection:
        connection.execute(tables.event.delete().where(tables.event.c.seq == 2))
    assert vault.verify_chain().broken_at == 3
    with vault.engine.begin() as connection:
        connection.execute(tables.event.delete().where(tables.event.c.seq == 3))
    # A shortened history is whole in itself: only who remembers the head can tell.
    assert vault.verify_chain().broken_at is None
    assert vault.events(after=0, limit=1).head.seq < head.seq


def test_events_are_read_with_a_cursor_and_none_is_lost(vault: Vault, clock: FakeClock) -> None:
    for _ in range(7):
        claim(vault, create(vault, clock))
    seen: list[int] = []
    cursor = 0
    while True:
        page = vault.events(after=cursor, limit=4)
        seen += [event.seq for event in page.events]
        assert page.more == (page.head.seq > (seen[-1] if seen else 0))
        if not page.events:
            break
        cursor = seen[-1]
    assert seen == list(range(1, 15))
    assert vault.events(after=14, limit=4).anchor == vault.events(after=0, limit=1).head.mac
    assert vault.events(after=99, limit=4).anchor is None


def test_a_reveal_event_says_who_and_roughly_where_but_no_secret(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    claim(vault, link)
    event = vault.events(after=1, limit=1).events[0]
    assert (event.kind, event.view, event.views_left) == ("revealed", 1, 1)
    assert (event.ip, event.agent) == ("203.0.113.9", "Edge 156 on Windows")
    assert event.place is not None
    assert event.place.words == "United Kingdom (approx.)"
    assert link.token.reveal() not in repr(event)
    assert link.password.reveal() not in repr(event)


def test_opening_again_and_again_does_not_fill_the_disk(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    for _ in range(130):
        open_page(vault, link.lookup, SOMEBODY)
    assert kinds(vault).count("page_opened") == 100
    assert isinstance(claim(vault, link), Revealed)
    assert kinds(vault)[-1] == "revealed"


def test_many_addresses_that_guess_do_not_fill_the_disk_either(vault: Vault, clock: FakeClock) -> None:
    for _ in range(1010):
        vault.record_burst(visitor=SOMEBODY)
    assert vault.newest_event() == 1000
    clock.advance(hours=1)
    vault.record_burst(visitor=SOMEBODY)
    assert vault.newest_event() == 1001


def test_a_link_whose_time_is_over_is_never_found_alive(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    clock.advance(hours=1)
    record = vault.find(link.terms.link_id)
    assert record is not None
    assert record.state == "expired"
    assert blob_of(vault, link) is None
    assert kinds(vault) == ["created", "expired"]


def test_old_links_are_forgotten_and_the_rest_of_the_chain_stays_proven(vault: Vault, clock: FakeClock) -> None:
    old = create(vault, clock, views=1)
    claim(vault, old)
    clock.advance(days=91)
    young = create(vault, clock)
    old_up_to = written_before(vault, clock, timedelta(days=90))
    assert vault.purge(up_to=old_up_to) == Slice(more=False, wrote_event=True)
    assert vault.find(old.terms.link_id) is None
    assert vault.find(young.terms.link_id) is not None
    assert kinds(vault) == ["created", "purged"]
    assert [event.seq for event in vault.events(after=0, limit=10).events] == [3, 4]
    assert vault.verify_chain().broken_at is None
    assert vault.purge(up_to=old_up_to) == Slice(more=False, wrote_event=False)
    assert kinds(vault) == ["created", "purged"]
    assert isinstance(claim(vault, young), Revealed)
    answer = claim(vault, old)
    assert isinstance(answer, Refused)
    assert answer.reason == "unknown"
    with vault.engine.begin() as connection:
        connection.execute(tables.event.delete().where(tables.event.c.seq == 3))
    assert vault.verify_chain().broken_at == 4


def test_a_link_that_is_still_open_keeps_its_history(vault: Vault, clock: FakeClock) -> None:
    living = create(vault, clock, lifetime=timedelta(days=20))
    clock.advance(days=10)
    assert vault.purge(up_to=vault.newest_event()) == Slice(more=False, wrote_event=False)
    assert kinds(vault) == ["created"]
    assert isinstance(claim(vault, living), Revealed)


def test_an_expiry_that_a_repeated_create_finds_is_announced_and_an_unknown_token_is_not(
    database: str, clock: FakeClock, pepper: bytes
) -> None:
    told: list[int] = []
    vault = Vault(database, Pepper(pepper), clock=clock, on_event=lambda: told.append(vault.newest_event()))
    link = create(vault, clock)
    assert claim(vault, make_link(now=clock.now)) == Refused("unknown", None)
    vault.create(link.to_new_link())
    assert told == [1], "neither was an event"
    clock.advance(hours=2)
    vault.create(link.to_new_link())
    assert told == [1, 2]
    assert kinds(vault) == ["created", "expired"]
    vault.close()
