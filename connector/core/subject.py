"""Reads the one address out of a ticket's subject field. Guesses nothing."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from connector.core.case import fold

ADDRESS = re.compile(r"[^\s<>\"(),:;\[\]\\@]+@[^\s<>\"(),:;\[\]\\@]+\.[^\s<>\"(),:;\[\]\\@]+")
LONGEST = 320
UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
UNSEEN_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing: fillers, variation selectors, the blank Braille pattern. Source: Unicode's
Default_Ignorable_Code_Point, read 2026-11-22."""


@dataclass(frozen=True)
class Subject:
    """The address found, folded; or why there is none. Exactly one of the two is empty."""

    address: str = ""
    problem: str = ""


def read_subject(text: str) -> Subject:
    """The subject's address: `wanda@contoso.com`, ` Wanda@Contoso.com `, `Wanda <wanda@contoso.com>`, `mailto:…`.

    Two different addresses, none, or characters that a person cannot see are a problem: the approver must have seen
    what we act on. The same address twice is one.
    """
    if not text.strip():
        return Subject(problem="the ticket names no account")
    if len(text) > 4 * LONGEST:
        return Subject(problem="the subject field is far too long to be an address")
    if any(_is_unseen(letter) for letter in text):
        return Subject(problem="the subject field holds invisible characters")
    found = sorted(
        {fold(match.removeprefix("mailto:")).rstrip(".") for match in ADDRESS.findall(text.replace("mailto:", " "))}
    )
    if len(found) > 1:
        return Subject(problem=f"the subject field names {len(found)} addresses, and only one account can be reset")
    if not found:
        return Subject(problem="the subject field holds no e-mail address or user principal name")
    if len(found[0]) > LONGEST:
        return Subject(problem="the address in the subject field is too long")
    return Subject(address=found[0])


def _is_unseen(letter: str) -> bool:
    if letter in "\r\n\t":
        return False
    return unicodedata.category(letter) in UNSEEN_CATEGORIES or bool(UNSEEN_LETTERS.match(letter))
