"""Types for single settings: durations, limits, secrets, addresses; and `Section`, the base of every section."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationInfo
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from connector.core.brake import Limit
from connector.core.secret import Secret

DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$")
LONGEST = timedelta(days=36_500)
"""A hundred years: more is a slip of the pen, and a calendar that is reckoned with it comes to its end."""
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain"})


@dataclass(frozen=True)
class Place:
    """Where a configuration is read: what relative paths and secrets refer to.

    Attributes:
        folder: Of the file that is read.
        production: Every address must then be https, loopback excepted.
        environ: Where `{env: NAME}` looks.
    """

    folder: Path
    production: bool
    environ: Mapping[str, str]


def read_duration(value: object) -> timedelta:
    """`5s`, `60m`, `24h`, `7d` as a timedelta.

    Raises:
        ValueError: Anything else, a bare number included: its unit would be a guess. Or more than `LONGEST`.
    """
    if isinstance(value, timedelta):
        return value
    found = DURATION.match(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is not a duration: write a number and a unit, such as 15s, 60m, 24h or 7d")
    seconds = float(found[1]) * UNITS[found[2]]
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{value!r} is too long: write at most {LONGEST.days}d")
    return timedelta(seconds=seconds)


def read_day(value: object) -> date:
    """`2027-05-01` as a day.

    Raises:
        ValueError: Anything else; a number would be taken for seconds since 1970.
    """
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"{value!r} is not a day: write it as 2027-05-01")


def read_limit(value: object) -> Limit:
    """`3/24h` as a limit of the brake."""
    count, _, window = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not count.strip().isdigit() or not window:
        raise ValueError(f"{value!r} is not a limit: write a count and a duration, such as 3/24h")
    length = read_duration(window)
    if length <= timedelta(0):
        raise ValueError(f"{value!r} limits nothing: its duration must be longer than nothing")
    return Limit(int(count), length)


def _read_secret(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    place: Place = info.context or Place(Path(), True, os.environ)
    if not (isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("file", "env")):
        # The value itself stays out of the message: it may be the secret.
        raise ValueError("a secret is never written here: use {file: PATH} or {env: NAME}")
    (source, name), *_ = value.items()
    if source == "env":
        found = place.environ.get(str(name), "").strip()  # as that of a file: the same secret in both places
        if not found:
            raise ValueError(f"the environment variable {name} is not set or empty: set it, or use {{file: PATH}}")
        return Secret(found)
    path = place.folder / str(name)
    try:
        text = path.read_text(encoding="utf-8-sig").strip()  # some editors begin a file with a mark of UTF-8
    except OSError as failure:
        raise ValueError(
            f"the secret file {path} cannot be read ({failure.strerror}): create it, or correct its path and rights"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"the secret file {path} is not text: write the secret into it as UTF-8") from None
    if not text:
        raise ValueError(f"the secret file {path} is empty: write the secret into it")
    return Secret(text)


def _check_api_key(value: Secret) -> Secret:
    text = value.reveal()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(
            "this cannot be a key, which is one word of ASCII letters, digits and signs: look for a second line, a "
            "space or a foreign letter where it comes from"
        )
    return value


def _read_path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write the path of a file")
    place: Place | None = info.context
    return place.folder / value if place else Path(value)


def _is_address(parts: SplitResult) -> bool:
    try:
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is none
        return False


def _check_url(value: str, info: ValidationInfo) -> str:
    place: Place | None = info.context
    if "@" in re.split("[/?#]", value.split("://", 1)[-1], maxsplit=1)[0]:
        raise ValueError("credentials do not belong into an address")  # before anything that repeats it
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    if not _is_address(parts) or not parts.hostname:
        raise ValueError(f"{value!r} is not an address: write it in full, such as https://example.com")
    if (place is None or place.production) and parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError(f"{value!r} must be https in production (only loopback addresses may be http)")
    return value.rstrip("/")


def _check_proxy(value: str) -> str:
    if value and "://" not in value:
        value = f"http://{value}"  # as everywhere: proxy.example.com:3128
    try:
        good = not value or (" " not in value and _is_address(urlsplit(value)))
    except ValueError:
        good = False
    if not good:
        # Not repeated: credentials of the proxy may be in it.
        raise ValueError("this is no HTTP proxy: write its address in full, such as http://proxy.example.com:3128")
    return value


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host.casefold() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5) or int(port) > 65535:
        raise ValueError(f"{value!r} is not host:port, such as 127.0.0.1:8080")
    return value


def _check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # `Europe` is a folder of the list
        raise ValueError(f"{value!r} is not a time zone: write an IANA name such as Europe/London") from None
    return value


def _check_database(value: str) -> str:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):  # of a port that is none
        raise ValueError("not a database address: write sqlite:////path/file.db or postgresql://user@host/db") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(f"{url.get_backend_name()} is not supported: use sqlite or postgresql")
    if url.password:
        raise ValueError("a password does not belong into the address: use a .pgpass file or PGPASSWORD")
    return value


Day = Annotated[date, BeforeValidator(read_day)]
Duration = Annotated[timedelta, BeforeValidator(read_duration)]
Url = Annotated[str, AfterValidator(_check_url)]
ProxyUrl = Annotated[str, AfterValidator(_check_proxy)]
"""An HTTP proxy; it speaks http even where what goes through it is https. Empty: none."""
SecretValue = Annotated[InstanceOf[Secret], BeforeValidator(_read_secret)]
ApiKeyValue = Annotated[SecretValue, AfterValidator(_check_api_key)]
"""A secret that goes into a header: of two lines or foreign letters it would never be sent."""
FilePath = Annotated[Path, BeforeValidator(_read_path)]
Listen = Annotated[str, AfterValidator(_check_listen)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Database = Annotated[str, AfterValidator(_check_database)]
BrakeLimit = Annotated[InstanceOf[Limit], BeforeValidator(read_limit)]
Address = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]


def split_listen(listen: str) -> tuple[str, int]:
    """`host:port` as its parts; brackets of an IPv6 address are taken off."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
