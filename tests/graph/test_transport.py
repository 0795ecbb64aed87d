"""What MSAL is given of Microsoft's answers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from responses import RequestsMock

from connector.errors import TemporaryError
from connector.graph.transport import MsalTransport
from connector.http import Http

URL = "https://login.example.com/tenant/oauth2/v2.0/token"


@pytest.fixture
def transport() -> MsalTransport:
    return MsalTransport(Http(system="Microsoft's sign-in service", scope="tenant.contoso", sleep=lambda _: None))


@pytest.fixture
def web() -> Iterator[RequestsMock]:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404])
def test_msal_gets_statuses_that_do_not_pass_as_they_are(
    transport: MsalTransport, web: RequestsMock, status: int
) -> None:
    web.get(URL, json={"issuer": "x"}, status=status)
    web.post(URL, status=status, json={"error": "invalid_client"})
    assert transport.get(URL, params={"a": "b"}).status_code == status
    answer = transport.post(URL, data={"grant_type": "client_credentials"}, headers={"X-A": "b"}, timeout=1)
    assert (answer.status_code, answer.text) == (status, '{"error": "invalid_client"}')
    transport.close()


def test_what_passes_does_not_reach_it(transport: MsalTransport, web: RequestsMock) -> None:
    web.post(URL, status=429, json={"error": "throttled"}, headers={"retry-after": "33"})
    with pytest.raises(TemporaryError) as failure:
        transport.post(URL, data={})
    assert failure.value.retry_after == timedelta(seconds=33)


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", "[]", '"text"', '{"cut": '])
def test_what_is_no_object_does_not_reach_it_and_does_not_show(
    transport: MsalTransport, web: RequestsMock, body: str
) -> None:
    secret = secrets.token_hex(8)
    web.post(URL, body=body.replace("text", secret) + " " * 3)
    with pytest.raises(TemporaryError, match="not JSON") as failure:
        transport.post(URL, data={"client_secret": secret})
    assert secret not in f"{failure.value!r} {vars(failure.value)}"


def test_what_msal_is_told_does_not_show(transport: MsalTransport, web: RequestsMock) -> None:
    secret = secrets.token_hex(8)
    web.post(URL, json={"access_token": secret})
    assert secret not in repr(transport.post(URL, data={}))


def test_a_sign_in_service_that_is_away_is_temporary(transport: MsalTransport, web: RequestsMock) -> None:
    web.post(URL, body=requests.exceptions.ConnectionError())
    with pytest.raises(TemporaryError):
        transport.post(URL, data={"client_secret": "x"})
