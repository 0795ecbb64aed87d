"""What is sent to the API, strictly read. The document is made from these, and from `api_answers`."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from connector.secretlink.seal import LOOKUP_BYTES, MOST_VIEWS, Terms, is_link_id
from connector.secretlink.service.answers import BadBody
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
    str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Made by the caller."),
    AfterValidator(_link_id),
]  # fmt: skip
_Line = Annotated[str, Field(max_length=200, description=_ONE_LINE), AfterValidator(_line)]
_Lookup = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_-]{43}=?$", description="HKDF-SHA256 of the token, 32 bytes in base64url; see `seal`."),
]
_ExpiresAt = Annotated[
    int,
    Field(gt=0, le=LAST_SECOND, description="Seconds since 1970-01-01 UTC; to make something, at most 31 days ahead."),
]
_DisplayName = Annotated[_Line, Field(description="Whose account, as the page shows it.")]
_Ticket = Annotated[
    str,
    Field(max_length=64, description="The ticket's number for the page; empty: not shown."),
    AfterValidator(_line),
]
_TimeZone = Annotated[
    str, Field(max_length=64, description="IANA name in which the page shows times."), AfterValidator(_known_zone)
]
_Locale = Annotated[
    str,
    Field(
        max_length=16,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="Language of the page, such as `en` or `de`; one that the service does not know becomes English.",
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class BrandBody(_Strict):
    """Who helps, for one link. What is left out comes from the service's own settings."""

    name: Annotated[str, Field(max_length=80, description=_ONE_LINE), AfterValidator(_line)] | None = None
    phone: Annotated[str, Field(max_length=40, description=_ONE_LINE), AfterValidator(_line)] | None = None
    url: Annotated[
        str,
        Field(max_length=200, pattern=r"^https?://[^\s/?#]+([/?#]\S*)?$", description=_ONE_LINE),
        AfterValidator(_line),
    ] | None = None  # fmt: skip
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None


class CreateBody(_Strict):
    """A link to be made. The caller seals; the service sees neither the password nor the token."""

    id: _Id
    lookup: _Lookup
    sealed: Annotated[
        str,
        Field(
            max_length=2732,
            pattern=r"^[A-Za-z0-9_-]+={0,2}$",
            description=f"The sealed password, at most {MOST_SEALED_BYTES} bytes in base64url.",
        ),
    ]
    max_views: Annotated[int, Field(ge=1, le=MOST_VIEWS, description="How often the password can be shown.")]
    expires_at: _ExpiresAt
    ref: Annotated[_Line, Field(description="The caller's own word for it; given back in every event.")]
    mode: Annotated[
        Literal["path", "fragment"],
        Field(description="Who opens the sealed password: the service (`path`) or the browser alone (`fragment`)."),
    ] = "path"
    locale: _Locale = "en"
    check: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9_-]{43}=?$",
            description="HMAC of what has to be typed before the password is shown, 32 bytes in base64url; see `seal`.",
        ),
    ] = None
    display_name: _DisplayName
    ticket: _Ticket
    time_zone: _TimeZone = "UTC"
    brand: BrandBody | None = None

    def to_new_link(self) -> NewLink:
        """The same in the vault's words.

        Raises:
            BadBody: `lookup`, `sealed` or `check` is not what it must be.
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
            check=None if self.check is None else _decode(self.check, "check", length=CHECK_BYTES),
        )


class AlarmBody(_Strict):
    """What "this was not me" in one mail is to stand for. Its page shows nothing secret and opens nothing."""

    id: _Id
    lookup: _Lookup
    about: Annotated[_Line, Field(description="What it is about; comes back as `ref` of the event `reported`.")]
    link_id: Annotated[_Id | None, Field(description="The link that ends at once when somebody presses it.")] = None
    source: Annotated[Literal["accessed", "notice"], Field(description="Which mail it goes out with.")]
    display_name: _DisplayName
    ticket: _Ticket
    time_zone: _TimeZone = "UTC"
    locale: _Locale = "en"
    brand: BrandBody | None = None
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


def _brand_text(brand: BrandBody | None) -> str | None:
    return brand.model_dump_json(exclude_none=True) if brand else None


def _decode(text: str, name: str, *, length: int | None = None) -> bytes:
    """Base64 in the URL-safe alphabet, padding optional."""
    try:
        content = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadBody(f"{name} is not base64url") from None
    if length is not None and len(content) != length:
        raise BadBody(f"{name} must be {length} bytes")
    return content
