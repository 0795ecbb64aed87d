"""Who helps, as the pages show it: name, number, colour, logo; and the QR code that a desk may switch on."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from connector.errors import ConfigError
from connector.secretlink.service.pages.assets import MOST_LOGO_BYTES, StaticFiles
from connector.secretlink.service.web import create_app
from tests.secretlink.support import Browser, FakeClock, Made, make_link, new_nonce, options_for

MakeBrowser = Callable[..., Browser]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


@pytest.fixture
def make_browser(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> MakeBrowser:
    def make(**options: object) -> Browser:
        return Browser(create_app(options_for(database, pepper, api_key, **options), clock=clock), clock, api_key)

    return make


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    path = tmp_path / "Our Logo.PNG"
    path.write_bytes(PNG)
    return path


def link_of(browser: Browser, **changes: object) -> Made:
    made = make_link()
    assert browser.create(made, **changes).status == 201
    return made


def test_the_logo_is_shown_and_served_from_here(make_browser: MakeBrowser, logo: Path) -> None:
    browser = make_browser(brand_logo=logo)
    page = browser.get(link_of(browser).path).text
    found = re.search(r'<img class="logo" src="(/static/logo-[0-9a-f]{16}\.png)" alt="">', page)
    assert found
    answer = browser.get(found[1])
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/png", PNG)
    assert "immutable" in answer.headers["cache-control"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_link_that_names_its_own_desk_does_not_carry_the_services_logo_and_number(
    make_browser: MakeBrowser, logo: Path
) -> None:
    browser = make_browser(brand_logo=logo)
    page = browser.get(link_of(browser, brand={"name": "Fabrikam IT", "colour": "#ffcc00"}).path).text
    assert "Fabrikam IT" in page
    assert "Contoso" not in page
    assert "<img" not in page
    assert "+44" not in page
    assert "/static/brand-ffcc00.css" in page
    assert "--on-brand:#101418" in browser.get("/static/brand-ffcc00.css").text


def test_without_a_name_the_desk_is_called_so_in_the_pages_language(make_browser: MakeBrowser) -> None:
    browser = make_browser(brand_name=None, brand_phone=None, brand_url=None)
    link = link_of(browser)
    assert "IT Service Desk" in browser.get(link.path).text
    german = browser.get(f"{link.path}?lang=de").text
    assert "IT-Service-Desk" in german
    assert "Fragen Sie Ihren IT-Service-Desk" in german


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("logo.gif", PNG, "support.logo"),
        ("logo", PNG, "support.logo"),
        ("missing.png", None, "cannot be read"),
        ("large.png", bytes(MOST_LOGO_BYTES + 1), str(MOST_LOGO_BYTES)),
    ],
)
def test_a_logo_that_cannot_be_shown_stops_the_start(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        StaticFiles(path)


@pytest.mark.parametrize(
    ("phone", "dialled"),
    [
        ("+44 20 7946 0958", "+442079460958"),
        ("+44 20 7946 0958 ext. 12", "+442079460958"),
    ],
)
def test_a_press_on_the_phone_number_dials_it_and_nothing_else(
    make_browser: MakeBrowser, phone: str, dialled: str
) -> None:
    page = make_browser(brand_phone=phone).get("/s/unknown").text
    assert f'Call <a class="phone" href="tel:{dialled}">{phone}</a> or visit' in page


@pytest.mark.parametrize("phone", ["Teams: IT desk", "Level 2, room 7"])
def test_what_cannot_be_dialled_is_no_link(make_browser: MakeBrowser, phone: str) -> None:
    page = make_browser(brand_phone=phone).get("/s/unknown").text
    assert f"Call {phone} or visit" in page
    assert "tel:" not in page


# ---------------------------------------------------------------- the QR code


def typed_answer(browser: Browser, link: Made) -> str:
    challenge = browser.challenge_of(link)
    browser.clock.advance(seconds=1)
    body = urlencode({"challenge": challenge, "nonce": new_nonce(), "word": "SHOW"}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return browser.send("POST", f"{link.path}/reveal", body=body, headers=headers).text


def test_a_qr_code_comes_only_where_it_is_switched_on(make_browser: MakeBrowser) -> None:
    for wanted in (False, True):
        browser = make_browser(qr=wanted)
        link = link_of(browser)
        assert ("qr" in browser.reveal(link).json()) == wanted
        assert ('<svg class="qr"' in typed_answer(browser, link)) == wanted


def test_a_qr_code_is_drawn_with_numbers_alone(make_browser: MakeBrowser) -> None:
    browser = make_browser(qr=True)
    picture = browser.reveal(link_of(browser)).json()["qr"]
    assert re.fullmatch(r"(?:M\d+ \d+h\d+v1h-\d+z)+", picture["path"])
    assert 29 <= picture["size"] <= 65


def test_no_page_holds_a_qr_code_before_the_reveal(make_browser: MakeBrowser) -> None:
    browser = make_browser(qr=True)
    link = link_of(browser)
    step = browser.post_json(f"{link.path}/step", {"challenge": browser.challenge_of(link)})
    assert " d=" not in browser.get(link.path).text
    assert "qr" not in json.loads(step.body)
