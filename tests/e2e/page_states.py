"""Every state that the link's pages can be in, and how to get there. For looking at them after a change:

    python -m tests.e2e.page_states FOLDER [PART OF A NAME ...]

makes a picture of each on a desktop, a phone, in the dark and in German, and of some at 320 px and at 400 % zoom.
"""

from __future__ import annotations

import secrets
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.e2e.link_desk import PHONE, TICKET, Desk, Sent, launch_chromium, link_desk, proceed, reveal, uncover

LONG_NAME = "Wilhelmina-Josephine von Hohenstein-Außerberg"
PLAIN = "Quiet-Harbour-Lantern-Meadow-704"


@dataclass(frozen=True)
class Stage:
    """Where the states are played.

    Attributes:
        away: A link service whose database is gone.
        locale: Language of the links.
    """

    desk: Desk
    away: Desk
    locale: str = "en"

    def link(self, **wishes: Any) -> Sent:
        # The same length as a real one; opens nothing.
        return self.desk.make(locale=self.locale, password=PLAIN, **wishes)

    def alarm(self, **wishes: Any) -> str:
        return self.desk.arm(locale=self.locale, **wishes).address


@dataclass(frozen=True)
class State:
    """One state of a page.

    Attributes:
        reach: Brings a fresh browser page there.
        scripts: Whether JavaScript runs.
    """

    name: str
    reach: Callable[[Stage, Any], None]
    scripts: bool = True


STATES: list[State] = []


def state(*, scripts: bool = True) -> Callable[[Callable[[Stage, Any], None]], Callable[[Stage, Any], None]]:
    """Enter a function into `STATES`."""

    def enter(reach: Callable[[Stage, Any], None]) -> Callable[[Stage, Any], None]:
        STATES.append(State(reach.__name__, reach, scripts))
        return reach

    return enter


# ---------------------------------------------------------------- a link that can be opened


@state()
def start(stage: Stage, page: Any) -> None:
    page.goto(stage.link().address)


@state()
def start_long_name(stage: Stage, page: Any) -> None:
    page.goto(stage.link(display_name=LONG_NAME, ticket="INC-2026-0000004242").address)


@state()
def start_opened_before(stage: Stage, page: Any) -> None:
    link = stage.link(views=3)
    page.goto(link.address)
    reveal(page)
    page.goto(link.address)


@state()
def step(stage: Stage, page: Any) -> None:
    page.goto(stage.link().address)
    proceed(page)


@state()
def step_last_view(stage: Stage, page: Any) -> None:
    page.goto(stage.link(views=1).address)
    proceed(page)


@state()
def hidden(stage: Stage, page: Any) -> None:
    page.goto(stage.link().address)
    reveal(page)


@state()
def shown(stage: Stage, page: Any) -> None:
    hidden(stage, page)
    uncover(page)


@state()
def copied(stage: Stage, page: Any) -> None:
    hidden(stage, page)
    page.locator("#copy").click()
    page.locator("#said:not(:empty)").wait_for()


@state()
def last_view(stage: Stage, page: Any) -> None:
    page.goto(stage.link(views=1).address)
    reveal(page)
    uncover(page)


@state()
def spelled_out(stage: Stage, page: Any) -> None:
    shown(stage, page)
    page.locator("#spelling summary").click()
    page.locator("#spelled li").first.wait_for()


@state()
def qr_code(stage: Stage, page: Any) -> None:
    shown(stage, page)
    page.locator("#qr summary").click()


@state()
def connection_lost(stage: Stage, page: Any) -> None:
    page.route("**/step?*", lambda route: route.abort())
    page.goto(stage.link().address)
    page.locator("#proceed").click()
    page.locator("#again").wait_for()


@state()
def damaged(stage: Stage, page: Any) -> None:
    page.route("**/reveal?*", lambda route: route.fulfill(status=403, json={"error": "damaged"}))
    step(stage, page)
    page.locator("#show").click()
    page.locator("#trouble").wait_for()


@state()
def sent_before(stage: Stage, page: Any) -> None:
    answer = {"error": "repeated", "views_left": 1, "max_views": 2}
    page.route("**/reveal?*", lambda route: route.fulfill(status=403, json=answer))
    step(stage, page)
    page.locator("#show").click()
    page.locator("#trouble").wait_for()


# ---------------------------------------------------------------- the typed check


@state()
def check_asked(stage: Stage, page: Any) -> None:
    page.goto(stage.link(checked=True).address)
    proceed(page)


@state()
def check_wrong(stage: Stage, page: Any) -> None:
    check_asked(stage, page)
    page.locator("#answer").fill("1234")
    page.locator("#show").click()
    page.locator("#answer-problem").wait_for()


@state()
def check_no_number(stage: Stage, page: Any) -> None:
    check_asked(stage, page)
    page.locator("#answer").fill("test")
    page.locator("#show").click()
    page.locator("#answer-problem").wait_for()


@state()
def check_failed(stage: Stage, page: Any) -> None:
    check_asked(stage, page)
    for _ in range(5):
        page.locator("#answer").fill("1234")
        with page.expect_response("**/reveal?*"):
            page.locator("#show").click()
    page.locator("#show").wait_for(state="detached")


# ---------------------------------------------------------------- a link whose token the browser keeps


@state()
def fragment_start(stage: Stage, page: Any) -> None:
    page.goto(stage.link(mode="fragment").address)


@state()
def fragment_step(stage: Stage, page: Any) -> None:
    fragment_start(stage, page)
    proceed(page)


@state()
def fragment_check(stage: Stage, page: Any) -> None:
    page.goto(stage.link(mode="fragment", checked=True).address)
    proceed(page)


@state()
def fragment_shown(stage: Stage, page: Any) -> None:
    fragment_start(stage, page)
    reveal(page)
    uncover(page)


@state()
def fragment_without_token(stage: Stage, page: Any) -> None:
    page.goto(stage.link(mode="fragment").address.partition("#")[0])


@state()
def fragment_pasted_wrong(stage: Stage, page: Any) -> None:
    fragment_without_token(stage, page)
    page.locator("#pasted").fill(stage.link(mode="fragment").address.partition("#")[0])
    page.locator("#use-pasted").click()


@state()
def fragment_insecure(stage: Stage, page: Any) -> None:
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
    fragment_start(stage, page)


@state()
def fragment_used_up(stage: Stage, page: Any) -> None:
    link = stage.link(mode="fragment", views=1)
    page.goto(link.address)
    reveal(page)
    page.goto(link.address)
    page.locator("#proceed").click()
    page.locator(".openings").wait_for()


# ---------------------------------------------------------------- a link that cannot be opened


@state()
def used_up(stage: Stage, page: Any) -> None:
    link = stage.link(views=2)
    for _ in range(2):
        page.goto(link.address)
        reveal(page)
    page.goto(link.address)


@state()
def expired(stage: Stage, page: Any) -> None:
    link = stage.link(lifetime=timedelta(seconds=1.5))
    while stage.desk.state_of(link) != "expired":
        page.wait_for_timeout(100)
    page.goto(link.address)


@state()
def revoked(stage: Stage, page: Any) -> None:
    link = stage.link()
    stage.desk.revoke(link)
    page.goto(link.address)


@state()
def unknown(stage: Stage, page: Any) -> None:
    page.goto(stage.link().address[:-4])


@state()
def throttled(stage: Stage, page: Any) -> None:
    page.set_extra_http_headers({"X-Forwarded-For": f"203.0.113.{secrets.randbelow(250) + 1}"})
    for _ in range(31):
        page.goto(f"{stage.desk.url}/s/{secrets.token_urlsafe(24)}")


@state()
def not_here(stage: Stage, page: Any) -> None:
    page.goto(f"{stage.link().address}/reveal")


@state()
def service_away(stage: Stage, page: Any) -> None:
    page.goto(f"{stage.away.url}/s/{secrets.token_urlsafe(24)}")


# ---------------------------------------------------------------- that was not me


@state()
def alarm_start(stage: Stage, page: Any) -> None:
    page.goto(stage.alarm(link_id=stage.link().id))


@state()
def alarm_from_notice(stage: Stage, page: Any) -> None:
    page.goto(stage.alarm(source="notice", display_name=LONG_NAME, ticket=""))


@state()
def alarm_step(stage: Stage, page: Any) -> None:
    alarm_start(stage, page)
    proceed(page)


@state()
def alarm_done(stage: Stage, page: Any) -> None:
    alarm_step(stage, page)
    page.locator("#show").click()
    page.locator("#done-title").wait_for()


@state()
def alarm_again(stage: Stage, page: Any) -> None:
    alarm_done(stage, page)
    page.reload()


@state()
def alarm_unknown(stage: Stage, page: Any) -> None:
    page.goto(f"{stage.desk.url}/n/{secrets.token_urlsafe(24)}")


@state()
def report_start(stage: Stage, page: Any) -> None:
    used_up(stage, page)
    page.locator("form button").click()
    page.locator("#proceed").wait_for()


@state()
def report_done(stage: Stage, page: Any) -> None:
    report_start(stage, page)
    proceed(page)
    page.locator("#show").click()
    page.locator("#done-title").wait_for()


@state()
def used_up_reported(stage: Stage, page: Any) -> None:
    report_done(stage, page)
    page.goto(page.url.removesuffix("/not-me").partition("/not-me")[0])


# ---------------------------------------------------------------- without JavaScript


@state(scripts=False)
def plain_start(stage: Stage, page: Any) -> None:
    page.goto(stage.link().address)


def type_and_send(page: Any, field: str, text: str) -> None:
    page.wait_for_timeout(900)
    page.locator(field).fill(text)
    page.locator("form button").first.click()


@state(scripts=False)
def plain_wrong_word(stage: Stage, page: Any) -> None:
    plain_start(stage, page)
    type_and_send(page, "#word", "nothing")


@state(scripts=False)
def plain_shown(stage: Stage, page: Any) -> None:
    plain_start(stage, page)
    type_and_send(page, "#word", "show" if stage.locale == "en" else "anzeigen")


@state(scripts=False)
def plain_last_view(stage: Stage, page: Any) -> None:
    page.goto(stage.link(views=1).address)
    type_and_send(page, "#word", "show")
    page.locator("#spelling summary").click()


@state(scripts=False)
def plain_check(stage: Stage, page: Any) -> None:
    page.goto(stage.link(checked=True).address)


@state(scripts=False)
def plain_check_wrong(stage: Stage, page: Any) -> None:
    plain_check(stage, page)
    type_and_send(page, "#typed-answer", "1234")


@state(scripts=False)
def plain_check_right(stage: Stage, page: Any) -> None:
    plain_check(stage, page)
    type_and_send(page, "#typed-answer", f"#{TICKET} ")


@state(scripts=False)
def plain_fragment(stage: Stage, page: Any) -> None:
    page.goto(stage.link(mode="fragment").address)


@state(scripts=False)
def plain_alarm(stage: Stage, page: Any) -> None:
    page.goto(stage.alarm(link_id=stage.link().id))


@state(scripts=False)
def plain_alarm_wrong(stage: Stage, page: Any) -> None:
    plain_alarm(stage, page)
    type_and_send(page, "#words", "me")


@state(scripts=False)
def plain_alarm_done(stage: Stage, page: Any) -> None:
    plain_alarm(stage, page)
    type_and_send(page, "#words", "not me" if stage.locale == "en" else "nicht ich")


# ---------------------------------------------------------------- the stage and the pictures


@contextmanager
def open_stage(folder: Path, *, locale: str = "en") -> Iterator[Stage]:
    """Run a link service, and one whose database is gone."""
    for name in ("links", "away"):
        (folder / name).mkdir()
    # So that the pages name a country: addresses of this machine have none.
    options: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",), "qr": True}
    with link_desk(folder / "links", **options) as desk, link_desk(folder / "away", **options) as away:
        with sqlite3.connect(folder / "away" / "links.db") as database:
            database.execute("ALTER TABLE link RENAME TO elsewhere")
        database.close()
        yield Stage(desk, away, locale)


def settings_for(state: State, **more: Any) -> dict[str, Any]:
    """How a browser is to be opened for a state."""
    headers = {"X-Forwarded-For": "81.2.69.160"}
    return {
        "java_script_enabled": state.scripts,
        "extra_http_headers": headers,
        "permissions": ["clipboard-write"],
        **more,
    }


LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": PHONE,
    "dark": {"viewport": {"width": 900, "height": 700}, "color_scheme": "dark"},
    "german": {"viewport": {"width": 900, "height": 700}, "locale": "de-DE"},
    "narrow": {"viewport": {"width": 320, "height": 640}, "locale": "de-DE"},
    "zoomed": {"viewport": {"width": 320, "height": 256}, "device_scale_factor": 4},  # 1280 px at 400 %
}
SOME = {
    "start_long_name",
    "shown",
    "spelled_out",
    "check_wrong",
    "used_up",
    "alarm_start",
    "alarm_step",
    "alarm_done",
    "qr_code",
}


def main() -> None:
    folder, parts = Path(sys.argv[1]), sys.argv[2:]
    for look, settings in LOOKS.items():
        locale = "de" if "locale" in settings else "en"
        wanted = [state for state in STATES if look not in ("narrow", "zoomed") or state.name in SOME]
        chosen = [state for state in wanted if not parts or any(part in f"{look}/{state.name}" for part in parts)]
        if not chosen:
            continue
        (folder / look).mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory() as data,
            open_stage(Path(data), locale=locale) as stage,
            launch_chromium() as browser,
        ):
            for state in chosen:
                context = browser.new_context(**settings_for(state, **settings))
                page = context.new_page()
                page.set_default_timeout(10_000)
                state.reach(stage, page)
                page.wait_for_timeout(250)  # the blur fades in
                path = folder / look / f"{state.name}.png"
                page.screenshot(path=str(path), full_page=True)
                context.close()
                print(path)


if __name__ == "__main__":
    main()
