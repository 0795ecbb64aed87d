"""Every state of the link's pages can be used by everybody: looked over by axe-core, in a real Chromium.

axe-core (Deque, MPL-2.0) is the engine behind most accessibility checkers; it comes from npm at test time. It finds
what a program can find: contrast, names, roles, headings, landmarks, targets. Source: github.com/dequelabs/axe-core,
read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.link_desk import PHONE
from tests.e2e.page_states import STATES, Stage, State, open_stage, settings_for
from tests.own_venv import unpack_npm

AXE = "axe-core@4.14.1"
# Best practices too, and the size of targets (WCAG 2.2), which is off by default.
RUN = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}});
  return found.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.html)]);
}"""

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return (unpack_npm(tmp_path_factory.mktemp("axe"), AXE, "axe.min.js") / "axe.min.js").read_text("utf-8")


class EveryState:
    """One test a state; two classes, so that two workers can share them."""

    locale: str
    browser: Mapping[str, Any] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
        with open_stage(tmp_path_factory.mktemp("stage"), locale=cls.locale) as opened:
            yield opened

    @pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
    def test_axe_finds_nothing_and_it_fits_at_four_hundred_per_cent(
        self, chromium: Any, stage: Stage, axe: str, state: State
    ) -> None:
        context = chromium.new_context(**settings_for(state, **self.browser))
        page = context.new_page()
        page.set_default_timeout(10_000)
        state.reach(stage, page)
        assert page.locator("html").get_attribute("lang") == self.locale
        width = page.viewport_size["width"]
        page.set_viewport_size({"width": 320, "height": 256})  # 1280 px at 400 %
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, "nothing needs sideways scrolling"
        page.set_viewport_size({"width": width, "height": 800})
        if not state.scripts:
            page = seen_with_scripts(chromium, page, self.browser)
        page.evaluate(axe)
        assert page.evaluate(RUN) == []
        page.context.close()
        context.close()


class TestInEnglishOnADesktop(EveryState):
    locale = "en"


class TestInGermanOnAPhoneInTheDark(EveryState):
    locale = "de"
    browser: Mapping[str, Any] = {"color_scheme": "dark", "locale": "de-DE", **PHONE}


def seen_with_scripts(chromium: Any, page: Any, settings: Mapping[str, Any]) -> Any:
    """The same page where axe can run: its own scripts left out."""
    content = re.sub(r"<script.*?</script>", "", page.content())
    copy = chromium.new_context(**settings).new_page()
    address = page.url.partition("#")[0]
    copy.route(address, lambda route: route.fulfill(body=content, content_type="text/html; charset=utf-8"))
    copy.goto(address)
    if page.locator("#plain").count():
        copy.locator("#plain").wait_for()  # it keeps still for the scripts that do not come
    assert copy.locator("main").inner_text() == page.locator("main").inner_text()
    return copy
