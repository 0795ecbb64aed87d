"""A password said letter by letter, for reading it out over the phone and for screen readers.

The words stand in the files of the languages, one for each character. English has the ICAO alphabet (Alfa and Juliett
are its official spellings). German has the cities of DIN 5009:2022, the standard for dictating in offices, and not
ICAO: "Yankee" begins with a J to a German ear, "Victor" and "Whiskey" both with a W, and somebody who was never taught
the words cannot tell how they are written; a city's name is written as everybody knows it. Source of the table:
buchstabieralphabet.org on DIN 5009:2022-06, read 2026-11-22; the standard itself is not free to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spelled:
    """One character and how to say it."""

    character: str
    words: str


@dataclass(frozen=True)
class Speller:
    """Says text letter by letter in one language.

    Attributes:
        characters: The words of each character, capitals and small letters apart.
        other: What any other character is called, with its number in place of `{code}`.
    """

    characters: Mapping[str, str]
    other: str

    def spell(self, text: str) -> tuple[Spelled, ...]:
        """Every character with its words: `capital Bravo`, `seven`, `hyphen`; others are called by their number."""
        return tuple(Spelled(character, self._say(character)) for character in text)

    def _say(self, character: str) -> str:
        return self.characters.get(character) or self.other.format(code=f"U+{ord(character):04X}")
