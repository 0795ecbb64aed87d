"""The `conditions` of ConnectWise's lists, made of ids, dates and texts that cannot break out of their quotes.

Grammar (developer guide, "Conditions", read 2026-11-22): `field op value` joined by `and`; references by `/`; texts in
double quotes; dates in square brackets, UTC; `in (1,2)`. How a quote inside a text is escaped is UNVERIFIED, and `*`
and `%` are wildcards in some operators, so a text that holds anything but letters, digits and a few harmless signs is
refused instead of escaped.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

_FIELD = re.compile(r"[A-Za-z]+(/[A-Za-z]+)*", re.ASCII)
_HARMLESS = re.compile(r"[A-Za-z0-9._@+-]{1,100}", re.ASCII)


def is_one_of(field: str, ids: Collection[int]) -> str:
    """`board/id in (1,2)`; with one id `board/id=1`. At least one id is needed: an empty list would select all."""
    if not ids:
        raise ValueError(f"a condition on {field} needs at least one id")
    listed = [str(int(one)) for one in sorted(ids)]
    return f"{_field(field)}={listed[0]}" if len(listed) == 1 else f"{_field(field)} in ({','.join(listed)})"


def is_true(field: str, truth: bool) -> str:
    return f"{_field(field)}={'true' if truth else 'false'}"


def since(field: str, moment: datetime) -> str:
    """`lastUpdated>=[2026-11-22T09:00:00Z]`. Dates have whole seconds, so "later than" would lose some."""
    return f"{_field(field)}>=[{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}]"


def is_text(field: str, value: str) -> str:
    """`identifier="anna"`.

    Raises:
        ValueError: The text could break out of its quotes or act as a pattern: see `is_harmless`.
    """
    if not is_harmless(value):
        raise ValueError("a text with quotes, blanks or wildcards cannot be put into a condition")
    return f'{_field(field)}="{value}"'


def is_harmless(value: str) -> bool:
    """Whether a text may stand in a condition: a member's identifier, an ordinary mail address."""
    return _HARMLESS.fullmatch(value) is not None


def all_of(*conditions: str) -> str:
    return " and ".join(condition for condition in conditions if condition)


def _field(name: str) -> str:
    if not _FIELD.fullmatch(name):
        raise ValueError(f"{name!r} is no field of a condition")
    return name
