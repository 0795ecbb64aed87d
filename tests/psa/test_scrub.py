"""What must never be in a recording, tried with hostile answers; and the recording of a whole tour."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from vcr.request import Request

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.errors import ConfigError
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.psa.connectwise_desk import CwDesk
from tests.psa.halopsa_desk import HaloDesk
from tests.psa.halopsa_make import ROOT, MovableClock
from tests.psa.recording import LISTS, adapter_of, record, recorder, secrets_of, tour, words_of
from tests.psa.scrub import AllowList, NotRecorded, Scrubber

LIST = AllowList(
    host="https://psa.example",
    keys=frozenset({"id", "name", "items", "when", "message", "customfields", "value", "access_token"}),
    plain=frozenset({"when"}),
    words=frozenset({"Password Reset"}),
    segments=frozenset({"api", "Tickets", "auth", "token"}),
    parameters=frozenset({"page", "ticket_id", "conditions"}),
    tokens=frozenset({"/auth/token"}),
)


@pytest.fixture
def scrubber() -> Scrubber:
    return Scrubber(LIST)


@pytest.fixture
def secret() -> str:
    return secrets.token_urlsafe(24)


def answer(body: object, **headers: str) -> dict[str, Any]:
    string = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {
        "status": {"code": 200, "message": "a reason"},
        "headers": {name.replace("_", "-"): [value] for name, value in headers.items()},
        "body": {"string": string},
    }


def kept(scrubber: Scrubber, body: object) -> Any:
    return json.loads(scrubber.response(answer(body))["body"]["string"])


# ---------------------------------------------------------------- requests


def test_a_request_keeps_only_named_parameters_and_headers_and_no_body(scrubber: Scrubber, secret: str) -> None:
    request = Request(
        "GET",
        f"https://user:{secret}@msp.psa-vendor.com:8443/api/Tickets/12?page=2&token={secret}&ticket_id=12#{secret}",
        secret.encode(),
        {"Authorization": f"Bearer {secret}", "clientId": secret, "Cookie": f"sid={secret}", "Accept": "text/json"},
    )
    after = scrubber.request(request)
    assert after.uri == "https://psa.example/api/Tickets/12?page=2&ticket_id=12"
    assert after.headers == {"accept": "text/json"}
    assert after.body is None
    assert secret in request.uri, "what is sent stays as it was"
    assert secret in scrubber.secrets
    assert scrubber.hosts == {"msp.psa-vendor.com"}


def test_names_in_a_condition_become_words_and_dates_too(scrubber: Scrubber) -> None:
    condition = 'name = "Dana O\'Neil" and id in (1,2) and when > [2026-11-22T09:00:00Z] and x = dana@contoso.com'
    after = scrubber.request(Request("GET", f"https://x/api/Tickets?conditions={quote(condition)}", None, {}))
    for gone in ("Dana", "Neil", "2026", "contoso"):
        assert gone not in after.uri
    again = scrubber.request(Request("GET", f"https://x/api/Tickets?conditions={quote(condition)}", None, {}))
    assert after.uri == again.uri, "the same request is found again when it is played"
    assert scrubber.request(after).uri == after.uri, "vcrpy scrubs some requests twice"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_call_that_could_change_something_is_not_sent(scrubber: Scrubber, method: str) -> None:
    with pytest.raises(NotRecorded, match="only reads"):
        scrubber.request(Request(method, "https://x/api/Tickets", b"[]", {}))


def test_a_token_may_be_fetched_and_what_was_sent_for_it_is_not_kept(scrubber: Scrubber, secret: str) -> None:
    after = scrubber.request(Request("POST", f"https://x/auth/token?tenant={secret}", f"client_secret={secret}", {}))
    assert (after.uri, after.body) == ("https://psa.example/auth/token", None)


@pytest.mark.parametrize("path", ["/api/{}", "/{}/Tickets", "/api/Tickets/{}", "/api/Tickets/../{}", "/api/%2e%2e/{}"])
def test_a_path_that_is_not_known_is_not_sent_and_not_repeated(scrubber: Scrubber, secret: str, path: str) -> None:
    with pytest.raises(NotRecorded) as refused:
        scrubber.request(Request("GET", "https://x" + path.format(secret), None, {}))
    assert secret not in str(refused.value)


# ---------------------------------------------------------------- answers


def test_keys_that_are_not_named_are_dropped_at_any_depth(scrubber: Scrubber, secret: str) -> None:
    body = {
        "id": 1,
        "AccessToken": secret,
        "items": [
            {"id": 2, "deep": {"id": secret}, "customfields": [{"name": secret, secret: secret, "pass": [secret]}]}
        ],
        secret: {"id": 3},
        "id\u200b": secret,
        "ｉｄ": secret,
    }
    after = kept(scrubber, body)
    assert secret not in json.dumps(after)
    assert after == {"id": 1, "items": [{"id": 2, "customfields": [{"name": "word1"}]}]}


def test_texts_become_placeholders_of_their_kind_the_same_for_the_same(scrubber: Scrubber) -> None:
    guid = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
    texts = [
        "Dana.O'Neil@contoso.com",
        "dana.o'neil@CONTOSO.com",
        guid,
        "https://contoso.com/x?k=1",
        "+44 20 7946 0001",
        "<b>Dana</b>",
        "Dana\nO'Neil",
        "Dana O'Neil",
        "Dana O'Neil",
        "Dana",
        "",
        "Password Reset",
        "password reset",
    ]
    after = kept(scrubber, {"items": texts})["items"]
    assert after == [
        "word1",  # not an address in the form that we know, so a word: never what it was
        "word2",
        "00000000-0000-4000-8000-000000000001",
        "https://example.com/1",
        "1001",
        "<p>text 1</p>",
        "text 1\nsecond line",
        "text 1",
        "text 1",
        "word3",
        "",
        "Password Reset",
        "text 2",
    ]
    assert kept(scrubber, {"items": ["dana@contoso.com", "DANA@contoso.com "]})["items"] == ["person1@example.com"] * 2


def test_a_sentence_of_the_psa_keeps_its_wording_and_no_name(secret: str) -> None:
    scrubber = Scrubber(replace(LIST, keys=LIST.keys | {"text", "auditType"}, worded=("text", "auditType")))
    kept(scrubber, {"items": ["Waiting", "Dana O'Neil"]})
    said = f'Status has been changed from "Waiting" to "Password Reset" by Dana O\'Neil (Zoë, 2026, {secret}, a@b.de)'
    after = kept(scrubber, {"text": said, "auditType": "x"})["text"]
    assert after.startswith('Status has been changed from "word1" to "Password Reset" by text 1 (x, 0, ')
    for gone in ("Dana", "Neil", "Zoë", "2026", secret, "@"):
        assert gone not in after
    assert kept(scrubber, {"text": "changed by Dana"}) == {"text": "text 2"}, "what a person wrote is no such sentence"


def test_a_plain_key_keeps_dates_and_versions_only(scrubber: Scrubber, secret: str) -> None:
    for text in ("2026-11-22T09:00:00.1234567Z", "2026.4", "v4_6_release/"):
        assert kept(scrubber, {"when": text}) == {"when": text}
    for text in (secret, f"2026 {secret}", "dana@contoso.com", "Zoë", "x" * 61, "2026\u200b-11-22", "<b>"):
        assert kept(scrubber, {"when": text})["when"] != text


def test_big_numbers_and_what_is_no_number_are_not_kept(scrubber: Scrubber) -> None:
    assert kept(scrubber, {"id": 442079460000}) == {"id": 0}
    assert scrubber.body(b'{"id": NaN, "items": [Infinity, 1e400]}') == b'{"id": null, "items": [null, 0]}'


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Login token=%s</html>",
        b"%s",
        b"",
        b"\xff\xfe%s",
        b"{",
        b'{"id": "%s"',
        b"[" * 5000 + b"]" * 5000,
        b"callback(%s)",
    ],
)
def test_a_body_that_is_not_json_is_dropped(scrubber: Scrubber, secret: str, body: bytes) -> None:
    after = scrubber.response(answer(body.replace(b"%s", secret.encode())))["body"]["string"]
    assert secret.encode() not in after
    assert after in (b"", b"null") or set(after) <= set(b"[]null, ")


def test_a_message_of_an_error_is_not_repeated(scrubber: Scrubber, secret: str) -> None:
    assert kept(scrubber, {"message": f"invalid key {secret} for dana@contoso.com"}) == {"message": "text 1"}


def test_only_named_headers_of_an_answer_survive_and_only_in_a_plain_form(scrubber: Scrubber, secret: str) -> None:
    after = scrubber.response(answer({}, Set_Cookie=f"sid={secret}; Path=/", X_Request_Id=secret, Date=secret))
    assert after["headers"] == {"date": ["text"]}
    assert after["status"] == {"code": 200, "message": ""}
    assert secret in scrubber.secrets, "what a cookie brought is looked for at the end"


def test_a_token_in_an_answer_becomes_a_made_up_one_and_is_looked_for_at_the_end(
    scrubber: Scrubber, secret: str
) -> None:
    assert kept(scrubber, {"access_token": secret}) == {"access_token": "made up"}
    with pytest.raises(NotRecorded, match="secret"):
        scrubber.look_once_more(json.dumps({"body": f"x{secret}x"}))


# ---------------------------------------------------------------- the last look


def refused(scrubber: Scrubber, text: str) -> str:
    with pytest.raises(NotRecorded) as refusal:
        scrubber.look_once_more(text)
    return str(refusal.value)


@pytest.mark.parametrize(
    "dress",
    [
        pytest.param(lambda secret: secret, id="plain"),
        pytest.param(lambda secret: secret.upper(), id="capitals"),
        pytest.param(lambda secret: quote(quote(secret, safe=""), safe="").replace("%25", "%"), id="percent"),
        pytest.param(lambda secret: "".join(f"%{ord(one):02x}" for one in secret), id="every letter in percent"),
        pytest.param(lambda secret: "".join(f"&#{ord(one)};" for one in secret), id="entities"),
        pytest.param(lambda secret: "\u200b".join(secret), id="invisible"),
        pytest.param(lambda secret: "".join(chr(ord(one) + 0xFEE0) for one in secret), id="full width"),
        pytest.param(lambda secret: base64.b64encode(f"company+public:{secret}".encode()).decode(), id="basic"),
        pytest.param(lambda secret: base64.b64encode(f"x{secret}y".encode()).decode(), id="base64, one off"),
        pytest.param(lambda secret: base64.b64encode(f"xy{secret}z".encode()).decode(), id="base64, two off"),
        pytest.param(lambda secret: secret.encode().hex(), id="hexadecimal"),
        pytest.param(lambda secret: secret[::-1], id="backwards"),
        pytest.param(lambda secret: secret[:5] + "\n" + secret[5:], id="cut in two"),
        pytest.param(lambda secret: json.dumps(json.dumps({"a": secret})), id="JSON in JSON"),
    ],
)
def test_a_known_secret_is_found_in_any_dress(scrubber: Scrubber, dress: Any) -> None:
    secret = "kleiner-Garten" + secrets.token_hex(3)  # a short one that does not look random
    scrubber.secrets.add(secret)
    said = refused(scrubber, json.dumps({"interactions": [{"body": {"string": dress(secret)}}]}, ensure_ascii=False))
    assert "secret" in said
    assert secret not in said


@pytest.mark.parametrize(
    ("left", "what"),
    [
        ("dana@contoso.com", "e-mail"),
        ("dana%40contoso.com", "e-mail"),
        ("dana&#64;contoso.com", "e-mail"),
        ("dana＠contoso.com", "e-mail"),
        ("dana@notexample.com", "e-mail"),
        ("dana@example.com.contoso.com", "e-mail"),
        ("https://portal.contoso.com/x", "web address"),
        ("https://psa.example@contoso.com/", "e-mail"),
        ("eyJhbGciOi", "random"),
        ("6f9619ff-8b86-d011-b42d-00cf4fc964ff", "GUID"),
        ("msp.psa-vendor.com", "server"),
    ],
)
def test_what_points_at_somebody_is_refused(scrubber: Scrubber, left: str, what: str) -> None:
    scrubber.hosts.add("msp.psa-vendor.com")
    assert what in refused(scrubber, json.dumps({"body": f"see {left} now"}, ensure_ascii=False))


@pytest.mark.parametrize(
    "make", [secrets.token_urlsafe, secrets.token_hex, lambda size: secrets.token_urlsafe(size) + "=="]
)
def test_a_long_random_string_is_refused(scrubber: Scrubber, make: Any) -> None:
    for _ in range(50):
        assert "random" in refused(scrubber, json.dumps({"body": f"name={make(24)}"}))


def test_what_a_recording_is_made_of_passes(scrubber: Scrubber) -> None:
    scrubber.hosts.add("127.0.0.1")
    scrubber.look_once_more(json.dumps({
        "a": "person1@example.com", "b": "https://psa.example/api/Tickets/12?page=2",
        "c": "2026-11-22T09:00:00.1234567Z",
        "d": "00000000-0000-4000-8000-000000000001", "e": "autoapproveforapprovalrequestor_and_a_long_key_of_words",
        "f": "application/vnd.connectwise.com+json; version=2026.4", "g": "<p>text 1</p>",
    }))  # fmt: skip


# ---------------------------------------------------------------- the lists


@pytest.mark.parametrize("kind", sorted(LISTS))
def test_nothing_that_holds_a_secret_is_on_a_list(kind: str) -> None:
    allowed = LISTS[kind]
    assert not allowed.keys & {"client_secret", "refresh_token", "password", "privateKey", "publicKey", "cookie"}
    assert not (allowed.sent | allowed.received) & {"authorization", "cookie", "set-cookie", "clientid"}
    assert allowed.plain <= allowed.keys
    assert "tenant" not in allowed.parameters


def test_addresses_in_a_mapping_are_no_words(tmp_path: Path) -> None:
    mapping = {
        "statuses": {"closed": "Closed"},
        "hand_off": {"owner": "anna@contoso.com"},
        "requests": [{"board": "A b"}],
    }
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    words = words_of(tmp_path / "mapping.yaml")
    assert {"Closed", "A b", "board"} <= words
    assert not any("@" in word for word in words)


def test_every_secret_of_a_section_is_known_beforehand(secret: str) -> None:
    section = {
        "company": "msp",
        "public_key": "pub-12345",
        "private_key": {"env": "KEY"},
        "push": {"token": {"env": "KEY"}},
    }
    found = set(secrets_of(section, Place(folder=Path(), production=False, environ={"KEY": secret})))
    assert found == {"msp", "pub-12345", secret, base64.b64encode(f"msp+pub-12345:{secret}".encode()).decode()}


# ---------------------------------------------------------------- a whole tour, against the imitation


@pytest.fixture(scope="module")
def imitation() -> Iterator[tuple[World, Addresses]]:
    world = World(gentle=True)
    with running(world) as addresses:
        yield world, addresses


Section = dict[str, object]


@pytest.fixture(params=["halopsa", "connectwise"])
def asked(imitation: tuple[World, Addresses], request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Section, str]:
    """The section of an imitated PSA, and an approved ticket in it."""
    world, addresses = imitation
    world.reset()
    known, clock = world.credentials, MovableClock()
    mapping = (ROOT / "mappings" / f"{request.param}.yaml").read_text(encoding="utf-8")
    (tmp_path / "mapping.yaml").write_text(mapping, encoding="utf-8")
    section: Section
    desk: HaloDesk | CwDesk
    if request.param == "halopsa":
        desk = HaloDesk(world, addresses, clock)
        secret = known.halo_client_secret
        section = {"url": addresses.halo, "client_id": known.halo_client_id, "client_secret": {"file": "psa.secret"}}
    else:
        desk = CwDesk(world, addresses, clock)
        secret = known.connectwise_private_key
        section = {
            "url": addresses.connectwise,
            "company": known.connectwise_company,
            "public_key": known.connectwise_public_key,
            "private_key": {"file": "psa.secret"},
            "client_id": known.connectwise_client_id,
        }
    (tmp_path / "psa.secret").write_text(secret)
    ticket = desk.add_ticket(subject="dana@contoso.com", reason="Dana's phone is +44 20 7946 0001")
    desk.approve(ticket, comment="spoke to Dana")
    return {"kind": request.param, "mapping": "mapping.yaml", **section}, ticket


def around(folder: Path) -> Surroundings:
    place = Place(folder=folder, production=False, environ={})
    return Surroundings(place=place, http=HttpSection(), clock=MovableClock())


def test_a_tour_is_recorded_without_a_name_and_can_be_played(asked: tuple[Section, str], tmp_path: Path) -> None:
    section, ticket = asked
    file = tmp_path / "tour.json"
    told = record("psa", section, around(tmp_path), ticket=ticket, file=file)
    assert told[-1] == f"read {ticket} again: approved"
    written = file.read_text(encoding="utf-8")
    secret = set(secrets_of(section, around(tmp_path).place)) - {"msp"}
    for gone in ("contoso", "Dana", "Anna", "7946", "/msp", str(section["url"]), *secret):
        assert gone not in written
    assert "Password Reset" in written

    allowed = LISTS[str(section["kind"])]
    psa = adapter_of("psa", {**section, "url": allowed.host}, around(tmp_path))
    scrubber = Scrubber(replace(allowed, words=words_of(tmp_path / "mapping.yaml")))
    with recorder(file, scrubber, recording=False) as playing:
        played = list(tour(psa, ticket))
        assert playing.all_played
    assert played == told, "everything that the adapter reads is on the list"


def test_what_is_left_in_a_tour_stops_its_recording(asked: tuple[Section, str], tmp_path: Path) -> None:
    section, ticket = asked
    file = tmp_path / "tour.json"
    allowed = LISTS[str(section["kind"])]
    scrubber = Scrubber(replace(allowed, words=frozenset({"dana@contoso.com"})))  # an admin who lets too much through
    psa = adapter_of("psa", section, around(tmp_path))
    with pytest.raises(NotRecorded, match="e-mail"), recorder(file, scrubber, recording=True):
        list(tour(psa, ticket))
    assert not file.exists()


def test_a_kind_that_is_not_recorded_this_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="halopsa"):
        record("rt", {"kind": "requesttracker"}, around(tmp_path), ticket="1", file=tmp_path / "tour.json")
