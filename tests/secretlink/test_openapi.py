"""The document of the API: valid, complete, and what the service really does."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Route

from connector.secretlink.service.api.keys import Scope, new_key
from connector.secretlink.service.api.openapi import OPERATIONS, document
from tests.own_venv import make_venv, run_in
from tests.secretlink.running import running
from tests.secretlink.support import START, Answer, Browser, FakeClock, encode, make_link, new_nonce, options_for
from tests.secretlink.test_api import make_alarm
from tests.secretlink.test_keys import hashed, service

SCRIPT = Path(__file__).parent / "schemathesis_run.py"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(now=START)


def test_the_document_is_a_valid_one(described: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described).validate()
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    broken = json.loads(json.dumps(described))
    broken["paths"]["/api/v1/links"]["post"]["responses"] = "none"
    assert not OpenAPIV31SpecValidator(broken).is_valid()


def test_it_is_served_to_everybody_and_says_which_key_opens_what(browser: Browser) -> None:
    answer = browser.get("/api/v1/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["openapi"].startswith("3.1")
    for ways in answer.json()["paths"].values():
        for operation in ways.values():
            told = [scope for scope in Scope if f"`{scope}`" in operation.get("description", "")]
            assert len(told) == (0 if operation["operationId"] == "describeApi" else 1)
            assert (operation.get("security") == []) == (not told)


def test_every_address_of_the_api_is_in_it_and_the_other_way_round(app: Starlette, described: dict[str, Any]) -> None:
    routed = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in route.methods or ()
        if method != "HEAD"
    }
    told = {(path, method) for path, ways in described["paths"].items() for method in ways}
    assert routed == told
    assert len(told) == len(OPERATIONS)


def test_the_examples_are_still_taken_when_the_service_has_run_for_long(browser: Browser, clock: FakeClock) -> None:
    for hours in (0, 1, 24 * 40, -24 * 40):  # and when its clock is set back
        clock.advance(hours=hours, minutes=5)
        described = browser.get("/api/v1/openapi.json")
        assert browser.get("/api/v1/openapi.json").body == described.body
        for path in ("/links", "/alarms"):
            content = described.json()["paths"][f"/api/v1{path}"]["post"]["requestBody"]["content"]["application/json"]
            assert browser.api("POST", path, content["example"]).status == 201


def test_the_examples_are_taken_as_they_stand(browser: Browser) -> None:
    paths = browser.get("/api/v1/openapi.json").json()["paths"]
    for path in ("/links", "/alarms"):
        content = paths[f"/api/v1{path}"]["post"]["requestBody"]["content"]["application/json"]
        assert browser.api("POST", path, content["example"]).status == 201
        assert browser.api("POST", path, content["example"] | {"id": "x"}).status == 422


class Watched:
    """Calls the API and holds every answer against the document."""

    def __init__(self, browser: Browser, described: dict[str, Any]) -> None:
        self._browser = browser
        self._described = described
        self.seen: set[tuple[str, int]] = set()

    def call(
        self, operation_id: str, path: str, content: object | None = None, *, key: str | None = None
    ) -> Answer:  # fmt: skip
        operation = next(one for one in OPERATIONS if one.id == operation_id)
        return self.check(operation_id, self._browser.api(operation.method, path, content, key=key))

    def check(self, operation_id: str, answer: Answer) -> Answer:
        operation = next(one for one in OPERATIONS if one.id == operation_id)
        told = self._described["paths"][operation.path][operation.method.lower()]["responses"]
        assert str(answer.status) in told, f"{operation_id} does not tell of {answer.status}"
        kind, _, _ = answer.headers["content-type"].partition(";")
        schema = told[str(answer.status)]["content"][kind]["schema"]
        whole = {"components": self._described["components"], **schema}
        OAS31Validator(whole).validate(answer.json())
        for name in told[str(answer.status)].get("headers", {}):
            assert name.lower() in answer.headers
        self.seen.add((operation_id, answer.status))
        return answer


def test_every_answer_that_it_tells_of_is_given_and_fits(
    database: str, pepper: bytes, clock: FakeClock, described: dict[str, Any]
) -> None:
    every, none = new_key("every"), new_key("none")
    app = service(
        database, pepper, clock, hashed(every, name="every"), hashed(none, name="none", scopes=frozenset())
    )  # fmt: skip
    browser = Browser(app, clock, every)
    watched = Watched(browser, described)
    link, alarm = make_link(), make_alarm()
    body = link.to_body(human_check=encode(secrets.token_bytes(32)), brand={"name": "Contoso"})
    paths = {
        "createLink": ("/links", body), "listLinks": ("/links", None),
        "showLink": (f"/links/{link.terms.link_id}", None), "revokeLink": (f"/links/{link.terms.link_id}/revoke", None),
        "armAlarm": ("/alarms", alarm), "readEvents": ("/events", None), "describeApi": ("/openapi.json", None),
    }  # fmt: skip
    other = make_link()
    browser.create(other)
    browser.reveal(other, nonce=new_nonce())
    for name, (path, content) in paths.items():
        first = watched.call(name, path, content)
        watched.call(name, path, content)
        assert first.status == (201 if content else 200)
        watched.call(name, f"{path}?surprise=1" if content is None else path, {"surprise": 1} if content else None)
        watched.call(name, path, content, key="x")
        watched.call(name, path, content, key=none)
        if content is not None:
            watched.call(name, path, content | {"display_name": "Somebody Else"})
            watched.call(name, path, content | {"display_name": "x" * 20_000})
            watched.check(
                name, browser.send("POST", f"/api/v1{path}", headers={"authorization": f"Bearer {every}"}, body=b"{}")
            )
    watched.call("showLink", "/links/lnk_never-made")
    watched.call("revokeLink", "/links/lnk_never-made/revoke")
    app.state.vault.engine.dispose()
    Path(database.removeprefix("sqlite:///")).write_bytes(b"not a database at all" * 100)
    for suffix in ("-wal", "-shm"):
        Path(database.removeprefix("sqlite:///") + suffix).unlink(missing_ok=True)
    for name, (path, content) in paths.items():
        watched.call(name, path, content)
    app.state.vault.close()
    told = {
        (operation["operationId"], int(status))
        for ways in described["paths"].values()
        for operation in ways.values()
        for status in operation["responses"]
    }
    not_shown = {status for _, status in told - watched.seen}
    assert not_shown == {500}
    # Every operation but these wants `surprise` in its query; a body is refused for what is in it.
    assert ("revokeLink", 422) in watched.seen


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_schemathesis_finds_nothing_that_the_document_does_not_tell(
    database: str, pepper: bytes, clock: FakeClock, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = make_venv(tmp_path_factory.mktemp("venv"), "schemathesis>=4.32,<5")
    key = new_key("fuzzer")
    options = options_for(database, pepper, "", api_keys=(), hashed_keys=(hashed(key),))
    wish = {"key": key, "folder": str(tmp_path), "examples": 20, "seed": secrets.randbelow(2**32)}
    with running(options, clock=clock) as url:
        found = run_in(python, SCRIPT, wish | {"url": f"{url}/api/v1/openapi.json"})
    assert (found["failures"], found["errors"]) == ([], []), found["output"]
    assert found["operations"] >= len(OPERATIONS) - 1  # the document itself is not tried
    assert found["calls"] > 300
