"""New passwords: words that can be read out over the phone, or characters that cannot be mistaken.

Entra takes 8 to 256 ASCII characters with three of the four classes, and refuses what scores close to its banned
words. Source: learn.microsoft.com concept-password-ban-bad and concept-sspr-policy, read 2026-11-22. A refused
candidate is normal: make another one.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from enum import StrEnum
from functools import cache

from xkcdpass import xkcd_password

from connector.core.secret import Secret

WORDS = 4
DIGITS = 3
JOINER = "-"
SHORTEST_WORD, LONGEST_WORD = 4, 8
BANNED = ("password", "welcome")
"""No word holds one of these: Microsoft's list bans them, and a candidate would be refused for it."""

RANDOM_LENGTH = 20
LOWER = "abcdefghijkmnpqrstuvwxyz"  # no l and o
UPPER = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I and O
FIGURES = "23456789"  # no 0 and 1
SIGNS = "-+=#?@"
CLASSES = (LOWER, UPPER, FIGURES, SIGNS)


class Policy(StrEnum):
    """How a password is made."""

    PASSPHRASE = "passphrase"  # noqa: S105 - the name of a policy
    RANDOM = "random"


def new_password(policy: Policy = Policy.PASSPHRASE) -> Secret:
    """A password that nobody has seen before, from the system's source of randomness.

    `passphrase`: four words of a list made for being read and typed, each with a capital, and three digits:
    at least 23 characters. `random`: 20 characters of all four classes without those that look alike.
    """
    return Secret(_passphrase() if policy is Policy.PASSPHRASE else _characters())


def entropy(policy: Policy) -> float:
    """Bits of a password of this policy, for somebody who knows how it is made."""
    if policy is Policy.PASSPHRASE:
        return WORDS * math.log2(len(_words())) + DIGITS * math.log2(10)
    return math.log2(count_with_every_class(CLASSES, RANDOM_LENGTH))


def _passphrase() -> str:
    words = [secrets.choice(_words()).capitalize() for _ in range(WORDS)]
    digits = "".join(str(secrets.randbelow(10)) for _ in range(DIGITS))
    return JOINER.join([*words, digits])


def _characters() -> str:
    letters = "".join(CLASSES)
    while True:  # drawn again as a whole, so that every allowed password is as likely as the next
        candidate = "".join(secrets.choice(letters) for _ in range(RANDOM_LENGTH))
        if all(any(letter in members for letter in candidate) for members in CLASSES):
            return candidate


def count_with_every_class(classes: Sequence[str], length: int) -> int:
    """How many strings of this length hold a character of every class, by inclusion and exclusion."""
    possible = 0
    for chosen in range(2 ** len(classes)):
        left_out = [members for place, members in enumerate(classes) if chosen >> place & 1]
        alphabet = sum(map(len, classes)) - sum(map(len, left_out))
        possible += (-1) ** len(left_out) * alphabet**length
    return possible


@cache
def _words() -> tuple[str, ...]:
    """The EFF's long list, lower case ASCII letters only. Read from the package once."""
    path = xkcd_password.locate_wordfile("eff-long")
    words = xkcd_password.generate_wordlist(
        path, min_length=SHORTEST_WORD, max_length=LONGEST_WORD, valid_chars="[a-z]"
    )
    return tuple(sorted({word for word in words if not any(banned in word for banned in BANNED)}))
