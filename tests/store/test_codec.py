"""What is stored is what is read, for every value that the core can hold."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.case import Approval, Case, Person
from connector.core.ports import Letter, Message, Note, StatusTarget
from connector.store.codec import (
    case_details,
    case_from,
    facts_from,
    instant_text,
    message_body,
    message_from,
    to_text,
)

COLUMNS = ("id", "psa", "ticket_id", "number", "state", "created_at", "due_at", "version")

words = st.text(st.characters(exclude_categories=()))  # lone surrogates too: PSAs send what they like
instants = st.datetimes(
    min_value=datetime(1980, 1, 1),  # noqa: DTZ001 - the zone comes from the next argument
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30)), timezone(timedelta(hours=14))]),
)


def anything(hint: Any) -> st.SearchStrategy[Any]:
    """Values of this type with every field filled by chance: a field that somebody adds is tried as well."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([anything(argument) for argument in arguments])
    if origin is frozenset:
        return st.frozensets(anything(arguments[0]), max_size=4)
    if origin is tuple:
        return st.lists(anything(arguments[0]), max_size=4).map(tuple)
    if origin is not None:  # Mapping
        return st.dictionaries(words, words, max_size=4)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{field.name: anything(hints[field.name]) for field in dataclasses.fields(hint)})
    if hint is datetime:
        return instants
    if hint is str:
        return words
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    return st.from_type(hint)


def columns_of(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in COLUMNS} | {"details": case_details(case)}


@given(case=anything(Case))
def test_a_case_is_read_back_as_it_was(case: Case) -> None:
    assert case_from(columns_of(case)) == case


@given(case=anything(Case))
def test_the_same_case_is_always_the_same_text_and_fits_any_database(case: Case) -> None:
    text = case_details(case)
    assert text == case_details(case_from(columns_of(case)))
    assert text.isascii()
    assert "\0" not in text


@given(body=st.one_of(anything(Note), anything(Letter), anything(StatusTarget)), key=words)
def test_a_message_is_read_back_as_it_was(body: Note | Letter | StatusTarget, key: str) -> None:
    message = Message(key=key, body=body)
    assert message_from(key=key, kind=message.kind, body=message_body(message)) == message


@given(facts=st.dictionaries(words, words))
def test_facts_are_read_back_as_they_were(facts: dict[str, str]) -> None:
    assert facts_from(to_text(facts)) == facts


@given(instant=instants)
def test_an_instant_is_the_same_text_in_every_zone(instant: datetime) -> None:
    assert instant_text(instant) == instant_text(instant.astimezone(timezone(timedelta(hours=5))))
    assert datetime.fromisoformat(instant_text(instant)) == instant


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        instant_text(datetime(2026, 11, 22))  # noqa: DTZ001 - the mistake itself


case_now = datetime(2026, 11, 22, tzinfo=UTC)
anna = Person(name="Anna", email="anna@contoso.example.com")


def sample() -> Case:
    return Case(
        id="case-1",
        psa="halo",
        ticket_id="1",
        number="T-1",
        state=next(iter(typing.get_type_hints(Case)["state"])),
        created_at=case_now,
        due_at=None,
        requester=anna,
        approvals=(Approval(approver=anna, approved=True, decided_at=case_now),),
    )


def test_keys_of_a_newer_version_are_left_aside() -> None:
    case = sample()
    columns = columns_of(case)
    details = json.loads(columns["details"])
    (approval,) = details["approvals"]
    for place in (details, details["requester"], approval, approval["approver"]):
        place["from_the_future"] = [1]
    assert case_from(columns | {"details": json.dumps(details), "new_column": 1}) == case


def test_keys_that_an_older_version_did_not_write_have_their_defaults() -> None:
    case = case_from(columns_of(sample()) | {"details": "{}"})
    assert case == dataclasses.replace(sample(), requester=None, approvals=())


def test_the_one_approval_of_an_older_version_is_kept() -> None:
    columns = columns_of(sample())
    details = json.loads(columns["details"])
    details["approval"] = details.pop("approvals")[0]
    assert case_from(columns | {"details": json.dumps(details)}) == sample()
    details["approval"] = None
    assert case_from(columns | {"details": json.dumps(details)}).approvals == ()


def test_a_note_of_a_newer_version_is_read() -> None:
    body = json.dumps({"text": "t", "marker": "m", "public": False, "colour": "red"})
    assert message_from(key="k", kind="note", body=body) == Message(key="k", body=Note("t", "m"))
