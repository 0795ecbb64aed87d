"""The pages in their languages, in a real Chromium: chosen, spoken, and the same on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from connector.secretlink.service.pages.languages import Language, Languages
from tests.e2e.link_desk import Desk, fresh_page, reveal

pytestmark = pytest.mark.e2e

LANGUAGES = list(Languages())
NUMBERS = list(range(201))


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.tag)
def language(request: pytest.FixtureRequest) -> Language:
    chosen: Language = request.param
    return chosen


def test_browsers_choose_the_plural_forms_that_we_choose(page: Any, language: Language) -> None:
    forms = page.evaluate(
        "([tag, numbers]) => numbers.map((n) => new Intl.PluralRules(tag).select(n))", [language.tag, NUMBERS]
    )
    assert forms == [language.plural(number) for number in NUMBERS]


def test_scripts_say_what_the_service_says(page: Any, desk: Desk, language: Language) -> None:
    page.goto(desk.make(locale=language.tag).address)
    seconds = [0, 1, 59, 60, 119, 120, 3600, 7200, 172_800]
    assert page.evaluate("(all) => all.map((one) => common.duration(one))", seconds) == [
        language.duration(one) for one in seconds
    ]
    text = "".join(chr(code) for code in range(32, 127)) + "éß漢🙂"
    assert page.evaluate("(text) => common.spell(text)", text) == [
        [letter.character, letter.words] for letter in language.speller.spell(text)
    ]


def test_a_link_speaks_its_customers_language_whatever_the_browser_wants(chromium: Any, desk: Desk) -> None:
    link = desk.make(locale="de", views=1)
    with fresh_page(chromium, locale="en-GB") as page:
        page.goto(link.address)
        assert page.locator("html").get_attribute("lang") == "de"
        assert "60 Minuten" in page.locator("main").inner_text()
        page.get_by_role("button", name="Weiter").wait_for()
        reveal(page)
        page.get_by_role("button", name="Anzeigen").click()
        page.get_by_role("button", name="Verdecken").wait_for()
        assert page.locator("#password").inner_text() == link.password
        assert "Das war die letzte Anzeige" in page.locator("main").inner_text()
        page.get_by_text("Buchstabieren").click()
        page.locator("#spelled li").first.wait_for()


def test_the_page_of_nobodys_link_speaks_the_browsers_language(chromium: Any, desk: Desk) -> None:
    with fresh_page(chromium, locale="de-AT") as page:
        page.goto(f"{desk.url}/s/unknown-unknown")
        page.get_by_role("heading", name="Dieser Link kann nicht geöffnet werden").wait_for()


def test_a_person_may_choose_another_language_until_the_password_is_there(page: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    page.goto(link.address)
    page.get_by_role("link", name="Deutsch").click()
    page.get_by_role("button", name="Weiter").wait_for()
    page.get_by_role("link", name="English").click()
    page.get_by_role("button", name="Continue").wait_for()
    assert desk.views_of(link) == 0
    reveal(page)
    # Loading the page anew would lose the password, and its view with it.
    assert page.get_by_role("link", name="Deutsch").count() == 0
