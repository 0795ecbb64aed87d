"""Phone numbers as people write them, and as a telephone takes them."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"\+?\s*\(?[0-9][0-9\s()./\u2010-\u2015-]*")
_DIALLED: Final = re.compile(r"\+?[0-9]{3,15}")  # no number is longer: ITU-T E.164


def dialled(text: str) -> str:
    """The first number in a text, for a `tel:` address; empty where there is none that could be dialled.

    Words and extensions are left out, and the `(0)` that is for callers from the same country.
    """
    found = _NUMBER.search(text)
    if found is None:
        return ""
    number = found[0].replace("(0)", "") if found[0].startswith("+") else found[0]
    digits = re.sub(r"[^0-9+]", "", number)
    return digits if _DIALLED.fullmatch(digits) else ""
