"""What is sent to the API, strictly read. The document is made from these, and from `api_answers`."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connector.secretlink.seal import LOOKUP_BYTES, MOST_VIEWS, Terms, is_link_id
from connector.secretlink.service.answers import BadBody
from connector.secretlink.service.api.shapes import Rule, Shape
from connector.secretlink.service.store.links import NewAlarm, NewLink

CHECK_BYTES: Final = 32
MOST_SEALED_BYTES: Final = 2048
LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last that Python's clock knows

_ONE_LINE: Final = "One line of printable text."


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone of the IANA list") from None
    return name


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text.strip()


def _link_id(text: str) -> str:
    if not is_link_id(text):
        raise ValueError("must be 8 to 64 letters, digits, '-' or '_'")
    return text


_Id = Annotated[
    str, Rule(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Made by the caller."),
    Rule(check=_link_id),
]  # fmt: skip
_LINE: Final = Rule(max_length=200, check=_line)
_Lookup = Annotated[
    str,
    Rule(pattern=r"^[A-Za-z0-9_-]{43}=?$", description="HKDF-SHA256 of the token, 32 bytes in base64url; see `seal`."),
]
_ExpiresAt = Annotated[
    int,
    Rule(
        above=0, most=LAST_SECOND, description="Seconds since 1970-01-01 UTC; to make something, at most 31 days ahead."
    ),
]
_DisplayName = Annotated[str, _LINE, Rule(description="Whose account, as the page shows it; empty: not shown.")]
_Ticket = Annotated[
    str, Rule(max_length=64, description="The ticket's number for the page; empty: not shown.", check=_line)
]
_TimeZone = Annotated[
    str, Rule(max_length=64, description="IANA name in which the page shows times.", check=_known_zone)
]
_Locale = Annotated[
    str,
    Rule(
        max_length=16,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="Language of the page, such as `en` or `de`; one that the service does not know becomes English.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class BrandBody(Shape):
    """Who helps, for one link. What is left out comes from the service's own settings."""

    name: Annotated[str, Rule(max_length=80, description=_ONE_LINE, check=_line)] | None = None
    phone: Annotated[str, Rule(max_length=40, description=_ONE_LINE, check=_line)] | None = None
    url: (
        Annotated[
            str,
            Rule(max_length=200, pattern=r"^https?://[^\s/?#]+([/?#]\S*)?$", description=_ONE_LINE, check=_line),
        ]
        | None
    ) = None
    colour: Annotated[str, Rule(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None


_Brand = Annotated[
    Annotated[str, Rule(max_length=80, check=_line)] | BrandBody | None,
    Rule(description="Who helps, for this one: in full, or the name alone. Left out: as in the service's settings."),
]


@dataclass(frozen=True, kw_only=True)
class CreateBody(Shape):
    """A link to be made. The caller seals; the service sees neither the password nor the token."""

    id: _Id
    lookup: _Lookup
    sealed: Annotated[
        str,
        Rule(
            max_length=2732,
            pattern=r"^[A-Za-z0-9_-]+={0,2}$",
            description=f"The sealed password, at most {MOST_SEALED_BYTES} bytes in base64url.",
        ),
    ]
    max_views: Annotated[int, Rule(least=1, most=MOST_VIEWS, description="How often the password can be shown.")]
    expires_at: _ExpiresAt
    ref: Annotated[str, _LINE, Rule(description="The caller's own word for it; given back in every event.")]
    mode: Annotated[
        Literal["path", "fragment"],
        Rule(description="Who opens the sealed password: the service (`path`) or the browser alone (`fragment`)."),
    ] = "path"
    locale: _Locale = "en"
    human_check: Annotated[
        Annotated[str, Rule(pattern=r"^[A-Za-z0-9_-]{43}=?$")] | None,
        Rule(
            description="HMAC of what has to be typed before the password is shown, 32 bytes in base64url; see `seal`."
        ),
    ] = None
    display_name: _DisplayName = ""
    ticket: _Ticket = ""
    time_zone: _TimeZone = "UTC"
    brand: _Brand = None

    def to_new_link(self) -> NewLink:
        """The same in the vault's words.

        Raises:
            BadBody: `lookup`, `sealed` or `human_check` is not what it must be.
        """
        sealed = _decode(self.sealed, "sealed")
        if not 0 < len(sealed) <= MOST_SEALED_BYTES:
            raise BadBody(f"sealed must be 1 to {MOST_SEALED_BYTES} bytes")
        return NewLink(
            terms=Terms(self.id, self.max_views, self.expires_at),
            lookup=_decode(self.lookup, "lookup", length=LOOKUP_BYTES),
            sealed=sealed,
            ref=self.ref,
            mode=self.mode,
            display_name=self.display_name,
            ticket=self.ticket,
            time_zone=self.time_zone,
            brand=_brand_text(self.brand),
            locale=self.locale,
            check=None if self.human_check is None else _decode(self.human_check, "human_check", length=CHECK_BYTES),
        )


@dataclass(frozen=True, kw_only=True)
class AlarmBody(Shape):
    """What "this was not me" in one mail is to stand for. Its page shows nothing secret and opens nothing."""

    id: _Id
    lookup: _Lookup
    about: Annotated[str, _LINE, Rule(description="What it is about; comes back as `ref` of the event `reported`.")]
    link_id: Annotated[_Id | None, Rule(description="The link that ends at once when somebody presses it.")] = None
    source: Annotated[Literal["accessed", "notice"], Rule(description="Which mail it goes out with.")]
    display_name: _DisplayName
    ticket: _Ticket
    time_zone: _TimeZone = "UTC"
    locale: _Locale = "en"
    brand: _Brand = None
    expires_at: _ExpiresAt

    def to_new_alarm(self) -> NewAlarm:
        """The same in the vault's words.

        Raises:
            BadBody: `lookup` is not what it must be.
        """
        return NewAlarm(
            id=self.id,
            lookup=_decode(self.lookup, "lookup", length=LOOKUP_BYTES),
            about=self.about,
            link_id=self.link_id,
            source=self.source,
            display_name=self.display_name,
            ticket=self.ticket,
            time_zone=self.time_zone,
            locale=self.locale,
            brand=_brand_text(self.brand),
            expires_at=self.expires_at,
        )


def _brand_text(brand: BrandBody | str | None) -> str | None:
    if brand is None:
        return None
    if isinstance(brand, str):
        brand = BrandBody(name=brand)
    named = {name: value for name, value in brand.content().items() if value is not None}
    return json.dumps(named, ensure_ascii=False, separators=(",", ":"))


def _decode(text: str, name: str, *, length: int | None = None) -> bytes:
    """Base64 in the URL-safe alphabet, padding optional."""
    try:
        content = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadBody(f"{name} is not base64url") from None
    if length is not None and len(content) != length:
        raise BadBody(f"{name} must be {length} bytes")
    return content
