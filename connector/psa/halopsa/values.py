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

NAMES_OF_A_CHOICE = ("display", "name", "label", "value", "id")
"""Properties of an object in a field's value, the most telling first. Names seen in the vendor's KeyPair schemas."""

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
    return "" if isinstance(value, Mapping | list) else as_text(value)


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
            read = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):  # the last day of the year 9999, east or west of us
            continue
        if read.year >= FIRST_REAL_YEAR:
            return read
    return None


def address(record: Record, key: str) -> str:
    """A mail address exactly as it stands; empty where blanks stand around it.

    Request Tracker lets a second user take somebody's address with a blank beside it. Whether HaloPSA does is
    UNVERIFIED; stripped, such an address would pass for the first one's.
    """
    found = text(record, key)
    return found if found == found.strip() else ""


def field_texts(ticket: Record, field: str) -> tuple[str, ...]:
    """Every form in which a field of a ticket gives its value, the one for people first; empty when never set.

    `field` is the name or id of a custom field, or the name of a property of the ticket such as `details`. The value
    of a custom field may be of any type, and a drop-down's is the number of the choice, so `display` comes first. Of
    several choices there is one form, with commas: which of them is meant, a mapping has to say.
    """
    entry = field_entry(ticket, field)
    if entry is None:
        found = "" if _is_custom(field) else text(ticket, field)
        return (found,) if found.strip() else ()
    value = entry.get("value")
    truth = str(value).casefold() if isinstance(value, bool) else ""
    forms = (text(entry, "display"), truth or as_text(value))
    return tuple(dict.fromkeys(form for form in forms if form.strip()))


def field_value(ticket: Record, field: str) -> str:
    """The value of a text field, unaltered; empty when never set, blank, or no text.

    For a text field the stored value is the truth: `display` may be shortened or dressed for the screen. A number is
    that of a choice, so there it is the other way round.
    """
    entry = field_entry(ticket, field)
    if entry is None:
        found = "" if _is_custom(field) else text(ticket, field)
    else:
        value, shown = entry.get("value"), text(entry, "display")
        if isinstance(value, bool):
            return ""
        written = as_text(value)
        found = shown or written if number(value) is not None or not written.strip() else written
    return found if found.strip() else ""


def field_id(ticket: Record, field: str) -> int | None:
    """The id in a look-up field: its value is a number, a text of one, or an object with an `id`.

    Which of them HaloPSA uses for users is UNVERIFIED. `None` for anything else, several choices included.
    """
    entry = field_entry(ticket, field)
    value = entry.get("value") if entry is not None else None if _is_custom(field) else ticket.get(field)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    found = number(value.get("id")) if isinstance(value, Mapping) else number(value)
    return found if found is not None and found > 0 else None


def field_entry(ticket: Record, field: str) -> Record | None:
    """The custom field with this name or id as the ticket has it; `None` when it was never set."""
    for entry in records(ticket.get("customfields")):
        if _fold(text(entry, "name")) == _fold(field) or (_is_id(field) and number(entry.get("id")) == int(field)):
            return entry
    return None


def as_text(value: object) -> str:
    """A value of any type as a person would read it; empty for nothing and for truth values."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, Mapping):
        return next((said for key in NAMES_OF_A_CHOICE if (said := as_text(value.get(key)))), "")
    if isinstance(value, list):
        return ", ".join(said for one in value if (said := as_text(one)))
    whole = number(value) if isinstance(value, float) else None
    return str(value if whole is None else whole)


def _is_custom(field: str) -> bool:
    return _is_id(field) or _fold(field).startswith("cf")


def _fold(name: str) -> str:
    return name.strip().casefold()


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdigit()
