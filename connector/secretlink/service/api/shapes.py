"""What bodies and answers of the API are made of: dataclasses whose hints say what each field takes.

The same hints read what is sent and write the schema of the OpenAPI document. They are read strictly: `"2"`, `2.0` and
`true` are no whole numbers, and a field that is not declared is refused.

pydantic does all this, and takes 8 MB for as long as the service runs; for two bodies of some KB that is much. Its
words for what is wrong are kept. (msgspec takes 0.7 MB, but tells only the first thing that is wrong, and where a
pattern ends in `$` it lets a line break follow. pydantic 2.14 and msgspec 0.22, tried 2026-11-22.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from connector.secretlink.service.answers import BadBody

MOST_LETTERS: Final = 800
"""Of the sentence that says what is wrong with a body."""

_TYPES: Final[Mapping[object, str]] = {str: "string", int: "integer", bool: "boolean"}
_UNIONS: Final = (Union, UnionType)
"""Python has two, and what a union is made of decides which it becomes. Ours are of `None`, text and one type more."""
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half a letter: JSON can say it, UTF-8 cannot, and so neither can a database."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What holds for a value beyond its type, and what the document says of it.

    Attributes:
        pattern: Of the whole text.
        check: Looks at a text that is right in every other way and returns what is kept of it. What its `ValueError`
            says is told to the caller, so it repeats nothing of the text. The document cannot say it.
    """

    description: str | None = None
    examples: tuple[str, ...] | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    above: int | None = None
    least: int | None = None
    most: int | None = None
    check: Callable[[str], str] | None = None

    def schema(self) -> dict[str, object]:
        """For the document."""
        told = {
            "description": self.description, "examples": self.examples and list(self.examples), "pattern": self.pattern,
            "minLength": self.min_length, "maxLength": self.max_length,
            "exclusiveMinimum": self.above, "minimum": self.least, "maximum": self.most,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}

    def apply(self, value: Any) -> Any:
        """What is kept of a value that has the right type.

        Raises:
            _Unfit: It is not what it must be.
        """
        if self.min_length is not None and len(value) < self.min_length:
            raise _wrong(f"String should have at least {self.min_length} characters")
        if self.max_length is not None and len(value) > self.max_length:
            raise _wrong(f"String should have at most {self.max_length} characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise _wrong(f"String should match pattern '{self.pattern}'")
        if self.most is not None and value > self.most:
            raise _wrong(f"Input should be less than or equal to {self.most}")
        if self.above is not None and value <= self.above:
            raise _wrong(f"Input should be greater than {self.above}")
        if self.least is not None and value < self.least:
            raise _wrong(f"Input should be greater than or equal to {self.least}")
        if self.check is not None:
            try:
                return self.check(value)
            except ValueError as error:
                raise _wrong(f"Value error, {error}") from None
        return value


class Shape:
    """Base of the frozen dataclasses that are sent and answered.

    Attributes:
        hints: Of every field, as annotated.
        defaults: Of the fields that may be left out.
    """

    hints: ClassVar[Mapping[str, Any]]
    defaults: ClassVar[Mapping[str, object]]

    def __init_subclass__(cls) -> None:
        found = get_type_hints(cls, include_extras=True)
        cls.hints = {name: found[name] for name in cls.__annotations__}
        cls.defaults = {name: getattr(cls, name) for name in cls.hints if hasattr(cls, name)}

    @classmethod
    def read(cls, content: Mapping[str, object]) -> Self:
        """What was sent.

        Raises:
            BadBody: With everything that is wrong. It names fields that we know and repeats nothing else.
        """
        try:
            return _read_fields(cls, content)
        except _Unfit as unfit:
            said = "; ".join(f"{'.'.join(place)}: {what}" for place, what in unfit.problems)
            raise BadBody(said[:MOST_LETTERS]) from None

    def content(self) -> Mapping[str, object]:
        """What is sent."""
        return {name: _plain(getattr(self, name)) for name in self.hints}

    @classmethod
    def schema(cls) -> dict[str, object]:
        """For the document."""
        properties = {name: _titled(name, hint) for name, hint in cls.hints.items()}
        for name, default in cls.defaults.items():
            properties[name]["default"] = default
        needed = [name for name in properties if name not in cls.defaults]
        return {
            "title": cls.__name__,
            "description": cls.__doc__,
            "type": "object",
            "properties": properties,
            **({"required": needed} if needed else {}),
            "additionalProperties": False,
        }


AnyShape = TypeVar("AnyShape", bound=Shape)


def schemas(*shapes: type[Shape]) -> dict[str, object]:
    """Those of the shapes, and of every shape within them, by name."""
    found: dict[str, object] = {}
    waiting = list(shapes)
    while waiting:
        shape = waiting.pop()
        if shape.__name__ not in found:
            found[shape.__name__] = shape.schema()
            waiting += [inner for hint in shape.hints.values() for inner in _shapes_in(hint)]
    return found


def reference(shape: type[Shape]) -> dict[str, object]:
    """Where the document has its schema."""
    return {"$ref": f"#/components/schemas/{shape.__name__}"}


# ---------------------------------------------------------------- reading


class _Unfit(Exception):
    """A value is not what it must be: what is wrong, and where in it; nothing of it is repeated."""

    def __init__(self, *problems: tuple[tuple[str, ...], str]) -> None:
        super().__init__()
        self.problems = problems


def _wrong(what: str) -> _Unfit:
    return _Unfit(((), what))


def _read_fields(shape: type[AnyShape], content: Mapping[str, object]) -> AnyShape:
    values: dict[str, Any] = {}
    problems: list[tuple[tuple[str, ...], str]] = []
    for name, hint in shape.hints.items():
        if name in content:
            try:
                values[name] = _read(hint, content[name])
            except _Unfit as unfit:
                problems += [((name, *place), what) for place, what in unfit.problems]
        elif name not in shape.defaults:
            problems.append(((name,), "Field required"))
    problems += [(("(one more)",), "unknown field") for name in content if name not in shape.hints]
    if problems:
        raise _Unfit(*problems)
    return shape(**values)


def _read(hint: Any, value: Any) -> Any:
    kind, rules = _split(hint)
    is_text = kind is str or get_origin(kind) is Literal
    if is_text and isinstance(value, str) and _LONE_SURROGATE.search(value):
        raise _wrong("Input should be a valid string, unable to parse raw data as a unicode string")
    if get_origin(kind) in _UNIONS:
        if value is None:
            return None
        *others, last = _without_none(kind)
        # Of two, text is the first; what is neither is told what the other would be.
        value = _read(others[0] if others and isinstance(value, str) else last, value)
    elif get_origin(kind) is Literal:
        if not isinstance(value, str) or value not in get_args(kind):
            *most, last = (f"'{word}'" for word in get_args(kind))
            raise _wrong(f"Input should be {', '.join(most)} or {last}")
    elif kind not in _TYPES:
        if not isinstance(value, dict):
            raise _wrong(f"Input should be a valid dictionary or instance of {kind.__name__}")
        value = _read_fields(kind, value)
    elif type(value) is not kind:  # a bool is an int, to Python
        raise _wrong(f"Input should be a valid {_TYPES[kind]}")
    for rule in rules:
        value = rule.apply(value)
    return value


def _plain(value: Any) -> object:
    if isinstance(value, Shape):
        return value.content()
    return [_plain(one) for one in value] if isinstance(value, list) else value


# ---------------------------------------------------------------- describing


def _schema(hint: Any) -> dict[str, Any]:
    kind, rules = _split(hint)
    schema: dict[str, Any]
    if get_origin(kind) in _UNIONS:
        schema = {"anyOf": [*map(_schema, _without_none(kind)), {"type": "null"}]}
    elif get_origin(kind) is Literal:
        schema = {"type": "string", "enum": list(get_args(kind))}
    elif get_origin(kind) is list:
        schema = {"type": "array", "items": _schema(get_args(kind)[0])}
    else:
        schema = {"type": _TYPES[kind]} if kind in _TYPES else reference(kind)
    for rule in rules:
        schema |= rule.schema()
    return schema


def _titled(name: str, hint: Any) -> dict[str, Any]:
    kind, _ = _split(hint)
    if get_origin(kind) is not list and _shapes_in(hint):
        return _schema(hint)  # it has a title of its own
    return {"title": name.replace("_", " ").title(), **_schema(hint)}


def _shapes_in(hint: Any) -> list[type[Shape]]:
    kind, _ = _split(hint)
    if isinstance(kind, type) and issubclass(kind, Shape):
        return [kind]
    return [] if get_origin(kind) is Literal else [shape for part in get_args(kind) for shape in _shapes_in(part)]


# ---------------------------------------------------------------- hints


def _split(hint: Any) -> tuple[Any, tuple[Rule, ...]]:
    """A type, and the rules that are annotated to it."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    kind, *rules = get_args(hint)
    return kind, tuple(rules)


def _without_none(union: Any) -> list[Any]:
    return [part for part in get_args(union) if part is not NoneType]
