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
from importlib import resources

from xkcdpass import xkcd_password

from connector.core.secret import Secret

WORDS = 4
DIGITS = 3
JOINER = "-"
"""The only character of a passphrase that has no sound of its own."""
SHORTEST_WORD, LONGEST_WORD = 4, 8
LEFT_OUT = "passwords_left_out.txt"
BANNED = ("password", "welcome")
"""No word holds one of these: Microsoft's list bans them, and a candidate would be refused for it."""

CANDIDATES = 3
"""How many are tried where a directory refuses one."""

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

    `passphrase`: four words of `vocabulary`, each with a capital, and three digits: at least 23 characters.
    `random`: 20 characters of all four classes without those that look alike.
    """
    return Secret(passphrase(vocabulary()) if policy is Policy.PASSPHRASE else _characters())


def entropy(policy: Policy) -> float:
    """Bits of a password of this policy, for somebody who knows how it is made and has the list of words."""
    if policy is Policy.PASSPHRASE:
        return math.log2(count_passphrases(len(vocabulary())))
    return math.log2(count_with_every_class(CLASSES, RANDOM_LENGTH))


def describe(policy: Policy) -> str:
    """One line for `connector check`: what a password is made of and its entropy, rounded down."""
    made_of = f"{WORDS} words and {DIGITS} digits" if policy is Policy.PASSPHRASE else f"{RANDOM_LENGTH} characters"
    return f"{policy.value}: {made_of}, {math.floor(entropy(policy) * 10) / 10:.1f} bits"


@cache
def vocabulary() -> tuple[str, ...]:
    """The words of passphrases, sorted; read from the packages once.

    The EFF's long list (eff.org/dice, read 2026-11-22): made for being read and typed. Only words of four to eight
    plain letters, and none that sounds like another one, is likely banned, or embarrasses who has to say it: those
    are in the file `passwords_left_out.txt`, which says where they come from.
    """
    path = xkcd_password.locate_wordfile("eff-long")
    words = xkcd_password.generate_wordlist(
        path, min_length=SHORTEST_WORD, max_length=LONGEST_WORD, valid_chars="[a-z]"
    )
    left_out = words_left_out()
    return tuple(sorted({word for word in words if not (word in left_out or any(ban in word for ban in BANNED))}))


def words_left_out() -> frozenset[str]:
    """What `passwords_left_out.txt` keeps out of passphrases."""
    text = resources.files("connector").joinpath(LEFT_OUT).read_text(encoding="ascii")
    return frozenset(word for line in text.splitlines() for word in line.partition("#")[0].split())


def passphrase(words: Sequence[str]) -> str:
    """Four of these words and three digits. A word may come twice: the choices do not depend on each other."""
    chosen = [secrets.choice(words).capitalize() for _ in range(WORDS)]
    digits = "".join(secrets.choice(FIGURES) for _ in range(DIGITS))  # no 0 and 1, read as letters after a hyphen
    return JOINER.join([*chosen, digits])


def count_passphrases(words: int) -> int:
    """How many passphrases there are with so many words to choose from, each as likely as the next."""
    return int(words**WORDS * len(FIGURES) ** DIGITS)


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
