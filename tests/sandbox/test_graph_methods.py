"""Methods of every kind, present and future, and the oddities of removing them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.graph_methods import Methods
from sandbox.methods import BETA_ONLY, METHOD_PERMISSIONS, METHOD_SEGMENTS, Method
from sandbox.odd_answers import NAMES, SHAPES
from sandbox.world import World
from tests.sandbox.conftest import DANA, Stage

EMIL = "emil@contoso.com"
BASE = f"users/{EMIL}/authentication"


def add(stage: Stage, kind: str, **more: Any) -> str:
    """Register a method for Emil, who has none; its id."""
    before = {one["id"] for one in stage.account(EMIL)["methods"]}
    after = stage.control("POST", f"accounts/{EMIL}/methods", kind=kind, **more)["methods"]
    return str(next(one["id"] for one in after if one["id"] not in before))


def request(stage: Stage, method: str, path: str, *, version: str = "v1.0") -> Any:
    stage.graph("GET", "organization")
    headers = {"Authorization": f"Bearer {stage.tokens['contoso']}"}
    return stage.http.request(method, f"{stage.addresses.graph}/{version}/{path}", headers=headers, timeout=10)


def path_of(kind: str, identity: str) -> str:
    segment = METHOD_SEGMENTS[kind]
    return f"{BASE}/{segment}" if segment == "qrCodePinMethod" else f"{BASE}/{segment}/{identity}"


def version_of(kind: str) -> str:
    return "beta" if METHOD_SEGMENTS[kind] in BETA_ONLY else "v1.0"


@pytest.mark.parametrize("kind", METHOD_SEGMENTS)
def test_every_kind_can_be_registered_is_listed_by_its_type_and_deleted_at_its_address(stage: Stage, kind: str) -> None:
    identity = add(stage, kind.removesuffix("AuthenticationMethod"))
    listed = stage.graph("GET", f"{BASE}/methods").json()["value"]
    assert [row["@odata.type"] for row in listed if row["id"] == identity] == [f"#microsoft.graph.{kind}"]
    assert request(stage, "DELETE", path_of(kind, identity), version=version_of(kind)).status_code == 204
    assert stage.account(EMIL)["methods"] == []


@pytest.mark.parametrize("kind", METHOD_SEGMENTS)
def test_each_kind_needs_its_own_narrow_permission_or_the_broad_one(stage: Stage, kind: str) -> None:
    identity = add(stage, kind)
    own = METHOD_PERMISSIONS[METHOD_SEGMENTS[kind]]
    others = sorted(set(METHOD_PERMISSIONS.values()) - {own})
    path, version = path_of(kind, identity), version_of(kind)
    answers = []
    for permissions in (others, [own]):
        stage.control("PATCH", "tenants/contoso", permissions=["User.Read.All", *permissions])
        stage.tokens.pop("contoso", None)
        stage.tokens["contoso"] = stage.graph_token().json()["access_token"]
        answers.append(request(stage, "DELETE", path, version=version).status_code)
    assert answers == [403, 204]


def test_some_addresses_are_unknown_to_v1(stage: Stage) -> None:
    identity = add(stage, "hardwareOath")
    answer = stage.graph("DELETE", f"{BASE}/hardwareOathMethods/{identity}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert "segment" in answer.json()["error"]["message"]
    assert len(stage.account(EMIL)["methods"]) == 1
    stage.world.record.exchanges.pop()


def test_the_address_of_a_qr_code_may_be_known_to_beta_only(stage: Stage) -> None:
    identity = add(stage, "qrCodePin")
    stage.control("POST", "habits", qr_code_in_v1=False)
    path = path_of("qrCodePinAuthenticationMethod", identity)
    assert request(stage, "DELETE", path).status_code == 400
    assert len(stage.account(EMIL)["methods"]) == 1
    assert request(stage, "DELETE", path, version="beta").status_code == 204
    assert stage.account(EMIL)["methods"] == []


def test_a_kind_of_the_future_is_listed_and_has_no_address(stage: Stage) -> None:
    identity = add(stage, "quantumRing")
    listed = stage.graph("GET", f"{BASE}/methods").json()["value"]
    assert listed[-1]["@odata.type"] == "#microsoft.graph.quantumRingAuthenticationMethod"
    for segment in ("quantumRingMethods", "quantumRingAuthenticationMethods"):
        assert stage.graph("DELETE", f"{BASE}/{segment}/{identity}").status_code == 400
        stage.world.record.exchanges.pop()
    assert len(stage.account(EMIL)["methods"]) == 1


def test_a_stuck_method_is_listed_and_cannot_be_deleted(stage: Stage) -> None:
    identity = add(stage, "microsoftAuthenticator", stuck=True)
    answer = stage.graph("DELETE", f"{BASE}/microsoftAuthenticatorMethods/{identity}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "badRequest")
    assert identity in [one["id"] for one in stage.account(EMIL)["methods"]]


@pytest.mark.parametrize(("wording", "words"), [(1, "Cannot delete default method"), (2, "current default auth")])
def test_both_wordings_for_a_default_method_can_be_heard(stage: Stage, wording: int, words: str) -> None:
    stage.control("POST", "habits", default_wording=wording)
    identity = add(stage, "fido2", default=True)
    add(stage, "softwareOath")
    answer = stage.graph("DELETE", f"{BASE}/fido2Methods/{identity}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "badRequest")
    assert words in answer.json()["error"]["message"]
    assert len(stage.account(EMIL)["methods"]) == 2


def test_in_an_unkind_world_the_wording_changes() -> None:
    methods = Methods(World(seed=2, gentle=False))
    heard = {methods._default_refusal(Method("x", "fido2AuthenticationMethod"))[:10] for _ in range(40)}
    assert len(heard) == 2


# -- odd answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", NAMES)
def test_a_fault_can_answer_in_any_odd_shape(stage: Stage, shape: str) -> None:
    stage.fault("graph", "status", match="GET /v1.0/organization", status=403, shape=shape)
    answer = stage.graph("GET", "organization")
    assert answer.status_code == 403
    if shape == "gateway":
        assert "<html>" in answer.text
    else:
        assert answer.json() == SHAPES[shape](403)
    assert stage.graph("GET", "organization").status_code == 200


@pytest.mark.parametrize("shape", NAMES)
def test_one_item_of_a_batch_can_be_answered_in_any_odd_shape(stage: Stage, shape: str) -> None:
    stage.fault("graph", "status", match=r"organization in \$batch", status=400, shape=shape)
    items = [{"id": name, "method": "GET", "url": f"/{name}"} for name in ("organization", "domains")]
    answers = {one["id"]: one for one in stage.graph("POST", "$batch", json={"requests": items}).json()["responses"]}
    assert (answers["organization"]["status"], answers["domains"]["status"]) == (400, 200)
    body = answers["organization"]["body"]
    if shape == "gateway":
        assert b"<html>" in base64.b64decode(body)
    else:
        assert body == SHAPES[shape](400)


# -- one customer's bad day -------------------------------------------------------------------------------------


def test_a_fault_can_stay_with_one_customer_until_it_is_cleared(stage: Stage) -> None:
    stage.fault("graph", "status", status=429, headers={"Retry-After": "10"}, tenant="contoso", times=0)
    for _ in range(3):
        answer = stage.graph("GET", f"users/{DANA}")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
        assert stage.graph("GET", "organization", tenant="fabrikam").status_code == 200
    stage.control("DELETE", "faults")
    assert stage.graph("GET", f"users/{DANA}").status_code == 200


def test_a_fault_of_the_token_endpoint_can_be_one_customers_too(stage: Stage) -> None:
    stage.fault("authority", "status", status=503, tenant="contoso")
    assert stage.graph_token("fabrikam").status_code == 200
    assert stage.graph_token("contoso").status_code == 503
    assert stage.graph_token("contoso").status_code == 200


@pytest.mark.parametrize("wrong", [{"system": "halo", "tenant": "contoso"}, {"system": "graph", "shape": "round"}])
def test_a_mistake_in_a_fault_is_answered_in_words(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"shape is|only graph"):
        Fault(kind="status", **wrong)
