"""The sentences in which ConnectWise's audit trail may word a change. All of them are UNVERIFIED guesses, in one table.

A sentence is compared as a whole, letter by letter, after capitals, blanks, quotes and a full stop at its end were
taken off both sides: there are no patterns in it, so no value can act as one. See `connectwise.trail` for what is
made of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from connector.psa.connectwise.values import fold

VERBS = ("changed", "updated", "modified", "was changed", "was updated", "was modified",
         "has been changed", "has been updated", "has been modified")  # fmt: skip
THINGS = ("{field}", "the {field}", "ticket {field}", "the ticket {field}", "service ticket {field}",
          "the service ticket {field}", "the {field} of this ticket", "custom field {field}",
          "the custom field {field}", "field {field}")  # fmt: skip

WORDINGS: tuple[str, ...] = (
    *(f"{thing} {verb} from {{old}} to {{new}}" for thing in THINGS for verb in VERBS),
    *(f"{thing} {verb} to {{new}} (previously {{old}})" for thing in THINGS for verb in VERBS),
    *(f"{verb} {thing} from {{old}} to {{new}}" for thing in THINGS for verb in ("changed", "updated", "modified")),
    *(f"{{field}}{colon} {{old}} {arrow} {{new}}" for colon in (":", "") for arrow in ("->", "=>", "→", ">", ">>")),
    "{field}: changed from {old} to {new}",
    "{field}: {old} to {new}",
    "{field} from {old} to {new}",
)
"""Every sentence that is understood. All of them are UNVERIFIED; a test reads each."""

BARE_WORDINGS = (
    "{old} -> {new}",
    "{old} => {new}",
    "{old} → {new}",
    "from {old} to {new}",
    "changed from {old} to {new}",
)
"""Understood besides where `auditSubType` names what changed."""

OTHER_BEGINNINGS = ("{field} set to", "{field} cleared", "{field} removed", "{field} replaced")
"""How sentences begin that do not tell old from new, and tell a change all the same."""

EMPTY = frozenset({"", "none", "null", "(none)", "(empty)", "empty", "blank", "(blank)"})
"""How a value that was not set may be written."""

_QUOTES = re.compile("[\"'`“”„‘’«»]")


def plain(words: str) -> str:
    """A text without what wordings differ in: capitals, blanks, quotes, a full stop at the end."""
    return fold(_QUOTES.sub("", words)).rstrip(".").rstrip()


@dataclass(frozen=True)
class Wording:
    """A sentence around two values: `before`, one value, `between`, the other, `after`. `{field}` may stand in each."""

    before: str
    between: str
    after: str
    new_first: bool

    @classmethod
    def read(cls, wording: str) -> Wording:
        """A sentence with `{old}` and `{new}` once each."""
        plainly = plain(wording)
        before, between, after = re.split(r"\{(?:old|new)\}", plainly)
        return cls(before, between, after, plainly.index("{new}") < plainly.index("{old}"))

    def of(self, named: str) -> Wording:
        """The sentence about one field."""
        before, between, after = (part.replace("{field}", named) for part in (self.before, self.between, self.after))
        return Wording(before, between, after, self.new_first)

    def readings(self, sentence: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
        """Every pair (old, new) of known values with which the wording is exactly this sentence."""
        if not sentence.startswith(self.before.rstrip()) or not sentence.endswith(self.after.lstrip()):
            return
        for first in known:
            if not sentence.startswith(fold(f"{self.before}{first}{self.between}")):
                continue
            for second in known:
                if sentence == fold(f"{self.before}{first}{self.between}{second}{self.after}"):
                    yield (second, first) if self.new_first else (first, second)


KNOWN = tuple(Wording.read(wording) for wording in WORDINGS)
BARE = tuple(Wording.read(wording) for wording in BARE_WORDINGS)
_BEGINNINGS = frozenset({wording.before for wording in KNOWN} | {plain(one) for one in OTHER_BEGINNINGS})


def beginnings(fields: Collection[str]) -> tuple[str, ...]:
    """How a sentence about a change of one of these fields may begin, whatever its values are."""
    named = {plain(field) for field in fields} - {""}
    found = {(one, start.replace("{field}", one).rstrip()) for one in named for start in _BEGINNINGS}
    return tuple(sorted(start for one, start in found if start != one))
