"""The table of Graph's refusals: each known one has its meaning, and what is not known never passes for one."""

from __future__ import annotations

from typing import Any

import pytest

from connector.graph.refusals import TABLE, Meaning, meaning_of, read_error

SAMPLES = [
    (400, "Request_BadRequest", "The specified password does not comply with password complexity requirements. "
                                "Please provide a different password.", Meaning.PASSWORD_REJECTED),
    (400, "Request_BadRequest", "Choose a different password: it is commonly used.", Meaning.PASSWORD_REJECTED),
    (400, "Request_BadRequest", "Unable to update the specified properties for on-premises mastered Directory Sync "
                                "objects or objects currently undergoing migration.", Meaning.SYNCHRONISED),
    (400, "Request_BadRequest", "Not for federated users.", Meaning.FEDERATED),
    (400, "badRequest", "Cannot delete default method with other methods configured.", Meaning.HELD_BACK),
    (400, "BADREQUEST", "[x] matches the user's current default authentication method", Meaning.HELD_BACK),
    (400, "badRequest", "Not without first deleting alternate mobile number", Meaning.HELD_BACK),
    (400, "Request_BadRequest", "Resource not found for the segment 'qrCodePinMethod'.", Meaning.WRONG_ADDRESS),
    (405, "", "", Meaning.WRONG_ADDRESS),
    (404, "Request_ResourceNotFound", "Resource 'x' does not exist", Meaning.GONE),
    (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "", Meaning.NEEDS_LICENCE),
    (400, "AadPremiumLicenseRequired", "", Meaning.NEEDS_LICENCE),
    (403, "insufficient_claims", "", Meaning.BLOCKED_BY_POLICY),
    (401, "insufficient_claims", "", Meaning.BLOCKED_BY_POLICY),
    (403, "Authentication_MSGraphPermissionMissing", "", Meaning.PERMISSION_MISSING),
    (403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.", Meaning.FORBIDDEN),
    (403, "accessDenied", "", Meaning.FORBIDDEN),
    (401, "InvalidAuthenticationToken", "", Meaning.SIGNED_OUT),
    (400, "Request_BadRequest", "Property x is read-only and cannot be set.", Meaning.UNKNOWN),
    (409, "Conflict", "default method", Meaning.UNKNOWN),
    (418, "", "", Meaning.UNKNOWN),
]  # fmt: skip


def envelopes(code: str, message: str) -> list[Any]:
    """The shapes in which the services behind Graph wrap one and the same error."""
    return [
        {"error": {"code": code, "message": message}},
        {"error": {"code": code, "message": "", "innerError": {"message": message}}},
        {"ERROR": {"Code": code, "Message": "", "innererror": {"code": "other", "message": message}}},
        {"error": {"code": code, "innererror": {"internalException": {"message": message}}}},
    ]


@pytest.mark.parametrize(("status", "code", "message", "meaning"), SAMPLES)
def test_each_refusal_has_its_meaning_in_every_envelope(status: int, code: str, message: str, meaning: Meaning) -> None:
    for body in envelopes(code, message):
        assert meaning_of(status, read_error(body)) is meaning


def test_every_meaning_and_every_row_is_met_by_a_sample() -> None:
    errors = [(status, read_error(envelopes(code, message)[0])) for status, code, message, _ in SAMPLES]
    assert {meaning for *_, meaning in SAMPLES} == set(Meaning)
    for row in TABLE:
        assert any(row.fits(status, error) for status, error in errors), row


@pytest.mark.parametrize("body", [None, "", [], 5, {}, {"error": None}, {"error": "text"}, {"error": {"code": 7}}])
@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_body_that_says_nothing_means_nothing(status: int, body: object) -> None:
    assert meaning_of(status, read_error(body)) is Meaning.UNKNOWN


def test_the_raw_answer_of_the_service_behind_is_read_too() -> None:
    raw = {"Message": "No HTTP resource was found that matches the request URI 'https://mface.example.com/x'"}
    assert meaning_of(404, read_error(raw)) is Meaning.WRONG_ADDRESS


def test_a_code_is_shown_without_anything_but_letters_and_digits() -> None:
    assert read_error({"error": {"code": "Bad<script>\n Thing" + "x" * 200}}).code.startswith("BadscriptThing")
    assert len(read_error({"error": {"code": "x" * 200}}).code) == 80
