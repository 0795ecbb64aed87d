"""The same promises as in `test_requesttracker`, kept against recorded answers of a real server.

Nothing is sent: a call that was not recorded fails the test. `make record` makes the recordings anew; it needs Request
Tracker (see `scripts/record_requesttracker.py`).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from vcr.request import Request

from connector.psa.requesttracker.adapter import RequestTracker
from tests.e2e.request_tracker import (
    ADMIN,
    APPROVER,
    CONNECTOR,
    CONNECTOR_IN_COPENHAGEN,
    HELPDESK,
    OTHER_APPROVER,
    OUTSIDER,
    Desk,
    Server,
    running_request_tracker,
)
from tests.psa.requesttracker_cassettes import (
    FOLDER,
    RECORDED_URL,
    cassette,
    look_once_more,
    path_of,
    scrub_request,
    scrub_response,
)
from tests.psa.requesttracker_desk import (
    STATUSES,
    RequestTrackerContract,
    RequestTrackerDesk,
    Wire,
    WiredSurroundings,
    wait_for_the_next_second,
)
from tests.psa.requesttracker_oddities import Build, Oddities, build_adapter
from tests.psa.scrub import JsonFiles

RECORDING = os.environ.get("RECORD_REQUESTTRACKER") == "1"
PEOPLE = (CONNECTOR, CONNECTOR_IN_COPENHAGEN, HELPDESK, APPROVER, OTHER_APPROVER, OUTSIDER, ADMIN)


@pytest.fixture(scope="module")
def recorded_server() -> Iterator[Server | None]:
    """The server to record from; none where the recordings are played."""
    if not RECORDING:
        yield None
        return
    with running_request_tracker(workers=1) as server:
        yield server


@pytest.fixture
def address(recorded_server: Server | None) -> str:
    if recorded_server is None:
        return RECORDED_URL
    recorded_server.reset()
    return recorded_server.base_url


@pytest.fixture
def tokens(recorded_server: Server | None) -> Mapping[str, str]:
    return recorded_server.tokens if recorded_server else {name: secrets.token_hex(16) for name in PEOPLE}


class TestOdditiesFromCassettes(Oddities):
    @pytest.fixture
    def desk(self, address: str, tokens: Mapping[str, str], request: pytest.FixtureRequest) -> Iterator[Desk]:
        with cassette(path_of("oddities", request.node.name), record=RECORDING) as playing:
            yield Desk(address, tokens)
            assert RECORDING or playing.all_played

    @pytest.fixture
    def build(self, address: str, tokens: Mapping[str, str], tmp_path: Path) -> Build:
        def build(user: str | None = CONNECTOR, **changed: Any) -> RequestTracker:
            return build_adapter(tmp_path, address, tokens[user] if user else secrets.token_hex(16), **changed)

        return build


class TestContractFromCassettes(RequestTrackerContract):
    @pytest.fixture
    def desk(
        self, address: str, tokens: Mapping[str, str], tmp_path: Path, request: pytest.FixtureRequest
    ) -> Iterator[RequestTrackerDesk]:
        wire = Wire()
        around = partial(WiredSurroundings, wire=wire)
        with cassette(path_of("contract", request.node.name), record=RECORDING) as playing:
            yield RequestTrackerDesk(
                Desk(address, tokens),
                wire,
                lambda **changed: build_adapter(
                    tmp_path, address, tokens[CONNECTOR], around=around, **{"statuses": STATUSES, **changed}
                ),
                wait_for_the_next_second if RECORDING else lambda: None,
            )
            assert RECORDING or playing.all_played


# ---------------------------------------------------------------- what is kept


def hostile_request(secret: str) -> Request:
    return Request(
        "POST",
        f"https://user:{secret}@rt.example:8443/REST/2.0/ticket/1/comment?token={secret}&query=id+%3D+1&password={secret}",
        json.dumps({"Subject": "kept", "Password": secret, "CustomFields": {"Target user": "kept", "PIN": secret}}),
        {"Authorization": f"token {secret}", "Cookie": secret, "X-Api-Key": secret, "Content-Type": "application/json"},
    )


def test_a_recorded_request_keeps_only_what_is_named() -> None:
    secret = secrets.token_hex(16)
    request = hostile_request(secret)
    kept = scrub_request(request)

    everything = f"{kept.uri} {kept.headers} {kept.body!r}"
    assert secret not in everything
    assert kept.uri == "http://rt.example/REST/2.0/ticket/1/comment?query=id+%3D+1"
    assert json.loads(kept.body) == {"Subject": "kept", "CustomFields": {"Target user": "kept"}}
    assert set(kept.headers) == {"Content-Type"}
    assert secret in request.uri  # what is sent stays as it was


def test_a_recorded_answer_keeps_only_what_is_named() -> None:
    secret = secrets.token_hex(16)
    body = {
        "items": [{"id": "1", "AuthToken": secret, "Creator": {"id": "anna", "Password": secret, "_url": secret}}],
        "next_page": f"http://rt.example/?token={secret}",
        "_hyperlinks": [{"ref": "self", "id": secret}, {"ref": "depends-on", "id": "2", "_url": secret}],
    }
    kept = scrub_response(
        {
            "status": {"code": 200, "message": secret},
            "headers": {
                "Set-Cookie": [secret],
                "X-Request-Id": [secret],
                "Date": [secret],
                "ETag": ['"62"'],
                "Location": [f"https://{secret}.example.com/REST/2.0/transaction/9?token={secret}"],
            },
            "body": {"string": json.dumps(body).encode()},
        }
    )

    assert secret not in repr(kept)
    assert kept["headers"] == {"ETag": ['"62"'], "Location": ["/REST/2.0/transaction/9"]}
    assert json.loads(kept["body"]["string"]) == {
        "items": [{"id": "1", "Creator": {"id": "anna"}}],
        "_hyperlinks": [{"ref": "depends-on", "id": "2"}],
    }


@pytest.mark.parametrize("body", [b"<html>Login token=%s</html>", b"", b"\xff\xfe", b"{"])
def test_a_body_that_is_not_json_is_dropped(body: bytes) -> None:
    answer = {"status": {"code": 500, "message": ""}, "headers": {}, "body": {"string": body}}
    assert scrub_response(answer)["body"]["string"] == b""


def test_an_address_that_is_not_known_is_not_recorded() -> None:
    secret = secrets.token_hex(16)
    for path in (f"/NoAuth/Login/{secret}", f"/REST/2.0/ticket/{secret}/x", "/REST/2.0/../../etc"):
        with pytest.raises(ValueError, match="not recorded") as refused:
            scrub_request(Request("GET", f"http://rt.example{path}", None, {}))
        assert secret not in str(refused.value)


@pytest.mark.parametrize("value", [f"1-14-{'0a' * 16}", "Authorization: token 1-14-00", "Bearer abc"])
def test_what_looks_like_a_token_stops_a_recording(value: str) -> None:
    with pytest.raises(ValueError, match="looks like a token"):
        look_once_more(JsonFiles.serialize({"interactions": [{"response": {"body": {"string": value}}}]}))


def test_the_recordings_hold_no_header_but_the_named_ones() -> None:
    recordings = sorted(FOLDER.rglob("*.json"))
    assert recordings
    for recording in recordings:
        for exchange in json.loads(recording.read_text(encoding="utf-8"))["interactions"]:
            assert {name.lower() for name in exchange["request"]["headers"]} <= {"content-type", "accept", "if-match"}
            assert {name.lower() for name in exchange["response"]["headers"]} <= {"content-type", "etag", "location"}
            assert exchange["request"]["uri"].startswith(RECORDED_URL + "/REST/2.0/")
