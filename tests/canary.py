"""Looking for secrets where they must not be, in every form in which they might have got there."""

from __future__ import annotations

import base64
import html
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SHORTEST = 8
"""Anything shorter is found everywhere by chance."""

SHAPES = {
    "the address of a link or an alarm": re.compile(rb"/[sn]/[A-Za-z0-9_-]{16,}"),
    "the address of an alarm": re.compile(rb"/n/[A-Za-z0-9_-]{16,}"),
    "a JSON web token": re.compile(rb"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\."),
    "an Authorization header": re.compile(rb"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{16,}"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a token of Request Tracker": re.compile(rb"\b\d+-\d+-[0-9a-f]{32}\b"),
}

Places = Mapping[str, bytes]
"""What was looked at: a name for people, and its content."""


@dataclass(frozen=True)
class Canary:
    """A secret that was really used.

    Attributes:
        name: What it is, for the message of a failing test. The value is never shown.
        cut: Whether its halves are looked for too: a log may show the beginning of something long.
    """

    name: str
    value: str = field(repr=False)
    cut: bool = True

    def __post_init__(self) -> None:
        if len(self.value) < SHORTEST:
            raise ValueError(f"{self.name} is too short to be looked for")

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Each way of writing it, with a name."""
        raw = self.value.encode()
        yield "as it is", raw
        yield "in small letters", raw.lower()
        yield "as UTF-16", self.value.encode("utf-16-le")
        yield "as hex", raw.hex().encode()
        yield "as capital hex", raw.hex().upper().encode()
        yield "URL-encoded", quote(self.value, safe="").encode()
        yield "URL-encoded as a path", quote(self.value).encode()
        yield "URL-encoded as a whole", "".join(f"%{byte:02X}" for byte in raw).encode()
        yield "in HTML", html.escape(self.value).encode()
        yield "in JSON", json.dumps(self.value)[1:-1].encode()
        yield "backwards", raw[::-1]
        for place in range(3):
            yield f"in base64, place {place}", _inside_base64(raw, place)
            yield f"in URL-safe base64, place {place}", _inside_base64(raw, place).translate(_URL_SAFE)
        if self.cut and len(raw) >= 3 * SHORTEST:
            yield "its first half", raw[: len(raw) // 2]
            yield "its second half", raw[len(raw) // 2 :]

    def found_in(self, content: bytes, small: bytes) -> str:
        """The form in which it is there; empty when it is not.

        Args:
            small: The content in small letters, which is not made anew for every canary.
        """
        for name, form in self.forms():
            if len(form) >= SHORTEST and form in (small if name == "in small letters" else content):
                return name
        return ""


def leaks(canaries: Iterable[Canary], places: Places) -> list[str]:
    """Every secret that is somewhere: `the password (as hex) is in connector.log`."""
    searched = {place: _EMPTY.sub(bytes(SHORTEST), content) for place, content in places.items()}
    small = {place: content.lower() for place, content in searched.items()}
    return [
        f"{canary.name} ({form}) is in {place}"
        for canary in canaries
        for place, content in searched.items()
        if (form := canary.found_in(content, small[place]))
    ]


def shapes(places: Places) -> list[str]:
    """Everything that looks like a secret, whoever's it is: `the address of a link is in connector.log`."""
    return [
        f"{name} is in {place}"
        for name, shape in SHAPES.items()
        for place, content in places.items()
        if shape.search(content)
    ]


def files_in(folder: Path, *, without: Iterable[str] = ()) -> dict[str, bytes]:
    """The content of every file below a folder, as it lies on the disk; SQLite databases row by row as well.

    A long value of a row is spread over pages, so the raw file alone could hide it.

    Args:
        without: Patterns of names to leave out.
    """
    found: dict[str, bytes] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if any(path.match(pattern) for pattern in without):
            continue
        name = path.relative_to(folder).as_posix()
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # a process took its temporary file away
            continue
        found[name] = content
        if content.startswith(b"SQLite format 3"):
            found[f"{name}, row by row"] = rows_of(path)
    return found


def rows_of(database: Path) -> bytes:
    """Every value of every table, blobs as they are. Looks at a database in use without changing it."""
    values: list[bytes] = []
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - our own table
                values += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\n".join(values)


def _inside_base64(raw: bytes, place: int) -> bytes:
    """The part of any base64 text with `raw` inside that does not depend on what stands around it.

    Args:
        place: How many bytes stand before it, modulo three.
    """
    encoded = base64.b64encode(bytes(place) + raw)
    start = (0, 2, 3)[place]
    end = (place + len(raw)) * 8 // 6
    return encoded[start:end]


_EMPTY = re.compile(rb"\0{64,}")
"""Most of a database's files. No form of a canary has so many zeros in it."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
