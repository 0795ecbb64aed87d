"""Who writes the database without the pepper has nobody shown, or told, anything of their own making."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing
from sqlalchemy import delete, event, insert, select, update
from starlette.applications import Starlette

from connector.core.secret import Secret
from connector.secretlink.client_answers import read_event
from connector.secretlink.seal import Pepper, check_of, seal
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind
from connector.secretlink.service.store.links import Conflict, NewAlarm, Refused, Revealed
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import (
    Browser,
    FakeClock,
    Made,
    encode,
    make_alarm,
    make_link,
    new_nonce,
    open_page,
    open_vault,
    written_before,
)
from tests.secretlink.test_pages_alarm import Alarm, press
from tests.secretlink.test_vault import SOMEBODY, claim, create, kinds

EVIL = json.dumps({"name": "Evil desk", "phone": "+44 900 666", "url": "https://evil.example"})


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


@pytest.fixture
def told(vault: Vault, clock: FakeClock) -> Made:
    """A link that was opened once, so that it could be reported."""
    link = create(vault, clock)
    assert isinstance(claim(vault, link), Revealed)
    return link


def row_of(vault: Vault, link: Made) -> dict[str, Any]:
    with vault.engine.connect() as connection:
        found = connection.execute(select(tables.link).where(tables.link.c.id == link.terms.link_id))
        return dict(found.mappings().one())


def change(vault: Vault, link: Made, **values: object) -> None:
    """As somebody who can write the database and has no pepper."""
    with vault.engine.begin() as connection:
        which = tables.link.c.id == link.terms.link_id
        assert connection.execute(update(tables.link).where(which).values(values)).rowcount == 1


def history(vault: Vault) -> list[Mapping[str, Any]]:
    """Every event, also one that would not be told."""
    with vault.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(tables.event).order_by(tables.event.c.seq)).mappings()]


def forge(vault: Vault, link: Made, kind: str, **values: object) -> None:
    """One more event of this link, as far as that can be done without the pepper."""
    newest = history(vault)[-1]
    made_up = {"seq": newest["seq"] + 1, "link_id": link.terms.link_id, "kind": kind, "nonce": None, "view": 1,
               "mac": secrets.token_bytes(32)}  # fmt: skip
    with vault.engine.begin() as connection:
        connection.execute(insert(tables.event).values(dict(newest) | made_up | values))


def swap_lookup(vault: Vault, mine: Made, victims: Made) -> None:
    """From now on the token of `mine` finds the row of the other link."""
    lookup_mac = row_of(vault, mine)["lookup_mac"]
    change(vault, mine, lookup_mac=secrets.token_bytes(32))
    change(vault, victims, lookup_mac=lookup_mac)


def as_before_the_update(vault: Vault, link: Made, pepper: bytes, **made: Any) -> None:
    """The row of a link as the version before wrote it."""
    content = link.to_new_link(**made).canonical()
    mac = hmac.digest(Pepper(pepper).content_key, content, hashlib.sha256)
    change(vault, link, content_mac=mac, sealed_digest=None)


def reports_of(vault: Vault) -> list[tuple[str | None, str | None]]:
    return [(one["link_id"], one["reason"]) for one in history(vault) if one["kind"] == "reported"]


# ---------------------------------------------------------------- changed rows

CHANGES: Mapping[str, Mapping[str, object]] = {
    "moved lookup": {"lookup_mac": b"l" * 32},
    "ref": {"ref": "halo/9999"},
    "mode": {"mode": "fragment"},
    "brand": {"brand": EVIL},
    "ticket": {"ticket": "9999"},
    "display name": {"display_name": "Somebody Else"},
    "time zone": {"time_zone": "Asia/Tokyo"},
    "locale": {"locale": "de"},
    "longer life": {"expires_at": 4_102_444_800},
    "shorter life": {"expires_at": 1},
    "views": {"max_views": 20},
    "typed check": {"check_mac": b"c" * 32},
    "what it holds": {"sealed_digest": b"d" * 32},
    "mac": {"content_mac": b"m" * 32},
}


@pytest.mark.parametrize("which", CHANGES)
def test_a_changed_row_is_unknown_to_everybody_and_nobody_is_told_of_it(
    vault: Vault, clock: FakeClock, told: Made, which: str
) -> None:
    change(vault, told, **CHANGES[which])
    row, before = row_of(vault, told), history(vault)
    with structlog.testing.capture_logs() as logs:
        assert vault.look(told.lookup) is None
        assert vault.find(told.terms.link_id) is None
        assert vault.list_links(state=None, after="", limit=10) == ()
        assert claim(vault, told) == Refused("unknown", None)
        assert vault.report_link(told.lookup, visitor=SOMEBODY) is None
        with pytest.raises(Conflict):
            vault.create(told.to_new_link())
    said = [(line["event"], line["log_level"], line["link"]) for line in logs]
    assert said == [("link_changed", "error", told.terms.link_id)]
    assert "9999" not in f"{logs}"
    assert "evil" not in f"{logs}"
    assert row_of(vault, told) == row
    assert history(vault) == before


@pytest.mark.parametrize("which", CHANGES)
def test_a_changed_row_that_is_passed_off_as_one_of_before_shows_nothing_of_it_and_cannot_be_reported(
    vault: Vault, clock: FakeClock, told: Made, which: str
) -> None:
    values = {name: value for name, value in CHANGES[which].items() if name != "lookup_mac"}
    change(vault, told, **(values | {"sealed_digest": None}))
    row, before = row_of(vault, told), history(vault)
    record = vault.look(told.lookup)
    assert record is not None
    assert (record.ref, record.display_name, record.ticket, record.time_zone, record.locale, record.brand) == (
        "", "", "", "UTC", "en", None
    )  # fmt: skip
    vault.visit(record, EventKind.PAGE_OPENED, visitor=SOMEBODY)
    vault.report_link(told.lookup, visitor=SOMEBODY)
    if which != "shorter life":  # who can write the database can end links, and that is told as an end
        assert isinstance(claim(vault, told), Refused)
        assert row_of(vault, told) == row
        assert history(vault) == before
    assert reports_of(vault) == []


def test_a_link_shows_nothing_but_what_it_was_made_with(vault: Vault, clock: FakeClock, pepper: bytes) -> None:
    link = create(vault, clock)
    other = seal(Secret(secrets.token_urlsafe(15)), token=link.key, terms=link.terms)
    change(vault, link, blob=Pepper(pepper).wrap(other, terms=link.terms))
    answer = claim(vault, link)
    assert isinstance(answer, Refused)
    assert answer.reason == "damaged"
    assert row_of(vault, link)["views"] == 0


def test_a_wrong_answer_to_a_changed_row_is_not_counted(vault: Vault, clock: FakeClock) -> None:
    mine, victims = create(vault, clock), make_link(now=clock.now)
    vault.create(victims.to_new_link(check=check_of(victims.key, "4242")))
    swap_lookup(vault, mine, victims)
    row, before = row_of(vault, victims), history(vault)
    wrong = check_of(mine.key, "1")
    answer = vault.claim(mine.lookup, token=mine.key, check=wrong, nonce=new_nonce(), visitor=SOMEBODY)
    assert answer == Refused("unknown", None)
    assert row_of(vault, victims) == row
    assert history(vault) == before


def test_a_row_of_an_unknown_pepper_proves_nothing_either(vault: Vault, told: Made) -> None:
    change(vault, told, pepper_id="0123456789ab", brand=EVIL)
    before = history(vault)
    record = vault.look(told.lookup)
    assert record is None or (record.brand, record.proven) == (None, False)
    vault.report_link(told.lookup, visitor=SOMEBODY)
    assert isinstance(claim(vault, told), Refused)
    assert history(vault) == before


def test_the_row_of_another_link_does_not_speak_for_this_one(vault: Vault, clock: FakeClock, told: Made) -> None:
    other = create(vault, clock)
    copied = row_of(vault, other) | {"id": told.terms.link_id}
    change(vault, other, lookup_mac=secrets.token_bytes(32))
    change(vault, told, **copied)
    before = history(vault)
    assert vault.look(other.lookup) is None
    assert vault.find(told.terms.link_id) is None
    assert vault.report_link(other.lookup, visitor=SOMEBODY) is None
    assert claim(vault, other) == Refused("unknown", None)
    assert history(vault) == before


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("passed_off", [False, True])
def test_the_token_of_one_link_reports_no_other_one(
    app: Starlette, browser: Browser, clock: FakeClock, views: int, passed_off: bool
) -> None:
    vault: Vault = app.state.vault
    mine, victims = make_link(views=views), make_link(views=2)
    browser.create(mine, ref="case-mine")
    browser.create(victims, ref="case-victim", display_name="Victoria")
    assert browser.reveal(mine).status == 200
    assert browser.reveal(victims).status == 200
    now_ms = int(clock.now.timestamp() * 1000)
    swap_lookup(vault, mine, victims)
    change(vault, victims, last_view_ms=now_ms, **({"sealed_digest": None} if passed_off else {}))
    row, before = row_of(vault, victims), history(vault)
    for path in (f"{mine.path}/not-me", *(() if passed_off else (mine.path,))):
        page = browser.get(path)
        assert page.status == 404
        assert "Victoria" not in page.text
    vault.report_link(mine.lookup, visitor=SOMEBODY)
    assert row_of(vault, victims) == row
    assert history(vault) == before
    assert [heard for heard in map(read_event, browser.events()) if heard and heard.kind == "reported"] == []


def test_a_page_never_shows_another_desk_than_the_one_it_was_made_with(app: Starlette, browser: Browser) -> None:
    link = make_link()
    browser.create(link)
    change(app.state.vault, link, brand=EVIL)
    for digest in ({}, {"sealed_digest": None}):
        change(app.state.vault, link, **(digest or {"brand": EVIL}))
        page = browser.get(link.path)
        assert "evil.example" not in page.text
        assert "900 666" not in page.text
    assert kinds(app.state.vault) == ["created"]


def test_a_changed_row_can_still_be_ended_but_is_not_called_what_it_says(vault: Vault, clock: FakeClock) -> None:
    revoked, expired = create(vault, clock), create(vault, clock)
    for link in (revoked, expired):
        change(vault, link, ref="halo/9999")
    record = vault.revoke(revoked.terms.link_id)
    assert record is not None, "who asks for its end must be told that there was something to end"
    assert (record.state, record.ref, record.proven) == ("revoked", "", False)
    clock.advance(hours=1)
    assert vault.expire_due() == 1
    ends = [(one["kind"], one["link_id"], one["ref"]) for one in history(vault)[2:]]
    assert ends == [("revoked", revoked.terms.link_id, ""), ("expired", expired.terms.link_id, "")]
    assert {row_of(vault, link)["blob"] for link in (revoked, expired)} == {None}


def test_a_list_goes_on_behind_changed_rows(vault: Vault, clock: FakeClock) -> None:
    links = sorted((create(vault, clock) for _ in range(6)), key=lambda link: link.terms.link_id)
    for changed in (links[0], links[2], links[3]):
        change(vault, changed, ticket="9999")
    listed = vault.list_links(state="active", after="", limit=2)
    assert [record.terms.link_id for record in listed] == [links[1].terms.link_id, links[4].terms.link_id]
    rest = vault.list_links(state="active", after=listed[-1].terms.link_id, limit=2)
    assert [record.terms.link_id for record in rest] == [links[5].terms.link_id]


# ---------------------------------------------------------------- what a report hangs on


def test_that_a_link_was_opened_is_not_the_database_s_say(app: Starlette, browser: Browser, clock: FakeClock) -> None:
    vault: Vault = app.state.vault
    link = make_link(views=2)
    browser.create(link)
    now_ms = int(clock.now.timestamp() * 1000)
    change(vault, link, views=1, first_view_ms=now_ms, last_view_ms=now_ms)
    row, before = row_of(vault, link), history(vault)
    assert browser.get(f"{link.path}/not-me").status == 404
    vault.report_link(link.lookup, visitor=SOMEBODY)
    assert row_of(vault, link) == row
    assert history(vault) == before


def test_a_forged_last_view_does_not_bring_a_report_back_that_is_over(
    app: Starlette, browser: Browser, clock: FakeClock
) -> None:
    vault: Vault = app.state.vault
    link = make_link(views=1)
    browser.create(link)
    assert browser.reveal(link).status == 200
    clock.advance(days=7)
    now_ms = int(clock.now.timestamp() * 1000)
    for forged in ({"last_view_ms": now_ms}, {"last_view_ms": now_ms, "state": "active", "ended_ms": None}):
        change(vault, link, **forged)
        before = history(vault)
        assert browser.get(f"{link.path}/not-me").status == 404
        vault.report_link(link.lookup, visitor=SOMEBODY)
        assert history(vault) == before


@pytest.mark.parametrize("place", ["appended", "in the place of an opening", "copied from another link"])
def test_a_forged_reveal_makes_nothing_of_a_link_that_nobody_opened(
    app: Starlette, browser: Browser, clock: FakeClock, place: str
) -> None:
    vault: Vault = app.state.vault
    link, other = make_link(views=2), make_link(views=2)
    browser.create(link)
    browser.create(other)
    open_page(vault, link.lookup, SOMEBODY)
    assert browser.reveal(other).status == 200
    vault.write_openings()
    if place == "appended":
        forge(vault, link, "revealed")
    else:
        copied = place == "copied from another link"
        which = (tables.event.c.kind == "revealed") if copied else (tables.event.c.link_id == link.terms.link_id)
        with vault.engine.begin() as connection:
            connection.execute(update(tables.event).where(which).values(kind="revealed", link_id=link.terms.link_id))
    change(vault, link, views=1, last_view_ms=int(clock.now.timestamp() * 1000))
    row, before = row_of(vault, link), history(vault)
    assert vault.views_of(link.terms.link_id) == ()
    assert browser.get(f"{link.path}/not-me").status == 404
    vault.report_link(link.lookup, visitor=SOMEBODY)
    assert row_of(vault, link) == row
    assert history(vault) == before


def test_a_forged_report_is_shown_to_nobody_and_keeps_nobody_from_a_true_one(vault: Vault, told: Made) -> None:
    forge(vault, told, "reported", reason="page")
    assert vault.report_of(told.terms.link_id) is None
    vault.report_link(told.lookup, visitor=SOMEBODY)
    assert len(reports_of(vault)) == 2
    assert row_of(vault, told)["state"] == "revoked"


def test_where_a_mac_ends_is_not_for_the_database_to_say(vault: Vault, pepper: bytes, told: Made) -> None:
    *_, created, revealed = history(vault)
    longer = created["mac"] + b"x"
    content = vault.views_of(told.terms.link_id)[0].canonical(
        form=2, pepper_id=revealed["pepper_id"], salt=revealed["salt"]
    )
    forged = hmac.digest(Pepper(pepper).chain_key, longer + content, hashlib.sha256)
    with vault.engine.begin() as connection:
        for seq, mac in ((created["seq"], longer), (revealed["seq"], forged)):
            connection.execute(update(tables.event).where(tables.event.c.seq == seq).values(mac=mac))
    assert vault.views_of(told.terms.link_id) == ()


# ---------------------------------------------------------------- alarms

ALARM_CHANGES: Mapping[str, object] = {
    "id": "alm_another-one", "about": "case-9999", "link_id": None, "source": "notice", "display_name": "Else",
    "ticket": "9999", "time_zone": "Asia/Tokyo", "locale": "de", "brand": EVIL, "expires_at": 4_102_444_800,
    "pepper_id": "0123456789ab", "content_mac": b"m" * 32,
}  # fmt: skip


@pytest.mark.parametrize("which", ALARM_CHANGES)
def test_a_changed_alarm_is_unknown_ends_nobody_s_link_and_nobody_is_told(
    vault: Vault, clock: FakeClock, which: str
) -> None:
    mine, victims = create(vault, clock), create(vault, clock)
    alarm: NewAlarm = make_alarm(clock.now, link_id=mine.terms.link_id)[0]
    vault.arm(alarm)
    value = victims.terms.link_id if which == "link_id" else ALARM_CHANGES[which]
    with vault.engine.begin() as connection:
        connection.execute(update(tables.alarm).values({which: value}))
    before = history(vault)
    assert vault.look_alarm(alarm.lookup) is None
    assert vault.raise_alarm(alarm.lookup, visitor=SOMEBODY) is None
    assert {row_of(vault, link)["state"] for link in (mine, victims)} == {"active"}
    assert history(vault) == before


# ---------------------------------------------------------------- honest links


def report(browser: Browser, link: Made) -> None:
    alarm, _ = make_alarm(browser.clock.now, about="halo/4242", link_id=link.terms.link_id)
    answer = press(browser, Alarm(alarm, f"{link.path}/not-me", ""))
    assert (answer.status, answer.json()["state"]) == (200, "raised")
    assert [(one["link_id"], one["ref"]) for one in browser.events() if one["kind"] == "reported"] == [
        (link.terms.link_id, "halo/4242")
    ]


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("mode", ["path", "fragment"])
def test_an_honest_link_is_shown_and_can_be_reported_also_when_what_it_held_is_gone(
    app: Starlette, browser: Browser, views: int, typed: bool, mode: str
) -> None:
    vault: Vault = app.state.vault
    link = make_link(views=views)
    check = check_of(link.key, "4242") if typed else None
    made = {"mode": mode, "brand": {"name": "Contoso Desk"}, "locale": "de", "ticket": "" if typed else "4242"}
    assert browser.create(link, human_check=encode(check) if check else None, **made).status == 201
    shown = vault.claim(link.lookup, token=link.key, check=check, nonce=new_nonce(), visitor=SOMEBODY)
    assert isinstance(shown, Revealed)
    record = vault.look(link.lookup)
    assert record is not None
    assert (record.proven, record.display_name, record.locale) == (True, "Anna Example", "de")
    assert vault.find(link.terms.link_id) == record
    assert "Contoso Desk" in browser.get(link.path).text
    report(browser, link)


@pytest.mark.parametrize("views", [1, 2])
def test_a_link_of_an_older_pepper_is_shown_and_can_be_reported(
    database: str, clock: FakeClock, pepper: bytes, views: int
) -> None:
    before = open_vault(database, clock, pepper)
    link = create(before, clock, views=views)
    claim(before, link)
    before.close()
    after = Vault(database, Peppers(Pepper(secrets.token_bytes(32)), Pepper(pepper)), clock=clock)
    create(after, clock)
    record = after.look(link.lookup)
    assert record is not None
    assert (record.proven, record.display_name) == (True, "Anna Example")
    assert after.create(link.to_new_link())[1] is False
    after.report_link(link.lookup, visitor=SOMEBODY)
    assert reports_of(after) == [(link.terms.link_id, "page")]
    after.close()


def test_a_link_can_be_reported_when_what_is_personal_was_blanked_and_what_was_before_it_forgotten(
    vault: Vault, clock: FakeClock
) -> None:
    old = create(vault, clock)
    vault.revoke(old.terms.link_id)
    clock.advance(days=2)
    link = create(vault, clock, lifetime=timedelta(days=20))
    claim(vault, link)
    clock.advance(days=2)
    while vault.blank(up_to=vault.newest_event()):
        pass
    up_to = written_before(vault, clock, timedelta(days=3))
    while vault.purge(up_to=up_to, over_up_to=up_to).more:
        pass
    assert kinds(vault) == ["created", "revealed", "purged"]
    vault.report_link(link.lookup, visitor=SOMEBODY)
    assert reports_of(vault) == [(link.terms.link_id, "page")]


def test_the_first_kept_reveal_is_proven_by_the_purge_before_it(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, views=1)
    claim(vault, link)
    created = history(vault)[0]
    with vault.engine.begin() as connection:
        connection.execute(delete(tables.event).where(tables.event.c.seq == 1))
    assert vault.views_of(link.terms.link_id) == (), "what it follows is gone, and no purge tells of it"
    with vault.engine.begin() as connection:
        connection.execute(insert(tables.event).values(**created))
    assert vault.purge(up_to=1, over_up_to=0).wrote_event
    assert [row["seq"] for row in history(vault)] == [2, 3]
    assert len(vault.views_of(link.terms.link_id)) == 1


def test_a_look_at_a_link_is_one_statement(vault: Vault, told: Made) -> None:
    statements: list[str] = []

    @event.listens_for(vault.engine, "before_cursor_execute")
    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    assert vault.look(told.lookup) is not None
    event.remove(vault.engine, "before_cursor_execute", count)
    assert len(statements) == 1


# ---------------------------------------------------------------- links of before the update


@pytest.mark.parametrize("typed", [False, True])
def test_a_link_made_before_the_update_opens_names_nobody_and_is_reported_by_its_mail_alone(
    app: Starlette, browser: Browser, clock: FakeClock, pepper: bytes, typed: bool
) -> None:
    vault: Vault = app.state.vault
    link = make_link(views=2)
    made = {"check": check_of(link.key, "4242") if typed else None, "brand": EVIL}
    vault.create(link.to_new_link(**made))
    as_before_the_update(vault, link, pepper, **made)
    page = browser.get(link.path)
    assert page.status == 200
    for words in ("Anna Example", "evil.example"):
        assert words not in page.text
    assert vault.create(link.to_new_link(**made))[1] is False
    with pytest.raises(Conflict):
        vault.create(link.to_new_link(**made, display_name="Somebody Else"))
    wish = {"challenge": browser.step_of(link), "nonce": new_nonce(), "answer": "4242"}
    shown = browser.post_json(f"{link.path}/reveal", wish)
    assert shown.json()["password"] == link.password.reveal()
    assert kinds(vault) == ["created", "revealed"], "openings are told of proven links alone"
    again = browser.get(link.path).text
    assert "This link was opened before" in again
    assert "/not-me" not in again, "no way to a page that there is not"
    assert browser.get(f"{link.path}/not-me").status == 404
    vault.report_link(link.lookup, visitor=SOMEBODY)
    assert kinds(vault) == ["created", "revealed"]
    alarm, _ = make_alarm(clock.now, link_id=link.terms.link_id)
    vault.arm(alarm)
    vault.raise_alarm(alarm.lookup, visitor=SOMEBODY)
    assert kinds(vault) == ["created", "revealed", "reported", "revoked"]


def test_a_guess_at_a_moved_link_of_before_has_nobody_told_of_guesses(vault: Vault, clock: FakeClock) -> None:
    mine, victims = create(vault, clock), make_link(now=clock.now)
    vault.create(victims.to_new_link(check=check_of(victims.key, "4242")))
    swap_lookup(vault, mine, victims)
    change(vault, victims, sealed_digest=None)
    for _ in range(5):
        answer = vault.claim(
            mine.lookup, token=mine.key, check=check_of(mine.key, "1"), nonce=new_nonce(), visitor=SOMEBODY
        )
        assert isinstance(answer, Refused)
    ends = [(one["kind"], one["reason"], one["ref"]) for one in history(vault)[2:]]
    assert ends == [("revoked", None, "")], "an end, which who writes the database can have; and no more"
