"""Links whose token stays in the browser: the service is shown a proof, gives sealed bytes and learns no password."""

from __future__ import annotations

import base64
import secrets
from urllib.parse import quote, urlencode

import pytest
from starlette.requests import Request

from connector.secretlink.seal import check_of, lookup_of, open_sealed
from connector.secretlink.service.pages.addresses import decode_bytes, read_address
from tests.secretlink.support import Answer, Browser, Made, encode, make_link, new_nonce


@pytest.fixture
def link(browser: Browser) -> Made:
    made = make_link(views=2)
    assert browser.create(made, mode="fragment").status == 201
    return made


def path_of(link: Made) -> str:
    return f"/s/{link.terms.link_id}"


def step(browser: Browser, link: Made, *, lookup: bytes | None = None) -> Answer:
    """What the page's script does when Continue is pressed."""
    challenge = browser.get(path_of(link)).text.split('data-challenge="', 1)[1].split('"', 1)[0]
    browser.clock.advance(seconds=1)
    content = {"challenge": challenge, "lookup": encode(lookup or link.lookup)}
    answer = browser.post_json(f"{path_of(link)}/step", content)
    browser.clock.advance(seconds=1)
    return answer


def reveal(browser: Browser, link: Made, **fields: object) -> Answer:
    content = {
        "challenge": step(browser, link).json()["challenge"],
        "nonce": new_nonce(),
        "lookup": encode(link.lookup),
    }
    return browser.post_json(f"{path_of(link)}/reveal", content | fields)


def ended(browser: Browser, link: Made, lookup: bytes) -> Answer:
    body = urlencode({"lookup": encode(lookup)}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return browser.send("POST", f"{path_of(link)}/ended", body=body, headers=headers)


def test_the_service_gives_sealed_bytes_that_the_token_opens(browser: Browser, link: Made) -> None:
    answer = reveal(browser, link)
    assert answer.status == 200
    content = answer.json()
    assert "password" not in content
    assert "qr" not in content
    assert (content["views_left"], content["max_views"], content["last_view"]) == (1, 2, False)
    opened = open_sealed(base64.urlsafe_b64decode(content["sealed"]), token=link.key, terms=link.terms)
    assert opened.reveal() == link.password.reveal()
    assert [event["kind"] for event in browser.events()] == ["created", "page_opened", "step_opened", "revealed"]


def test_whoever_knows_only_the_id_learns_nothing_not_even_whether_the_link_lives(browser: Browser) -> None:
    links = [make_link(views=1) for _ in range(2)]
    pages = []
    for made in links:
        browser.create(made, mode="fragment", display_name="Anna Example", ticket="4242")
    assert reveal(browser, links[0]).json()["last_view"] is True
    for made in links:
        page = browser.get(path_of(made))
        assert page.status == 200
        assert "Anna" not in page.text
        assert "4242" not in page.text
        challenge = page.text.split('data-challenge="', 1)[1].split('"', 1)[0]
        pages.append(page.text.replace(challenge, "").replace(made.terms.link_id, ""))
    assert pages[0] == pages[1]


def test_the_step_tells_whose_it_is_to_whoever_proves_to_have_the_token(browser: Browser, link: Made) -> None:
    told = step(browser, link).json()
    assert (told["name"], told["ticket"], told["checked"]) == ("Anna Example", "Ticket 4242", False)
    assert (told["views_left"], told["max_views"]) == (2, 2)
    assert told["until"].startswith("11:00 GMT on Sunday")


@pytest.mark.parametrize("what", ["random", "another link's", "none", "short"])
def test_a_wrong_proof_is_as_good_as_an_unknown_link(browser: Browser, link: Made, what: str) -> None:
    other = make_link()
    browser.create(other, mode="fragment")
    shown = {"random": encode(secrets.token_bytes(32)), "another link's": encode(other.lookup), "none": None,
             "short": "abc"}[what]  # fmt: skip
    good = step(browser, link).json()["challenge"]
    content = {"challenge": good, "nonce": new_nonce(), "lookup": shown}
    for act in ("step", "reveal"):
        answer = browser.post_json(f"{path_of(link)}/{act}", content)
        assert (answer.status, answer.json()["error"]) == (404, "gone")
    assert (browser.views_of(link), browser.views_of(other)) == (0, 0)


def test_a_link_in_path_mode_cannot_be_asked_for_by_its_id(browser: Browser) -> None:
    made = make_link()
    browser.create(made)
    unknown = browser.get("/s/lnk_unknown-unknown")
    by_id = browser.get(path_of(made))
    assert (by_id.status, by_id.body) == (404, unknown.body)
    content = {"challenge": browser.step_of(made), "nonce": new_nonce(), "lookup": encode(made.lookup)}
    assert browser.post_json(f"{path_of(made)}/reveal", content).status == 404
    assert browser.views_of(made) == 0


def test_an_unknown_id_is_braked_like_an_unknown_token(browser: Browser) -> None:
    statuses = [browser.get(f"/s/lnk_{secrets.token_urlsafe(12)}").status for _ in range(32)]
    assert statuses == [404] * 30 + [429] * 2


def test_what_became_of_the_link_is_told_to_whoever_has_the_token_only(browser: Browser) -> None:
    made = make_link(views=1)
    browser.create(made, mode="fragment")
    assert reveal(browser, made).status == 200
    told = ended(browser, made, made.lookup)
    assert told.status == 410
    assert "the password was shown once" in told.text
    assert "That was not me" in told.text
    stranger = ended(browser, made, secrets.token_bytes(32))
    assert (stranger.status, stranger.body) == (404, browser.get("/s/nothing-at-all").body)


def test_the_browser_proves_the_typed_number_with_the_token(browser: Browser) -> None:
    made = make_link()
    right = check_of(made.key, "4242")
    browser.create(made, mode="fragment", ticket="", human_check=encode(right))
    assert step(browser, made).json()["checked"] is True
    wrong = reveal(browser, made, check=encode(check_of(made.key, "4243")))
    assert (wrong.status, wrong.json()["error"], wrong.json()["tries_left"]) == (403, "check", 4)
    for missing in ({}, {"check": "short"}, {"answer": "4242"}):
        assert reveal(browser, made, **missing).json()["error"] == "answer"
    assert browser.views_of(made) == 0
    assert reveal(browser, made, check=encode(right)).status == 200


def test_a_page_loaded_ahead_is_refused(browser: Browser, link: Made) -> None:
    assert browser.get(path_of(link), headers={"sec-purpose": "prefetch"}).status == 503
    assert [(event["kind"], event["reason"]) for event in browser.events()][1:] == [("refused", "prefetch")]
    assert browser.get("/s/lnk_unknown-unknown", headers={"sec-purpose": "prefetch"}).status == 503


# ---------------------------------------------------------------- what mail gateways make of "#"


@pytest.mark.parametrize("sign", ["#", "%23", "%2523", "%252523"])
def test_a_rewritten_hash_is_understood(browser: Browser, link: Made, sign: str) -> None:
    """The link opens as in path mode, and the event says that the token came along."""
    # The web server takes one layer of percent signs off.
    page = browser.get(f"/s/{quote(link.terms.link_id + sign + link.token.reveal())}")
    assert page.status == 200
    assert f'data-path="{link.path}"' in page.text
    assert "Anna Example" in page.text
    assert browser.events()[-1]["reason"] == "token_in_path"
    answer = browser.reveal(link)
    assert answer.json()["password"] == link.password.reveal()
    assert browser.views_of(link) == 1


def test_a_token_behind_another_links_id_opens_nothing(browser: Browser, link: Made) -> None:
    other = make_link()
    browser.create(other, mode="fragment")
    mixed = f"/s/{quote(other.terms.link_id + '#' + link.token.reveal())}"
    unknown = browser.get("/s/nothing-at-all")
    answer = browser.get(mixed)
    assert (answer.status, answer.body) == (404, unknown.body)


@pytest.mark.parametrize(
    ("text", "mangled", "has_token", "has_id"),
    [
        ("lnk_abcdefgh", False, False, True),
        ("A" * 32, False, True, True),
        ("lnk_abcdefgh#" + "A" * 32, True, True, True),
        ("lnk_abcdefgh#" + "A" * 31, False, False, False),
        ("lnk_abcdefgh%24" + "A" * 32, False, False, False),
        ("", False, False, False),
        ("ü" * 32, False, False, False),
    ],
)
def test_addresses_are_read(text: str, mangled: bool, has_token: bool, has_id: bool) -> None:
    address = read_address(Request({"type": "http", "path_params": {"token": text}}))
    assert (address.mangled, address.token is not None, address.link_id is not None) == (mangled, has_token, has_id)
    assert not text or text not in repr(address)


def test_proofs_are_read_strictly(link: Made) -> None:
    assert decode_bytes(encode(link.lookup), 32) == lookup_of(link.key)
    assert decode_bytes(encode(link.lookup).rstrip("="), 32) == link.lookup
    for wrong in (None, 7, "", "é", "a" * 42, encode(link.lookup + b"x"), "!" * 43):
        assert decode_bytes(wrong, 32) is None
