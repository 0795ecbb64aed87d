"""ConnectWise's audit trail: who changed what, and when, read off sentences.

`GET /system/audittrail` answers rows of six texts: `text`, `enteredDate`, `enteredBy`, `auditType`, `auditSubType`,
`auditSource`; there are no old and new values, only prose. How a change of status or of a custom field is worded is
**UNVERIFIED**: no published source shows one, only that of an owner (`Resource` / `Owner`). So the wordings below are
guesses, one table of them, and the reading is tolerant about words and strict about meaning:

- a sentence is understood only as a whole: nothing may stand before or after it, so a summary or a note that quotes one
  is not taken for one;
- both values must be known ones (statuses of the ticket's own board, values of the field), and the sentence must tell
  old from new; one that can be read in two ways is not understood;
- a row that may be about the same thing and is not understood makes everything before it uncertain, and whoever asks
  must then treat the approver as unknown.

An admin whose ConnectWise words it otherwise adds sentences under `approval.trail.wordings`: they are compared as they
stand, not as patterns. Source of the rows: OpenAPI document 2026.4, schema `AuditTrailEntry`; read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.psa.connectwise_json import Record, fold, moment, records, text

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

NOT_A_PERSON = re.compile(
    r"workflow|\brule|e-?mail|connector|automat|\bsystem\b|\bservice\b|integrat|script|import|\bapi\b|schedul",
    re.IGNORECASE,
)
"""In `auditSource`: nobody sat there. Its real values are UNVERIFIED; one that is not known is taken for a person's,
and the name in `enteredBy` has to be a person's besides."""

OTHER_KINDS = frozenset({"note", "notes", "owner"})
"""In `auditType` or `auditSubType`, folded: surely not about a status or a field, whatever a note's words are."""

OTHER_BEGINNINGS = ("{field} set to {new}", "{field} cleared", "{field} removed", "{field} replaced")

EMPTY = frozenset({"", "none", "null", "(none)", "(empty)", "empty", "blank", "(blank)"})
"""How a value that was not set may be written."""

_QUOTES = re.compile("[\"'`“”„‘’«»]")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the trail.

    Attributes:
        entered_at: `None` when the row has no date with a zone: then it cannot be put in order.
        sentence: Its text in the form in which sentences are compared.
    """

    text: str
    sentence: str
    entered_at: datetime | None
    entered_by: str
    kind: str
    sub_kind: str
    source: str

    @property
    def by_a_person(self) -> bool:
        """Whether nothing says that a rule, a connector or a program did it."""
        return not NOT_A_PERSON.search(self.source)

    @property
    def row(self) -> dict[str, str]:
        """For the digest of the evidence, by the vendor's names."""
        return {
            "text": self.text,
            "enteredDate": self.entered_at.isoformat() if self.entered_at else "",
            "enteredBy": self.entered_by,
            "auditType": self.kind,
            "auditSubType": self.sub_kind,
            "auditSource": self.source,
        }


@dataclass(frozen=True)
class Change:
    """An understood row: what stood there before and after, folded."""

    old: str
    new: str
    entry: Entry


@dataclass(frozen=True)
class Doubt:
    """A row that may be about the same thing and is not understood."""

    entry: Entry


def read_entries(body: object) -> tuple[Entry, ...]:
    """The rows of an answer, each once: a list that grows while it is paged repeats some."""
    return tuple(dict.fromkeys(_read(row) for row in records(body)))


def changes_of(
    field: str, values: Collection[str], entries: Sequence[Entry], *, wordings: Collection[str] = ()
) -> Iterator[Change | Doubt]:
    """The rows about one field, in the order in which they came.

    Args:
        field: As the trail names it: `Status`, or a custom field's caption.
        values: Every value that it can have; that it was never set is always one of them.
        wordings: Of the mapping, besides those that are known.
    """
    known = {plain(value) for value in values} | EMPTY
    named = plain(field)
    sentences = [_Wording.read(wording, named) for wording in (*WORDINGS, *wordings)]
    bare = [_Wording.read(wording, named) for wording in BARE_WORDINGS]
    for entry in entries:
        if {plain(entry.kind), plain(entry.sub_kind)} & OTHER_KINDS:
            continue
        says_what = named in (plain(entry.kind), plain(entry.sub_kind))
        read = {
            pair for wording in (*sentences, *(bare if says_what else ())) for pair in wording.readings(entry, known)
        }
        if len(read) == 1 and entry.entered_at is not None:
            old, new = read.pop()
            yield Change(old, new, entry)
        elif read or says_what or _may_be_about(entry, named, known):
            yield Doubt(entry)


def changes_something_of(entry: Entry, fields: Collection[str]) -> bool:
    """Whether a row may be about a change of one of these fields, whatever its values are.

    Only ever a reason to take an approval for older than the request, so it is read widely: the kind of the row, or a
    sentence that begins like one about a change.
    """
    for named in {plain(field) for field in fields} - {""}:
        if plain(entry.sub_kind) == named:
            return True
        for wording in (*WORDINGS, *OTHER_BEGINNINGS):
            start = re.split(r"\{(?:old|new)\}", plain(wording))[0].replace("{field}", named).rstrip()
            if start != named and entry.sentence.startswith(start):
                return True
    return False


def plain(words: str) -> str:
    """A text without what wordings differ in: capitals, blanks, quotes, a full stop at the end."""
    return fold(_QUOTES.sub("", words)).rstrip(".").rstrip()


def _read(row: Record) -> Entry:
    return Entry(
        text=text(row, "text"),
        sentence=plain(text(row, "text")),
        entered_at=moment(row, "enteredDate"),
        entered_by=text(row, "enteredBy").strip(),
        kind=text(row, "auditType").strip(),
        sub_kind=text(row, "auditSubType").strip(),
        source=text(row, "auditSource").strip(),
    )


def _may_be_about(entry: Entry, named: str, known: Collection[str]) -> bool:
    """Whether a row that is not understood names the field, or two of its values."""
    said = sum(1 for value in known if value not in EMPTY and _has_word(entry.sentence, value))
    return said > 1 or _has_word(entry.sentence, named)


def _has_word(sentence: str, word: str) -> bool:
    return word in sentence and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sentence) is not None


@dataclass(frozen=True)
class _Wording:
    """A sentence around two values: `before`, one value, `between`, the other, `after`."""

    before: str
    between: str
    after: str
    new_first: bool

    @classmethod
    def read(cls, wording: str, named: str) -> _Wording:
        plainly = plain(wording)
        parts = re.split(r"\{(?:old|new)\}", plainly)
        before, between, after = (part.replace("{field}", named) for part in parts)
        return cls(before, between, after, plainly.index("{new}") < plainly.index("{old}"))

    def readings(self, entry: Entry, known: Collection[str]) -> Iterator[tuple[str, str]]:
        """Every pair (old, new) of known values with which the wording is exactly the entry's sentence."""
        sentence = entry.sentence
        if not sentence.startswith(self.before.rstrip()) or not sentence.endswith(self.after.lstrip()):
            return
        for first in known:
            if not sentence.startswith(fold(f"{self.before}{first}{self.between}")):
                continue
            for second in known:
                if sentence == fold(f"{self.before}{first}{self.between}{second}{self.after}"):
                    yield (second, first) if self.new_first else (first, second)
