"""Callbacks: what a message has to prove, what it may never make us do, and how ours are registered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import responses

from connector.core.ports import Push
from connector.errors import ConfigError, PermanentError, PushRefused, TemporaryError
from connector.psa.connectwise.adapter import CallbackSection, ConnectWise
from connector.psa.connectwise.push import KEY_REMEMBERED, MOST_FETCHES_A_MINUTE, callback_url
from sandbox.connectwise_deliveries import signature_of
from tests.psa.connectwise_desk import CwDesk, House, open_desk
from tests.psa.connectwise_desk import house as make_house
from tests.psa.connectwise_make import changed_mapping
from tests.psa.connectwise_server import HOST, Server, sample

SITE = "https://eu.myconnectwise.net"
KEY_ID = "e17e6674-42f6-4105-9cff-4cd6cb4e62e8"
KEY_URL = f"{SITE}/v2026_1//system/callbackkey/index.rails"


class Site:
    """A site with one signing key."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.signing_key = secrets.token_urlsafe(24)
        self.answers = server.mock.get(KEY_URL, json={"signing_key": self.signing_key})
        self.psa = server.psa()

    def body(self, **changes: Any) -> dict[str, Any]:
        message = sample("message-contact-updated.amp-labs.json")
        key_url = f"{KEY_URL}?companyName=msp&id={KEY_ID}"
        own = {"Type": "ticket", "ID": 4242, "CompanyId": "msp", "Metadata": {"key_url": key_url}}
        return {**message, **own, **changes}

    def push(self, key: str | None = None, *, tamper: bytes = b"", **changes: Any) -> Push:
        raw = json.dumps(self.body(**changes), indent=1).encode()
        return Push(
            {"x-content-signature": signature_of(raw, key or self.signing_key)}, {"recordId": "7"}, raw + tamper
        )

    def calls(self) -> list[str]:
        return [call.request.url or "" for call in self.server.mock.calls]


@pytest.fixture
def site() -> Iterator[Site]:
    with responses.RequestsMock() as mock:
        yield Site(Server(mock))


# ---------------------------------------------------------------- a message


def test_a_signed_message_names_the_ticket_that_its_body_names(site: Site) -> None:
    assert site.psa.heard(site.push()) == ("4242",)
    assert site.psa.heard(site.push(Action="deleted", Entity=None)) == ("4242",)


def test_the_signature_is_a_mac_over_the_raw_bytes_keyed_with_a_hash_of_the_key(site: Site) -> None:
    """Written out once more, so that sandbox and adapter cannot share a mistake. Source: developer guide."""
    raw = json.dumps(site.body()).encode()
    key = hashlib.sha256(site.signing_key.encode()).digest()
    signature = base64.b64encode(hmac.new(key, raw, hashlib.sha256).digest()).decode()
    assert site.psa.heard(Push({"x-content-signature": signature}, {}, raw)) == ("4242",)


def test_a_message_about_another_kind_of_record_means_nothing(site: Site) -> None:
    assert site.psa.heard(site.push(Type="contact")) == ()


def test_a_key_is_fetched_once_and_again_after_a_while(site: Site) -> None:
    for _ in range(3):
        site.psa.heard(site.push())
    assert len(site.calls()) == 1
    site.server.clock.moment += KEY_REMEMBERED
    site.psa.heard(site.push())
    assert len(site.calls()) == 2


def test_the_key_is_asked_for_with_our_own_company_and_the_named_id_alone(site: Site) -> None:
    site.psa.heard(site.push(Metadata={"key_url": f"{KEY_URL}?companyName=msp&id={KEY_ID}&x=1#y"}))
    assert site.calls() == [f"{KEY_URL}?companyName=msp&id={KEY_ID}"]


@pytest.mark.parametrize(
    "case",
    [
        "tampered",
        "other key",
        "no signature",
        "empty signature",
        "no base64",
        "other company",
        "not json",
        "huge",
        "list",
    ],
)
def test_a_message_that_proves_nothing_is_refused(site: Site, case: str) -> None:
    good = site.push()
    push = {
        "tampered": lambda: Push(good.headers, good.query, good.body.replace(b"4242", b"4243")),
        "other key": lambda: site.push(secrets.token_urlsafe(24)),
        "no signature": lambda: Push({}, good.query, good.body),
        "empty signature": lambda: Push({"x-content-signature": ""}, good.query, good.body),
        "no base64": lambda: Push({"x-content-signature": "?" * 44}, good.query, good.body),
        "other company": lambda: site.push(CompanyId="another"),
        "not json": lambda: Push(good.headers, good.query, b"<html>"),
        "huge": lambda: site.push(tamper=b" " * 600_000),
        "list": lambda: Push(good.headers, good.query, b"[]"),
    }[case]()
    with pytest.raises(PushRefused) as caught:
        site.psa.heard(push)
    assert site.signing_key not in str(caught.value)
    # What could not be true whatever the key is costs no call.
    assert site.calls() == [] or case in ("tampered", "other key", "no base64")
    assert site.psa.heard(good) == ("4242",)


@pytest.mark.parametrize(
    "key_url",
    [
        "https://evil.example/v2026_1//system/callbackkey/index.rails",
        "http://eu.myconnectwise.net/v2026_1//system/callbackkey/index.rails",
        "https://eu.myconnectwise.net:8443/v2026_1//system/callbackkey/index.rails",
        "https://eu.myconnectwise.net.evil.example/v2026_1//system/callbackkey/index.rails",
        "https://eu.myconnectwise.net@evil.example/v2026_1//system/callbackkey/index.rails",
        "https://evil.example@eu.myconnectwise.net/v2026_1//system/callbackkey/index.rails",
        "https://na.myconnectwise.net/v2026_1//system/callbackkey/index.rails",
        "https://eu.myconnectwise.net/v2026_1/apis/3.0/system/documents/7/download",
        "https://eu.myconnectwise.net/v2026_1//system/callbackkey/index.rails/../../x",
        "https://eu.myconnectwise.net/../system/callbackkey/index.rails",
        "https://eu.myconnectwise.net:port/v2026_1//system/callbackkey/index.rails",
        "//eu.myconnectwise.net/v2026_1//system/callbackkey/index.rails",
        "",
    ],
)
def test_a_key_that_lies_elsewhere_is_never_asked_for(site: Site, key_url: str) -> None:
    with pytest.raises(PushRefused):
        site.psa.heard(site.push(Metadata={"key_url": f"{key_url}?companyName=msp&id={KEY_ID}"}))
    assert site.calls() == []


@pytest.mark.parametrize(
    "query", ["", "?id=", "?companyName=msp", f"?companyName=other&id={KEY_ID}", "?companyName=msp&id=../x"]
)
def test_a_key_without_an_id_of_our_company_is_never_asked_for(site: Site, query: str) -> None:
    with pytest.raises(PushRefused):
        site.psa.heard(site.push(Metadata={"key_url": f"{KEY_URL}{query}"}))
    assert site.calls() == []


@pytest.mark.parametrize("metadata", [None, [], {"key_url": None}, {"key_url": 7}])
def test_a_message_without_a_keys_address_is_refused(site: Site, metadata: object) -> None:
    with pytest.raises(PushRefused, match="names no signing key"):
        site.psa.heard(site.push(Metadata=metadata))


def test_whoever_knows_our_address_cannot_make_us_ask_all_day(site: Site) -> None:
    site.server.mock.replace("GET", KEY_URL, status=404, json={"code": "NotFound"})
    for number in range(50):
        # Over the limit nothing is known against it: a true one may be among them.
        refused = PushRefused if number < MOST_FETCHES_A_MINUTE else TemporaryError
        with pytest.raises(refused):
            site.psa.heard(site.push(Metadata={"key_url": f"{KEY_URL}?companyName=msp&id={secrets.token_hex(8)}"}))
    assert len(site.calls()) == MOST_FETCHES_A_MINUTE
    site.server.clock.forward(seconds=20)
    with pytest.raises(TemporaryError) as put_off:
        site.psa.heard(site.push())
    assert put_off.value.retry_after == timedelta(seconds=40)
    site.server.clock.forward(minutes=2)
    site.server.mock.replace("GET", KEY_URL, json={"signing_key": site.signing_key})
    assert site.psa.heard(site.push()) == ("4242",)


def test_a_site_that_is_away_refuses_nothing_for_good(site: Site) -> None:
    site.server.mock.replace("GET", KEY_URL, status=503)
    with pytest.raises(TemporaryError):
        site.psa.heard(site.push())
    site.server.mock.replace("GET", KEY_URL, json={"signing_key": site.signing_key})
    assert site.psa.heard(site.push()) == ("4242",)


def test_the_keys_address_may_be_set_in_the_configuration(site: Site) -> None:
    own = "https://psa.msp.example/key"
    site.server.mock.get(own, json={"signing_key": site.signing_key})
    psa = site.server.psa(callback=CallbackSection(key_url=own))
    assert psa.heard(site.push(Metadata={"key_url": f"https://evil.example/?id={KEY_ID}"})) == ("4242",)
    (request,) = [call.request for call in site.server.mock.calls]
    assert (request.url or "").partition("?")[0] == own
    # A host that is not ConnectWise's is shown no keys of ours.
    assert {"Authorization", "clientId"} & set(request.headers) == set()


def test_where_no_proof_is_demanded_a_push_is_an_id_and_nothing_more(site: Site) -> None:
    psa = site.server.psa(callback=CallbackSection(signed=False))
    assert psa.heard(Push({}, {}, json.dumps(site.body()).encode())) == ("4242",)
    assert psa.heard(Push({}, {"recordId": "7", "action": "updated"}, b"")) == ("7",)
    for odd in ("", "0", "-7", "x", "7/notes"):
        assert psa.heard(Push({}, {"recordId": odd}, b"<html>")) == ()
    assert site.calls() == []


# ---------------------------------------------------------------- the registration


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with make_house() as made:
        yield made


@pytest.fixture
def desk(house: House) -> CwDesk:
    return open_desk(house)


URL = "http://127.0.0.1:9/nudge/cw"


def described(psa: ConnectWise) -> str:
    return " ".join(psa.callbacks())


def test_a_callback_is_registered_once_for_the_mapped_board(desk: CwDesk) -> None:
    assert psa_says(desk, "is registered (level board)")
    (callback,) = desk.desk.callbacks.values()
    assert (callback.url, callback.type, callback.level, callback.object_id) == (
        f"{URL}?recordId=",
        "ticket",
        "board",
        1,
    )
    assert psa_says(desk, "registered already")
    assert len(desk.desk.callbacks) == 1
    assert "http://127.0.0.1:9/…" in described(desk.psa)


def psa_says(desk: CwDesk, words: str) -> bool:
    return words in desk.psa.register_callback(URL)


def test_with_several_boards_every_ticket_is_told(desk: CwDesk) -> None:
    request = {"ticket_type": "Password Reset", "action": "password", "subject": {"field": "Reset account"}}
    wanted = [{"board": board, **request} for board in ("Service Desk", "Professional Services")]
    desk.again(mapping=changed_mapping(requests=wanted)).register_callback(URL)
    assert [(one.level, one.object_id) for one in desk.desk.callbacks.values()] == [("owner", 1)]


def test_the_callbacks_of_others_are_not_told(desk: CwDesk) -> None:
    desk.psa.register_callback(URL)
    (ours,) = desk.desk.callbacks.values()
    secret = secrets.token_urlsafe(16)
    desk.desk.callbacks[999] = replace(ours, id=999, description="Bot", url=f"https://hooks.example/{secret}?recordId=")
    assert len(desk.psa.callbacks()) == 1
    assert secret not in described(desk.psa)


@pytest.mark.parametrize("status", [200, 201])
def test_both_answers_of_a_created_callback_are_fine(desk: CwDesk, status: int) -> None:
    desk.desk.habits.callback_created_status = status
    assert psa_says(desk, "is registered")


def test_a_refused_callback_says_what_to_do(site: Site) -> None:
    site.server.get("system/callbacks", json=[])
    site.server.post("system/callbacks", status=400, json=sample("callback-exists.amp-labs.json"))
    with pytest.raises(PermanentError, match=r"ObjectExists about objectId.*remove it there first"):
        site.psa.register_callback("https://connector.msp.example/nudge/cw")


def test_a_callback_that_is_off_is_switched_on(site: Site) -> None:
    url = "https://connector.msp.example/nudge/cw"
    entry = {**sample("callback-created.amp-labs.json"), "url": f"{url}?recordId=", "inactiveFlag": True}
    site.server.get("system/callbacks", json=[entry])
    site.server.patch(f"system/callbacks/{entry['id']}", json={**entry, "inactiveFlag": False})
    assert "on again" in site.psa.register_callback(url)
    (sent,) = [call.request.body for call in site.server.mock.calls if call.request.method == "PATCH"]
    assert sent == b'[{"op": "replace", "path": "inactiveFlag", "value": false}]'


@pytest.mark.parametrize(
    "url",
    ["http://connector.msp.example/nudge/cw", "https://u:p@connector.msp.example/", "https://x.example/?a=b", "cw"],
)
def test_an_address_that_cannot_be_called_back_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        callback_url(url)
    assert "u:p" not in str(caught.value)


def test_the_address_ends_as_connectwise_wants_it() -> None:
    wanted = "https://connector.msp.example/nudge/cw?recordId="
    assert callback_url("https://connector.msp.example/nudge/cw") == callback_url(wanted) == wanted


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[Push]]]:
    """An address on this machine, and what was posted to it."""
    heard: queue.Queue[Push] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            heard.put(Push(headers, dict(parse_qsl(urlsplit(self.path).query)), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/nudge/cw", heard
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("needs_login", [True, False])
def test_the_sandboxs_own_messages_are_believed_and_its_forged_ones_are_not(desk: CwDesk, needs_login: bool) -> None:
    desk.desk.habits.callback_key_needs_login = needs_login
    ticket = desk.add_ticket()

    def send(forged: str, **more: str) -> Push:
        wanted = {"ticket": ticket, "forged": forged, **more}
        answer = requests.post(f"{desk.addresses.control}/control/connectwise/deliveries", json=wanted, timeout=10)
        assert answer.status_code == 201
        return heard.get(timeout=10)

    with receiver() as (url, heard):
        desk.psa.register_callback(url)
        true = send("none")
        assert (true.query["recordId"], true.query["action"]) == (ticket, "updated")
        assert desk.psa.heard(true) == (ticket,)
        elsewhere = f"{HOST}/v2026_1//system/callbackkey/index.rails?companyName=msp&id=1"
        forgeries = {
            "bad_signature": "",
            "no_signature": "",
            "other_company": "",
            "not_json": "",
            "foreign_key": elsewhere,
        }
        for forged, key_url in forgeries.items():
            with pytest.raises(PushRefused):
                desk.psa.heard(send(forged, key_url=key_url))
