"""Mail through the imitated Graph: from whose mailbox, with what, and what is refused."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.sandbox.conftest import ANNA, DANA, Stage

SUPPORT = "support@contoso.com"


def mail(**changes: Any) -> dict[str, Any]:
    message = {
        "subject": "Hello",
        "body": {"contentType": "text", "content": "Good morning"},
        "toRecipients": [{"emailAddress": {"address": DANA}}],
    }
    return {"message": message | changes, "saveToSentItems": False}


def send(stage: Stage, mailbox: str = SUPPORT, body: dict[str, Any] | None = None) -> Any:
    return stage.graph("POST", f"users/{mailbox}/sendMail", json=body or mail())


def refused(stage: Stage, answer: Any) -> tuple[int, str]:
    assert stage.control("GET", "mails") == []
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(("kept", "body"), [(False, {"saveToSentItems": False}), (True, {})])
def test_a_mail_arrives_and_a_copy_is_kept_unless_told_otherwise(
    stage: Stage, kept: bool, body: dict[str, Any]
) -> None:
    canary = secrets.token_hex(8)
    message = mail(subject=canary, internetMessageHeaders=[{"name": "X-Case", "value": "7"}])["message"]
    answer = send(stage, body={"message": message} | body)
    assert (answer.status_code, answer.text) == (202, "")
    (arrived,) = stage.control("GET", "mails")
    assert (arrived["subject"], arrived["text"], arrived["saved_to_sent"]) == (canary, "Good morning", kept)
    assert (arrived["via"], arrived["sender"], arrived["recipients"]) == ("graph", SUPPORT, [DANA])
    assert arrived["headers"]["X-Case"] == "7"


def test_copies_go_to_everybody(stage: Stage) -> None:
    more = {kind: [{"emailAddress": {"address": f"{kind}@example.com"}}] for kind in ("ccRecipients", "bccRecipients")}
    send(stage, body=mail(**more))
    recipients = [DANA, "ccRecipients@example.com", "bccRecipients@example.com"]
    assert stage.control("GET", "mails")[0]["recipients"] == recipients


def test_without_permission_only_mailboxes_in_scope_can_send(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", withdraw=["Mail.Send"])
    assert refused(stage, send(stage)) == (403, "ErrorAccessDenied")
    stage.control("PATCH", "tenants/contoso", mail_scope=[SUPPORT])
    assert refused(stage, send(stage, ANNA)) == (403, "ErrorAccessDenied")
    assert send(stage).status_code == 202


def test_a_scope_limits_nothing_while_the_permission_is_granted_too(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", mail_scope=[SUPPORT])
    assert send(stage, ANNA).status_code == 202


@pytest.mark.parametrize(
    ("mailbox", "status", "code"),
    [
        ("nobody@contoso.com", 404, "ErrorInvalidUser"),
        ("hana@fabrikam.com", 404, "ErrorInvalidUser"),
        ("no.mailbox@contoso.com", 404, "MailboxNotEnabledForRESTAPI"),
    ],
)
def test_a_mailbox_that_is_not_there_cannot_send(stage: Stage, mailbox: str, status: int, code: str) -> None:
    assert refused(stage, send(stage, mailbox)) == (status, code)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"toRecipients": []}, 400, "ErrorInvalidRecipients"),
        ({"toRecipients": [{"emailAddress": {"address": "nonsense"}}]}, 400, "ErrorInvalidRecipients"),
        ({"internetMessageHeaders": [{"name": "Message-ID", "value": "<a@b>"}]}, 400, "InvalidInternetMessageHeader"),
        ({"internetMessageHeaders": []}, 400, "InvalidInternetMessageHeaderCollection"),
        (
            {"internetMessageHeaders": [{"name": "x-a", "value": "1"}] * 6},
            400,
            "InvalidInternetMessageHeaderCollection",
        ),
        ({"from": {"emailAddress": {"address": ANNA}}}, 403, "ErrorSendAsDenied"),
    ],
)
def test_a_wrong_mail_is_refused_and_nothing_arrives(
    stage: Stage, changes: dict[str, Any], status: int, code: str
) -> None:
    assert refused(stage, send(stage, body=mail(**changes))) == (status, code)
