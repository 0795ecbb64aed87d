"""The connector's adapter against a link service that really listens."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.ports import Level, LinkEventKind, LinkService, LinkWish
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, PermanentError, TemporaryError
from connector.http import Http
from connector.secretlink.client import BuiltinLinks
from connector.secretlink.client_answers import read_event
from connector.secretlink.seal import decode_token, lookup_of, new_link_id
from connector.secretlink.service.store.links import Revealed
from tests.contracts.links import all_events
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, make_database, make_link, new_nonce, open_vault, options_for
from tests.secretlink.test_vault import SOMEBODY


@pytest.fixture
def address(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[str]:
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        yield url


def client(address: str, api_key: str, clock: FakeClock) -> BuiltinLinks:
    http = Http(system="The link service", scope="links", sleep=lambda _: None)
    return BuiltinLinks(
        http=http, url="https://links.example.com", api_url=address, api_key=Secret(api_key), clock=clock
    )


@pytest.fixture
def links(address: str, api_key: str, clock: FakeClock) -> LinkService:
    return client(address, api_key, clock)


def wish(**changes: object) -> LinkWish:
    values: dict[str, object] = {
        "id": new_link_id(), "ref": "halo/4242", "display_name": "Anna Example", "ticket": "4242", "views": 2,
        "lifetime": timedelta(minutes=60), "time_zone": "Europe/London",
    }  # fmt: skip
    return LinkWish(**(values | changes))  # type: ignore[arg-type]


def token_of(url: Secret) -> bytes:
    return decode_token(url.reveal().rpartition("/")[2])


def test_a_link_that_was_made_opens_to_the_password(
    links: LinkService, database: str, clock: FakeClock, pepper: bytes
) -> None:
    password = Secret(secrets.token_urlsafe())
    wanted = wish()
    link = links.create(wanted, password)
    assert (link.id, link.views, link.expires_at) == (wanted.id, 2, clock.now + timedelta(minutes=60))
    assert link.url.reveal().startswith("https://links.example.com/s/")
    assert link.url.reveal() not in repr(link)
    vault = open_vault(database, clock, pepper)
    shown = vault.claim(lookup_of(token_of(link.url)), token=token_of(link.url), nonce=new_nonce(), visitor=SOMEBODY)
    vault.close()
    assert isinstance(shown, Revealed)
    assert shown.password == password
    revealed = all_events(links)[-1]
    assert (revealed.kind, revealed.link_id, revealed.view, revealed.views_left) == (
        LinkEventKind.REVEALED, link.id, 1, 1
    )  # fmt: skip
    assert (revealed.ip, revealed.place, revealed.agent) == (
        "203.0.113.9", "United Kingdom (approx.)", "Edge 156 on Windows"
    )  # fmt: skip
    assert revealed.at == clock.now


def test_a_lifetime_in_fractions_of_a_second_is_rounded_up(links: LinkService, clock: FakeClock) -> None:
    link = links.create(wish(lifetime=timedelta(milliseconds=1500)), Secret(secrets.token_urlsafe()))
    assert link.expires_at == clock.now + timedelta(seconds=2)


def test_revoking_is_fine_twice_and_for_a_link_that_was_never_made(links: LinkService) -> None:
    link = links.create(wish(), Secret(secrets.token_urlsafe()))
    assert [links.revoke(link_id) for link_id in (link.id, link.id, new_link_id())] == [True, True, False]
    assert [event.kind for event in all_events(links)] == [LinkEventKind.CREATED, LinkEventKind.REVOKED]


def test_a_second_link_under_the_same_id_is_refused(links: LinkService) -> None:
    wanted = wish()
    links.create(wanted, Secret(secrets.token_urlsafe()))
    with pytest.raises(PermanentError, match="another link"):
        links.create(wanted, Secret(secrets.token_urlsafe()))


def test_a_link_that_the_service_cannot_make_is_refused_with_what_to_do(links: LinkService, clock: FakeClock) -> None:
    with pytest.raises(PermanentError, match="connector check"):
        links.create(wish(lifetime=timedelta(days=40)), Secret(secrets.token_urlsafe()))
    for wrong in ({"views": 0}, {"views": 21}, {"id": "x"}):
        with pytest.raises(ValueError):
            links.create(wish(**wrong), Secret(secrets.token_urlsafe()))
    assert all_events(links) == []


def test_events_are_read_to_the_end_whatever_kinds_are_in_between(
    links: LinkService, database: str, clock: FakeClock, pepper: bytes
) -> None:
    first = links.create(wish(), Secret(secrets.token_urlsafe()))
    vault = open_vault(database, clock, pepper)
    for _ in range(230):  # more than a page of what the adapter does not know
        vault.record_burst(visitor=SOMEBODY)
    last = links.create(wish(), Secret(secrets.token_urlsafe()))
    vault.close()
    assert [event.link_id for event in all_events(links)] == [first.id, last.id]
    assert [event.link_id for event in all_events(links, cursor="1")] == [last.id]
    assert all_events(links, cursor="232") == []


def test_a_history_shorter_than_what_was_read_before_is_not_believed(links: LinkService) -> None:
    links.create(wish(), Secret(secrets.token_urlsafe()))
    assert all_events(links, cursor="1") == []
    with pytest.raises(PermanentError, match="restored"):
        links.news("2")


EVENT: dict[str, object] = {
    "seq": 5, "link_id": "lnk_0", "ref": "", "kind": "revealed", "at": "2026-11-22T10:00:00+01:00", "view": 1,
    "views_left": 1,
}  # fmt: skip


def test_an_event_is_read_with_its_instant_in_utc() -> None:
    event = read_event(EVENT)
    assert event is not None
    assert (event.seq, event.at, event.view, event.views_left) == (5, datetime(2026, 11, 22, 9, tzinfo=UTC), 1, 1)
    assert event.at.tzinfo is UTC


@pytest.mark.parametrize("at", ["0001-01-02T00:00:00Z", "9999-12-30T23:59:59.999999Z"])
def test_the_first_and_the_last_instant_of_an_event_can_be_written_in_every_time_zone(at: str) -> None:
    event = read_event({**EVENT, "at": at})
    assert event is not None
    for hours in (-23, 23):
        assert event.at.astimezone(timezone(timedelta(hours=hours))) == event.at


@pytest.mark.parametrize(
    "odd",
    [
        {"at": "2026-11-22T10:00:00"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"at": "0001-01-01T23:59:59Z"},
        {"at": "9999-12-31T23:59:59-12:00"},
        {"at": "9999-12-31T00:00:00Z"},
        {"at": "now"},
        {"at": None},
        {"seq": 2**63},
        {"seq": -1},
        {"view": 2**31},
        {"view": True},
        {"views_left": -1},
        {"views_left": 2**31},
    ],
)
def test_an_event_with_an_instant_or_a_number_that_no_database_takes_is_refused(odd: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"whole number|time zone|isoformat"):
        read_event({**EVENT, **odd})


def test_an_event_whose_number_grows_too_great_is_refused() -> None:
    assert read_event(EVENT, base=2**63 - 6) is not None
    with pytest.raises(ValueError, match="whole number"):
        read_event(EVENT, base=2**63 - 5)


def test_a_wrong_key_is_an_authentication_error_and_shows_nowhere(address: str, clock: FakeClock) -> None:
    key = secrets.token_urlsafe(32)
    stranger = client(address, key, clock)
    for act in (lambda: stranger.news(""), lambda: stranger.revoke(new_link_id())):
        with pytest.raises(AuthenticationError) as refusal:
            act()
        assert refusal.value.scope == "links"
        assert key not in str(refusal.value)
    (finding,) = stranger.check()
    assert (finding.level, finding.about) == (Level.ERROR, "links.api_key")


def test_a_service_that_is_away_is_a_temporary_error(clock: FakeClock, tmp_path: Path, pepper: bytes) -> None:
    key = secrets.token_urlsafe(32)
    with running(options_for(make_database(tmp_path), pepper, key), clock=clock) as url:
        pass
    away = client(url, key, clock)
    password = Secret(secrets.token_urlsafe())
    with pytest.raises(TemporaryError) as failure:
        away.create(wish(), password)
    assert password.reveal() not in str(failure.value)
    (finding,) = away.check()
    assert (finding.level, finding.todo) == (Level.ERROR, "start it with: connector serve-links")


def test_the_check_says_that_clocks_differ(address: str, api_key: str, clock: FakeClock) -> None:
    clock.now = clock.now.replace(year=2001)
    http = Http(system="The link service", scope="links", sleep=lambda _: None)
    links = BuiltinLinks(http=http, url=address, api_url=address, api_key=Secret(api_key), clock=clock)
    findings = list(links.check())
    assert [finding.level for finding in findings] == [Level.OK, Level.WARNING]
    assert "NTP" in findings[1].todo


def surroundings(folder: Path, clock: FakeClock) -> Surroundings:
    return Surroundings(place=Place(folder=folder, production=True, environ={}), http=HttpSection(), clock=clock)


def test_it_is_built_from_its_section(address: str, api_key: str, clock: FakeClock, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(api_key, "utf-8")
    section = {"kind": "builtin", "url": address, "api_key": {"file": "key"}, "lifetime": "60m", "views": 2}
    links = BuiltinLinks.from_config("links", section, surroundings(tmp_path, clock))
    assert links.create(wish(), Secret(secrets.token_urlsafe())).url.reveal().startswith(f"{address}/s/")


def test_a_wrong_section_names_every_problem(clock: FakeClock, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        BuiltinLinks.from_config(
            "links", {"url": "http://links.example.com", "api_kye": 1}, surroundings(tmp_path, clock)
        )
    text = str(refusal.value)
    assert "links: url" in text
    assert "Did you mean api_key?" in text
    assert "links: api_key: missing" in text


@pytest.mark.parametrize("written", ["{0}\n{0}", "{0} {0}", "{0}é", "“{0}”", "{0}\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_at_the_start_and_not_repeated(
    clock: FakeClock, tmp_path: Path, api_key: str, written: str
) -> None:
    (tmp_path / "key").write_text(written.format(api_key), "utf-8")
    section = {"url": "https://links.example.com", "api_key": {"file": "key"}}
    with pytest.raises(ConfigError, match="links: api_key: this cannot be a key") as refusal:
        BuiltinLinks.from_config("links", section, surroundings(tmp_path, clock))
    assert api_key not in str(refusal.value)


def test_make_link_of_the_tests_and_the_adapter_use_one_format(
    address: str, api_key: str, clock: FakeClock, database: str, pepper: bytes
) -> None:
    made = make_link()
    vault = open_vault(database, clock, pepper)
    vault.create(made.to_new_link())
    shown = vault.claim(made.lookup, token=made.key, nonce=new_nonce(), visitor=SOMEBODY)
    vault.close()
    assert isinstance(shown, Revealed)
    assert [event.kind for event in all_events(client(address, api_key, clock))][-1] == LinkEventKind.REVEALED
