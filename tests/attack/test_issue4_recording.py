"""Recordings, attacked: what names, numbers and kinds could carry out of somebody's PSA."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.psa.recording import CONNECTWISE, HALOPSA, words_of
from tests.psa.scrub import AllowList, Scrubber


def kept(allowed: AllowList, body: object) -> Any:
    return json.loads(Scrubber(allowed).body(json.dumps(body)))


@pytest.mark.parametrize(
    "said",
    [
        "Anna Berg",
        "Portal: Anna Berg",
        "dc01.contoso.local",
        "Server CW-DC-01",
        "0101701234",
        "01 70 12 34 56",
        "correct-horse-battery",
        "YW5uYUBjLmNv",
        "eyJhbGciOiJub25lIn0",
        "Contoso Ltd",
    ],
)
@pytest.mark.parametrize(
    ("allowed", "key"),
    [(CONNECTWISE, key) for key in sorted(CONNECTWISE.plain)] + [(HALOPSA, key) for key in sorted(HALOPSA.plain)],
)
def test_a_key_whose_values_are_plain_carries_no_name_number_or_host(allowed: AllowList, key: str, said: str) -> None:
    left = str(kept(allowed, {key: said})[key])
    assert said not in left
    assert not any(word in left for word in ("Anna", "Berg", "contoso", "Contoso", "0101", "horse", "YW5", "eyJ", "DC"))


CANARIES = (
    "Annabel Quill",
    "annabel.quill@quillworks.co.uk",
    "+44 20 7946 0958",
    "Call Annabel Quill (020 7946 0958) about QUILL-DC-01",
    "quill-dc-01.quillworks.local",
    "Anna\u200bbel",
    "\uff21\uff4e\uff4e\uff41\uff42\uff45\uff4c",
    "QW5uYWJlbCBRdWlsbA==",
    "a1b2c3d4-e5f6-4711-8899-aabbccddeeff",
    '{"name": "Annabel Quill"}',
    "<p>Annabel Quill</p>",
)


@pytest.mark.parametrize("allowed", [CONNECTWISE, HALOPSA])
@pytest.mark.parametrize("canary", CANARIES)
def test_no_text_of_a_person_survives_under_any_key_and_in_any_shape(allowed: AllowList, canary: str) -> None:
    words = [word for word in re.findall(r"\w{4,}", canary) if word.casefold() not in ("call", "about", "name")]
    for key in sorted(allowed.keys):
        for shape in (canary, [canary], {key: canary}, [{key: [canary]}], {canary: {key: canary}}, {key: {canary: 1}}):
            left = Scrubber(allowed).body(json.dumps({key: shape, "auditType": canary, "text": canary})).decode()
            assert not any(word in left or json.dumps(word)[1:-1] in left for word in words), key


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("recordType", "ServiceTicket"),
        ("auditType", "Ticket"),
        ("auditSubType", "Custom Field"),
        ("auditSource", "Workflow Rule"),
        ("communicationType", "Email"),
        ("licenseClass", "F"),
        ("Codebase", "v4_6_release/"),
        ("VersionCode", "v2026.1"),
        ("lastUpdated", "2026-11-22T09:00:00Z"),
    ],
)
def test_the_kinds_dates_and_versions_that_everybody_has_survive(key: str, said: str) -> None:
    assert kept(CONNECTWISE, {key: said})[key] == said


@pytest.mark.parametrize("number", [101701234, 5550123, 48151, -48151, 52.379128, 13.404954, 1234.5])
@pytest.mark.parametrize("allowed", [CONNECTWISE, HALOPSA])
def test_a_number_that_somebody_entered_in_a_field_is_replaced(allowed: AllowList, number: float) -> None:
    fields = kept(allowed, [{"id": 41, "value": number}, {"id": 42, "value": number}, {"id": 43, "value": 7}])
    assert [one["id"] for one in fields] == [41, 42, 43]
    assert number not in (fields[0]["value"], fields[0]["value"] * 10)
    assert fields[0]["value"] == fields[1]["value"], "the same number stays the same"
    assert fields[2]["value"] == 7, "a choice of a list"


def test_a_number_beyond_all_numbers_is_nothing() -> None:
    assert json.loads(Scrubber(CONNECTWISE).body('{"value": 1e999, "id": -1e999}'))["id"] == 0


def test_people_whom_a_mapping_names_are_no_words_of_a_recording(tmp_path: Path) -> None:
    mapping = {
        "requests": [{"board": "Service Desk", "ticket_type": "Password Reset"}],
        "approval": {"approved_statuses": ["Approved"], "members": ["AnnaA", "SamS"]},
        "hand_off": {"team": "Escalations", "owner": "OlgaO"},
    }
    file = tmp_path / "mapping.yaml"
    file.write_text(yaml.safe_dump(mapping), encoding="utf-8")
    words = words_of(file)
    assert {"AnnaA", "SamS", "OlgaO"} & words == set()
    assert {"Service Desk", "Password Reset", "Approved", "Escalations"} <= words
