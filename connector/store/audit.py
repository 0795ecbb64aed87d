"""The audit: lines that are only ever added, chained by hashes.

A line's hash covers the hash of the line before it and everything the line says, its number included. So whoever
changes, removes, inserts or reorders lines must write every later hash anew and the head with it. Somebody who may
write the whole database can do that; only a copy of the head kept elsewhere (`connector audit export` ends with it)
shows it. Keep one.

    hash(n) = SHA-256 of  hash(n-1) + newline + canonical JSON of {at, case_id, event, facts, seq}

with 64 zeros in the place of hash(0). Canonical: `codec.to_text`; instants in UTC with microseconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Row, insert, select, update

from connector.core.ports import AuditEntry, AuditLine
from connector.errors import DatabaseError
from connector.store import tables
from connector.store.codec import facts_from, instant_text, to_text

BATCH: Final = 500


@dataclass(frozen=True)
class Head:
    """The end of the chain: number and hash of the newest line; number 0 for an empty audit."""

    seq: int
    hash: str


START: Final = Head(0, "0" * 64)


@dataclass(frozen=True)
class AuditReport:
    """What `verify` found.

    Attributes:
        sound: The newest line up to which everything is as it was written.
        broken_at: The number of the first line that is wrong or missing; `None` when the audit is whole.
        problem: What is wrong there, in a sentence; empty when the audit is whole.
    """

    sound: Head
    broken_at: int | None = None
    problem: str = ""

    @property
    def whole(self) -> bool:
        return self.broken_at is None


def line_hash(before: str, seq: int, entry: AuditEntry) -> str:
    """The hash of line `seq`, which follows the line with the hash `before`."""
    said = {
        "seq": seq,
        "at": instant_text(entry.at),
        "case_id": entry.case_id,
        "event": entry.event,
        "facts": dict(entry.facts),
    }
    return hashlib.sha256(f"{before}\n{to_text(said)}".encode("ascii")).hexdigest()


def chain(head: Head, entries: Iterable[AuditEntry]) -> Iterator[AuditLine]:
    """The lines that `entries` become after `head`."""
    seq, before = head.seq, head.hash
    for entry in entries:
        seq += 1
        before = line_hash(before, seq, entry)
        yield AuditLine(seq=seq, entry=entry, hash=before)


def verify(lines: Iterable[AuditLine], *, head: Head | None = None, known: Head | None = None) -> AuditReport:
    """Follow the chain from its first line and report the first thing that is wrong.

    Args:
        lines: All lines, from number 1, in order.
        head: Where the store says that the chain ends. Without it lines missing at the end cannot be noticed.
        known: A head noted earlier and kept elsewhere. It also shows a chain that was written anew as a whole.
    """
    sound = START
    for line in lines:
        expected = sound.seq + 1
        if line.seq != expected:
            return AuditReport(sound, expected, f"Line {expected} is missing; the next one is {line.seq}.")
        if line.hash != line_hash(sound.hash, line.seq, line.entry):
            return AuditReport(sound, line.seq, f"Line {line.seq} is not what was written, or not in its place.")
        if known is not None and line.seq == known.seq and line.hash != known.hash:
            return AuditReport(sound, line.seq, f"Line {line.seq} is not the one whose hash was noted earlier.")
        sound = Head(line.seq, line.hash)
    for end in (head, known):
        if end is not None and end.seq > sound.seq:
            missing = f"{sound.seq + 1} to {end.seq}" if end.seq > sound.seq + 1 else f"{end.seq}"
            return AuditReport(sound, sound.seq + 1, f"Missing at the end: {missing}.")
    if head is not None and head != sound:
        first = head.seq + 1 if head.seq < sound.seq else head.seq
        return AuditReport(sound, first, f"The chain was noted to end with line {head.seq} and another hash.")
    return AuditReport(sound)


# ---------------------------------------------------------------- as text


def export(lines: Iterable[AuditLine]) -> Iterator[str]:
    """One JSON object a line, each ending with a newline. `parse` reads it back, so that a copy can be verified."""
    for line in lines:
        said = {
            "seq": line.seq,
            "at": instant_text(line.entry.at),
            "case_id": line.entry.case_id,
            "event": line.entry.event,
            "facts": dict(line.entry.facts),
            "hash": line.hash,
        }
        yield to_text(said) + "\n"


def parse(texts: Iterable[str]) -> Iterator[AuditLine]:
    """The lines of an export; empty lines are skipped.

    Raises:
        ValueError: Something that is no line of an export.
    """
    for text in texts:
        if not text.strip():
            continue
        try:
            said = json.loads(text)
            entry = AuditEntry(
                at=datetime.fromisoformat(said["at"]),
                case_id=said["case_id"],
                event=said["event"],
                facts=said["facts"],
            )
            line = AuditLine(seq=int(said["seq"]), entry=entry, hash=str(said["hash"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("this is no line of an audit export") from error
        yield line


# ---------------------------------------------------------------- in the database


def append(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Add lines within the caller's writing transaction.

    The head row is locked until that transaction ends, so that two processes cannot give out the same number.
    """
    if not entries:
        return
    lines = list(chain(read_head(connection, lock=True), entries))
    rows = [
        {
            "seq": line.seq,
            "at": line.entry.at,
            "case_id": line.entry.case_id,
            "event": line.entry.event,
            "facts": to_text(dict(line.entry.facts)),
            "hash": line.hash,
        }
        for line in lines
    ]
    connection.execute(insert(tables.audit), rows)
    connection.execute(
        update(tables.audit_head).where(tables.audit_head.c.id == 1).values(seq=lines[-1].seq, hash=lines[-1].hash)
    )


def read_head(connection: Connection, *, lock: bool = False) -> Head:
    """Where the chain ends.

    Raises:
        DatabaseError: Somebody removed the row that says it; without it nothing can be added.
    """
    query = select(tables.audit_head.c.seq, tables.audit_head.c.hash).where(tables.audit_head.c.id == 1)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise DatabaseError(
            "The audit cannot be continued: its head row is gone from table audit_head. "
            "Somebody changed the database by hand; restore it from a backup."
        )
    return Head(row.seq, row.hash)


def read_lines(
    connection: Connection, *, after: int = 0, since: datetime | None = None, case_id: str | None = None
) -> Iterator[AuditLine]:
    """Lines with numbers above `after`, in order, read in batches."""
    query = select(tables.audit).order_by(tables.audit.c.seq).limit(BATCH)
    if since is not None:
        query = query.where(tables.audit.c.at >= since)
    if case_id is not None:
        query = query.where(tables.audit.c.case_id == case_id)
    while True:
        rows = connection.execute(query.where(tables.audit.c.seq > after)).all()
        yield from map(_line, rows)
        if len(rows) < BATCH:
            return
        after = rows[-1].seq


def _line(row: Row[tuple[object, ...]]) -> AuditLine:
    entry = AuditEntry(at=row.at, case_id=row.case_id, event=row.event, facts=facts_from(row.facts))
    return AuditLine(seq=row.seq, entry=entry, hash=row.hash)
