"""A password said letter by letter, for reading it out over the phone and for screen readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The ICAO alphabet; Alfa and Juliett are its official spellings.
_ALPHABET: Final = """
Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike
November Oscar Papa Quebec Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu
"""
_LETTERS: Final = {word[0].lower(): word for word in _ALPHABET.split()}
_DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIGNS: Final = {
    " ": "space",
    "!": "exclamation mark",
    '"': "double quote",
    "#": "hash",
    "$": "dollar",
    "%": "per cent",
    "&": "ampersand",
    "'": "apostrophe",
    "(": "opening bracket",
    ")": "closing bracket",
    "*": "asterisk",
    "+": "plus",
    ",": "comma",
    "-": "hyphen",
    ".": "full stop",
    "/": "slash",
    ":": "colon",
    ";": "semicolon",
    "<": "less than",
    "=": "equals",
    ">": "greater than",
    "?": "question mark",
    "@": "at sign",
    "[": "opening square bracket",
    "\\": "backslash",
    "]": "closing square bracket",
    "^": "caret",
    "_": "underscore",
    "`": "backtick",
    "{": "opening curly bracket",
    "|": "vertical bar",
    "}": "closing curly bracket",
    "~": "tilde",
}


@dataclass(frozen=True)
class Spelled:
    """One character and how to say it."""

    character: str
    words: str


def spell(text: str) -> tuple[Spelled, ...]:
    """Every character with its words: `capital Bravo`, `seven`, `hyphen`; others are called by their code."""
    return tuple(Spelled(character, _say(character)) for character in text)


def _say(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    if character.isascii() and character.isdigit():
        return _DIGITS[int(character)]
    letter = _LETTERS.get(character.lower()) if character.isascii() else None
    if letter is None:
        return f"character U+{ord(character):04X}"
    return f"capital {letter}" if character.isupper() else letter.lower()
