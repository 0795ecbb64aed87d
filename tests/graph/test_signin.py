"""Signing in: real MSAL, with a sign-in service that has bad days."""

from __future__ import annotations

import logging
import secrets
import threading
from datetime import timedelta
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from connector.config import GraphSection
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, ConnectorError, TemporaryError
from connector.graph.aadsts import ADVICE, PASSING_CODES
from connector.graph.credential import read_credential
from connector.graph.signin import SignIn
from connector.http import Http
from connector.passwords import new_password
from tests.graph.border import GRAPH, ID, LOGIN, PERMISSIONS, TENANT, UPN, Back, Border, refused, token_of
from tests.graph.test_against_sandbox import make_certificate

READ = f"GET /users/{ID}"


def aadsts(code: int, *, status: int = 400, error: str = "unauthorized_client") -> Back:
    return Back(
        status, {"error": error, "error_description": f"AADSTS{code}: text of Microsoft", "error_codes": [code]}
    )


def sign_in_of(border: Border, **changes: Any) -> SignIn:
    """The sign-in of one tenant by itself; `changes` replace what it is built with."""
    section = GraphSection(client_id="app", client_secret=border.secret, authority=LOGIN, url=GRAPH)
    given: dict[str, Any] = {
        "tenant": "contoso",
        "tenant_id": TENANT,
        "settings": section,
        "credential": read_credential(section),
        "http": Http(system="Microsoft sign-in", scope="tenant.contoso", sleep=border.time.sleep),
        "clock": border.time.clock,
    }
    return SignIn(**(given | changes))


def test_nothing_is_sent_before_the_first_call(border: Border) -> None:
    border.directory()
    assert len(border.mock.calls) == 0


def test_one_token_serves_many_calls(border: Border) -> None:
    directory = border.directory()
    for _ in range(3):
        directory.read("contoso", ID)
    assert len(border.tokens) == 1
    assert border.calls[-1].headers["authorization"] == f"Bearer {border.tokens[0]}"


def test_every_call_carries_a_number_of_its_own(border: Border) -> None:
    directory = border.directory()
    directory.revoke_sessions("contoso", ID)
    directory.revoke_sessions("contoso", ID)
    numbers = [call.headers["client-request-id"] for call in border.calls]
    assert len(set(numbers)) == 2


def test_every_tenant_has_its_own_token(border: Border) -> None:
    directory = border.directory(tenants=("contoso", "fabrikam"))
    directory.read("contoso", ID)
    directory.read("fabrikam", ID)
    asked = [call.request.url for call in border.mock.calls if "/oauth2/" in str(call.request.url)]
    assert len(border.tokens) == len(set(asked)) == 2


@pytest.mark.parametrize("code", sorted(ADVICE))
def test_each_known_refusal_says_what_to_do(border: Border, code: int) -> None:
    border.token_answers = [aadsts(code)]
    with pytest.raises(AuthenticationError) as refusal:
        border.directory().read("contoso", ID)
    assert f"AADSTS{code}" in str(refusal.value)
    filled = {"place": "tenants.contoso", "app": "graph", "credential": "graph.client_secret"}
    tenant_id = f"{TENANT[:-2]}00"
    link = f"{LOGIN}/{tenant_id}/adminconsent?client_id=app"
    assert ADVICE[code].format(**filled, link=link) in str(refusal.value)
    assert "{" not in str(refusal.value)
    assert "text of Microsoft" not in str(refusal.value)
    assert refusal.value.scope == "tenant.contoso"


@pytest.mark.parametrize("code", sorted(PASSING_CODES))
def test_microsofts_own_trouble_is_waited_out(border: Border, code: int) -> None:
    border.token_answers = [aadsts(code)]
    directory = border.directory()
    with pytest.raises(TemporaryError):
        directory.read("contoso", ID)
    assert directory.read("contoso", ID).id == ID


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "invalid_client", "error_description": "AADSTS7000222: expired"},
        {"error": "invalid_client", "error_codes": "nonsense", "error_description": "AADSTS7000222: expired"},
    ],
)
def test_a_code_is_found_in_the_text_too(border: Border, answer: dict[str, object]) -> None:
    border.token_answers = [Back(401, answer)]
    with pytest.raises(AuthenticationError, match=r"AADSTS7000222.*expired"):
        border.directory().read("contoso", ID)


@pytest.mark.parametrize("answer", [{}, {"error": "odd"}, {"error": None, "error_codes": [None]}])
def test_a_refusal_without_a_code_is_a_refusal(border: Border, answer: dict[str, object]) -> None:
    border.token_answers = [Back(400, answer)]
    with pytest.raises(AuthenticationError, match="no AADSTS code"):
        border.directory().read("contoso", ID)


def test_what_was_mended_works_at_once(border: Border) -> None:
    border.token_answers = [aadsts(700016)]
    directory = border.directory()
    with pytest.raises(AuthenticationError):
        directory.read("contoso", ID)
    assert directory.read("contoso", ID).id == ID


def test_a_wrong_tenant_names_its_place_in_the_configuration(border: Border) -> None:
    border.discovery_answers = [aadsts(90002)]
    with pytest.raises(AuthenticationError, match=r"tenants\.contoso\.tenant_id") as refusal:
        border.directory().read("contoso", ID)
    assert TENANT[:-2] in str(refusal.value)


@pytest.mark.parametrize("where", ["discovery_answers", "token_answers"])
@pytest.mark.parametrize(
    "answer",
    [
        Back(200, text="<html>Please sign in to the network</html>"),
        Back(403, text="<html>Blocked by the proxy</html>"),
        Back(200, body=["a list"]),
        Back(502, text="Bad gateway"),
        requests.exceptions.ConnectionError("cut"),
    ],
    ids=["login page", "proxy", "list", "gateway", "cut"],
)
def test_a_stranger_that_answers_in_microsofts_place_is_no_refusal(
    border: Border, where: str, answer: Back | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    setattr(border, where, [answer] * 3)
    with pytest.raises(TemporaryError) as failure:
        border.directory().read("contoso", ID)
    assert "Please sign in" not in str(failure.value)
    assert "Please sign in" not in caplog.text
    assert "Blocked by" not in caplog.text


@pytest.mark.parametrize("where", ["discovery_answers", "token_answers"])
def test_a_throttled_sign_in_says_how_long_to_wait(border: Border, where: str) -> None:
    setattr(border, where, [Back(429, {"error": "throttled"}, {"Retry-After": "33"})])
    with pytest.raises(TemporaryError) as failure:
        border.directory().read("contoso", ID)
    assert failure.value.retry_after == timedelta(seconds=33)


def test_a_description_without_a_token_address_is_waited_out(border: Border) -> None:
    border.discovery_answers = [Back(200, {"issuer": "odd"})]
    with pytest.raises(TemporaryError):
        border.directory().read("contoso", ID)


def test_what_was_mended_works_at_once_for_a_running_connector_too(border: Border) -> None:
    short = {"access_token": token_of(PERMISSIONS), "expires_in": 1, "token_type": "Bearer"}
    border.token_answers = [Back(200, short), aadsts(700016)]
    sign_in = sign_in_of(border)
    sign_in.token()
    with pytest.raises(AuthenticationError):
        sign_in.token()
    assert sign_in.token().reveal() == border.tokens[-1]  # MSAL alone would repeat the refusal for a minute


def aging(*, left: int) -> Back:
    """A token that MSAL wants to replace at once, although it is good for `left` seconds."""
    body = {"access_token": token_of(PERMISSIONS), "expires_in": left, "refresh_in": -10, "token_type": "Bearer"}
    return Back(200, body)


TROUBLE: list[Back | Exception] = [Back(503), requests.exceptions.ConnectionError("cut"), Back(200, text="<html>")]


@pytest.mark.parametrize("trouble", TROUBLE, ids=["503", "cut", "login page"])
def test_a_good_token_outlives_trouble_of_the_sign_in_service(border: Border, trouble: Back | Exception) -> None:
    border.token_answers = [aging(left=7200), *[trouble] * 9]
    sign_in = sign_in_of(border)
    given = sign_in.token()
    assert sign_in.token() == given
    border.time.sleep(7200 - 301)
    assert sign_in.token() == given
    border.time.sleep(2)
    with pytest.raises(TemporaryError):
        sign_in.token()


def test_an_aging_token_is_replaced_when_all_is_well(border: Border) -> None:
    border.token_answers = [aging(left=7200)]
    sign_in = sign_in_of(border)
    given = sign_in.token()
    assert sign_in.token().reveal() == border.tokens[-1]
    assert sign_in.token() != given


def test_a_token_that_graph_refused_does_not_come_back_in_trouble(border: Border) -> None:
    border.token_answers = [aging(left=7200), *TROUBLE]
    sign_in = sign_in_of(border)
    assert sign_in.renew(sign_in.token())
    with pytest.raises(TemporaryError):
        sign_in.token()


# ---------------------------------------------------------------- a token that has become too old


def test_a_token_that_another_thread_has_replaced_is_not_thrown_away(border: Border) -> None:
    sign_in = sign_in_of(border)
    old = sign_in.token()
    assert sign_in.renew(old)
    new = sign_in.token()
    assert sign_in.renew(old)  # the second thread with the old token: worth a try
    assert sign_in.token() == new
    assert not sign_in.renew(new)
    assert len(border.tokens) == 2


def test_a_refused_token_is_replaced_once_and_the_call_repeated(border: Border) -> None:
    border.on(rf"^PATCH /users/{ID}$", refused(403, "Authorization_RequestDenied"), Back(204))
    border.directory().set_password("contoso", ID, Secret(secrets.token_urlsafe(16)))
    assert len(border.tokens) == 2
    sent = [call.headers["authorization"] for call in border.asked("^PATCH")]
    assert sent == [f"Bearer {token}" for token in border.tokens]


def test_an_expired_token_is_replaced(border: Border) -> None:
    border.on(r"^POST .*/revokeSignInSessions", refused(401, "InvalidAuthenticationToken"), Back(200, {"value": True}))
    border.directory().revoke_sessions("contoso", ID)
    assert len(border.tokens) == 2


def test_a_lasting_refusal_does_not_ask_for_a_token_each_time(border: Border) -> None:
    border.on(rf"^PATCH /users/{ID}$", refused(403, "Authorization_RequestDenied"))
    directory = border.directory()
    for _ in range(4):
        with pytest.raises(ConnectorError):
            directory.set_password("contoso", ID, Secret(secrets.token_urlsafe(16)))
    assert len(border.tokens) == 2
    border.time.sleep(301)
    with pytest.raises(ConnectorError):
        directory.set_password("contoso", ID, Secret(secrets.token_urlsafe(16)))
    assert len(border.tokens) == 3


def test_a_refused_look_up_is_repeated_with_a_new_token(border: Border) -> None:
    border.on(
        r"/transitiveMemberOf/microsoft.graph.directoryRole", refused(403, "accessDenied"), Back(200, {"value": []})
    )
    account = border.directory().read("contoso", ID)
    assert account.unknown == ()
    assert len(border.tokens) == 2


def test_a_refusal_that_we_can_do_without_costs_no_token(border: Border) -> None:
    border.on(r"^GET /domains", refused(403, "Authorization_RequestDenied"))
    border.directory().read("contoso", ID)
    assert len(border.tokens) == 1
    assert len(border.requests) == 1


def test_a_slow_sign_in_of_one_tenant_holds_no_other(border: Border) -> None:
    directory = border.directory(tenants=("contoso", "fabrikam"))
    entered, free = threading.Event(), threading.Event()

    def slow_for_contoso(url: str) -> Back | None:
        if f"{TENANT[:-2]}00" not in url:
            return None
        entered.set()
        assert free.wait(30)
        return Back(400, {"error": "invalid_tenant"})

    border.discovery_hook = slow_for_contoso
    outcome: list[Exception] = []

    def look() -> None:
        try:
            directory.read("contoso", ID)
        except ConnectorError as failure:
            outcome.append(failure)

    thread = threading.Thread(target=look)
    thread.start()
    assert entered.wait(30)
    assert directory.read("fabrikam", ID).id == ID  # while contoso's sign-in hangs
    free.set()
    thread.join(30)
    assert isinstance(outcome[0], AuthenticationError)


def test_many_threads_share_one_token_of_a_tenant(border: Border) -> None:
    directory = border.directory()
    threads = [threading.Thread(target=directory.read, args=("contoso", ID)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(border.tokens) == 1
    assert len(border.requests) == 6


# ---------------------------------------------------------------- credentials


def key_of(pem: str) -> str:
    return pem.partition("-----BEGIN CERTIFICATE")[0]


def encrypted(pem: str, *, old_form: bool) -> str:
    key = serialization.load_pem_private_key(key_of(pem).encode(), password=None)
    form = serialization.PrivateFormat.TraditionalOpenSSL if old_form else serialization.PrivateFormat.PKCS8
    lock = serialization.BestAvailableEncryption(secrets.token_bytes(8))
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.private_bytes(serialization.Encoding.PEM, form, lock).decode()


@pytest.mark.parametrize("old_form", [True, False])
def test_an_encrypted_key_is_refused_before_anything_is_sent(border: Border, old_form: bool) -> None:
    pem, certificate = make_certificate()
    with pytest.raises(ConfigError, match="encrypted"):
        border.directory(certificate=Secret(encrypted(pem, old_form=old_form) + certificate))
    assert len(border.mock.calls) == 0


def test_a_key_without_its_certificate_is_refused(border: Border) -> None:
    pem, certificate = make_certificate()
    with pytest.raises(ConfigError, match="a certificate is missing"):
        border.directory(certificate=Secret(key_of(pem)))
    with pytest.raises(ConfigError, match="a private key is missing"):
        border.directory(certificate=Secret(certificate))


def test_a_certificate_of_another_key_is_refused(border: Border) -> None:
    with pytest.raises(ConfigError, match="not that of the private key"):
        border.directory(certificate=Secret(key_of(make_certificate()[0]) + make_certificate()[1]))


def test_a_damaged_key_is_refused_without_being_shown(border: Border) -> None:
    inside = secrets.token_hex(20)
    damaged = f"-----BEGIN PRIVATE KEY-----\n{inside}\n-----END PRIVATE KEY-----\n{make_certificate()[1]}"
    with pytest.raises(ConfigError, match="damaged") as refusal:
        border.directory(certificate=Secret(damaged))
    assert inside not in str(refusal.value)


def test_a_key_that_entra_does_not_take_is_refused(border: Border) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ConfigError, match="RSA"):
        border.directory(certificate=Secret(key.decode() + make_certificate()[1]))


def test_every_problem_of_the_configuration_is_told_at_once(border: Border) -> None:
    with pytest.raises(ConfigError) as refusal:
        border.directory(
            authority="http://127.0.0.1:1", certificate=Secret("nothing"), groups=["Do not reset"], url=GRAPH
        )
    assert len(refusal.value.problems) == 3


# ---------------------------------------------------------------- what the logs hold


def test_neither_token_nor_secret_nor_password_is_logged_at_any_level(
    border: Border, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    password = new_password()
    directory = border.directory()
    directory.find("contoso", UPN)
    directory.set_password("contoso", ID, password)
    border.on(r"^PATCH", refused(403, "Authorization_RequestDenied"), refused(400, "Request_BadRequest"))
    with pytest.raises(ConnectorError):
        directory.set_password("contoso", ID, password)
    written = capsys.readouterr()
    everything = caplog.text + written.out + written.err
    assert "graph_refused" in everything  # the logs are really looked at
    for hidden in (border.secret.reveal(), password.reveal(), *border.tokens):
        assert hidden not in everything
