"""What real ConnectWise servers and public fixtures said fits our reading of the contract; the sandbox says it alike.

Their sources: tests/samples/connectwise/SOURCES.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.connectwise_deliveries import signature_of
from tests.contract_check import check_exchange, specs_or_skip
from tests.sandbox.conftest import Stage

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "connectwise"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ticket.django-connectwise", "/service/tickets/69"),
        ("notes.django-connectwise", "/service/tickets/69/notes"),
        ("statuses.django-connectwise", "/service/boards/1/statuses"),
        ("types.django-connectwise", "/service/boards/1/types"),
        ("contacts.django-connectwise", "/company/contacts"),
        ("contact-types.django-connectwise", "/company/contacts/types"),
        ("member.django-connectwise", "/system/members/176"),
        ("callback-created.amp-labs", "/system/callbacks/26552"),
        ("custom-fields.amp-labs", "/system/userDefinedFields"),
    ],
)
def test_a_body_of_others_fits_the_contract_as_we_read_it(name: str, path: str) -> None:
    spec = specs_or_skip()["connectwise"]
    exchange = {
        "system": "connectwise",
        "method": "GET",
        "path": f"/v4_6_release/apis/3.0{path}",
        "query": {},
        "request_body": None,
        "status": 200,
        "response_body": sample(name),
    }
    # Older builds nest whole records where the description has references, so properties may be more, never wrong.
    wrong = [problem for problem in check_exchange(spec, exchange) if "which is not described" not in problem]
    assert wrong == []
    body: Any = exchange["response_body"]
    first = body[0] if isinstance(body, list) else body
    spoilt = first | {"id": "seven"}
    problems = check_exchange(spec, exchange | {"response_body": [spoilt] if isinstance(body, list) else spoilt})
    assert any("'seven' is not of type" in problem for problem in problems), "the check would have seen it"


def test_the_sandbox_s_ticket_has_no_property_that_real_ones_lack(stage: Stage) -> None:
    """Besides those that came after the fixture's old build."""
    ours = stage.connectwise("GET", f"service/tickets/{stage.connectwise_ticket()}").json()
    real = sample("ticket.django-connectwise")
    newer = {"slaStatus", "requestForChangeFlag", "hasMergedChildTicketFlag", "estimatedExpenseCost"}
    assert set(ours) - set(real) == newer
    assert real["approved"] is ours["approved"] is True
    assert set(ours["_info"]) - set(real["_info"]) == {"enteredBy"}
    assert set(ours["customFields"][0]) == set(real["customFields"][0])


def test_the_sandbox_registers_a_real_request_and_answers_as_the_real_server_did(stage: Stage) -> None:
    request, answer = sample("callback-request.amp-labs"), sample("callback-created.amp-labs")
    ours = stage.connectwise("POST", "system/callbacks", json=request).json()
    assert set(answer) - set(ours) == {"connectWiseID"}
    assert {key: ours[key] for key in ("objectId", "type", "level", "payloadVersion", "isSoapCallbackFlag")} == {
        key: answer[key] for key in ("objectId", "type", "level", "payloadVersion", "isSoapCallbackFlag")
    }
    assert stage.connectwise("POST", "system/callbacks", json=request).json() == sample("callback-exists.amp-labs")
    wrong = request | {"url": "no url", "level": "no level"}
    assert stage.connectwise("POST", "system/callbacks", json=wrong).json() == sample("callback-invalid.amp-labs")
    assert stage.connectwise("DELETE", "system/callback/1").json() == sample("error-no-endpoint.amp-labs")


@pytest.mark.parametrize("action", ["updated", "deleted"])
def test_a_delivery_has_the_properties_of_a_real_one(stage: Stage, action: str) -> None:
    number = stage.connectwise_ticket()
    stage.connectwise("POST", "system/callbacks", json=sample("callback-request.amp-labs"))
    world = stage.world
    callback = next(iter(world.connectwise.callbacks.values()))
    delivery = world.deliveries.send(callback, number, action, "TinaT")
    assert delivery.outcome == "lost", "there is no event loop in this thread"
    ours = json.loads(world.deliveries.body_of(callback, delivery, "TinaT"))
    real = sample(f"message-contact-{action}.amp-labs")
    assert set(ours) == set(real)
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in real.items()}
    assert set(ours["Metadata"]) == set(real["Metadata"])
    assert "//system/callbackkey/index.rails?companyName=" in ours["Metadata"]["key_url"]
    assert "//system/callbackkey/index.rails?companyName=" in real["Metadata"]["key_url"]


def test_the_company_information_has_the_properties_of_both_published_ones(stage: Stage) -> None:
    ours = stage.http.get(f"{stage.addresses.connectwise}/login/companyinfo/msp", timeout=10).json()
    for name in ("developer-guide", "django-connectwise"):
        assert set(ours) == set(sample(f"companyinfo.{name}"))


def test_a_throttled_call_has_the_published_shape(stage: Stage) -> None:
    stage.control("POST", "limits", connectwise_requests=1, connectwise_window_seconds=30)
    stage.connectwise("GET", "system/info")
    assert stage.connectwise("GET", "system/info").json() == sample("error-429.developer-guide")


def test_the_guide_s_own_patch_is_taken_but_for_fields_that_are_not_here(stage: Stage) -> None:
    operations = sample("patch-ticket.developer-guide")
    number = stage.connectwise_ticket()
    summary, company, fields = operations
    assert stage.connectwise("PATCH", f"service/tickets/{number}", json=[summary]).json()["summary"] == "New Summary"
    company["value"] = {"identifier": "Fabrikam"}
    fields["value"] = [entry | {"id": 41} for entry in fields["value"][1:]]
    answer = stage.connectwise("PATCH", f"service/tickets/{number}", json=[company, fields]).json()
    assert (answer["company"]["id"], answer["customFields"][0]["value"]) == (260, "test")


def test_a_signature_is_what_the_guide_says() -> None:
    """A fixed case, worked out by hand with openssl: no key of anybody's."""
    body, key = b'{"Action":"updated","ID":7}', "not-a-real-key"
    assert signature_of(body, key) == "2WxUphr65UIxA9V/VzQUnNAeXL2x3ZyudgVWpnypLlw="
