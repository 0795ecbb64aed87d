"""What bodies may be: the document and the service agree, and every reason of a refusal is told at once."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError, validators

from connector.secretlink.service.answers import BadBody
from connector.secretlink.service.api.bodies import AlarmBody, CreateBody
from connector.secretlink.service.api.openapi import document
from connector.secretlink.service.api.shapes import MOST_LETTERS
from tests.secretlink.support import START, make_link
from tests.secretlink.test_api import make_alarm

BODIES: dict[str, type[CreateBody | AlarmBody]] = {"CreateBody": CreateBody, "AlarmBody": AlarmBody}
NOT_IN_THE_DOCUMENT = re.compile(
    r"Value error, |Input should be a valid string, unable to parse raw data as a unicode string"
)
"""A line that can be printed, a zone that exists, letters that are whole: no schema can say these."""


def _whole_pattern(_: object, pattern: str, text: object, __: object) -> Iterator[ValidationError]:
    # Python's `$` lets a line break follow; that of the document, which is JavaScript's, does not.
    if isinstance(text, str) and not re.search(pattern.replace("$", r"\Z"), text):
        yield ValidationError("pattern")


def validator(name: str) -> Any:
    """Says what the document says of a body."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document(now=START)["components"]}
    return validators.extend(Draft202012Validator, {"pattern": _whole_pattern})(schema)


def body_of(name: str, **changes: Any) -> dict[str, Any]:
    return make_link().to_body(**changes) if name == "CreateBody" else make_alarm(**changes)


ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(0, 25), st.floats(), st.text(max_size=70),
        st.sampled_from(
            ["A" * 43, "A" * 43 + "\n", "A" * 44, "abcdefg1", "abcdefg1\n", "abcdefgé", "de", "de\n", "de-AT", "path",
             "notice", "UTC", "Mars/Olympus", "x" * 64, "x" * 65, "é" * 200, "é" * 201, "two\nlines", "\ud800", "2",
             "#0a1B2c", "#0a1B2c\n", "https://a.example", "https://a.example/ b", "javascript:alert(1)",
             2.0, 10**30, -1, 253_402_300_799, 253_402_300_800]
        ),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
BRANDS = st.dictionaries(st.sampled_from(["name", "phone", "url", "colour", "logo"]), ANYTHING, max_size=3)


@st.composite
def bodies(draw: st.DrawFn, name: str) -> Mapping[str, object]:
    """A good body in which up to three fields are left out, replaced, or one too many."""
    body = body_of(name)
    fields = sorted(document(now=START)["components"]["schemas"][name]["properties"])
    for _ in range(draw(st.integers(1, 3))):
        field = draw(st.sampled_from([*fields, "brand", "surprise"]))
        if draw(st.booleans()):
            body[field] = draw(BRANDS | ANYTHING if field == "brand" else ANYTHING)
        else:
            body.pop(field, None)
    return body


def reasons_against(name: str, body: Mapping[str, Any]) -> list[str]:
    """Why a body is refused; none if it is taken."""
    try:
        BODIES[name].read(body)
    except BadBody as refusal:
        return [reason.partition(": ")[2] for reason in str(refusal).split("; ")]
    return []


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_refused_for_what_the_document_forbids_and_for_nothing_that_it_allows(name: str) -> None:
    oracle = validator(name)
    seen = {True: 0, False: 0}

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies(name))
    def one(body: Mapping[str, Any]) -> None:
        allowed = oracle.is_valid(body)
        seen[allowed] += 1
        told = [reason for reason in reasons_against(name, body) if not NOT_IN_THE_DOCUMENT.match(reason)]
        assert allowed == (told == []), told

    one()
    assert min(seen.values()) >= 20, seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 12345678}, "id: Input should be a valid string"),
        ({"id": "x"}, "id: String should have at least 8 characters"),
        ({"id": "x" * 65}, "id: String should have at most 64 characters"),
        ({"id": "with space"}, "id: String should match pattern '^[A-Za-z0-9_-]+$'"),
        ({"id": "abcdefgh\n"}, "id: String should match pattern '^[A-Za-z0-9_-]+$'"),
        ({"max_views": True}, "max_views: Input should be a valid integer"),
        ({"max_views": 2.0}, "max_views: Input should be a valid integer"),
        ({"max_views": "2"}, "max_views: Input should be a valid integer"),
        ({"max_views": 0}, "max_views: Input should be greater than or equal to 1"),
        ({"max_views": 21}, "max_views: Input should be less than or equal to 20"),
        ({"expires_at": 0}, "expires_at: Input should be greater than 0"),
        ({"mode": "x"}, "mode: Input should be 'path' or 'fragment'"),
        ({"mode": None}, "mode: Input should be 'path' or 'fragment'"),
        ({"display_name": "\ud800"}, "display_name: Input should be a valid string, unable to parse raw data as a "
                                     "unicode string"),
        ({"display_name": "a\tb"}, "display_name: Value error, must be one line of printable text"),
        ({"time_zone": "../../etc/passwd"}, "time_zone: Value error, not a time zone of the IANA list"),
        ({"brand": 7}, "brand: Input should be a valid dictionary or instance of BrandBody"),
        ({"brand": "x" * 81}, "brand: String should have at most 80 characters"),
        ({"brand": {"colour": "red"}}, "brand.colour: String should match pattern '^#[0-9a-fA-F]{6}$'"),
        ({"brand": {"logo": "x", "name": 1}}, "brand.name: Input should be a valid string; "
                                              "brand.(one more): unknown field"),
        ({"surprise": 1, "ref": 1}, "ref: Input should be a valid string; (one more): unknown field"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_said_by_field_without_the_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadBody) as refusal:
        CreateBody.read(body_of("CreateBody", **change))
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x" * 8}, {"id": "x" * 64}, {"max_views": 1}, {"max_views": 20}, {"expires_at": 1},
        {"expires_at": 253_402_300_799}, {"display_name": "é" * 200}, {"display_name": ""}, {"locale": "de"},
        {"ticket": "4" * 64}, {"human_check": None}, {"brand": None}, {"brand": {"name": None, "phone": "0" * 40}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_just_within_a_limit_is_taken(change: dict[str, Any]) -> None:
    assert validator("CreateBody").is_valid(body_of("CreateBody", **change))
    read = CreateBody.read(body_of("CreateBody", **change))
    for field, value in change.items():
        assert field == "brand" or getattr(read, field) == value


def test_every_missing_field_is_named_at_once() -> None:
    with pytest.raises(BadBody) as refusal:
        AlarmBody.read({})
    named = [reason.partition(": ") for reason in str(refusal.value).split("; ")]
    assert [field for field, _, _ in named] == [
        "id", "lookup", "about", "source", "display_name", "ticket", "expires_at"
    ]  # fmt: skip
    assert {what for _, _, what in named} == {"Field required"}


def test_a_body_of_many_unknown_fields_is_answered_briefly_and_repeats_none() -> None:
    hidden = secrets.token_urlsafe(9)
    with pytest.raises(BadBody) as refusal:
        CreateBody.read({f"{hidden}{number}": number for number in range(200)})
    assert len(str(refusal.value)) == MOST_LETTERS
    assert hidden not in str(refusal.value)


def test_a_brand_is_kept_as_it_always_was_so_that_a_repeat_after_an_update_is_a_repeat() -> None:
    brand = {"url": "https://a.example/ü", "name": ' Müller "IT" & \\ Söhne ', "phone": None}
    link = CreateBody.read(body_of("CreateBody", brand=brand)).to_new_link()
    assert link.brand == '{"name":"Müller \\"IT\\" & \\\\ Söhne","url":"https://a.example/ü"}'
    named = [CreateBody.read(body_of("CreateBody", brand=given)).to_new_link() for given in ("acme", {"name": "acme"})]
    assert [one.brand for one in named] == ['{"name":"acme"}'] * 2, "a name alone is the same in short"
    assert CreateBody.read(body_of("CreateBody", brand={})).to_new_link().brand == "{}"
    assert CreateBody.read(body_of("CreateBody")).to_new_link().brand is None
