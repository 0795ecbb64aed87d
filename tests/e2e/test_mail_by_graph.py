"""A whole case whose mails go by Graph: real processes, and a look at what arrived."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.stage import Stage, link_in, open_link, wait_for
from tests.e2e.conftest import SetUp, keep_to_the_contracts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MAILBOX = "zoe@contoso.com"
REQUESTER, APPROVER, SUBJECT = "ben@contoso.com", "anna@contoso.com", "dana@contoso.com"
OTHER_ADDRESS = "dana@home.example"


def with_mail_by_graph(stage: Stage, **section: object) -> Stage:
    """Put `mail: {kind: graph}` in the place of the stage's SMTP section, then start what is missing."""
    path = stage.folder / "connector.yaml"
    settings = json.loads(path.read_text())
    contoso = stage.facts["tenants"]["contoso"]["tenant_id"]
    settings["mail"] = {"kind": "graph", "mailbox": MAILBOX, "tenant_id": contoso, **section}
    path.write_text(json.dumps(settings))
    stage.start_links()
    stage.start_connector()
    return stage


def link_of(mail: dict[str, Any]) -> str:
    """The link in the HTML, which is all that travels."""
    return link_in({"text": mail["html"]})


def test_a_password_request_is_mailed_by_graph_from_the_first_mail_to_the_last(set_up: SetUp) -> None:
    stage = with_mail_by_graph(set_up(all_parts=False))
    number = stage.raise_ticket("Password Reset", SUBJECT, REQUESTER, details="locked out")
    wait_for("the confirmation", lambda: stage.mails(number))
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER, "comment": "spoke to them"})
    [ready] = wait_for("the link", lambda: [mail for mail in stage.mails(number) if link_of(mail)])
    status, password = open_link(link_of(ready))
    assert status == 200
    opened = stage.control("POST", f"/accounts/{SUBJECT}/check-password", {"password": password})
    assert opened == {"opens": True, "must_change": True}
    wait_for("the end", lambda: stage.ticket(number)["status"] == "Closed", seconds=40)
    wait_for("the last mail", lambda: len(stage.mails(number)) == 5)

    mails = stage.mails(number)
    assert {mail["via"] for mail in mails} == {"graph"}
    assert {mail["sender"] for mail in mails} == {MAILBOX}
    assert sorted(mail["recipients"] for mail in mails) == [[REQUESTER]] * 4 + [[OTHER_ADDRESS]]
    ids = [mail["headers"]["x-connector-message-id"] for mail in mails]
    assert len(set(ids)) == len(ids)
    assert all(one.endswith("@contoso.com>") for one in ids)
    assert password not in json.dumps(mails)
    sent = [one["request_body"] for one in stage.control("GET", "/exchanges") if one["path"].endswith("/sendMail")]
    assert len(sent) == len(mails)
    assert all(body["SaveToSentItems"] is False for body in sent)
    keep_to_the_contracts(stage)


def test_without_the_right_to_the_mailbox_nothing_is_reset_and_the_check_says_what_to_do(set_up: SetUp) -> None:
    stage = set_up(all_parts=False)
    stage.control("PATCH", "/tenants/contoso", {"withdraw": ["Mail.Send"]})
    with_mail_by_graph(stage)
    number = stage.raise_ticket("Password Reset", SUBJECT, REQUESTER)
    wait_for("the outage", lambda: '"system_down"' in stage.log("connector"))
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    wait_for("the pass after the approval", lambda: '"attempt": 2' in stage.log("connector"))
    assert stage.control("GET", f"/accounts/{SUBJECT}")["writes"] == 0
    assert stage.mails() == []
    checked = stage.connector("check")
    assert checked.returncode == 1
    assert "RBAC for" in checked.stdout
