"""Make docs/img/link-page-*.png: a real link service, a real Chromium, made-up people.

    .venv/bin/python scripts/screenshots_links.py [FOLDER]

The pictures of the README. Every state that the pages can be in: python -m tests.e2e.page_states FOLDER

Needs Chromium at /usr/bin/chromium (Debian: apt-get install chromium) and the dev extra.
"""

from __future__ import annotations

import base64
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from connector.core.secret import Secret
from connector.migrations import upgrade
from connector.secretlink.seal import Terms, decode_token, lookup_of, new_link_id, new_token, seal
from connector.secretlink.service.web import LinkServiceOptions, create_app

CHROMIUM = "/usr/bin/chromium"
SIZES = {"desktop": (900, 640), "phone": (375, 640)}
# Looks like what people get; opens nothing.
EXAMPLE = Secret("Quiet-Harbour-Lantern-70")


class LinkMaker:
    """The connector's half."""

    def __init__(self, address: str, api_key: str) -> None:
        self._address = address
        self._api_key = api_key

    def make(self, *, views: int) -> str:
        token, link_id = new_token(), new_link_id()
        key = decode_token(token.reveal())
        # Half a minute more than the hour, so that the picture says 60 minutes.
        terms = Terms(link_id, views, int((datetime.now(UTC) + timedelta(minutes=60, seconds=30)).timestamp()))
        answer = requests.post(
            f"{self._address}/api/v1/links",
            headers={"Authorization": f"Bearer {self._api_key}"},
            json={
                "id": link_id,
                "lookup": base64.urlsafe_b64encode(lookup_of(key)).decode(),
                "sealed": base64.urlsafe_b64encode(seal(EXAMPLE, token=key, terms=terms)).decode(),
                "max_views": views,
                "expires_at": terms.expires_at,
                "ref": "halo/4242",
                "display_name": "Anna Example",
                "ticket": "4242",
                "time_zone": "Europe/London",
            },
            timeout=10,
        )
        answer.raise_for_status()
        return f"{self._address}/s/{token.reveal()}"


@contextmanager
def link_service(folder: Path) -> Iterator[LinkMaker]:
    """Run the service in a thread of this process, on a port of the system's choice."""
    database = f"sqlite:///{(folder / 'links.db').as_posix()}"
    upgrade(database, "links")
    api_key = secrets.token_urlsafe(32)
    options = LinkServiceOptions(
        database=database,
        listen_host="127.0.0.1",
        listen_port=0,
        url="http://127.0.0.1",
        pepper=secrets.token_bytes(32),
        api_keys=(api_key,),
        # So that the page names a country: addresses of this machine have none.
        trusted_proxies=("127.0.0.1/32",),
        brand_name="Contoso Service Desk",
        brand_phone="+44 20 7946 0000",
        brand_url="https://portal.example.com",
    )
    server = uvicorn.Server(
        uvicorn.Config(create_app(options), host="127.0.0.1", port=0, proxy_headers=False, log_config=None, ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield LinkMaker(f"http://127.0.0.1:{port}", api_key)
    finally:
        server.should_exit = True
        thread.join()


def open_page(browser: Browser, size: tuple[int, int]) -> Page:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=2,
        extra_http_headers={"X-Forwarded-For": "81.2.69.160"},
    )
    return context.new_page()


def reveal(page: Page) -> None:
    page.wait_for_timeout(900)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Show password").wait_for()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Show password").click()
    page.get_by_role("button", name="Copy").wait_for()


def shoot(page: Page, folder: Path, name: str) -> None:
    page.wait_for_timeout(250)  # the blur fades in
    path = folder / f"link-page-{name}.png"
    page.screenshot(path=str(path), full_page=True)
    print(path)


def shoot_readme(browser: Browser, links: LinkMaker, folder: Path, name: str, size: tuple[int, int]) -> None:
    page = open_page(browser, size)
    url = links.make(views=2)
    page.goto(url)
    shoot(page, folder, f"start-{name}")
    reveal(page)
    page.get_by_role("button", name="Show", exact=True).click()
    shoot(page, folder, f"revealed-{name}")
    page.goto(url)
    reveal(page)
    page.get_by_role("button", name="Show", exact=True).click()
    shoot(page, folder, f"last-view-{name}")
    page.goto(url)
    shoot(page, folder, f"gone-{name}")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/img")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        link_service(Path(data)) as links,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, size in SIZES.items():
            shoot_readme(browser, links, folder, name, size)
        browser.close()


if __name__ == "__main__":
    main()
