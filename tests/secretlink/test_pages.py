"""The page of a link: only a deliberate act shows the password."""

from __future__ import annotations

from tests.secretlink.support import Browser, make_link


def test_a_person_who_opens_proceeds_and_shows_gets_the_password(browser: Browser) -> None:
    link = make_link(views=2)
    assert browser.create(link).status == 201
    answer = browser.reveal(link)
    assert answer.status == 200
    content = answer.json()
    assert content["password"] == link.password.reveal()
    assert content["views_left"] == 1
    assert content["last_view"] is False
    assert browser.views_of(link) == 1
