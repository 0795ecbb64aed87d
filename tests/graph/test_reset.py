"""The three writes, and everything that Graph may say to them."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from connector.core.case import Action
from connector.errors import (
    AuthenticationError,
    ConnectorError,
    NoSuchAccount,
    PasswordRejected,
    PermanentError,
    TemporaryError,
)
from connector.graph.methods import KINDS
from connector.passwords import new_password
from tests.graph.border import ID, PASSWORD, PERMISSIONS, Answers, Back, Border, Call, method, refused, rows

OTHER = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee"
SYNCED = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently "
    "undergoing migration."
)
TOO_SIMPLE = (
    "The specified password does not comply with password complexity requirements. Please provide a different password."
)
DEFAULT = "Cannot delete default method with other methods configured. Please change default method before deletion."
DEFAULT_LATER = (
    "The requested authentication method id of [m1] matches the user's current default authentication method, and "
    "cannot be deleted until the default authentication method is changed"
)


class Methods:
    """A user's methods at the border; `default` is refused while others are there."""

    def __init__(self, border: Border, *listed: dict[str, Any], default: str = "", text: str = DEFAULT) -> None:
        self.border = border
        self.held = [PASSWORD, *listed]
        self.default, self.text = default, text
        self.deleted: list[str] = []
        self.still_listed = 0
        border.on(r"^GET .*/authentication/methods$", self.show)
        border.on(r"^DELETE ", self.delete)

    def show(self, _call: Call) -> Back:
        return rows(*self.held)

    def delete(self, call: Call) -> Back:
        last = call.path.rpartition("/")[2]
        found = [one for one in self.held if one["id"] == last]
        if not found:
            return refused(404, "resourceNotFound", "not found")
        if last == self.default and len(self.held) > 2:
            return refused(400, "badRequest", self.text)
        self.held.remove(found[0])
        self.deleted.append(last)
        return Back(204)


def remove(border: Border) -> Any:
    return border.directory().remove_methods("contoso", ID)


# ---------------------------------------------------------------- the password


def test_the_password_is_sent_with_must_change_and_nothing_else(border: Border) -> None:
    password = new_password()
    border.directory().set_password("contoso", ID, password)
    assert [call.body for call in border.calls] == [
        {"passwordProfile": {"password": password.reveal(), "forceChangePasswordNextSignIn": True}}
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(400, "Request_BadRequest", TOO_SIMPLE), PasswordRejected),
        (
            refused(400, "request_badrequest", "The password is too common: choose a different password."),
            PasswordRejected,
        ),
        (refused(400, "Request_BadRequest", SYNCED), PermanentError),
        (refused(400, "Request_BadRequest", "not for federated users"), PermanentError),
        (refused(400, "Request_BadRequest", "something new"), PermanentError),
        (Back(400, text="<html>"), PermanentError),
        (Back(400, {"error": None}), PermanentError),
        (Back(400, {"error": {"code": 7, "message": ["odd"]}}), PermanentError),
        (Back(400, {"Error": {"InnerError": {"Message": TOO_SIMPLE}}}), PasswordRejected),
        (refused(404, "Request_ResourceNotFound"), NoSuchAccount),
        (refused(409, "Request_Conflict"), PermanentError),
        (refused(429, "TooManyRequests"), TemporaryError),
        (refused(500, "InternalServerError"), TemporaryError),
        (refused(503, "serviceUnavailable"), TemporaryError),
        (requests.exceptions.ReadTimeout("slow"), TemporaryError),
        (requests.exceptions.ConnectionError("cut"), TemporaryError),
    ],
)
def test_each_refusal_of_a_password_has_its_meaning(
    border: Border, answer: Answers, error: type[ConnectorError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    border.on(r"^PATCH", answer)
    password = new_password()
    with pytest.raises(error) as refusal:
        border.directory().set_password("contoso", ID, password)
    assert type(refusal.value) is error or error is TemporaryError
    assert password.reveal() not in f"{refusal.value} {refusal.value!r} {caplog.text}"
    assert len(border.asked("^PATCH")) == 1  # never sent twice after an unclear answer


def test_microsofts_words_are_not_repeated(border: Border) -> None:
    echo = secrets.token_hex(8)
    border.on(r"^PATCH", refused(400, "Odd_Code", f"your password {echo} was odd"))
    with pytest.raises(PermanentError, match="Odd_Code") as refusal:
        border.directory().set_password("contoso", ID, new_password())
    assert echo not in str(refusal.value)


def test_a_throttled_password_that_was_not_carried_out_is_sent_again(border: Border) -> None:
    border.on(r"^PATCH", Back(429, {}, {"Retry-After": "3"}), Back(204))
    border.directory().set_password("contoso", ID, new_password())
    assert border.time.slept == [3.0]


def test_without_the_permission_the_tenant_stops_and_is_told_what_to_grant(border: Border) -> None:
    border.roles = ["User.Read.All"]
    border.on(r"^PATCH", refused(403, "Authorization_RequestDenied"))
    with pytest.raises(AuthenticationError, match=r"User-PasswordProfile\.ReadWrite\.All") as refusal:
        border.directory().set_password("contoso", ID, new_password())
    assert "User Administrator" in str(refusal.value)
    assert refusal.value.scope == "tenant.contoso"


def test_with_an_opaque_token_a_refusal_stops_the_tenant(border: Border) -> None:
    border.roles = None
    border.on(r"^PATCH", refused(403, "Authorization_RequestDenied"))
    with pytest.raises(AuthenticationError):
        border.directory().set_password("contoso", ID, new_password())


def test_with_the_permission_a_refusal_is_about_this_account(border: Border) -> None:
    border.on(r"^PATCH", refused(403, "Authorization_RequestDenied"))
    with pytest.raises(PermanentError, match="protected"):
        border.directory().set_password("contoso", ID, new_password())


@pytest.mark.parametrize("account_id", ["", "me", "../me", "dana@contoso.example"])
def test_nothing_is_written_to_what_is_no_object_id(border: Border, account_id: str) -> None:
    directory = border.directory()
    for write in (directory.remove_methods, directory.revoke_sessions):
        with pytest.raises(NoSuchAccount):
            write("contoso", account_id)
    with pytest.raises(NoSuchAccount):
        directory.set_password("contoso", account_id, new_password())
    assert border.requests == []


# ---------------------------------------------------------------- the sessions


def test_sessions_are_ended_and_read_back_in_one_call(border: Border) -> None:
    border.on(rf"^GET /users/{ID}\?", Back(200, {
        "id": ID, "lastPasswordChangeDateTime": "2026-11-22T10:00:00Z",
        "signInSessionsValidFromDateTime": "2026-11-22T10:00:01Z",
    }))  # fmt: skip
    report = border.directory().revoke_sessions("contoso", ID)
    assert [(call.method, call.path, call.body) for call in border.calls] == [
        ("POST", f"/users/{ID}/revokeSignInSessions", None),
        ("GET", f"/users/{ID}", None),
    ]
    assert border.requests == ["POST /v1.0/$batch"]
    assert report.password_set_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert report.sessions_valid_from == datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)
    assert report.receipt.ours


@pytest.mark.parametrize("odd", [
    Back(503), Back(424), Back(200, {}), Back(200, "text"), refused(403, "Authorization_RequestDenied"),
    Back(200, {"signInSessionsValidFromDateTime": "yesterday", "lastPasswordChangeDateTime": 5}),
    Back(200, {"signInSessionsValidFromDateTime": "2026-11-22T10:00:00"}),
])  # fmt: skip
def test_what_cannot_be_read_back_is_not_known_and_fails_nothing(border: Border, odd: Back) -> None:
    border.on(rf"^GET /users/{ID}\?", odd)
    report = border.directory().revoke_sessions("contoso", ID)
    assert (report.password_set_at, report.sessions_valid_from) == (None, None)
    assert len(border.requests) == 1


def test_sessions_that_were_not_ended_are_tried_again(border: Border) -> None:
    border.on(r"revokeSignInSessions", Back(200, {"value": False}))
    with pytest.raises(TemporaryError):
        border.directory().revoke_sessions("contoso", ID)


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_throttled_end_of_sessions_is_no_end(border: Border, status: int) -> None:
    border.on(r"revokeSignInSessions", Back(status, headers={"Retry-After": "7"}))
    with pytest.raises(TemporaryError) as failure:
        border.directory().revoke_sessions("contoso", ID)
    assert failure.value.retry_after == timedelta(seconds=7)


def test_ending_sessions_is_repeated_after_a_cut(border: Border) -> None:
    border.on(r"revokeSignInSessions", requests.exceptions.ConnectionError("cut"), Back(200, {"value": True}))
    border.directory().revoke_sessions("contoso", ID)
    assert border.requests == ["POST /v1.0/$batch"] * 2


# ---------------------------------------------------------------- the methods


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_known_kind_is_removed_at_its_own_address(border: Border, name: str) -> None:
    Methods(border, {"@odata.type": f"#microsoft.graph.{name}", "id": "m/1#"})
    border.on(r"^DELETE ", lambda _call: Back(204))
    border.on(r"^GET .*/methods$", rows(PASSWORD, {"@odata.type": f"#microsoft.graph.{name}", "id": "m/1#"}), rows())
    report = remove(border)
    known = KINDS[name]
    tail = f"/{known.segment}" + ("/m%2F1%23" if known.has_id else "")
    assert f"DELETE /{known.version}/users/{ID}/authentication{tail}" in border.requests
    assert report.removed == (known.words,)
    assert report.left == ()


def test_the_password_is_never_removed(border: Border) -> None:
    report = remove(border)
    assert border.asked("^DELETE") == []
    assert (report.removed, report.left) == ((), ())


@pytest.mark.parametrize(
    "odd",
    [
        {"@odata.type": "#microsoft.graph.brandNewAuthenticationMethod", "id": "n1"},
        {"@odata.type": "#microsoft.graph.federatedIdentityCredential", "id": "n1"},
        {"id": "n1"},
        {},
        "odd",
        {"@odata.type": "#microsoft.graph.fido2AuthenticationMethod"},
    ],
)
def test_a_method_that_we_do_not_know_is_reported_as_left(border: Border, odd: Any) -> None:
    border.on(r"^GET .*/methods$", rows(PASSWORD, odd))
    report = remove(border)
    assert border.asked("^DELETE") == []
    assert len(report.left) == 1
    assert "does not know" in report.left[0].reason


def test_the_alternate_phone_goes_before_the_phone(border: Border) -> None:
    methods = Methods(border, method("phone", "mobile", phoneType="mobile"),
                      method("phone", "alternate", phoneType="alternateMobile"),
                      method("phone", "office", phoneType="office"))  # fmt: skip
    report = remove(border)
    assert methods.deleted == ["office", "alternate", "mobile"]
    assert report.removed == ("phone (office)", "phone (alternate mobile)", "phone (mobile)")


def test_three_methods_with_the_app_as_default_cost_five_calls(border: Border) -> None:
    Methods(border, method("microsoftAuthenticator", "app"), method("phone", "mobile", phoneType="mobile"),
            method("email", "mail"), default="app")  # fmt: skip
    report = remove(border)
    assert report.removed == ("email", "phone (mobile)", "Microsoft Authenticator")
    assert len(border.calls) == 5
    assert border.time.slept == []


@pytest.mark.parametrize("text", [DEFAULT, DEFAULT_LATER])
@pytest.mark.parametrize("default", ["key", "app", "mobile"])
def test_whichever_is_the_default_goes_last(border: Border, default: str, text: str) -> None:
    methods = Methods(border, method("fido2", "key"), method("microsoftAuthenticator", "app"),
                      method("phone", "mobile", phoneType="mobile"), default=default, text=text)  # fmt: skip
    report = remove(border)
    assert methods.deleted[-1] == default
    assert len(report.removed) == 3
    assert report.left == ()


def test_a_method_that_is_gone_already_is_done(border: Border) -> None:
    border.on(r"^GET .*/methods$", rows(PASSWORD, method("fido2")), rows(PASSWORD))
    border.on(r"^DELETE ", refused(404, "resourceNotFound"))
    assert remove(border).left == ()


@pytest.mark.parametrize("status", [400, 404, 405])
def test_an_address_that_graph_does_not_know_is_not_taken_for_a_removal(border: Border, status: int) -> None:
    border.on(r"^GET .*/methods$", rows(PASSWORD, method("fido2")))
    border.on(r"^DELETE ", Back(status, {"Message": "No HTTP resource was found that matches the request URI"}))
    report = remove(border)
    assert report.removed == ()
    assert [left.kind for left in report.left] == ["fido2"]


def test_what_is_to_be_kept_is_left_alone_and_named(border: Border) -> None:
    methods = Methods(border, method("fido2", "key"), method("windowsHelloForBusiness", "pc"),
                      method("phone", "mobile", phoneType="mobile"))  # fmt: skip
    report = border.directory(keep=["fido2", "windowsHelloForBusiness"]).remove_methods("contoso", ID)
    assert methods.deleted == ["mobile"]
    assert report.removed == ("phone (mobile)",)
    assert report.left == ()
    assert report.kept == ("fido2", "Windows Hello for Business")


def test_a_default_that_a_kept_method_holds_back_is_reported_as_left(border: Border) -> None:
    methods = Methods(border, method("fido2", "key"), method("microsoftAuthenticator", "app"), default="app")
    report = border.directory(keep=["fido2"]).remove_methods("contoso", ID)
    assert methods.deleted == []
    assert report.kept == ("fido2",)
    assert [left.kind for left in report.left] == ["Microsoft Authenticator"]


def test_each_removal_has_a_receipt(border: Border) -> None:
    Methods(border, method("fido2", "a"), method("fido2", "b"))
    receipts = remove(border).receipts
    assert len({receipt.ours for receipt in receipts}) == 2


def test_a_lost_answer_is_made_good_in_the_same_call(border: Border) -> None:
    methods = Methods(border, method("fido2", "key"))
    border.on(r"^DELETE ", lambda call: _lose(methods, call), methods.delete)
    report = remove(border)
    assert report.removed == ("fido2",)
    assert report.left == ()


def _lose(methods: Methods, call: Call) -> Back:
    methods.delete(call)
    raise requests.exceptions.ConnectionError("cut")


def test_a_network_that_is_gone_ends_the_work(border: Border) -> None:
    Methods(border, method("fido2", "a"), method("fido2", "b"))
    border.on(r"^DELETE ", requests.exceptions.ConnectionError("cut"))
    with pytest.raises(TemporaryError):
        remove(border)
    assert len(border.asked("^DELETE")) == 2


def test_a_listing_that_lags_behind_is_looked_at_again(border: Border) -> None:
    stale = rows(PASSWORD, method("fido2"))
    border.on(r"^GET .*/methods$", stale, stale, rows(PASSWORD))
    report = remove(border)
    assert report.removed == ("fido2",)
    assert report.left == ()
    assert border.time.slept == [3.0]


def test_a_method_that_stays_listed_is_reported(border: Border) -> None:
    border.on(r"^GET .*/methods$", rows(PASSWORD, method("fido2")))
    report = remove(border)
    assert [left.kind for left in report.left] == ["fido2"]
    assert "still listed" in report.left[0].reason
    assert len(border.asked("^DELETE")) == 1


def test_a_method_that_appears_meanwhile_is_removed_too(border: Border) -> None:
    methods = Methods(border, method("fido2", "a"))
    late = method("softwareOath", "late")

    def delete(call: Call) -> Back:
        answer = methods.delete(call)
        if late not in methods.held and "late" not in methods.deleted:
            methods.held.append(late)
        return answer

    border.on(r"^DELETE ", delete)
    report = remove(border)
    assert report.removed == ("fido2", "software OATH token")
    assert report.left == ()


def test_what_microsoft_keeps_refusing_is_reported_with_its_code(border: Border) -> None:
    methods = Methods(border, method("external", "x"), method("fido2", "key"))
    border.on(r"^DELETE .*/externalAuthenticationMethods/", refused(400, "badRequest", "no reason"))
    report = remove(border)
    assert methods.deleted == ["key"]
    assert report.removed == ("fido2",)
    assert [left.kind for left in report.left] == ["external method"]
    assert "badRequest" in report.left[0].reason


def test_a_default_that_never_gives_way_is_reported(border: Border) -> None:
    border.on(r"^GET .*/methods$", rows(PASSWORD, method("fido2")))
    border.on(r"^DELETE ", refused(400, "badRequest", DEFAULT))
    report = remove(border)
    assert "default" in report.left[0].reason
    assert report.removed == ()


def test_the_qr_code_is_looked_for_in_beta_where_v1_does_not_know_it(border: Border) -> None:
    border.on(r"^GET .*/methods$", rows(PASSWORD, method("qrCodePin", "qr")), rows(PASSWORD))
    border.on(
        r"^DELETE .*/qrCodePinMethod$", refused(400, "BadRequest", "Resource not found for the segment"), Back(204)
    )
    assert remove(border).removed == ("QR code PIN",)
    assert [one for one in border.requests if one.startswith("DELETE")] == [
        f"DELETE /v1.0/users/{ID}/authentication/qrCodePinMethod",
        f"DELETE /beta/users/{ID}/authentication/qrCodePinMethod",
    ]


def test_forty_keys_are_done_in_several_calls_at_microsofts_pace(border: Border) -> None:
    methods = Methods(border, *(method("windowsHelloForBusiness", f"key-{number}") for number in range(40)))
    with pytest.raises(TemporaryError) as pause:
        remove(border)
    assert pause.value.retry_after == timedelta(seconds=10)
    assert 0 < len(methods.deleted) < 40
    assert border.time.seconds <= 90
    directory = border.directory()
    report = directory.remove_methods("contoso", ID)
    assert len(methods.deleted) == 40
    assert report.left == ()


def test_no_more_than_five_calls_in_ten_seconds(border: Border) -> None:
    times: list[float] = []
    methods = Methods(border, *(method("fido2", f"key-{number}") for number in range(12)))

    def timed(call: Call) -> Back:
        times.append(border.time.seconds)
        return methods.delete(call) if call.method == "DELETE" else methods.show(call)

    border.on(r"/authentication/", timed)
    remove(border)
    assert len(times) == 14
    assert all(later - earlier >= 10 for earlier, later in zip(times, times[5:], strict=False))


@pytest.mark.parametrize("body", [None, {}, {"value": None}, {"value": [], "@odata.nextLink": "https://x.example/"}])
def test_half_a_listing_is_no_listing(border: Border, body: Any) -> None:
    border.on(r"^GET .*/methods$", Back(200, body))
    with pytest.raises(TemporaryError):
        remove(border)
    assert border.asked("^DELETE") == []


def test_a_throttled_listing_is_waited_out(border: Border) -> None:
    border.on(r"^GET .*/methods$", Back(429, {}, {"Retry-After": "120"}))
    with pytest.raises(TemporaryError) as failure:
        remove(border)
    assert failure.value.retry_after == timedelta(seconds=120)


def test_methods_of_a_missing_account(border: Border) -> None:
    border.on(r"^GET .*/methods$", refused(404, "resourceNotFound"))
    with pytest.raises(NoSuchAccount):
        remove(border)


def test_without_any_permission_for_methods_the_tenant_stops(border: Border) -> None:
    border.roles = ["User.Read.All"]
    border.on(r"^GET .*/methods$", refused(403, "accessDenied"))
    with pytest.raises(AuthenticationError, match=r"UserAuthenticationMethod\.ReadWrite\.All"):
        remove(border)


def test_with_the_right_to_read_only_the_tenant_stops_at_the_first_removal(border: Border) -> None:
    border.roles = ["UserAuthenticationMethod.Read.All"]
    methods = Methods(border, method("fido2", "a"), method("email", "b"))
    border.on(r"^DELETE ", refused(403, "accessDenied"))
    with pytest.raises(AuthenticationError, match=r"UserAuthenticationMethod\.ReadWrite\.All"):
        remove(border)
    assert methods.deleted == []


def test_with_narrow_permissions_the_rest_is_left_and_named(border: Border) -> None:
    border.roles = ["UserAuthenticationMethod.Read.All", "UserAuthMethod-Passkey.ReadWrite.All"]
    methods = Methods(border, method("fido2", "key"), method("phone", "mobile", phoneType="mobile"))
    border.on(r"^DELETE .*/phoneMethods/", refused(403, "accessDenied"))
    report = remove(border)
    assert methods.deleted == ["key"]
    assert report.removed == ("fido2",)
    assert [(left.kind, "UserAuthMethod-Phone.ReadWrite.All" in left.reason) for left in report.left] == [
        ("phone (mobile)", True)
    ]


def test_a_refused_removal_with_the_permission_is_about_this_account(border: Border) -> None:
    Methods(border, method("fido2", "key"))
    border.on(r"^DELETE ", refused(403, "accessDenied"))
    with pytest.raises(PermanentError, match="protected"):
        remove(border)


def test_calls_about_methods_wait_longer_than_microsoft_does(border: Border) -> None:
    remove(border)
    asked = [call.request.req_kwargs["timeout"] for call in border.mock.calls if "/authentication/" in call.request.url]  # type: ignore[attr-defined, operator]
    assert asked == [65.0, 65.0]


def test_a_throttle_of_methods_stops_no_password(border: Border) -> None:
    border.on(r"^GET .*/methods$", Back(429, headers={"Retry-After": "60"}))
    directory = border.directory()
    with pytest.raises(TemporaryError):
        directory.remove_methods("contoso", ID)
    directory.set_password("contoso", ID, new_password())
    assert len(border.asked("PATCH")) == 1


def test_a_second_removal_in_a_tenant_is_put_off_and_touches_nothing(border: Border) -> None:
    Methods(border, method("fido2", "key"))
    directory = border.directory()
    put_off: list[TemporaryError] = []

    def meanwhile(_call: Call) -> Back:
        with pytest.raises(TemporaryError) as failure:
            directory.remove_methods("contoso", OTHER)
        put_off.append(failure.value)
        return rows(PASSWORD)

    border.on(r"^GET .*/methods$", meanwhile)
    directory.remove_methods("contoso", ID)
    assert all(one.retry_after == timedelta(seconds=12) for one in put_off)
    assert put_off
    assert border.asked(OTHER) == []
    border.on(r"^GET .*/methods$", rows(PASSWORD))
    directory.remove_methods("contoso", OTHER)  # now it is free


def test_a_removal_that_fails_makes_room_for_the_next(border: Border) -> None:
    border.on(r"^GET .*/methods$", refused(404, "resourceNotFound"))
    directory = border.directory()
    with pytest.raises(NoSuchAccount):
        directory.remove_methods("contoso", ID)
    border.on(r"^GET .*/methods$", rows(PASSWORD))
    assert directory.remove_methods("contoso", ID).left == ()


def test_a_throttle_inside_a_batch_holds_the_tenant_off_at_once(border: Border) -> None:
    border.on(r"transitiveMemberOf", Back(429, headers={"Retry-After": "30"}))
    directory = border.directory()
    with pytest.raises(TemporaryError):
        directory.read("contoso", ID)
    asked = len(border.requests)
    with pytest.raises(TemporaryError) as failure:
        directory.read("contoso", ID)
    assert len(border.requests) == asked, "nothing was sent"
    assert failure.value.retry_after is not None


def test_a_throttled_hint_holds_nobody_off(border: Border) -> None:
    border.roles = [*PERMISSIONS, "AuditLog.Read.All"]
    border.on(r"userRegistrationDetails", Back(429, headers={"Retry-After": "30"}))
    directory = border.directory()
    assert directory.can_help_itself("contoso", ID) is None
    assert directory.read("contoso", ID).id == ID


def test_a_tenant_that_asked_for_a_pause_is_not_ready_and_is_asked_nothing(border: Border) -> None:
    directory = border.directory()
    for action in Action:
        directory.ready("contoso", action)
    border.on(r"^PATCH", Back(429, headers={"Retry-After": "60"}))
    with pytest.raises(TemporaryError):
        directory.set_password("contoso", ID, new_password())
    asked = len(border.requests)
    for action in Action:
        with pytest.raises(TemporaryError) as failure:
            directory.ready("contoso", action)
        assert failure.value.retry_after is not None
    assert len(border.requests) == asked


def test_while_methods_are_being_removed_only_another_removal_is_not_ready(border: Border) -> None:
    directory = border.directory()
    seen: list[str] = []

    def meanwhile(_call: Call) -> Back:
        directory.ready("contoso", Action.PASSWORD)
        for action in (Action.MFA, Action.BOTH):
            with pytest.raises(TemporaryError):
                directory.ready("contoso", action)
            seen.append(action)
        return rows(PASSWORD)

    border.on(r"^GET .*/methods$", meanwhile)
    directory.remove_methods("contoso", ID)
    assert seen
    directory.ready("contoso", Action.MFA)
