"""A new password that nobody can be given is a lock-out: what is known to fail must be known before the write."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.case import Person, State
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, ConnectorError, TemporaryError
from connector.http import _Request
from connector.passwords import new_password
from tests.contracts.mailer import an_email
from tests.fakes.world import World
from tests.graph.border import ID, PERMISSIONS, Back, Border, refused
from tests.graph.conftest import border  # noqa: F401 - a fixture
from tests.graph.test_mailer import SEND, mailer_at


@pytest.mark.parametrize(
    "answer",
    [
        refused(429, "ApplicationThrottled", **{"Retry-After": "60"}),
        refused(503, "ErrorServerBusy", **{"Retry-After": "60"}),
        refused(400, "ErrorExceededMessageLimit"),
    ],
    ids=["throttled", "busy", "over the day's limit"],
)
def test_a_mailbox_that_has_to_wait_is_not_ready(border: Border, answer: Back) -> None:  # noqa: F811
    """The crash rule asks the mailer before the password is set; a yes now costs the subject the account."""
    border.on(SEND, answer)
    mailer = mailer_at(border)
    with pytest.raises(TemporaryError):
        mailer.send(an_email())
    with pytest.raises(TemporaryError):
        mailer.ready()


@pytest.mark.parametrize(
    "address", ["rita@@contoso.example.com", "rita@contoso.example.com, eve@evil.example", "rita at contoso"]
)
def test_no_password_is_set_for_a_requester_to_whom_no_mail_can_be_written(address: str) -> None:
    world = World()
    ticket = world.ticket(requester=Person(name="Rita", email=address, ids=frozenset({"fake.user:1"})))
    world.run()
    world.approve(ticket)
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.NEEDS_PERSON


def test_a_hand_off_after_the_password_was_set_tells_the_agent_that_nobody_has_it() -> None:
    world = World()

    def on_call(call: str, moment: str) -> None:
        if (call, moment) == ("revoke_sessions", "before"):
            raise AuthenticationError("Microsoft Graph refused to sign it out (403).", scope="tenant.contoso")

    world.directory.on_call = on_call
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run_for(hours=8)
    assert world.password_in_force() is not None
    assert world.mailed_links() == []
    assert "nobody" in world.note_with(ticket, "A person must take over")


def test_no_password_is_set_where_the_sessions_could_not_be_ended_after_it(border: Border) -> None:  # noqa: F811
    """Seen 25 times in a row for one ticket: each try locks the account with another password that nobody gets."""
    border.roles = tuple(name for name in PERMISSIONS if name != "User.RevokeSessions.All")
    border.on(r"revokeSignInSessions", refused(403, "Authorization_RequestDenied"))
    directory = border.directory()
    with pytest.raises(ConnectorError):
        directory.set_password("contoso", ID, new_password())
    assert border.asked("^PATCH") == []


@pytest.mark.parametrize("tenant_id", ["common", "organizations", "../x", "a/b?c"])
def test_the_tenant_of_the_mailbox_is_one_tenant(border: Border, tenant_id: str) -> None:  # noqa: F811
    with pytest.raises(ConfigError):
        mailer_at(border, tenant_id=tenant_id)


def test_a_request_shows_neither_token_nor_password() -> None:
    password, token = new_password(), Secret(new_password().reveal())
    request = _Request(
        method="PATCH",
        url="https://graph.example.com",
        headers={"Authorization": token.reveal()},
        params=None,
        json={"password": password.reveal()},
        body=None,
        timeout=timedelta(seconds=30),
        background=False,
        where="Microsoft Graph",
    )
    assert password.reveal() not in repr(request)
    assert token.reveal() not in repr(request)
