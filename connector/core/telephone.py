"""Phone numbers as people write them, and as a telephone takes them."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"\+?\s*\(?[0-9][0-9\s()./\u2010-\u2015-]*")
_DIALLED: Final = re.compile(r"\+?[0-9]{3,15}")  # no number is longer: ITU-T E.164


def dialled(text: str) -> str:
    """The number in a text, for a `tel:` address; empty where there is none that could be dialled.

    Of several the first that begins with `+`, else the longest: hours of the day are short. Words and extensions are
    left out, and the `(0)` that is for callers from the same country.
    """
    found = [_digits(number) for number in _NUMBER.findall(text)]
    international = [digits for digits in found if digits.startswith("+")]
    best = (international or sorted(found, key=len, reverse=True) or [""])[0]
    return best if _DIALLED.fullmatch(best) else ""


def _digits(number: str) -> str:
    if number.startswith(("+", "00")):
        number = number.replace("(0)", "")
    return re.sub(r"[^0-9+]", "", number)
