"""What the connector wishes for is what the link service gets, and nothing that opens anything."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from connector.core.ports import (
    AlarmSource,
    AlarmWish,
    Capabilities,
    HumanCheck,
    Link,
    LinkEventKind,
    LinkMode,
    LinkService,
)
from connector.core.secret import Secret
from connector.errors import PermanentError
from connector.http import Answer, Http
from connector.secretlink.client import LOCALES, BuiltinLinks
from connector.secretlink.seal import Terms, check_of, decode_token, lookup_of, open_sealed
from connector.secretlink.service.pages.languages import Languages
from connector.secretlink.service.store.links import Refused, Revealed
from connector.secretlink.service.store.vault import Vault
from tests.contracts.links import A_CASE, ANOTHER_CASE, all_events
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, new_nonce, options_for
from tests.secretlink.test_client import client, token_of, wish
from tests.secretlink.test_vault import SOMEBODY


@pytest.fixture
def address(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[str]:
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        yield url


@pytest.fixture
def links(address: str, api_key: str, clock: FakeClock) -> LinkService:
    return client(address, api_key, clock)


class Recorder(Http):
    """Keeps what is sent, and sends it."""

    def __init__(self) -> None:
        super().__init__(system="The link service", scope="links", sleep=lambda _: None)
        self.sent: list[tuple[str, Any]] = []

    def call(self, method: str, url: str, **more: Any) -> Answer:
        self.sent.append((f"{method} {urlsplit(url).path}", more.get("json")))
        return super().call(method, url, **more)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def recorded(recorder: Recorder, address: str, api_key: str, clock: FakeClock) -> BuiltinLinks:
    return BuiltinLinks(
        http=recorder, url="https://links.example.com", api_url=address, api_key=Secret(api_key), clock=clock
    )


def test_our_own_service_can_do_everything(links: LinkService) -> None:
    assert links.capabilities == Capabilities(locales=frozenset({"en", "de"}))


def test_it_offers_the_languages_that_its_pages_speak() -> None:
    assert {language.tag for language in Languages()} == LOCALES


def test_a_link_that_only_the_browser_opens_has_its_token_behind_the_hash(links: LinkService, vault: Vault) -> None:
    password = Secret(secrets.token_urlsafe())
    link = links.create(wish(mode=LinkMode.FRAGMENT), password)
    head, _, token = link.url.reveal().partition("#")
    assert head == f"https://links.example.com/s/{link.id}"
    key = decode_token(token)
    record = vault.look(lookup_of(key))
    assert record is not None
    assert record.mode == "fragment"
    shown = vault.claim(lookup_of(key), nonce=new_nonce(), visitor=SOMEBODY)
    assert isinstance(shown, Revealed)
    assert shown.password is None, "the service hands out what it cannot open"
    assert shown.sealed is not None
    terms = Terms(link.id, link.views, int(link.expires_at.timestamp()))
    assert open_sealed(shown.sealed, token=key, terms=terms) == password


@pytest.mark.parametrize("locale", ["en", "de"])
def test_a_link_speaks_the_language_that_was_wished(links: LinkService, vault: Vault, locale: str) -> None:
    link = links.create(wish(locale=locale), Secret(secrets.token_urlsafe()))
    record = vault.find(link.id)
    assert record is not None
    assert record.locale == locale


def test_a_typed_check_takes_the_tickets_number_and_nothing_else(links: LinkService, vault: Vault) -> None:
    password = Secret(secrets.token_urlsafe())
    link = links.create(wish(human_check=HumanCheck.TICKET_NUMBER, ticket="INC-4242"), password)
    key = token_of(link.url)

    def claim(check: bytes | None) -> object:
        return vault.claim(lookup_of(key), nonce=new_nonce(), visitor=SOMEBODY, token=key, check=check)

    for wrong in (None, check_of(key, "INC-4243"), check_of(key, "")):
        refused = claim(wrong)
        assert isinstance(refused, Refused)
        assert refused.reason == "check"
    shown = claim(check_of(key, " inc 4242 "))
    assert isinstance(shown, Revealed)
    assert shown.password == password


@pytest.mark.parametrize("mode", list(LinkMode))
def test_the_number_that_has_to_be_typed_is_nowhere_in_what_the_service_gets(
    recorded: BuiltinLinks, recorder: Recorder, clock: FakeClock, mode: LinkMode
) -> None:
    """A stolen database would else hold the answers beside the checks."""
    wanted = wish(ticket="9081726354", ref="halo/9081726354", mode=mode, id="lnk_abcdefgh")
    recorded.create(replace(wanted, human_check=HumanCheck.TICKET_NUMBER), Secret(secrets.token_urlsafe()))
    [(_, body)] = recorder.sent
    assert body["human_check"]
    assert (body["ticket"], body["ref"]) == ("", "")
    assert "9081726354" not in str(body)


def test_without_a_typed_check_the_page_shows_the_number(recorded: BuiltinLinks, recorder: Recorder) -> None:
    recorded.create(wish(), Secret(secrets.token_urlsafe()))
    [(_, body)] = recorder.sent
    assert (body["ticket"], body["ref"], body["human_check"]) == ("4242", "halo/4242", None)


@pytest.mark.parametrize("number", ["", " ", "#-/", "INC", "\u0664\u0662\u0664\u0662"])
def test_a_check_without_anything_to_type_is_refused_before_a_link_is_made(
    recorded: BuiltinLinks, recorder: Recorder, number: str
) -> None:
    with pytest.raises(PermanentError, match="human_check"):
        recorded.create(wish(human_check=HumanCheck.TICKET_NUMBER, ticket=number), Secret(secrets.token_urlsafe()))
    assert recorder.sent == []


@pytest.mark.parametrize("mode", list(LinkMode))
def test_the_service_never_gets_a_token_or_a_password(
    recorded: BuiltinLinks, recorder: Recorder, clock: FakeClock, mode: LinkMode
) -> None:
    password = Secret(secrets.token_urlsafe())
    link = recorded.create(wish(mode=mode), password)
    alarm = recorded.arm(alarm_wish(clock, link.id))
    sent = str(recorder.sent)
    for secret in (password.reveal(), link.url.reveal()[-32:], alarm.reveal()[-32:]):
        assert secret not in sent
        assert secret not in f"{link!r} {alarm!r}"


# ---------------------------------------------------------------- alarms


def alarm_wish(clock: FakeClock, link_id: str, **changes: object) -> AlarmWish:
    values: dict[str, object] = {
        "mail": "case-0123456789abcdef/notice:1:1", "about": A_CASE, "link_id": link_id,
        "source": AlarmSource.NOTICE, "display_name": "Anna Example", "ticket": "4242", "since": clock.now,
        "lifetime": timedelta(days=7), "locale": "de",
    }  # fmt: skip
    return AlarmWish(**(values | changes))  # type: ignore[arg-type]


def test_an_alarm_is_found_by_the_token_of_its_address(links: LinkService, vault: Vault, clock: FakeClock) -> None:
    link = links.create(wish(), Secret(secrets.token_urlsafe()))
    url = links.arm(alarm_wish(clock, link.id))
    assert url.reveal().startswith("https://links.example.com/n/")
    alarm = vault.look_alarm(lookup_of(token_of(url)))
    assert alarm is not None
    assert (alarm.state, alarm.source, alarm.ticket, alarm.locale) == ("armed", "notice", "4242", "de")
    assert alarm.expires_at == (clock.now + timedelta(days=7)).timestamp()


def test_the_longest_life_of_an_alarm_is_within_what_the_service_takes(links: LinkService, clock: FakeClock) -> None:
    assert links.arm(alarm_wish(clock, "", lifetime=timedelta(days=31)))
    clock.advance(seconds=0.5)  # rounding up must not carry it over
    assert links.arm(alarm_wish(clock, "", lifetime=timedelta(days=31)))


def test_every_try_of_a_mail_sends_the_very_same_alarm(
    recorded: BuiltinLinks, recorder: Recorder, clock: FakeClock
) -> None:
    for lifetime in (timedelta(days=7), timedelta(days=31)):
        wish = alarm_wish(clock, "", lifetime=lifetime)
        before = len(recorder.sent)
        urls = set()
        for _ in range(100):
            urls.add(recorded.arm(wish))
            clock.advance(minutes=15)
        assert len(urls) == 1
        assert len({str(sent) for sent in recorder.sent[before:]}) == 1


def test_whatever_is_told_otherwise_makes_another_alarm(
    recorded: BuiltinLinks, recorder: Recorder, clock: FakeClock
) -> None:
    wish = alarm_wish(clock, "")
    others = [
        replace(wish, mail="case-0123456789abcdef/notice:1:2"),
        replace(wish, about=ANOTHER_CASE),
        replace(wish, link_id="lnk_001122334455"),
        replace(wish, source=AlarmSource.ACCESSED),
        replace(wish, display_name="Otto"),
        replace(wish, locale="en"),
        replace(wish, lifetime=timedelta(days=8)),
    ]
    assert len({recorded.arm(one) for one in (wish, *others)}) == 1 + len(others)
    sent = [body for _, body in recorder.sent]
    assert len({body["id"] for body in sent}) == len({body["lookup"] for body in sent}) == 1 + len(others)


def test_a_refused_alarm_does_not_tell_what_it_is_about(links: LinkService, clock: FakeClock) -> None:
    with pytest.raises(PermanentError, match="notice:1:1") as refusal:
        links.arm(alarm_wish(clock, "", time_zone="Nowhere/At-all"))
    assert A_CASE not in str(refusal.value)


def test_nobody_else_can_work_out_an_alarm_though_they_know_the_key_and_the_mail(
    address: str, api_key: str, clock: FakeClock
) -> None:
    """Nor can another process of ours: what it is worked out from does not outlive the process."""
    wish = alarm_wish(clock, "")
    assert client(address, api_key, clock).arm(wish) != client(address, api_key, clock).arm(wish)


def report_opened(vault: Vault, link: Link) -> None:
    """Somebody opens a link and says on its page that it was not them."""
    token = token_of(link.url)
    assert isinstance(vault.claim(lookup_of(token), nonce=new_nonce(), visitor=SOMEBODY, token=token), Revealed)
    vault.report_link(lookup_of(token), visitor=SOMEBODY)


def test_a_link_that_is_reported_on_its_own_page_is_told_with_its_own_id(links: LinkService, vault: Vault) -> None:
    link = links.create(wish(ref="case-halo/4242"), Secret(secrets.token_urlsafe()))
    report_opened(vault, link)
    [report] = [event for event in all_events(links) if event.kind is LinkEventKind.REPORTED]
    assert (report.link_id, report.reason) == (link.id, "page"), "whatever a PSA is called"


def test_a_link_that_too_many_wrong_answers_ended_says_why(links: LinkService, vault: Vault) -> None:
    link = links.create(wish(human_check=HumanCheck.TICKET_NUMBER), Secret(secrets.token_urlsafe()))
    key = token_of(link.url)
    for _ in range(5):
        vault.claim(lookup_of(key), nonce=new_nonce(), visitor=SOMEBODY, token=key, check=check_of(key, "1"))
    [end] = [event for event in all_events(links) if event.kind is LinkEventKind.REVOKED]
    assert (end.link_id, end.reason) == (link.id, "check_failed")
