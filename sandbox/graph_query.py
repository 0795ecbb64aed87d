"""The little OData that the imitated Graph understands: $select, $filter, $search, $top and skip tokens.

What is not understood is refused (`Request_UnsupportedQuery`), never ignored, so that a wrong query shows up here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

DEFAULT_USER_PROPERTIES = (
    "businessPhones",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
)
"""What a user has without $select. Source: learn.microsoft.com/graph/api/resources/user, read 2026-11-22."""

Test = Callable[[dict[str, Any]], bool]

_STRING = r"'((?:[^']|'')*)'"
_EQUALS = re.compile(rf"^(\w+) eq (?:{_STRING}|(true|false|null))$", re.IGNORECASE)
_ANY = re.compile(rf"^(\w+)/any\((\w+):\s*\2 eq {_STRING}\)$", re.IGNORECASE)
_STARTS = re.compile(rf"^startswith\((\w+),\s*{_STRING}\)$", re.IGNORECASE)
_SEARCH = re.compile(r'^"(\w+):(.*)"$', re.DOTALL)


class UnsupportedQuery(Exception):
    """The query is not understood; the message goes into the answer."""


def selected(record: dict[str, Any], select: str | None, default: tuple[str, ...]) -> dict[str, Any]:
    """`id` and what $select names; without $select the default properties. An unknown name is refused."""
    names = [name.strip() for name in select.split(",") if name.strip()] if select else list(default)
    by_lower = {name.lower(): name for name in record}
    result = {"id": record["id"]} if not select or "id" in [name.lower() for name in names] else {}
    for name in names:
        known = by_lower.get(name.lower())
        if known is None:
            raise UnsupportedQuery(f"Could not find a property named '{name}' on type 'microsoft.graph.user'.")
        result[known] = record[known]
    return result


def filter_test(text: str) -> Test:
    """A test for a $filter made of `eq`, `startswith` and `any(x:x eq …)`, joined by `and` and `or`."""
    alternatives = [[_term(part) for part in _split(branch, " and ")] for branch in _split(_bare(text), " or ")]
    return lambda record: any(all(test(record) for test in branch) for branch in alternatives)


def search_test(text: str) -> Test:
    """A test for `"property:text"` phrases joined by OR; each finds the start of a word."""
    phrases = []
    for part in re.split(r"\s+OR\s+", text.strip()):
        match = _SEARCH.match(part.strip())
        if not match:
            raise UnsupportedQuery('Syntax error in $search. Use "property:value" in double quotes.')
        phrases.append((match[1], match[2].replace('\\"', '"').replace("\\\\", "\\").lower()))

    def test(record: dict[str, Any]) -> bool:
        return any(
            word.startswith(wanted)
            for name, wanted in phrases
            for word in (
                str(record.get(name) or "").lower(),
                *re.split(r"[\s@.\-]+", str(record.get(name) or "").lower()),
            )
        )

    return test


def page(rows: list[dict[str, Any]], *, top: int, skip: int, link: Callable[[int], str]) -> dict[str, Any]:
    """One page with `@odata.nextLink` where more follows."""
    answer: dict[str, Any] = {"value": rows[skip : skip + top]}
    if skip + top < len(rows):
        answer["@odata.nextLink"] = link(skip + top)
    return answer


def _bare(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if text.startswith("(") and text.endswith(")") and _balanced(text[1:-1]) else text


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


def _split(text: str, joiner: str) -> list[str]:
    """Split at a joiner that is outside quotes and brackets."""
    parts, start, depth, quoted, index = [], 0, 0, False, 0
    while index < len(text):
        character = text[index]
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")")
            if depth == 0 and text[index : index + len(joiner)].lower() == joiner:
                parts.append(text[start:index])
                index += len(joiner)
                start = index
                continue
        index += 1
    return [*parts, text[start:]]


def _term(text: str) -> Test:
    text = text.strip()
    if match := _EQUALS.match(text):
        name, literal, word = match[1], match[2], match[3]
        wanted: Any = literal.replace("''", "'").lower() if literal is not None else _literal(word)
        return lambda record: _lower(_value(record, name)) == wanted
    if match := _ANY.match(text):
        name, wanted = match[1], match[3].replace("''", "'").lower()
        return lambda record: wanted in [str(item).lower() for item in _value(record, name) or []]
    if match := _STARTS.match(text):
        name, wanted = match[1], match[2].replace("''", "'").lower()
        return lambda record: str(_value(record, name) or "").lower().startswith(wanted)
    raise UnsupportedQuery(f"Unsupported or invalid query filter clause: {text!r}.")


def _literal(word: str) -> bool | None:
    return {"true": True, "false": False}.get(word.lower())


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _value(record: dict[str, Any], name: str) -> Any:
    for key, value in record.items():
        if key.lower() == name.lower():
            return value
    raise UnsupportedQuery(f"Invalid filter clause: Could not find a property named '{name}'.")
