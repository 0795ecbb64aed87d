"""ConnectWise PSA's JSON, read with care: properties left out or null, references, custom fields of any value type.

Sources: the vendor's OpenAPI document 2026.4; real answers in rapid7/insightconnect-plugins, amp-labs/connectors and
KerkhoffTechnologies/django-connectwise; read 2026-11-22. Unset properties are mostly left out, newer builds also send
explicit nulls; both are read alike. `ticket.approved` is true on every real ticket seen and is never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

Record: TypeAlias = Mapping[str, object]

REFERENCES = ("subType", "item", "source", "priority", "severity", "impact")
"""Properties of a ticket, other than texts, whose name may say what is asked for."""

TEXTS = ("summary", "externalXRef", "poNumber")
"""Properties of a ticket, other than custom fields, that can hold an address or an action."""

FIRST_NOTE = "initialDescription"
"""What the requester wrote. The API takes it when a ticket is made and never gives it back: it is the first note on
the Discussion tab. Source: schema `Ticket` of the OpenAPI document 2026.4, read 2026-11-22."""


def as_record(value: object) -> Record | None:
    """`value` when it is a JSON object."""
    return value if isinstance(value, Mapping) else None


def records(value: object) -> list[Record]:
    """The objects of a list; empty for anything else, null included."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [one for one in value if isinstance(one, Mapping)]


def number(value: object) -> int | None:
    """A whole number, also when it comes as text; `None` for anything else, truth values included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value, re.ASCII):
        return int(value)
    return None


def identifier(record: Record, key: str = "id") -> int | None:
    """An id; 0 and negative numbers stand for "none"."""
    found = number(record.get(key))
    return found if found is not None and found > 0 else None


def inner(record: Record, key: str) -> Record:
    """The object under `key`; an empty one when it is missing or null."""
    return as_record(record.get(key)) or {}


def reference(record: Record, key: str) -> int | None:
    """The id of a reference such as `{"board": {"id": 3, "name": "Help Desk"}}`."""
    return identifier(inner(record, key))


def text(record: Record, key: str) -> str:
    """A text as it stands; empty when the property is missing or null."""
    value = record.get(key)
    if value is None or isinstance(value, bool | Mapping | list):
        return ""
    return str(value)


def flag(record: Record, key: str) -> bool:
    """Whether a property is true. `IsCloud` comes as a truth value or as the text "True", so both are read."""
    value = record.get(key)
    return value is True or (isinstance(value, str) and value.strip().casefold() == "true")


def moment(record: Record, key: str) -> datetime | None:
    """A date with its zone, in UTC; `None` when it is missing, nonsense or without a zone.

    ConnectWise writes `2026-11-22T09:00:00Z`, whole seconds. A date without a zone could mean the server's or the
    member's, so it places nothing before or after anything.
    """
    value = record.get(key)
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value.strip())
        return read.astimezone(UTC) if read.tzinfo else None
    except (ValueError, OverflowError):  # the last day of the year 9999, west of us
        return None


def updated(record: Record) -> datetime | None:
    """When anything of it changed last. The dates of a record stand in `_info`, not beside its fields."""
    return moment(inner(record, "_info"), "lastUpdated")


# ---------------------------------------------------------------- custom fields


def custom_field(ticket: Record, field: str) -> Record | None:
    """The entry of a custom field, by caption or id; `None` when there is none, or when two answer to the caption.

    Captions can end in a blank (a real one does), so blanks and capitals do not count.
    """
    entries = records(ticket.get("customFields"))
    named = [entry for entry in entries if fold(text(entry, "caption")) == fold(field)]
    if not named and field.isascii() and field.isdigit():
        named = [entry for entry in entries if identifier(entry) == int(field)]
    return named[0] if len(named) == 1 else None


def field_text(ticket: Record, field: str) -> str:
    """The value of a field of a ticket, unaltered; empty when never set.

    `field` is a custom field's caption or id, or the name of a property such as `summary` or `subType`. A checkbox
    reads `true` or `false`. An unset custom field has no `value` or a null one.
    """
    entry = custom_field(ticket, field)
    if entry is not None:
        value = entry.get("value")
        return str(value).lower() if isinstance(value, bool) else text(entry, "value")
    for name in TEXTS:
        if fold(name) == fold(field):
            return text(ticket, name)
    for name in REFERENCES:
        if fold(name) == fold(field):
            return text(inner(ticket, name), "name") or text(ticket, name)
    return ""


def fold(name: str) -> str:
    """A name in the form in which names are compared."""
    return " ".join(name.split()).casefold()
