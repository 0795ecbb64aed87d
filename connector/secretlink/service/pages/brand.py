"""Who helps, as the pages show it: name, number, address, colour, logo."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connector.core.telephone import dialled

BRAND_FILE: Final = re.compile(r"brand-([0-9a-f]{6})\.css", re.ASCII)
"""The name of a style sheet that carries a colour."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
_DEFAULT_COLOUR: Final = "#1f4e79"


@dataclass(frozen=True)
class Brand:
    """Who helps.

    Attributes:
        name: Empty: the page says "IT Service Desk" in its own language.
        phone: As people write it.
        url: https or http.
        colour: `#rrggbb`; anything else becomes the default.
        logo: Where the browser finds the picture; `None` for none.
    """

    name: str
    phone: str | None
    url: str | None
    colour: str
    logo: str | None = None

    @property
    def stylesheet(self) -> str:
        """The name of the style sheet that carries the colour."""
        colour = self.colour if _COLOUR.fullmatch(self.colour) else _DEFAULT_COLOUR
        return f"brand-{colour[1:].lower()}.css"

    @property
    def dialled(self) -> str:
        """The number of `phone` for a `tel:` address; empty where there is none that could be dialled."""
        return dialled(self.phone or "")

    @property
    def site(self) -> str:
        """The address as it is read: without scheme and last slash."""
        return (self.url or "").partition("//")[2].rstrip("/")

    def of_link(self, given: str | None) -> Brand:
        """The brand of a link or an alarm that may name its own desk.

        Args:
            given: JSON of `name`, `phone`, `url`, `colour`, each optional; `None` for this brand as it is.
        """
        if given is None:
            return self
        own: Mapping[str, str] = json.loads(given)
        # Whoever names its own desk must not have this service's number or picture beside it.
        named = "name" in own
        return Brand(
            name=own.get("name") or self.name,
            phone=own.get("phone") or (None if named else self.phone),
            url=own.get("url") or (None if named else self.url),
            colour=own.get("colour") or self.colour,
            logo=None if named else self.logo,
        )


def brand_css(colour: str) -> str:
    """The MSP's colour, with letters on it that can be read (4.5:1, WCAG 2.2 success criterion 1.4.3).

    Args:
        colour: `#rrggbb`.
    """
    return f":root{{--brand:{colour};--on-brand:{'#ffffff' if _contrast_with_white(colour) >= 4.5 else '#101418'}}}\n"


def _contrast_with_white(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
