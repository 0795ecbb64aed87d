"""Scanners against every kind of link and against the alarm: none uses a view, none raises an alarm.

The robots are those that are known to have used up other services' links: previews that fetch what they find, link
followers, form fillers, headless renderers, scripts that press every button, programs that really click through the
browser, and browsers that load ahead. People at a keyboard and with a phone get through, once.

What no page can stop is a robot as patient as a person: one that waits, presses Continue, waits again and presses the
new button. It is let through without the typed check and stopped by it, and the last test says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from tests.e2e.link_desk import LEAST_AGE_MS, LEAST_PAUSE_MS, PHONE, TICKET, Armed, Desk, Sent, fresh_page

pytestmark = pytest.mark.e2e

USER_AGENT = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0.0.0"}
FILLINGS = ("", "test", "john.doe@example.com", "yes", "1234567")


@dataclass(frozen=True)
class Target:
    """Something that a mail may hold."""

    name: str
    make: Callable[[Desk], Sent | Armed]

    @property
    def is_alarm(self) -> bool:
        return self.name == "alarm"


TARGETS = (
    Target("path", lambda desk: desk.make()),
    Target("fragment", lambda desk: desk.make(mode="fragment")),
    Target("typed check", lambda desk: desk.make(checked=True)),
    Target("alarm", lambda desk: desk.arm(link_id=desk.make().id)),
)


def damage(desk: Desk, made: Sent | Armed) -> int:
    """Views used, or alarms raised."""
    return desk.alarms_of(made) if isinstance(made, Armed) else desk.views_of(made)


# ---------------------------------------------------------------- robots that only read


@dataclass
class Controls(HTMLParser):
    """What a program that only reads HTML finds: addresses, and forms with their fields."""

    addresses: list[str] = field(default_factory=list)
    forms: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.addresses += [value for name, value in found.items() if name in ("href", "src") or "/" in value[:1]]
        if tag == "form":
            self.forms.append((found.get("method", "get"), found.get("action", ""), {}))
        if tag == "input" and self.forms and "name" in found:
            self.forms[-1][2][found["name"]] = found.get("value", "")


def fetch(method: str, address: str, **more: Any) -> requests.Response:
    return requests.request(method, address, headers=USER_AGENT | more.pop("headers", {}), timeout=10, **more)


def controls_of(address: str) -> Controls:
    controls = Controls()
    controls.feed(fetch("GET", address).text)
    return controls


def unfurls(address: str) -> None:
    """Slack, Teams and mail previews."""
    for method in ("HEAD", "GET", "OPTIONS", "GET"):
        fetch(method, address)


def follows_links(address: str) -> None:
    """Fetches whatever in the page looks like an address of the same place, one level deep."""
    for path in controls_of(address).addresses:
        followed = urljoin(address, path)
        if followed.startswith(address[: address.index("/", 8)]):
            fetch("GET", followed)


def submits_forms(address: str) -> None:
    """Fills every field of every form with all that robots fill in, in no hurry."""
    controls = controls_of(address)
    time.sleep(1)  # the page has a clock of its own
    for method, action, fields in controls.forms:
        for filling in FILLINGS:
            filled = {name: value or filling for name, value in fields.items()}
            fetch(method.upper(), urljoin(address, action), data=filled)


def loads_ahead(address: str) -> None:
    """Says that it loads ahead of a person, and posts as well."""
    for purpose in ("prefetch", "prefetch;prerender"):
        answer = fetch("GET", address, headers={"Sec-Purpose": purpose})
        assert answer.status_code == 503
        for act in ("step", "reveal", "raise", "not-me"):
            fetch("POST", f"{address.partition('#')[0]}/{act}", json={}, headers={"Sec-Purpose": purpose})


def posts_blindly(address: str) -> None:
    """Knows the addresses that the page's script uses, and posts what comes to mind."""
    challenge = fetch("GET", address).text.partition('data-challenge="')[2].partition('"')[0]
    for act in ("step", "reveal", "raise", "not-me", "not-me/step"):
        for headers in ({}, {"X-Reveal": "1"}):
            body = {"challenge": challenge, "nonce": "n" * 20}
            fetch("POST", f"{address.partition('#')[0]}/{act}", json=body, headers=headers)


READERS = (unfurls, follows_links, submits_forms, loads_ahead, posts_blindly)


# ---------------------------------------------------------------- robots with a browser


def renders(page: Any) -> None:
    page.screenshot()
    page.wait_for_timeout(1500)


SCRIPTS = {
    "calls click() on everything": "document.querySelectorAll('button, summary, input').forEach((e) => e.click())",
    "sends mouse events": "document.querySelectorAll('button').forEach((e) => ['pointerdown', 'mousedown', 'mouseup', "
    "'pointerup', 'click'].forEach((k) => e.dispatchEvent(new MouseEvent(k, {bubbles: true, cancelable: true}))))",
    "calls requestSubmit()": "document.querySelectorAll('form').forEach((f) => f.requestSubmit())",
    "sends keys": "document.querySelectorAll('button').forEach((e) => { e.focus(); ['keydown', 'keypress', 'keyup']"
    ".forEach((k) => e.dispatchEvent(new KeyboardEvent(k, {key: 'Enter', bubbles: true}))); })",
}


def runs(script: str) -> Callable[[Any], None]:
    """In no more hurry than a person: each time late enough for what it presses."""

    def run(page: Any) -> None:
        for pause in (LEAST_AGE_MS, LEAST_PAUSE_MS, LEAST_PAUSE_MS):
            page.wait_for_timeout(pause)
            page.evaluate(script)
        page.wait_for_timeout(300)

    return run


def click(page: Any, control: Any) -> None:
    """A click that the browser takes for a person's."""
    box = control.bounding_box(timeout=1000) if control.is_visible() else None
    if box:
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def clicks_the_first(page: Any) -> None:
    page.wait_for_timeout(1000)
    click(page, page.locator("button:visible").first)
    page.wait_for_timeout(1000)


def clicks_everything(pause: int) -> Callable[[Any], None]:
    def run(page: Any) -> None:
        for _ in range(3):
            page.wait_for_timeout(pause or 50)
            for control in page.locator("button:visible, input:visible, summary:visible").all():
                click(page, control)
                page.wait_for_timeout(pause)

    return run


BROWSERS: dict[str, Callable[[Any], None]] = {
    "renders headless": renders,
    **{name: runs(script) for name, script in SCRIPTS.items()},
    "one real click on the first control": clicks_the_first,
    "real clicks on everything, fast": clicks_everything(0),
    "real clicks on everything, slow": clicks_everything(1000),
}


# ---------------------------------------------------------------- people


def by_keyboard(page: Any, *, checked: bool) -> None:
    page.wait_for_timeout(600)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#show").wait_for()
    page.wait_for_timeout(500)
    if checked:
        page.keyboard.type(f"#{TICKET}")
    page.keyboard.press("Enter")


def by_touch(page: Any, *, checked: bool) -> None:
    page.wait_for_timeout(600)
    page.locator("#proceed").tap()
    page.locator("#show").wait_for()
    page.wait_for_timeout(500)
    if checked:
        page.locator("#answer").fill(TICKET)
    page.locator("#show").tap()


PEOPLE: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
    "a person at a keyboard": (by_keyboard, {}),
    "a person with a phone": (by_touch, PHONE),
}


# ---------------------------------------------------------------- the matrix


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, str], int]]:
    """What each visitor did to each target; printed as a table at the end."""
    found: dict[tuple[str, str], int] = {}
    yield found
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of several has no terminal
        return
    names = [target.name for target in TARGETS]
    lines = [f"{'views used, alarms raised by':44}" + "".join(f"{name:>13}" for name in names)]
    for visitor in dict.fromkeys(visitor for visitor, _ in found):
        cells = (found.get((visitor, name), "") for name in names)
        lines.append(f"{visitor:44}" + "".join(f"{cell:>13}" for cell in cells))
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        reporter.write_line("\n" + "\n".join(lines))


Matrix = dict[tuple[str, str], int]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("robot", READERS, ids=lambda robot: robot.__name__)
def test_a_robot_that_reads_does_nothing(
    desk: Desk, matrix: Matrix, robot: Callable[[str], None], target: Target
) -> None:
    made = target.make(desk)
    robot(made.address)
    matrix[robot.__name__.replace("_", " "), target.name] = damage(desk, made)
    assert damage(desk, made) == 0
    if isinstance(made, Sent):
        assert desk.state_of(made) == "active", "nor may it take the link away from the person"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("robot", BROWSERS)
def test_a_robot_with_a_browser_does_nothing(page: Any, desk: Desk, matrix: Matrix, robot: str, target: Target) -> None:
    made = target.make(desk)
    page.goto(made.address, wait_until="networkidle")
    BROWSERS[robot](page)
    matrix[robot, target.name] = damage(desk, made)
    assert damage(desk, made) == 0
    if isinstance(made, Sent):
        assert desk.state_of(made) == "active"
        if robot in SCRIPTS:  # not even the step, which wants a trusted event too
            assert "step_opened" not in desk.kinds_of(made)


AHEAD = {
    "prefetch": """(address) => {
        const link = document.createElement('link');
        link.rel = 'prefetch';
        link.href = address;
        document.head.append(link);
    }""",
    "prerender": """(address) => {
        const rules = document.createElement('script');
        rules.type = 'speculationrules';
        rules.textContent = JSON.stringify({prerender: [{urls: [address], eagerness: 'immediate'}]});
        document.head.append(rules);
    }""",
}


@pytest.mark.parametrize("target", TARGETS[:3], ids=lambda target: target.name)
@pytest.mark.parametrize("how", AHEAD)
def test_a_browser_that_loads_ahead_by_itself_is_sent_away(
    chromium: Any, desk: Desk, matrix: Matrix, how: str, target: Target
) -> None:
    made = target.make(desk)
    assert isinstance(made, Sent)
    context = chromium.new_context(bypass_csp=True)  # as the page of somebody who wants it loaded ahead
    page = context.new_page()
    page.goto(f"{desk.url}/healthz")
    page.evaluate(AHEAD[how], made.address)
    for _ in range(50):
        if "refused" in desk.kinds_of(made):
            break
        page.wait_for_timeout(100)
    context.close()
    assert [event["reason"] for event in desk.events() if event["link_id"] == made.id] == [None, "prefetch"]
    matrix[f"Chromium's own {how}", target.name] = damage(desk, made)
    assert damage(desk, made) == 0


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("person", PEOPLE)
def test_a_person_gets_through_once(chromium: Any, desk: Desk, matrix: Matrix, person: str, target: Target) -> None:
    made = target.make(desk)
    act, settings = PEOPLE[person]
    with fresh_page(chromium, **settings) as page:
        page.goto(made.address)
        act(page, checked=target.name == "typed check")
        page.locator("#done-title" if target.is_alarm else "#secret-title").wait_for()
        if isinstance(made, Sent):
            page.locator("#uncover").click()
            assert page.locator("#password").inner_text() == made.password
    matrix[person, target.name] = damage(desk, made)
    assert damage(desk, made) == 1


def test_a_robot_as_patient_as_a_person_is_stopped_by_the_typed_check_alone(chromium: Any, desk: Desk) -> None:
    views = {}
    for checked in (False, True):
        link = desk.make(checked=checked)
        with fresh_page(chromium) as page:
            page.goto(link.address)
            for _ in range(4):
                page.wait_for_timeout(1000)
                click(page, page.locator("button:visible").last)
        views[checked] = desk.views_of(link)
    assert views == {False: 1, True: 0}
