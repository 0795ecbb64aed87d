"""HaloPSA's webhooks: a push proves itself by HTTP Basic, and only ticket numbers are taken from it."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ports import Push
from connector.core.secret import Secret
from connector.errors import PushRefused
from connector.psa.halopsa.push import LARGEST, MOST_TICKETS, PushSection, heard
from tests.psa.halopsa_server import SAMPLES

PASSWORD = secrets.token_urlsafe(24)
PROOF = PushSection.model_construct(username="halo", password=Secret(PASSWORD))
WHERE = "psa.halo"


def basic(username: str, password: str, *, scheme: str = "Basic") -> dict[str, str]:
    return {"authorization": f"{scheme} {base64.b64encode(f'{username}:{password}'.encode()).decode()}"}


def push(body: object, headers: dict[str, str] | None = None) -> Push:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Push(headers=basic("halo", PASSWORD) if headers is None else headers, body=raw)


def event(object_id: object = 4242, **more: Any) -> dict[str, Any]:
    """As HaloPSA sends it with *event information only*."""
    return {
        "id": "8e25bc7b-e07e-4102-9398-5d6647e1e79d",
        "webhook_id": "53232637-7724-4a19-b126-3c7267a292aa",
        "event": "ticket status changed",
        "object_id": object_id,
        "agent_id": 3,
        "timestamp": "2026-09-25T06:41:08.7895915Z",
        **more,
    }


def test_a_true_push_names_its_ticket() -> None:
    body = (SAMPLES / "webhook-ticket-status-changed.live-2026-09.json").read_bytes()
    assert heard(PROOF, push(body), where=WHERE) == ("4242",)


@pytest.mark.parametrize(
    ("body", "tickets"),
    [
        (event(), ("4242",)),
        (event("0004242"), ("4242",)),
        (event(4242.0), ("4242",)),
        (event(None, ticket={"id": 4243}), ("4243",)),
        ({"ticket_id": 4244}, ("4244",)),
        ([event(4242), event(4243), event(4242)], ("4242", "4243")),
        ({"events": [event(4242), event(4243)]}, ("4242", "4243")),
        ({"batch": {"events": [event()]}}, ()),
        (event(True), ()),
        (event(-1), ()),
        (event(LARGEST), ()),
        (event("4242; drop"), ()),
        ({"id": 4242}, ()),
        ({}, ()),
        ([], ()),
        ("4242", ()),
        (b"", ()),
        (b"\xff{", ()),
        (b"<ticket>4242</ticket>", ()),
    ],
)
def test_only_numbers_of_tickets_are_taken_from_any_shape_of_body(body: object, tickets: tuple[str, ...]) -> None:
    assert heard(PROOF, push(body), where=WHERE) == tickets


def test_without_a_configured_proof_nothing_of_a_push_is_read() -> None:
    assert heard(None, push(event()), where=WHERE) == ()
    assert heard(None, push(event(), headers={}), where=WHERE) == ()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Basic"},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic aGFsbzo="},
        basic("halo", ""),
        basic("halo", PASSWORD[:-1]),
        basic("halo", PASSWORD + " "),
        basic("Halo", PASSWORD),
        basic("", PASSWORD),
        basic("halo:", PASSWORD),
        basic("halo", PASSWORD, scheme="Bearer"),
        {"x-authorization": basic("halo", PASSWORD)["authorization"]},
    ],
)
def test_a_push_without_the_right_name_and_password_is_refused_and_shows_neither(headers: dict[str, str]) -> None:
    with pytest.raises(PushRefused) as caught:
        heard(PROOF, push(event(), headers), where=WHERE)
    assert PASSWORD not in str(caught.value)
    assert "psa.halo.push" in str(caught.value)


def test_the_scheme_may_be_written_in_any_case() -> None:
    assert heard(PROOF, push(event(), basic("halo", PASSWORD, scheme="BASIC")), where=WHERE) == ("4242",)


def test_a_batch_makes_us_look_at_so_many_tickets_and_no_more() -> None:
    found = heard(PROOF, push([event(number) for number in range(1, 1000)]), where=WHERE)
    assert found == tuple(str(number) for number in range(1, MOST_TICKETS + 1))


def test_a_body_nested_without_end_is_no_error() -> None:
    deep = b'{"a":[' * 50_000
    assert heard(PROOF, push(deep), where=WHERE) == ()
    assert heard(PROOF, push([[[[[[[event()]]]]]]]), where=WHERE) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["object_id", "ticket", "id", "x"]), inner),
)


@given(body=JSON)
def test_whatever_comes_only_digits_come_out(body: object) -> None:
    found = heard(PROOF, push(body), where=WHERE)
    assert all(number.isascii() and number.isdigit() for number in found)


@given(body=st.binary())
def test_no_bytes_are_an_error(body: bytes) -> None:
    heard(PROOF, push(body), where=WHERE)
