"""ConnectWise's audit trail: who changed what, and when, read off sentences.

`GET /system/audittrail` answers rows of six texts: `text`, `enteredDate`, `enteredBy`, `auditType`, `auditSubType`,
`auditSource`; there are no old and new values, only prose. How a change of status or of a custom field is worded is
**UNVERIFIED**: no published source shows one, only that of an owner (`Resource` / `Owner`). So the wordings
(`connectwise.wordings`) are guesses, one table of them, and the reading is tolerant about words and strict about
meaning:

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

from connector.psa.connectwise.values import Record, moment, records, text
from connector.psa.connectwise.wordings import BARE, EMPTY, KNOWN, Wording, beginnings, plain

NOT_A_PERSON = re.compile(
    r"workflow|\brule|e-?mail|connector|automat|\bsystem\b|integrat|script|import|\bapi\b|schedul",
    re.IGNORECASE,
)
"""In `auditSource`: nobody sat there. Its real values are UNVERIFIED; one that is not known is taken for a person's,
and the name in `enteredBy` has to be a person's besides."""

A_CUSTOMER = re.compile(r"portal|customer|contact|end.?user", re.IGNORECASE)
"""In `auditSource`: whoever sat there was a customer's person, whatever their name. Its real values are UNVERIFIED."""

ELSEWHERE = frozenset(
    ["activity", "agreement", "attachment", "attachments", "board", "company", "configuration", "configurations",
     "contact", "create", "department", "description", "discussion", "document", "documents", "expense", "impact",
     "internal analysis", "item", "location", "merge", "opportunity", "priority", "product", "project", "resolution",
     "schedule", "severity", "site", "source", "sub type", "subtype", "summary", "task", "team", "time", "time entry",
     "type"]
)  # fmt: skip
"""In `auditSubType`, folded: about something else. Such a row may hold a text of anybody's, so when it reads like a
change all the same, it is a doubt and no change."""

OTHER_KINDS = frozenset({"note", "notes", "owner"})
"""In `auditType` or `auditSubType`, folded: surely not about a status or a field, whatever a note's words are."""


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
    def by_a_customer(self) -> bool:
        """Whether it says that it was done where only customers are."""
        return bool(A_CUSTOMER.search(self.source))

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
    field: str,
    values: Collection[str],
    entries: Sequence[Entry],
    *,
    wordings: Collection[str] = (),
    others: Collection[str] = (),
) -> Iterator[Change | Doubt]:
    """The rows about one field, in the order in which they came.

    Args:
        field: As the trail names it: `Status`, or a custom field's caption.
        values: Every value that it can have; that it was never set is always one of them.
        wordings: Of the mapping, besides those that are known.
        others: Other fields of the ticket. A row that begins like one about a change of those is no doubt, though it
            names this one: `Approval date changed …` is not about `Approval`. One that can be read as both is a doubt.
    """
    known = {plain(value) for value in values} | EMPTY
    named = plain(field)
    sentences = [wording.of(named) for wording in (*KNOWN, *map(Wording.read, wordings))]
    elsewhere = beginnings(others)
    for entry in entries:
        kinds = {plain(entry.kind), plain(entry.sub_kind)}
        if kinds & OTHER_KINDS:
            continue
        says_what = named in kinds
        read = {
            pair
            for wording in (*sentences, *(BARE if says_what else ()))
            for pair in wording.readings(entry.sentence, known)
        }
        foreign = not says_what and (
            plain(entry.sub_kind) in ELSEWHERE.union(others) or entry.sentence.startswith(elsewhere)
        )
        if len(read) == 1 and entry.entered_at is not None and not foreign:
            old, new = read.pop()
            yield Change(old, new, entry)
        elif read or says_what or (_may_be_about(entry, named, known) and not entry.sentence.startswith(elsewhere)):
            yield Doubt(entry)


def touching(fields: Collection[str], entries: Sequence[Entry]) -> Iterator[Entry]:
    """The rows that may be about a change of one of these fields, whatever its values are.

    Only ever a reason to take an approval for older than the request, so they are read widely: the kind of the row,
    or a sentence that begins like one about a change.
    """
    kinds, starts = {plain(field) for field in fields} - {""}, beginnings(fields)
    yield from (one for one in entries if plain(one.sub_kind) in kinds or one.sentence.startswith(starts))


def _read(row: Record) -> Entry:
    return Entry(
        text=text(row, "text"),
        sentence=plain(text(row, "text")),
        entered_at=moment(row, "enteredDate"),
        entered_by=text(row, "enteredBy"),  # as it stands: an address with a blank around it may be somebody else's
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
