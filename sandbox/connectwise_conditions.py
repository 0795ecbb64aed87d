"""ConnectWise's conditions: `board/id in (1,2) and (closedFlag=false or lastUpdated >= [2026-11-22T09:00:00Z])`.

Sources, read 2026-11-22: ConnectWise's Developer Guide; the server's own error text in
covenanttechnologysolutions/connectwise-rest. UNVERIFIED, and chosen here: `and` binds tighter than `or`; text is
compared without regard to case; nothing escapes a quote inside a string (it ends there); a comparison with an unset
field is false, as in SQL; types must fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.connectwise_records import Rejected

Value = str | int | float | bool | datetime | None
Getter = Callable[[Any], Value]
Test = Callable[[Any], bool]

LITERALS = (
    "String values should be enclosed with double or single quotes; DateTime values should be enclosed in square"
    " brackets; Boolean values should be indicated by the keywords true or false; null values should be indicated by"
    " the keyword null"
)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"[^"]*"|'[^']*')
      | (?P<moment>\[[^\]]*\])
      | (?P<number>-?\d+(?:\.\d+)?(?![\w/]))
      | (?P<word>[A-Za-z_][\w]*(?:/[A-Za-z_]\w*)*)
      | (?P<operator><=|>=|!=|=|<|>)
      | (?P<mark>[(),])
    )""",
    re.VERBOSE,
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True)
class Comparison:
    """One `field operator value`; `path` is in lower case, `value` a tuple for `in`."""

    path: str
    operator: str
    value: Any
    negated: bool = False


@dataclass(frozen=True)
class Joined:
    """Parts joined by `and` or `or`."""

    word: str
    parts: tuple[Comparison | Joined, ...]


Expression = Comparison | Joined


def unrecognised(name: str) -> Rejected:
    """The real refusal of an unknown field (a real answer of 2022)."""
    return Rejected(400, "ApiFindCondition", f"{name} is not a recognized name.")


def parse(text: str) -> Expression | None:
    """The expression in `text`; None when it is empty.

    Raises:
        Rejected: It cannot be read.
    """
    parser = _Parser(text)
    if parser.at_end():
        return None
    expression = parser.either()
    if not parser.at_end():
        raise parser.refusal()
    return expression


def compiled(
    expression: Expression | None, fields: Mapping[str, Getter], kinds: Mapping[str, type] | None = None
) -> Test:
    """A test of one record. `fields` says by lower-case path how each field is read.

    `kinds` says what a field holds, so that a comparison that does not fit is refused even where there is no record;
    without it, it is refused by the first record that is compared.

    Raises:
        Rejected: A field is not known, or the value is of another kind.
    """
    kinds = kinds or {}
    if expression is None:
        return lambda _record: True
    if isinstance(expression, Comparison):
        getter = fields.get(expression.path)
        if getter is None:
            raise unrecognised(expression.path)
        _require_kind(expression, kinds.get(expression.path))
        return _compared(expression, getter)
    tests = [compiled(part, fields, kinds) for part in expression.parts]
    if expression.word == "and":
        return lambda record: all(test(record) for test in tests)
    return lambda record: any(test(record) for test in tests)


def certain(expression: Expression | None) -> Iterator[Comparison]:
    """The comparisons that every match fulfils: those joined by nothing but `and`."""
    if isinstance(expression, Comparison):
        yield expression
    elif expression is not None and expression.word == "and":
        for part in expression.parts:
            yield from certain(part)


def paths_in(expression: Expression | None) -> Iterator[str]:
    if isinstance(expression, Comparison):
        yield expression.path
    elif expression is not None:
        for part in expression.parts:
            yield from paths_in(part)


def _compared(comparison: Comparison, getter: Getter) -> Test:
    value, operator, negated = comparison.value, comparison.operator, comparison.negated
    if value is None:
        if operator not in ("=", "!="):
            raise Rejected(400, "ApiFindCondition", f"{operator} does not work with null.")
        return lambda record: (getter(record) is None) == (operator == "=")
    if operator in ("like", "contains"):
        pattern = _pattern(str(value), anywhere=operator == "contains")
        return _unless_unset(getter, lambda found: (pattern.fullmatch(str(found)) is None) == negated)
    if operator == "in":
        choices = {_folded(choice) for choice in value}
        return _unless_unset(getter, lambda found: (_folded(found) in choices) != negated)
    compare, wanted = _COMPARISONS[operator], _folded(value)

    def fits(found: Value) -> bool:
        left = _folded(found)
        if _kind(left) != _kind(wanted):
            raise Rejected(400, "ApiFindCondition", f"{comparison.path}: {LITERALS}")
        return compare(left, wanted)

    return _unless_unset(getter, fits)


def _require_kind(comparison: Comparison, kind: type | None) -> None:
    values = comparison.value if comparison.operator == "in" else (comparison.value,)
    if kind is not None and any(value is not None and _kind(value) is not kind for value in values):
        raise Rejected(400, "ApiFindCondition", f"{comparison.path}: {LITERALS}")


def _unless_unset(getter: Getter, test: Callable[[Value], bool]) -> Test:
    def guarded(record: Any) -> bool:
        found = getter(record)
        return found is not None and test(found)

    return guarded


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    # Dates are kept and compared in whole seconds.
    return value.replace(microsecond=0) if isinstance(value, datetime) else value


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _pattern(text: str, *, anywhere: bool) -> re.Pattern[str]:
    """`*` and `%` stand for anything, `[[]` for a bracket."""
    pieces = re.split(r"(\[\[\]|[*%])", text)
    body = "".join(
        ".*" if piece in ("*", "%") else re.escape("[" if piece == "[[]" else piece) for piece in pieces if piece
    )
    return re.compile(f".*{body}.*" if anywhere else body, re.IGNORECASE | re.DOTALL)


class _Parser:
    """Recursive descent: either > both > single."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0
        self.kind, self.token = "", ""
        self._advance()

    def _advance(self) -> None:
        rest = self.text[self.place :]
        if not rest.strip():
            self.kind, self.token = "end", ""
            return
        match = _TOKEN.match(self.text, self.place)
        if match is None:
            raise self.refusal()
        self.place = match.end()
        self.kind = match.lastgroup or ""
        self.token = match.group(self.kind)

    def refusal(self) -> Rejected:
        return Rejected(400, "ApiFindCondition", f"The condition cannot be read near {self.place}. {LITERALS}")

    def at_end(self) -> bool:
        return self.kind == "end"

    def _is_word(self, word: str) -> bool:
        return self.kind == "word" and self.token.lower() == word

    def _take(self, token: str) -> None:
        if self.token != token:
            raise self.refusal()
        self._advance()

    def either(self) -> Expression:
        return self._joined("or", self._both)

    def _both(self) -> Expression:
        return self._joined("and", self._single)

    def _joined(self, word: str, inner: Callable[[], Expression]) -> Expression:
        parts = [inner()]
        while self._is_word(word):
            self._advance()
            parts.append(inner())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _single(self) -> Expression:
        if self.token == "(" and self.kind == "mark":
            self._advance()
            inside = self.either()
            self._take(")")
            return inside
        if self.kind != "word":
            raise self.refusal()
        path = self.token.lower()
        self._advance()
        negated = self._is_word("not")
        if negated:
            self._advance()
        operator = self.token.lower()
        if self.kind == "operator" and not negated:
            self._advance()
            return Comparison(path, operator, self._value())
        if self.kind == "word" and operator in ("like", "contains"):
            self._advance()
            if self.kind != "string":
                raise self.refusal()
            return Comparison(path, operator, self._value(), negated)
        if self.kind == "word" and operator == "in":
            self._advance()
            return Comparison(path, operator, self._list(), negated)
        raise self.refusal()

    def _list(self) -> tuple[Value, ...]:
        self._take("(")
        values = [self._value()]
        while self.token == "," and self.kind == "mark":
            self._advance()
            values.append(self._value())
        self._take(")")
        return tuple(values)

    def _value(self) -> Value:
        kind, token = self.kind, self.token
        if kind not in ("string", "moment", "number", "word"):
            raise self.refusal()
        self._advance()
        if kind == "string":
            return token[1:-1]
        if kind == "number":
            return float(token) if "." in token else int(token)
        if kind == "moment":
            return self._moment(token[1:-1])
        words: dict[str, Value] = {"true": True, "false": False, "null": None}
        if token.lower() not in words:
            raise self.refusal()
        return words[token.lower()]

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise self.refusal() from None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
