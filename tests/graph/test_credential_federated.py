"""Federated tokens: read anew each time, never kept, never shown, and never sent when they are no tokens."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from connector.config import FederatedSection, GraphSection, RegistrationSection
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, ConnectorError, TemporaryError
from connector.graph.credential import Credential, days_left, read_credential
from connector.graph.signin import App, SignIn
from connector.http import Http
from tests.graph.border import GRAPH, ID, LOGIN, TENANT, Back, Border

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def made_up_token() -> str:
    return ".".join(secrets.token_urlsafe(24) for _ in range(3))


def credential_of(**federated: Any) -> Credential:
    return read_credential(RegistrationSection(client_id="app", federated=FederatedSection(**federated)))


def sign_in_with(border: Border, credential: Credential, **more: Any) -> SignIn:
    return SignIn(
        tenant="contoso", tenant_id=TENANT, settings=App("app", LOGIN, GRAPH), credential=credential,
        http=Http(system="Microsoft sign-in", scope="tenant.contoso", sleep=border.time.sleep),
        clock=border.time.clock, **more,
    )  # fmt: skip


def forms(border: Border) -> list[dict[str, str]]:
    """What was sent to the token endpoint, oldest first."""
    sent = [call.request for call in border.mock.calls if "/oauth2/" in str(call.request.url)]
    return [{name: values[0] for name, values in parse_qs(str(request.body)).items()} for request in sent]


# ---------------------------------------------------------------- from a file


def test_the_file_is_read_again_for_each_token(border: Border, tmp_path: Path) -> None:
    path = tmp_path / "token"
    sign_in = sign_in_with(border, credential_of(file=path))
    sent = []
    for line_end in ("", "\n", "\r\n"):
        sent.append(made_up_token())
        path.write_bytes(f"{sent[-1]}{line_end}".encode())
        given = sign_in.token()
        assert sign_in.token() == given, "from memory: the file is not read, nothing is sent"
        border.time.sleep(301)
        assert sign_in.renew(given)
    assert [form["client_assertion"] for form in forms(border)] == sent
    for form in forms(border):
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == JWT_BEARER
        assert form["scope"] == f"{GRAPH}/.default"
        assert "client_secret" not in form


def test_a_file_that_is_not_there_stops_the_tenant_until_it_is(border: Border, tmp_path: Path) -> None:
    path = tmp_path / "token"
    sign_in = sign_in_with(border, credential_of(file=path))
    with pytest.raises(AuthenticationError) as refusal:
        sign_in.token()
    assert refusal.value.scope == "tenant.contoso"
    assert str(path) in str(refusal.value)
    assert "graph.federated.file" in str(refusal.value)
    assert forms(border) == []
    path.write_text(made_up_token())
    assert sign_in.token().reveal() == border.tokens[0]


def test_a_good_token_is_used_while_the_file_is_away(border: Border, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(made_up_token())
    aging = {"access_token": made_up_token(), "expires_in": 7200, "refresh_in": -10, "token_type": "Bearer"}
    border.token_answers = [Back(200, aging)]
    sign_in = sign_in_with(border, credential_of(file=path))
    given = sign_in.token()
    path.unlink()
    assert sign_in.token() == given
    border.time.sleep(7200)
    with pytest.raises(AuthenticationError):
        sign_in.token()


@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n"])
def test_an_empty_file_is_being_written_and_is_waited_for(border: Border, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    sign_in = sign_in_with(border, credential_of(file=path))
    with pytest.raises(TemporaryError, match=r"graph\.federated\.file: the token file .* is empty"):
        sign_in.token()
    assert forms(border) == []
    path.write_text(made_up_token())
    assert sign_in.token().reveal() == border.tokens[0]


@pytest.mark.parametrize(
    "form",
    ["{}", "{}.{}", "{}.{}.", ".{}.{}", "{}.{}.{}.{}", "{}.{}.{}\n{}", "-----BEGIN PRIVATE KEY-----\n{}", "{}.{}.ü{}"],
)
def test_what_is_no_token_is_neither_sent_nor_shown(border: Border, tmp_path: Path, form: str) -> None:
    inside = secrets.token_hex(20)
    path = tmp_path / "token"
    path.write_text(form.replace("{}", inside), encoding="utf-8")
    with pytest.raises(AuthenticationError) as refusal:
        sign_in_with(border, credential_of(file=path)).token()
    assert "something that is not a token" in str(refusal.value)
    assert inside not in str(refusal.value)
    assert forms(border) == []


# ---------------------------------------------------------------- from a function


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the admin's own, by a name that nobody has."""
    name = f"tokens_{secrets.token_hex(6)}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text(
        """
calls = []
answers = []

def assertion():
    calls.append(1)
    answer = answers.pop(0)
    if isinstance(answer, Exception):
        raise answer
    return answer

class Source:
    @staticmethod
    def assertion():
        return assertion()

def with_arguments(tenant):
    return tenant

async def coroutine():
    return ""

not_callable = 7
"""
    )
    yield name
    sys.modules.pop(name, None)


def test_the_function_is_asked_for_each_token(border: Border, module: str) -> None:
    sign_in = sign_in_with(border, credential_of(callable=f"{module}:Source.assertion"))
    state = sys.modules[module]
    sent = [made_up_token(), made_up_token()]
    state.answers.extend(sent)
    given = sign_in.token()
    sign_in.token()
    assert len(state.calls) == 1
    assert sign_in.renew(given)
    sign_in.token()
    assert [form["client_assertion"] for form in forms(border)] == sent


def test_a_failure_of_the_function_is_waited_out_and_its_text_is_not_shown(
    border: Border, module: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    inside = secrets.token_hex(20)
    sign_in = sign_in_with(border, credential_of(callable=f"{module}:assertion"))
    state = sys.modules[module]
    for failure in (ValueError(inside), KeyError(inside), OSError(inside), AuthenticationError(inside, scope=inside)):
        state.answers.append(failure)
        with pytest.raises(TemporaryError) as refusal:
            sign_in.token()
        assert type(failure).__name__ in str(refusal.value)
        assert inside not in str(refusal.value)
        assert refusal.value.__suppress_context__
    written = capsys.readouterr()
    assert inside not in caplog.text + written.out + written.err
    assert forms(border) == []
    state.answers.append(made_up_token())
    assert sign_in.token().reveal() == border.tokens[0]


@pytest.mark.parametrize("kind", [bytes, list, type(None), int])
def test_a_function_that_gives_no_text_stops_the_tenant(border: Border, module: str, kind: type) -> None:
    sign_in = sign_in_with(border, credential_of(callable=f"{module}:assertion"))
    inside = made_up_token()
    sys.modules[module].answers.append({bytes: inside.encode(), list: [inside]}.get(kind))
    with pytest.raises(AuthenticationError) as refusal:
        sign_in.token()
    assert refusal.value.scope == "tenant.contoso"
    assert inside not in str(refusal.value)
    assert forms(border) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{}_not_there:assertion", "cannot be imported (ModuleNotFoundError). Install it into the Python environment"),
        ("{}:not_there", "has no not_there. Correct the name"),
        ("{}:Source.not_there", "has no Source.not_there"),
        ("{}:not_callable", "is not a plain function"),
        ("{}:coroutine", "is not a plain function"),
        ("{}:with_arguments", "wants arguments"),
    ],
)
def test_a_function_that_cannot_be_used_is_told_at_the_start(module: str, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        credential_of(callable=name.format(module))
    assert str(refusal.value).startswith("graph.federated.callable: ")
    assert words in str(refusal.value)


@pytest.mark.parametrize("statement", ["raise RuntimeError('{}')", "import sys; sys.exit('{}')", "syntax error {}"])
def test_a_module_that_fails_while_it_is_imported_is_told_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    inside = secrets.token_hex(12)
    name = f"tokens_{secrets.token_hex(6)}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text(statement.format(inside))
    with pytest.raises(ConfigError) as refusal:
        credential_of(callable=f"{name}:assertion")
    assert "cannot be imported" in str(refusal.value)
    assert inside not in str(refusal.value)


# ---------------------------------------------------------------- in use


def test_the_directory_works_with_a_federated_token(border: Border, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(made_up_token())
    section = GraphSection(client_id="app", federated=FederatedSection(file=path), authority=LOGIN, url=GRAPH)
    assert read_credential(section).words == "federated token"
    assert days_left(read_credential(section), border.time.clock()) is None
    directory = border.directory(certificate=None, federated=FederatedSection(file=path))
    assert directory.read("contoso", ID).id == ID
    assert "client_assertion" in forms(border)[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [(700213, "the subject in the app's federated credential, or graph.federated"), (700024, "see that it renews it")],
)
def test_what_entra_says_of_a_federated_token_is_explained(
    border: Border, tmp_path: Path, code: int, words: str
) -> None:
    token = made_up_token()
    path = tmp_path / "token"
    path.write_text(token)
    body = {"error": "invalid_client", "error_description": f"AADSTS{code}: {token}", "error_codes": [code]}
    border.token_answers = [Back(401, body)]
    with pytest.raises(AuthenticationError) as refusal:
        sign_in_with(border, credential_of(file=path)).token()
    assert words in str(refusal.value)
    assert token not in str(refusal.value)


def test_a_federated_token_shows_in_no_log_and_no_text(
    border: Border, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    token = made_up_token()
    path = tmp_path / "token"
    path.write_text(token)
    credential = credential_of(file=path)
    sign_in = sign_in_with(border, credential)
    given = sign_in.token()
    border.token_answers = [Back(401, {"error": "invalid_client", "error_codes": [700024]})]
    assert sign_in.renew(given)
    with pytest.raises(ConnectorError) as refusal:
        sign_in.token()
    written = capsys.readouterr()
    everything = f"{credential!r} {sign_in!r} {refusal.value!r} {caplog.text} {written.out} {written.err}"
    assert isinstance(given, Secret)
    for hidden in (token, given.reveal()):
        assert hidden not in everything
