"""Whatever a link service does in good order is believed, and no change of what was read ever is: by the hundred."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import PermanentError
from connector.secretlink.history import Page, Position, believe, read_page

ZEROS = "0" * 64


@dataclass
class Chronicle:
    """A link service's history in memory. `told` is every event ever, `kept` those that were not removed."""

    salt: str = ""
    kept: list[dict[str, object]] = field(default_factory=list)
    seq: int = 0
    mac: str = ZEROS

    def append(self, kind: str = "created", reason: str = "") -> None:
        self.seq += 1
        self.mac = hashlib.sha256(f"{self.salt}{self.mac}{kind}{reason}".encode()).hexdigest()
        self.kept.append({"seq": self.seq, "kind": kind, "reason": reason, "mac": self.mac})

    def purge(self, last: int) -> None:
        """Remove everything up to `last` in good order."""
        removed = [event for event in self.kept if int(str(event["seq"])) <= last]
        if removed:
            self.append("purged", f"{removed[-1]['seq']}:{removed[-1]['mac']}")
            self.kept = self.kept[len(removed) :]

    def page(self, after: Position, limit: int) -> Page:
        newer = [event for event in self.kept if int(str(event["seq"])) > after.seq]
        anchor = ZEROS if not after.seq else next((e["mac"] for e in self.kept if e["seq"] == after.seq), None)
        shown = newer[:limit]
        return read_page(
            after,
            {
                "events": [{key: event[key] for key in ("seq", "kind", "reason")} for event in shown],
                "head": {"seq": self.seq, "mac": self.mac},
                "anchor": anchor,
                "next": shown[-1]["seq"] if shown else after.seq,
                "next_mac": shown[-1]["mac"] if shown else anchor,
                "more": len(newer) > limit,
            },
        )


@dataclass
class Reader:
    """The connector's half. `read` is every number that it was told, in order."""

    limit: int
    cursor: str = ""
    read: list[int] = field(default_factory=list)

    def poll(self, chronicle: Chronicle) -> None:
        while True:
            page = chronicle.page(Position.parse(self.cursor), self.limit)
            believe(page, lambda after: chronicle.page(after, self.limit))
            self.read += [int(str(event["seq"])) for event in page.events]
            self.cursor = str(page.end)
            if not page.more:
                return


limits = st.integers(1, 7)
steps = st.lists(st.one_of(st.just("append"), st.just("poll"), st.integers(0, 12)), max_size=60)


@given(steps=steps, limit=limits)
def test_what_happens_in_good_order_is_read_once_and_whole(steps: list[str | int], limit: int) -> None:
    chronicle, reader = Chronicle(), Reader(limit)
    for step in steps:
        if step == "append":
            chronicle.append()
        elif step == "poll":
            reader.poll(chronicle)
        else:  # keeps at least what was never read
            chronicle.purge(Position.parse(reader.cursor).seq - int(step))
    reader.poll(chronicle)
    assert reader.read == list(range(1, chronicle.seq + 1))


@given(
    before=st.integers(1, 25),
    kept=st.integers(0, 24),
    after=st.integers(0, 40),
    removed=st.integers(0, 24),
    limit=limits,
)
def test_no_history_in_the_place_of_one_that_was_read_is_believed(
    before: int, kept: int, after: int, removed: int, limit: int
) -> None:
    """Rewritten, restored from a backup, replaced: from event `kept` on it is another, of whatever length."""
    chronicle, reader = Chronicle(), Reader(limit)
    for _ in range(before):
        chronicle.append()
    reader.poll(chronicle)
    other = Chronicle(salt="another")
    for event in chronicle.kept[: min(kept, before - 1)]:
        other.kept.append(event)
        other.seq, other.mac = int(str(event["seq"])), str(event["mac"])
    for _ in range(after):
        other.append()
    other.purge(min(removed, other.seq - 1))
    cursor, read = reader.cursor, list(reader.read)
    for _ in range(2):
        with pytest.raises(PermanentError, match="accept-history"):
            reader.poll(other)
    assert (reader.cursor, reader.read) == (cursor, read), "nothing of it was taken"


@given(read=st.integers(1, 10), unread=st.integers(1, 10), newer=st.integers(0, 20), limit=limits)
def test_a_purge_of_what_was_never_read_is_always_found(read: int, unread: int, newer: int, limit: int) -> None:
    chronicle, reader = Chronicle(), Reader(limit)
    for _ in range(read):
        chronicle.append()
    reader.poll(chronicle)
    for _ in range(unread):
        chronicle.append()
    chronicle.purge(read + unread)
    for _ in range(newer):
        chronicle.append()
    with pytest.raises(PermanentError, match="time of keeping"):
        reader.poll(chronicle)


@given(count=st.integers(3, 20), gone=st.integers(2, 19), limit=limits)
def test_an_event_taken_out_of_what_was_not_read_yet_is_missed(count: int, gone: int, limit: int) -> None:
    chronicle, reader = Chronicle(), Reader(limit)
    chronicle.append()
    reader.poll(chronicle)
    for _ in range(count - 1):
        chronicle.append()
    gone = min(gone, count - 1)
    del chronicle.kept[gone - 1]
    with pytest.raises(PermanentError, match=r"jumps|lost"):
        reader.poll(chronicle)
    assert gone not in reader.read
