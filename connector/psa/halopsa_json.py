"""HaloPSA's JSON, read with care: numbers as text or floats, dates with and without zone, properties left out.

Sources: real answers of POST /Tickets (uktrade/help-desk-service), the public Halo swagger, and its public clients;
read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

Record: TypeAlias = Mapping[str, object]

FIRST_REAL_YEAR = 1950
"""Unset dates are years 1, 1899, 1900 and 1901."""

_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")


def as_record(value: object) -> Record | None:
    """`value` when it is a JSON object."""
    return value if isinstance(value, Mapping) else None


def records(value: object, key: str = "") -> list[Record]:
    """The objects of a list; `key` names it where the answer is an envelope.

    Some lists come bare, some in an envelope, and clients disagree about a few of them, so both are accepted.
    """
    listed = value.get(key) if isinstance(value, Mapping) else value
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return []
    return [one for one in listed if isinstance(one, Mapping)]


def number(value: object) -> int | None:
    """A whole number, also when it comes as text or as `18.0`; `None` for anything else, truth values included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
        return int(value)
    return None


def identifier(record: Record, key: str) -> int | None:
    """An id; 0 and negative numbers stand for "none"."""
    found = number(record.get(key))
    return found if found is not None and found > 0 else None


def text(record: Record, key: str) -> str:
    """A text as it stands; empty when the property is missing or null."""
    value = record.get(key)
    if value is None or isinstance(value, bool | Mapping | list):
        return ""
    return str(value)


def flag(record: Record, key: str) -> bool:
    """Whether a property is true. A missing one is false: real answers leave false ones out."""
    value = record.get(key)
    return value is True or (isinstance(value, str) and value.strip().casefold() == "true") or value == 1


def moment(record: Record, *keys: str) -> datetime | None:
    """The first of these dates that is set, in UTC.

    Details carry `Z` and seven decimals, list rows carry the same instant without a zone, and unset dates are
    long ago.
    """
    for key in keys:
        value = record.get(key)
        if not isinstance(value, str):
            continue
        try:
            read = datetime.fromisoformat(_LONG_FRACTION.sub(r"\1", value.strip()))
        except ValueError:
            continue
        if read.year >= FIRST_REAL_YEAR:
            return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    return None


def field_texts(ticket: Record, field: str) -> tuple[str, ...]:
    """Every form in which a field of a ticket gives its value, the one for people first; empty when never set.

    `field` is the name or id of a custom field, or the name of a property of the ticket such as `details`. The value
    of a custom field may be of any type, and a drop-down's is the number of the choice, so `display` comes first.
    """
    for entry in records(ticket.get("customfields")):
        if _fold(text(entry, "name")) == _fold(field) or (field.isdigit() and number(entry.get("id")) == int(field)):
            forms = (text(entry, "display"), text(entry, "value"))
            return tuple(dict.fromkeys(form for form in forms if form.strip()))
    if field.isdigit() or _fold(field).startswith("cf"):
        return ()
    found = text(ticket, field)
    return (found,) if found else ()


def field_value(ticket: Record, field: str) -> str:
    """The value of a text field, unaltered; empty when never set.

    For a text field the stored value is the truth: `display` may be shortened or dressed for the screen.
    """
    for entry in records(ticket.get("customfields")):
        if _fold(text(entry, "name")) == _fold(field) or (field.isdigit() and number(entry.get("id")) == int(field)):
            value = text(entry, "value")
            return value if value and number(entry.get("value")) is None else text(entry, "display") or value
    return "" if field.isdigit() or _fold(field).startswith("cf") else text(ticket, field)


def _fold(name: str) -> str:
    return name.strip().casefold()
