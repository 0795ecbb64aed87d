"""The chain without a database: what `verify` sees, and an export that can be verified years later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ports import AuditLine
from connector.store.audit import START, AuditReport, Head, chain, export, parse, verify
from tests.contracts.case_store import entry

LINES = list(chain(START, [entry(f"event {number}") for number in range(6)]))
HEAD = Head(6, LINES[-1].hash)


def test_the_chain_is_what_earlier_versions_wrote() -> None:
    # A change here would make every existing audit look forged.
    assert LINES[0].hash == "1505c3257af61bf76605b6b88272248172a1c3f95e11800017ccf95d047879e6"


def test_a_sound_chain_is_whole() -> None:
    assert verify(LINES, head=HEAD, known=Head(3, LINES[2].hash)) == AuditReport(HEAD)
    assert verify(LINES, head=HEAD).whole


def test_an_empty_audit_is_whole_only_when_nothing_was_ever_written() -> None:
    assert verify([], head=START).whole
    assert verify([], head=HEAD).broken_at == 1


@given(where=st.integers(0, 5), field=st.sampled_from(["event", "case_id", "facts", "at", "hash", "seq"]))
def test_any_change_of_any_line_is_found_there(where: int, field: str) -> None:
    line = LINES[where]
    changed: dict[str, Callable[[], AuditLine]] = {
        "event": lambda: replace(line, entry=replace(line.entry, event="other")),
        "case_id": lambda: replace(line, entry=replace(line.entry, case_id="case-0")),
        "facts": lambda: replace(line, entry=replace(line.entry, facts={})),
        "at": lambda: replace(line, entry=replace(line.entry, at=line.entry.at.replace(microsecond=1))),
        "hash": lambda: replace(line, hash="0" * 64),
        "seq": lambda: replace(line, seq=line.seq + 1),
    }
    forged = [*LINES[:where], changed[field](), *LINES[where + 1 :]]
    report = verify(forged, head=HEAD)
    assert report.broken_at == where + 1
    assert report.sound.seq == where
    assert report.problem


@given(keep=st.sets(st.integers(0, 5), max_size=5))
def test_any_missing_lines_are_found_at_the_first_gap(keep: set[int]) -> None:
    first_gap = next(number for number in range(6) if number not in keep)
    assert verify([LINES[number] for number in sorted(keep)], head=HEAD).broken_at == first_gap + 1


@given(order=st.permutations(range(6)))
def test_any_other_order_is_found(order: list[int]) -> None:
    reordered = [replace(LINES[number], seq=place + 1) for place, number in enumerate(order)]
    assert verify(reordered, head=HEAD).whole == (order == list(range(6)))


def test_lines_after_the_noted_end_are_found() -> None:
    assert verify(LINES, head=Head(4, LINES[3].hash)).broken_at == 5


def test_an_end_noted_with_another_hash_is_found() -> None:
    assert verify(LINES, head=Head(6, "f" * 64)).broken_at == 6


def test_a_chain_written_anew_is_found_by_a_head_kept_elsewhere() -> None:
    forged = list(chain(START, [entry("nothing happened") for _ in range(6)]))
    forged_head = Head(6, forged[-1].hash)
    assert verify(forged, head=forged_head).whole
    assert verify(forged, head=forged_head, known=Head(3, LINES[2].hash)).broken_at == 3


def test_an_export_is_read_back_and_verified() -> None:
    texts = list(export(LINES))
    assert all(text.endswith("\n") and text.count("\n") == 1 for text in texts)
    assert list(parse([*texts, "\n"])) == LINES
    assert verify(parse(texts), known=HEAD).whole


def test_an_export_that_was_edited_is_found() -> None:
    texts = list(export(LINES))
    texts[2] = texts[2].replace("event 2", "event 9")
    assert verify(parse(texts)).broken_at == 3


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"seq": 1}', "3"])
def test_something_that_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="audit export"):
        list(parse([text]))
