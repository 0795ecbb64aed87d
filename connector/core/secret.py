"""A value that must not be seen."""

from __future__ import annotations

from typing import Final, NoReturn


class Secret:
    """A password, key or link address that refuses to show itself.

    `str()`, `repr()`, formatting, logging and pickling never give the value; only `reveal()` does, so a search for
    that word lists every place where a secret leaves its wrapper.
    """

    __slots__ = ("_value",)
    MASK: Final = "***"

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. Keep it in a local variable and let it go soon."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return self.MASK

    def __format__(self, format_spec: str) -> str:
        return self.MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not stored or sent: seal it first")
