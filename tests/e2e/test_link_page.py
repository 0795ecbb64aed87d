"""The link page in a real Chromium: people get the password, machines use no view.

The machines are the ones that are known to have used up other services' links: link followers, form submitters,
headless renderers, scripts that press every button, and programs that really click through the browser.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.secretlink.running import running
from tests.secretlink.support import Made, make_database, make_link, options_for

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = pytest.mark.e2e


def require(present: bool, sentence: str) -> None:
    """Skip on a newcomer's machine; fail where everything must be there."""
    if present:
        return
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


@dataclass(frozen=True)
class Desk:
    """The connector's half: makes links, counts views."""

    url: str
    api_key: str

    def make(self, *, views: int = 2) -> Made:
        link = make_link(views=views, now=datetime.now(UTC), lifetime=timedelta(minutes=60, seconds=30))
        answer = requests.post(f"{self.url}/api/v1/links", headers=self._headers, json=link.to_body(), timeout=10)
        assert answer.status_code == 201, answer.status_code
        return link

    def views_of(self, link: Made) -> int:
        answer = requests.get(f"{self.url}/api/v1/links/{link.terms.link_id}", headers=self._headers, timeout=10)
        return int(answer.json()["views"])

    def kinds_of(self, link: Made) -> list[str]:
        answer = requests.get(f"{self.url}/api/v1/events?limit=500", headers=self._headers, timeout=10)
        return [event["kind"] for event in answer.json()["events"] if event["link_id"] == link.terms.link_id]

    def address_of(self, link: Made) -> str:
        return self.url + link.path

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    api_key = secrets.token_urlsafe(32)
    options = options_for(make_database(tmp_path_factory.mktemp("links")), secrets.token_bytes(32), api_key)
    with running(options, clock=lambda: datetime.now(UTC)) as url:
        yield Desk(url, api_key)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    require(CHROMIUM.exists(), "Chromium is not at /usr/bin/chromium. On Debian: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        require(False, "Playwright is not installed. Run: make test, or pip install -e .[dev]")
    with sync_playwright() as playwright:
        # The sandbox of Chromium does not work for root, as in most containers.
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page of a fresh browser profile; whatever the policy stops or a script trips over fails the test."""
    with fresh_page(chromium) as fresh:
        yield fresh


class fresh_page:  # noqa: N801 - reads as a function
    """Open a page in a new profile and look at its console at the end."""

    def __init__(self, chromium: Any, **settings: Any) -> None:
        self._context = chromium.new_context(**settings)
        self._complaints: list[str] = []

    def __enter__(self) -> Any:
        page = self._context.new_page()
        page.set_default_timeout(10_000)
        # Nothing of the page is loaded from elsewhere; should anything try, it does not get out and the test fails.
        self._context.route(re.compile(r"^https?://(?!127\.0\.0\.1[:/])"), self._stop)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("console", self._note)
        return page

    def _stop(self, route: Any) -> None:
        self._complaints.append(f"asked for {route.request.url}")
        route.abort()

    def _note(self, message: Any) -> None:
        # An answer of 4xx is a console error too, and wanted in some tests.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self._complaints.append(message.text)

    def __exit__(self, kind: object, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert self._complaints == []


def reveal(page: Any) -> None:
    """What a person does, at a person's pace."""
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Continue").click()
    show = page.get_by_role("button", name="Show password")
    show.wait_for()
    page.wait_for_timeout(500)
    show.click()
    page.get_by_role("heading", name="The password").wait_for()


# ---------------------------------------------------------------- people


def test_a_person_with_a_mouse_sees_the_password_after_two_steps_and_show(page: Any, desk: Desk) -> None:
    link = desk.make(views=2)
    password = link.password.reveal()
    page.goto(desk.address_of(link))
    assert page.get_by_role("heading", level=1).inner_text().split("\n") == ["Temporary password for", "Anna Example"]
    assert "2 of 2 times" in page.locator("main").inner_text()
    assert "60 minutes" in page.locator("main").inner_text()
    assert password not in page.content()
    reveal(page)
    # Hidden: the password is not in the page at all, whoever looks at its source or its picture.
    assert password not in page.content()
    show = page.locator("#uncover")
    assert show.get_attribute("aria-expanded") == "false"
    show.click()
    assert show.get_attribute("aria-expanded") == "true"
    assert page.locator("#password").inner_text() == password
    show.click()
    assert password not in page.content()
    assert "once more" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1
    assert desk.kinds_of(link) == ["created", "page_opened", "step_opened", "revealed"]


def test_a_person_with_a_keyboard_alone_gets_the_password(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.goto(desk.address_of(link))
    page.wait_for_timeout(600)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "proceed"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show password").wait_for()
    assert page.evaluate("document.activeElement.id") == "show"
    page.wait_for_timeout(500)
    page.keyboard.press("Space")
    page.get_by_role("heading", name="The password").wait_for()
    assert page.evaluate("document.activeElement.id") == "secret-title"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#password").inner_text() == link.password.reveal()
    assert desk.views_of(link) == 1


def test_a_person_with_a_phone_gets_the_password_by_touch(chromium: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    phone = {"viewport": {"width": 375, "height": 720}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    with fresh_page(chromium, **phone) as page:
        page.goto(desk.address_of(link))
        page.wait_for_timeout(600)
        page.get_by_role("button", name="Continue").tap()
        page.get_by_role("button", name="Show password").wait_for()
        page.wait_for_timeout(500)
        page.get_by_role("button", name="Show password").tap()
        page.get_by_role("button", name="Show", exact=True).tap()
        assert page.locator("#password").inner_text() == link.password.reveal()
        assert "This was the last view" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1


def test_a_person_without_scripts_types_a_word(chromium: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    with fresh_page(chromium, java_script_enabled=False) as page:
        page.goto(desk.address_of(link))
        assert not page.get_by_role("button", name="Continue").is_visible()
        page.wait_for_timeout(900)
        page.get_by_label("The word SHOW").fill("wrong")
        page.get_by_role("button", name="Show the password").click()
        assert "was not SHOW" in page.locator("main").inner_text()
        assert desk.views_of(link) == 0
        page.wait_for_timeout(900)
        page.get_by_label("The word SHOW").fill("show")
        page.get_by_role("button", name="Show the password").click()
        assert page.locator("output").inner_text() == link.password.reveal()
        assert "This was the last view" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1


def test_copy_takes_the_password_while_it_stays_hidden_and_says_so(chromium: Any, desk: Desk) -> None:
    link = desk.make()
    with fresh_page(chromium, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(desk.address_of(link))
        reveal(page)
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("status").get_by_text("Copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == link.password.reveal()
        assert link.password.reveal() not in page.content()


def test_the_password_hides_itself_again_after_twenty_seconds(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.clock.install()
    page.goto(desk.address_of(link))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Show password").wait_for()
    page.clock.fast_forward(1000)
    page.wait_for_timeout(900)  # the server has a clock of its own
    page.get_by_role("button", name="Show password").click()
    page.get_by_role("button", name="Show", exact=True).click()
    page.clock.fast_forward(19_000)
    assert page.locator("#password").inner_text() == link.password.reveal()
    page.clock.fast_forward(1_500)
    page.get_by_role("button", name="Show", exact=True).wait_for()
    assert link.password.reveal() not in page.content()


def test_the_password_is_spelled_out_on_request(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.goto(desk.address_of(link))
    reveal(page)
    assert page.locator("#spelled li").count() == 0
    page.get_by_text("Spell it out").click()
    page.locator("#spelled li").first.wait_for()
    letters = [item.locator("b").text_content() for item in page.locator("#spelled li").all()]
    assert "".join(letters) == link.password.reveal()


def test_after_the_last_view_the_address_is_dropped_and_going_back_shows_nothing(page: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    page.goto(desk.address_of(link))
    reveal(page)
    page.get_by_role("button", name="Show", exact=True).click()
    assert link.token.reveal() not in page.url
    page.goto(f"{desk.url}/healthz")
    page.go_back()
    page.get_by_role("heading", name="This link cannot be opened").wait_for()
    assert link.password.reveal() not in page.content()
    page.goto(desk.address_of(link))
    assert "the password was shown once" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1


def test_an_answer_lost_on_the_way_is_asked_for_again_without_a_second_view(page: Any, desk: Desk) -> None:
    link = desk.make()
    lost: list[int] = []

    def lose_the_first(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)  # the service has answered; nobody hears it
        route.abort()

    page.route(re.compile("/reveal$"), lose_the_first)
    page.goto(desk.address_of(link))
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Show password").wait_for()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Show password").click()
    page.get_by_role("alert").get_by_text("connection was lost").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Show", exact=True).click()
    assert page.locator("#password").inner_text() == link.password.reveal()
    assert lost == [200]
    assert desk.views_of(link) == 1


@pytest.mark.parametrize("width", [320, 375, 1100])
def test_nothing_ever_needs_sideways_scrolling(chromium: Any, desk: Desk, width: int) -> None:
    link = desk.make()

    def overflow(page: Any) -> int:
        return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    with fresh_page(chromium, viewport={"width": width, "height": 640}) as page:
        page.goto(desk.address_of(link))
        assert overflow(page) == 0
        reveal(page)
        page.get_by_role("button", name="Show", exact=True).click()
        page.get_by_text("Spell it out").click()
        assert overflow(page) == 0
        page.goto(f"{desk.url}/s/unknown")
        assert overflow(page) == 0


# ---------------------------------------------------------------- machines


class Controls(HTMLParser):
    """What a program that only reads HTML finds: addresses, and forms with their fields."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.forms: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.addresses += [found[name] for name in ("href", "src") if name in found]
        if tag == "form":
            self.forms.append((found.get("action", ""), {}))
        if tag == "input" and self.forms and "name" in found:
            self.forms[-1][1][found["name"]] = found.get("value", "")


def test_a_program_that_follows_links_and_submits_forms_uses_no_view(desk: Desk) -> None:
    link = desk.make()
    address = desk.address_of(link)
    requests.head(address, timeout=10)
    requests.options(address, timeout=10)
    controls = Controls()
    controls.feed(requests.get(address, timeout=10).text)
    for path in controls.addresses:
        if path.startswith("/"):
            requests.get(desk.url + path, timeout=10)
    ((action, fields),) = controls.forms
    assert set(fields) == {"challenge", "nonce", "word"}
    for filling in ("", "test", "john.doe@example.com", "yes"):
        answer = requests.post(desk.url + action, data=fields | {"word": fields["word"] or filling}, timeout=10)
        assert link.password.reveal() not in answer.text
    assert desk.views_of(link) == 0


def test_a_headless_renderer_uses_no_view(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.goto(desk.address_of(link), wait_until="networkidle")
    page.screenshot()
    page.wait_for_timeout(1500)
    assert desk.views_of(link) == 0


SCRIPTS = {
    "presses everything": "document.querySelectorAll('button, summary, input').forEach((e) => e.click())",
    "sends mouse events": "document.querySelectorAll('button').forEach((e) => ['pointerdown', 'mousedown', 'mouseup', "
    "'pointerup', 'click'].forEach((k) => e.dispatchEvent(new MouseEvent(k, {bubbles: true, cancelable: true}))))",
    "submits forms": "document.querySelectorAll('form').forEach((f) => f.requestSubmit())",
    "sends keys": "document.querySelectorAll('button').forEach((e) => { e.focus(); ['keydown', 'keypress', 'keyup']"
    ".forEach((k) => e.dispatchEvent(new KeyboardEvent(k, {key: 'Enter', bubbles: true}))); })",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_in_the_page_uses_no_view(page: Any, desk: Desk, script: str) -> None:
    link = desk.make()
    page.goto(desk.address_of(link))
    for _ in range(3):
        page.wait_for_timeout(900)
        page.evaluate(SCRIPTS[script])
    page.wait_for_timeout(300)
    assert desk.views_of(link) == 0
    # Not even the step, which needs a trusted event too.
    assert "step_opened" not in desk.kinds_of(link)


@pytest.mark.parametrize("pause", [0, 1000], ids=["fast", "slow"])
def test_a_program_that_really_clicks_on_everything_it_sees_uses_no_view(page: Any, desk: Desk, pause: int) -> None:
    link = desk.make()
    page.goto(desk.address_of(link))
    for _ in range(3):
        page.wait_for_timeout(pause or 50)
        for control in page.locator("button:visible, input:visible").all():
            box = control.bounding_box() if control.is_visible() else None
            if box:
                page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
                page.wait_for_timeout(pause)
    assert desk.views_of(link) == 0


def test_a_key_that_is_held_down_is_one_wish_and_shows_nothing(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.goto(desk.address_of(link))
    page.wait_for_timeout(900)
    page.keyboard.press("Tab")
    for _ in range(12):  # without a release in between, each is a repeat
        page.keyboard.down("Enter")
        page.wait_for_timeout(100)
    assert "step_opened" in desk.kinds_of(link)
    page.keyboard.up("Enter")
    assert desk.views_of(link) == 0


# ---------------------------------------------------------------- the format

OPEN_IN_BROWSER = """
async ({token, sealed, id, maxViews, expiresAt}) => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  const utf8 = new TextEncoder();
  const master = await crypto.subtle.importKey('raw', bytes(token), 'HKDF', false, ['deriveBits', 'deriveKey']);
  const hkdf = (info) => ({name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8.encode(info)});
  const kind = {name: 'AES-GCM', length: 256};
  const key = await crypto.subtle.deriveKey(hkdf(`secretlink/1 enc ${id}`), master, kind, false, ['decrypt']);
  const lookup = await crypto.subtle.deriveBits(hkdf('secretlink/1 lookup'), master, 256);
  const additionalData = utf8.encode(JSON.stringify(['secretlink/1', id, maxViews, expiresAt]));
  const box = bytes(sealed);
  const how = {name: 'AES-GCM', iv: box.slice(0, 12), additionalData};
  const padded = new Uint8Array(await crypto.subtle.decrypt(how, key, box.slice(12)));
  const length = padded[0] * 256 + padded[1];
  return {
    password: new TextDecoder().decode(padded.slice(2, 2 + length)),
    lookup: Array.from(new Uint8Array(lookup), (b) => b.toString(16).padStart(2, '0')).join(''),
  };
}
"""


def test_a_browsers_own_cryptography_opens_what_python_sealed(page: Any, desk: Desk) -> None:
    page.goto(f"{desk.url}/healthz")  # a secure context, because it is this machine
    made = make_link()
    vectors = json.loads((Path(__file__).parents[1] / "secretlink" / "vectors.json").read_text("utf-8"))["vectors"]
    cases = [(vector["token"], bytes.fromhex(vector["sealed_hex"]), vector["id"], vector["max_views"],
              vector["expires_at"], vector["password"], vector["lookup_hex"]) for vector in vectors]  # fmt: skip
    cases.append((made.token.reveal(), made.sealed, made.terms.link_id, made.terms.max_views, made.terms.expires_at,
                  made.password.reveal(), made.lookup.hex()))  # fmt: skip
    for token, sealed, link_id, max_views, expires_at, password, lookup in cases:
        opened = page.evaluate(
            OPEN_IN_BROWSER,
            {"token": token, "sealed": base64.b64encode(sealed).decode(), "id": link_id, "maxViews": max_views,
             "expiresAt": expires_at},
        )  # fmt: skip
        assert opened == {"password": password, "lookup": lookup}
