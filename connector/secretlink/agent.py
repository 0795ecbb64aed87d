"""What a browser calls itself, said for people. Only ever a label: names are free to choose; they decide nothing."""

from __future__ import annotations

import functools
import re
from typing import Final

LONGEST_USER_AGENT: Final = 300
_MOST_REMEMBERED: Final = 256

# The first that matches wins: Edge and Opera also call themselves Chrome, Chrome also calls itself Safari.
# Anybody may call themselves what they like, with a version as long as a line; of it five digits are believed.
_BROWSERS: Final = (
    ("Edge", re.compile(r"\bEdg(?:A|iOS)?/(\d{1,5})")),
    ("Opera", re.compile(r"\bOPR/(\d{1,5})")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/(\d{1,5})")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d{1,5})")),
    ("Chrome", re.compile(r"\b(?:Chrome|CriOS|HeadlessChrome)/(\d{1,5})")),
    ("Safari", re.compile(r"\bVersion/(\d{1,5})[^ ]* (?:Mobile/\S+ )?Safari/")),
)
_SYSTEMS: Final = (
    ("iPhone", re.compile(r"\biPhone\b")),
    ("iPad", re.compile(r"\biPad\b")),
    ("Android", re.compile(r"\bAndroid\b")),
    ("Windows", re.compile(r"\bWindows\b")),
    ("macOS", re.compile(r"\bMac OS X\b")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Linux", re.compile(r"\bLinux\b")),
)
_ROBOT = re.compile(
    # A Cubot is a telephone.
    r"(?<!\bcu)bot\b|crawl|spider|preview|scan|slurp|facebookexternalhit|curl/|wget/|python|go-http|headless|node|java/"
    r"|okhttp",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def name_agent(user_agent: str | None) -> str | None:
    """The browser and system in a few words, such as `Edge 156 on Windows`; `None` when nothing is recognised."""
    if not user_agent:
        return None
    browser = next((f"{name} {found[1]}" for name, shape in _BROWSERS if (found := shape.search(user_agent))), None)
    system = next((name for name, shape in _SYSTEMS if shape.search(user_agent)), None)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system


def suspect_of(user_agent: str | None, *, method: str) -> str:
    """Why a visitor looks like a machine, or `none`. Mail scanners often look like people: `none` proves nothing."""
    if method == "HEAD":
        return "head_request"
    if not user_agent:
        return "no_name"
    return "robot_name" if _is_robot(user_agent) else "none"


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _is_robot(user_agent: str) -> bool:
    return _ROBOT.search(user_agent) is not None
