"""Common ground of the tests of the link's pages: a real link service, a real Chromium, the connector's half."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.core.secret import Secret
from connector.secretlink.seal import check_of, decode_token, lookup_of, new_link_id, new_token
from connector.secretlink.service.pages.challenge import LEAST_AGE, LEAST_PAUSE
from tests.secretlink.running import running
from tests.secretlink.support import Made, encode, make_database, make_link, options_for

CHROMIUM = Path("/usr/bin/chromium")
FEATURES_OFF = (
    # Chromium draws the suggestions of its address bar as two pages of its own, in every new profile. Together they
    # cost more of the processor than all that a test does with ours.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    # Of two lists the last counts. So these are what Playwright 1.65 turns off for every browser that it starts.
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
CHROMIUM_OPTIONS = (
    "--no-sandbox",  # the sandbox of Chromium does not work for root, as in most containers
    f"--disable-features={','.join(FEATURES_OFF)}",
    "--renderer-process-limit=1",  # or each new profile starts one more process, in reserve
)
LEAST_AGE_MS, LEAST_PAUSE_MS = (length / timedelta(milliseconds=1) + 30 for length in (LEAST_AGE, LEAST_PAUSE))
"""What the service wants between page and reveal, and between step and reveal, and a little more."""
TICKET = "4242"
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 760},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


def require(present: bool, sentence: str) -> None:
    """Skip on a newcomer's machine; fail where everything must be there."""
    if present:
        return
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


@dataclass(frozen=True)
class Sent:
    """A link as it stands in a mail."""

    made: Made
    address: str = field(repr=False)

    @property
    def password(self) -> str:
        return self.made.password.reveal()

    @property
    def id(self) -> str:
        return self.made.terms.link_id


@dataclass(frozen=True)
class Armed:
    """An alarm as it stands in a mail."""

    id: str
    about: str
    address: str = field(repr=False)


@dataclass(frozen=True)
class Desk:
    """The connector's half: makes links and alarms, counts what became of them."""

    url: str
    api_key: str = field(repr=False)

    def make(
        self,
        *,
        views: int = 2,
        mode: str = "path",
        checked: bool = False,
        lifetime: timedelta = timedelta(minutes=60, seconds=30),
        password: str | None = None,
        **body: Any,
    ) -> Sent:
        made = make_link(views=views, now=datetime.now(UTC), lifetime=lifetime, password=password)
        if checked:
            body |= {"ticket": "", "human_check": encode(check_of(made.key, TICKET))}
        self._post("/links", made.to_body(mode=mode, **body))
        path = made.path if mode == "path" else f"/s/{made.terms.link_id}#{made.token.reveal()}"
        return Sent(made, self.url + path)

    def arm(self, *, lifetime: timedelta = timedelta(days=7), **body: Any) -> Armed:
        token: Secret = new_token()
        alarm_id, about = new_link_id(), f"case-{secrets.token_hex(4)}"
        wish = {
            "id": alarm_id,
            "lookup": encode(lookup_of(decode_token(token.reveal()))),
            "about": about,
            "link_id": None,
            "source": "accessed",
            "display_name": "Anna Example",
            "ticket": TICKET,
            "time_zone": "Europe/London",
            "locale": "en",
            "expires_at": int((datetime.now(UTC) + lifetime).timestamp()),
        }
        self._post("/alarms", wish | body)
        return Armed(alarm_id, about, f"{self.url}/n/{token.reveal()}")

    def revoke(self, link: Sent) -> None:
        self._post(f"/links/{link.id}/revoke", None)

    def state_of(self, link: Sent) -> str:
        return str(self._get(f"/links/{link.id}")["state"])

    def views_of(self, link: Sent) -> int:
        return int(self._get(f"/links/{link.id}")["views"])

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._get(f"/events?limit=500&after={found[-1]['seq'] if found else 0}")
            found += page["events"]
            if not page["more"]:
                return found

    def kinds_of(self, link: Sent) -> list[str]:
        return [event["kind"] for event in self.events() if event["link_id"] == link.id]

    def alarms_of(self, alarm: Armed) -> int:
        return sum(event["kind"] == "reported" and event["ref"] == alarm.about for event in self.events())

    def _get(self, path: str) -> Any:
        answer = requests.get(f"{self.url}/api/v1{path}", headers=self._headers, timeout=10)
        assert answer.status_code == 200, answer.status_code
        return answer.json()

    def _post(self, path: str, body: Any) -> None:
        answer = requests.post(f"{self.url}/api/v1{path}", headers=self._headers, json=body, timeout=10)
        assert answer.status_code in (200, 201), (answer.status_code, answer.text)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}


@contextmanager
def link_desk(
    folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), **options: Any
) -> Iterator[Desk]:
    """Run a link service of its own until the block ends."""
    api_key = secrets.token_urlsafe(32)
    chosen = options_for(make_database(folder), secrets.token_bytes(32), api_key, **options)
    with running(chosen, clock=clock) as url:
        yield Desk(url, api_key)


@contextmanager
def launch_chromium() -> Iterator[Any]:
    """A Chromium, or a skip with a sentence."""
    require(CHROMIUM.exists(), "Chromium is not at /usr/bin/chromium. On Debian: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        require(False, "Playwright is not installed. Run: make test, or pip install -e .[dev]")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*CHROMIUM_OPTIONS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    # A QR code on every page: what must not be in a page must not be in there either.
    with link_desk(tmp_path_factory.mktemp("links"), qr=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with launch_chromium() as browser:
        yield browser


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


def proceed(page: Any) -> None:
    """The first of the two steps; then a person's time, and no more of it, before the second may follow."""
    page.locator("#proceed").click()
    page.locator("#show").wait_for()
    # From when the answer came: the service stamped the page a moment before that.
    age = page.evaluate("performance.now() - performance.getEntriesByType('navigation')[0].responseStart")
    page.wait_for_timeout(max(LEAST_AGE_MS - age, LEAST_PAUSE_MS))


def reveal(page: Any) -> None:
    """Both steps, at a person's pace."""
    proceed(page)
    page.locator("#show").click()
    page.locator("#secret-title").wait_for()


def uncover(page: Any) -> str:
    """Look at a password that is there but hidden."""
    page.locator("#uncover").click()
    return str(page.locator("#password").inner_text())
