"""The pages in words: templates, times in the customer's zone, the MSP's name and colour, the static files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, PackageLoader, StrictUndefined

from connector.core.secret import Secret
from connector.secretlink.chain import Event
from connector.secretlink.links import LinkRecord
from connector.secretlink.options import LinkServiceOptions
from connector.secretlink.spelling import spell

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
_BRAND_FILE = re.compile(r"brand-([0-9a-f]{6})\.css", re.ASCII)
_DEFAULT_COLOUR: Final = "#1f4e79"
_STATIC_FILES: Final[Mapping[str, str]] = {
    "link.css": "text/css; charset=utf-8",
    "link.js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True)
class Brand:
    """Who helps."""

    name: str
    phone: str | None
    url: str | None
    colour: str

    @property
    def stylesheet(self) -> str:
        """The name of the style sheet that carries the colour."""
        return f"brand-{self.colour[1:].lower()}.css"

    @property
    def dialled(self) -> str | None:
        """The phone number for a `tel:` address."""
        digits = re.sub(r"[^0-9+]", "", self.phone or "")
        return digits or None


@dataclass(frozen=True)
class StaticFile:
    """A file for the browser; its name changes with its content, so it may be kept for ever."""

    content: bytes
    media_type: str


class StaticFiles:
    """The page's own style sheet and script. Nothing is ever read from the disk for a request."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._files: dict[str, StaticFile] = {}
        folder = resources.files("connector.secretlink").joinpath("static")
        for name, media_type in _STATIC_FILES.items():
            content = folder.joinpath(name).read_bytes()
            stem, _, ending = name.partition(".")
            hashed = f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
            self._names[name] = hashed
            self._files[hashed] = StaticFile(content, media_type)

    def path(self, name: str) -> str:
        """Where the browser finds a file."""
        return f"/static/{self._names[name]}"

    def find(self, hashed: str) -> StaticFile | None:
        """A file by its name in an address; `None` for anything else."""
        colour = _BRAND_FILE.fullmatch(hashed)
        if colour:
            return StaticFile(_brand_css(f"#{colour[1]}").encode("ascii"), "text/css; charset=utf-8")
        return self._files.get(hashed)


class Renderer:
    """Makes HTML. Every value is escaped; a name that a template misspells is an error, not a blank."""

    def __init__(self, options: LinkServiceOptions, files: StaticFiles) -> None:
        self._own_brand = Brand(
            name=options.brand_name or "IT Service Desk",
            phone=options.brand_phone or None,
            url=options.brand_url or None,
            colour=_colour(options.brand_colour),
        )
        self._templates = Environment(
            loader=PackageLoader("connector.secretlink"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["static"] = files.path

    def link(self, link: LinkRecord, *, challenge: str, nonce: str, path: str, now: datetime, problem: str = "") -> str:
        """The page of a link that can be opened. Holds nothing of the password.

        Args:
            path: The page's own address, without host.
            problem: Why the form without JavaScript was not accepted.
        """
        seconds_left = max(0, link.terms.expires_at - int(now.timestamp()))
        return self._templates.get_template("link.html").render(
            brand=self._brand_of(link),
            link=link,
            until=_time_words(link.terms.expires_at, link.time_zone),
            until_iso=datetime.fromtimestamp(link.terms.expires_at, UTC).isoformat(),
            time_left=time_left_words(seconds_left),
            seconds_left=seconds_left,
            challenge=challenge,
            nonce=nonce,
            path=path,
            problem=problem,
        )

    def revealed(self, link: LinkRecord, password: Secret, *, now: datetime) -> str:
        """The answer to the form without JavaScript: the password itself."""
        return self._templates.get_template("revealed.html").render(
            brand=self._brand_of(link),
            link=link,
            password=password.reveal(),
            spelled=spell(password.reveal()),
            until=_time_words(link.terms.expires_at, link.time_zone),
            time_left=time_left_words(max(0, link.terms.expires_at - int(now.timestamp()))),
        )

    def gone(self, link: LinkRecord | None, views: Sequence[Event]) -> str:
        """The page of a link that cannot be opened.

        Args:
            link: The tombstone, for a visitor who shows its true token; `None` for everybody else: all see the same.
        """
        return self._templates.get_template("gone.html").render(
            brand=self._brand_of(link),
            link=link,
            ended=_time_words(link.ended_ms // 1000, link.time_zone) if link and link.ended_ms is not None else "",
            openings=[
                {
                    "when": _time_words(view.at_ms // 1000, link.time_zone),
                    "where": view.place.words if view.place else "an unknown place",
                    "agent": view.agent or "an unknown browser",
                }
                for view in views
            ]
            if link
            else [],
        )

    def message(self, title: str, text: str) -> str:
        """A short page for what is neither a link nor a gone one: too many tries, a fault of ours."""
        return self._templates.get_template("message.html").render(brand=self._own_brand, title=title, text=text)

    def _brand_of(self, link: LinkRecord | None) -> Brand:
        own = self._own_brand
        if link is None or link.brand is None:
            return own
        given: Mapping[str, str] = json.loads(link.brand)
        return Brand(
            name=given.get("name") or own.name,
            # A link that names its own desk must not show the service's number beside it.
            phone=given.get("phone") or (None if "name" in given else own.phone),
            url=given.get("url") or (None if "name" in given else own.url),
            colour=_colour(given.get("colour") or own.colour),
        )


def time_left_words(seconds: int) -> str:
    """`43 minutes`, `1 minute`, `less than a minute`, `5 hours`, `3 days`: never more than is left."""
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        # From two of a unit on; "90 minutes" says more than "1 hour".
        if seconds >= 2 * size or (size == 60 and seconds >= size):
            count = seconds // size
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return "less than a minute"


def _time_words(seconds: int, zone_name: str) -> str:
    """`14:05 GMT on Sunday 22 November`, in the link's zone."""
    try:
        zone: ZoneInfo | None = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = None  # known when the link was made, gone from this machine since
    local = datetime.fromtimestamp(seconds, zone or UTC)
    name = local.tzname() or "UTC"
    # Zones without letters of their own are called "+03" or "-0330".
    name = f"UTC{name}" if name[0] in "+-" else name
    return f"{local:%H:%M} {name} on {local:%A} {local.day} {local:%B}"


def _colour(colour: str | None) -> str:
    return colour if colour and _COLOUR.fullmatch(colour) else _DEFAULT_COLOUR


def _brand_css(colour: str) -> str:
    """The MSP's colour, with letters on it that can be read (4.5:1, WCAG 2.2 success criterion 1.4.3)."""
    return f":root{{--brand:{colour};--on-brand:{'#ffffff' if _contrast_with_white(colour) >= 4.5 else '#101418'}}}\n"


def _contrast_with_white(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
