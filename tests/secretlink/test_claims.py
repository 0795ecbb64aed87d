"""What a reveal asks for besides the link: the typed check, and who may have the sealed bytes instead."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connector.secretlink.seal import check_of, open_sealed
from connector.secretlink.service.store.chain import EventKind
from connector.secretlink.service.store.claims import MOST_WRONG_ANSWERS
from connector.secretlink.service.store.links import Conflict, Refused, Revealed
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock, Made, make_link, new_nonce
from tests.secretlink.test_vault import SOMEBODY, kinds

ANSWER = "4242"


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


def create(vault: Vault, clock: FakeClock, *, answer: str | None = None, views: int = 2, **changes: Any) -> Made:
    link = make_link(views=views, now=clock.now)
    check = check_of(link.key, answer) if answer is not None else None
    vault.create(link.to_new_link(check=check, **changes))
    return link


def claim(vault: Vault, link: Made, typed: str | None = None, *, nonce: str | None = None) -> Revealed | Refused:
    check = check_of(link.key, typed) if typed is not None else None
    return vault.claim(link.lookup, token=link.key, check=check, nonce=nonce or new_nonce(), visitor=SOMEBODY)


def refused(answer: Revealed | Refused) -> Refused:
    assert isinstance(answer, Refused)
    return answer


@pytest.mark.parametrize("typed", ["4242", "#4242", " 42-42 ", "４２４２"])
def test_the_right_answer_shows_the_password_however_it_is_written(vault: Vault, clock: FakeClock, typed: str) -> None:
    link = create(vault, clock, answer=ANSWER)
    shown = claim(vault, link, typed)
    assert isinstance(shown, Revealed)
    assert (shown.password, shown.link.checked, shown.link.check_failures) == (link.password, True, 0)


def test_a_wrong_answer_uses_no_view_and_says_how_many_tries_are_left(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, answer=ANSWER)
    answer = refused(claim(vault, link, "4243"))
    assert (answer.reason, answer.tries_left) == ("check", MOST_WRONG_ANSWERS - 1)
    record = vault.find(link.terms.link_id)
    assert record is not None
    assert (record.views, record.state, record.check_failures) == (0, "active", 1)
    assert kinds(vault) == ["created", "check_failed"]
    assert vault.events(after=1, limit=1).events[0].reason == "wrong"
    assert isinstance(claim(vault, link, ANSWER), Revealed)


def test_no_answer_at_all_is_refused_but_is_no_try(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, answer=ANSWER)
    for _ in range(MOST_WRONG_ANSWERS + 1):
        answer = refused(claim(vault, link))
        assert (answer.reason, answer.tries_left) == ("check", MOST_WRONG_ANSWERS)
    assert isinstance(claim(vault, link, ANSWER), Revealed)


def test_the_fifth_wrong_answer_ends_the_link_for_good(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, answer=ANSWER)
    for left in range(MOST_WRONG_ANSWERS - 1, 0, -1):
        assert refused(claim(vault, link, "no")).tries_left == left
    answer = refused(claim(vault, link, "no"))
    assert (answer.reason, answer.tries_left) == ("revoked", 0)
    assert answer.link is not None
    assert answer.link.state == "revoked"
    assert refused(claim(vault, link, ANSWER)).reason == "revoked"
    assert kinds(vault) == ["created", *["check_failed"] * 5, "revoked", "refused"]
    revoked = vault.events(after=6, limit=1).events[0]
    assert (revoked.reason, revoked.view, revoked.views_left) == ("check_failed", 0, 0)


def test_asking_many_times_at_once_gives_no_more_tries(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, answer=ANSWER)
    gate = threading.Barrier(12)

    def guess(number: int) -> Revealed | Refused:
        gate.wait()
        return claim(vault, link, f"guess {number}")

    with ThreadPoolExecutor(12) as pool:
        answers = [refused(answer) for answer in pool.map(guess, range(12))]
    assert sorted(answer.reason for answer in answers) == ["check"] * 4 + ["revoked"] * 8
    assert kinds(vault).count("check_failed") == MOST_WRONG_ANSWERS
    record = vault.find(link.terms.link_id)
    assert record is not None
    assert (record.state, record.check_failures) == ("revoked", MOST_WRONG_ANSWERS)


def test_wrong_answers_are_written_down_even_after_a_flood_of_missing_ones(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, answer=ANSWER)
    for _ in range(130):
        claim(vault, link)
    for _ in range(MOST_WRONG_ANSWERS):
        claim(vault, link, "no")
    reasons = Counter(event.reason for event in vault.events(after=1, limit=1000).events)
    assert reasons == {"missing": 100, "wrong": MOST_WRONG_ANSWERS, "check_failed": 1}


def test_the_same_click_again_needs_the_answer_again(vault: Vault, clock: FakeClock) -> None:
    link, nonce = create(vault, clock, answer=ANSWER), new_nonce()
    assert isinstance(claim(vault, link, ANSWER, nonce=nonce), Revealed)
    assert refused(claim(vault, link, "no", nonce=nonce)).reason == "check"
    again = claim(vault, link, ANSWER, nonce=nonce)
    assert isinstance(again, Revealed)
    assert not again.counted


def test_an_answer_for_a_link_that_asks_for_none_is_no_matter(vault: Vault, clock: FakeClock) -> None:
    assert isinstance(claim(vault, create(vault, clock), "anything"), Revealed)


def test_in_fragment_mode_the_browser_gets_the_sealed_bytes_and_we_never_see_the_password(
    vault: Vault, clock: FakeClock
) -> None:
    link = create(vault, clock, mode="fragment", views=1)
    shown = vault.claim(link.lookup, nonce=new_nonce(), visitor=SOMEBODY)
    assert isinstance(shown, Revealed)
    assert shown.password is None
    assert shown.sealed == link.sealed
    assert open_sealed(shown.sealed, token=link.key, terms=link.terms) == link.password
    assert (shown.link.state, shown.link.mode) == ("consumed", "fragment")
    assert link.sealed.hex() not in repr(shown)
    again = vault.claim(link.lookup, nonce=new_nonce(), visitor=SOMEBODY)
    assert refused(again).reason == "consumed"


def test_a_fragment_that_a_mail_gateway_made_part_of_the_path_still_opens(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, mode="fragment")
    shown = claim(vault, link)
    assert isinstance(shown, Revealed)
    assert (shown.password, shown.sealed) == (link.password, None)


def test_sealed_bytes_of_a_link_that_is_opened_here_are_not_given_away(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock)
    answer = refused(vault.claim(link.lookup, nonce=new_nonce(), visitor=SOMEBODY))
    assert answer.reason == "mode"
    record = vault.find(link.terms.link_id)
    assert record is not None
    assert record.views == 0
    assert kinds(vault) == ["created", "refused"]


def test_fragment_mode_asks_for_the_answer_too(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, mode="fragment", answer=ANSWER)
    for check, wanted in ((None, Refused), (check_of(link.key, "no"), Refused), (check_of(link.key, ANSWER), Revealed)):
        assert isinstance(vault.claim(link.lookup, check=check, nonce=new_nonce(), visitor=SOMEBODY), wanted)


def test_a_token_and_a_lookup_of_two_links_open_nothing(vault: Vault, clock: FakeClock) -> None:
    link, other = create(vault, clock), create(vault, clock)
    with pytest.raises(ValueError, match="lookup"):
        vault.claim(link.lookup, token=other.key, nonce=new_nonce(), visitor=SOMEBODY)
    assert kinds(vault) == ["created", "created"]


def test_the_page_of_a_fragment_link_is_noted_by_its_id(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, mode="fragment", locale="de")
    found = vault.find(link.terms.link_id)
    assert found is not None
    record = vault.visit(found, EventKind.PAGE_OPENED, visitor=SOMEBODY)
    assert (record.views, record.mode, record.locale) == (0, "fragment", "de")
    clock.advance(hours=1)  # after it was found, before it is visited
    record = vault.visit(found, EventKind.PAGE_OPENED, visitor=SOMEBODY)
    assert record.state == "expired"
    assert kinds(vault) == ["created", "page_opened", "expired", "refused"]


def test_links_are_listed_in_pages_by_state(vault: Vault, clock: FakeClock) -> None:
    links = sorted(create(vault, clock, views=1).terms.link_id for _ in range(5))
    vault.revoke(links[1])
    assert [record.terms.link_id for record in vault.list_links(state=None, after="", limit=10)] == links
    active = [links[0], *links[2:]]
    first = vault.list_links(state="active", after="", limit=3)
    assert [record.terms.link_id for record in first] == active[:3]
    rest = vault.list_links(state="active", after=first[-1].terms.link_id, limit=3)
    assert [record.terms.link_id for record in rest] == active[3:]
    assert [record.terms.link_id for record in vault.list_links(state="revoked", after="", limit=9)] == [links[1]]
    assert vault.list_links(state="expired", after="", limit=9) == ()


def test_a_link_in_another_language_or_with_another_check_is_another_link(vault: Vault, clock: FakeClock) -> None:
    link = create(vault, clock, answer=ANSWER)
    for change in ({"locale": "de"}, {"check": None}, {"check": secrets.token_bytes(32)}, {"mode": "fragment"}):
        with pytest.raises(Conflict):
            vault.create(link.to_new_link(**({"check": check_of(link.key, ANSWER)} | change)))
    clock.advance(hours=2)
    record, created = vault.create(link.to_new_link(check=check_of(link.key, ANSWER)))
    assert (created, record.state) == (False, "expired")
    assert vault.next_expiry() is None
