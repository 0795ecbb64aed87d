"""Each refusal as people see it: on the ticket, in the requester's mail, in `connector show`, and nothing is written.

One daemon and one imitated tenant with an account for every reason; the approver says yes to everything.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from sandbox.stage import Stage, wait_for
from tests.e2e.conftest import keep_to_the_contracts
from tests.e2e.forking_stage import ForkingStage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REQUESTER, APPROVER, SENDER = "ben@contoso.com", "anna@contoso.com", "support@contoso.com"
DESK = "This account cannot be reset automatically"
DOUBTFUL = "does not stand for one account beyond doubt"
GUEST = "This is a guest account"
NOBODY = "found no account with the address"
ROLES = (
    "directory-readers", "guest-inviter", "password", "message-center", "reports", "usage-summary", "helpdesk",
    "authentication", "groups", "user", "global", "privileged-authentication", "privileged-role", "custom", "unlisted",
    "restricted-unit",
)  # fmt: skip
NEVER_SAID_TO_A_REQUESTER = (
    "administrator", " role", "protected by", "tenants.", "another customer", "retry status", "holder.", "twin@contoso",
    "sends its mails", "restricted management",
)  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """What is asked for and what comes back."""

    subject: str
    code: str
    noted: str
    told: str
    kind: str = "Password Reset"
    client: int = 12


CASES = [
    *(Refused(f"role.{role}@contoso.com", "admin_role", "holds an administrator role", DESK) for role in ROLES),
    Refused("role.global@contoso.com", "admin_role", "holds an administrator role", DESK, kind="MFA Reset"),
    Refused("eligible.role@contoso.com", "eligible_role", "can activate an administrator role", DESK),
    Refused("group.member@contoso.com", "privileged_group", "member or owner of a group", DESK),
    Refused("group.owner@contoso.com", "privileged_group", "member or owner of a group", DESK),
    Refused("restricted.unit@contoso.com", "restricted", "restricted management", DESK, kind="MFA Reset"),
    Refused("mira@contoso.com", "protected", "protected by the configuration", DESK),
    Refused("many.groups@contoso.com", "protected", "protected by the configuration", DESK),
    Refused("nested.group@contoso.com", "protected", "protected by the configuration", DESK),
    Refused(SENDER, "own_mailbox", "from which this connector sends its mails", DESK),
    Refused("guest.internal@contoso.com", "guest", "is a guest", GUEST),
    Refused("guest.creation@contoso.com", "guest", "is a guest", GUEST),
    Refused("guest.state@contoso.com", "guest", "is a guest", GUEST),
    Refused("guest.name_example.com#EXT#@contoso.onmicrosoft.com", "guest", "is a guest", GUEST, kind="MFA Reset"),
    Refused("grete@contoso.com", "synchronised", "synchronised from an on-premises directory", "own directory"),
    Refused("henk@partners.contoso.com", "federated", "of a federated domain", "own directory"),
    Refused("zoe@contoso.com", "facts_unknown", "its userType is empty", DESK),
    Refused("paul@gone.example", "foreign_domain", "does not belong to a verified domain", "your organisation as we"),
    Refused("dana@contoso.com", "unknown_action", "does not say what is to be reset", "not clear what is to be reset",
            kind="Account Reset"),
    Refused("jan@contoso.com", "disabled", "is disabled", "This account is disabled"),
    Refused("gone@contoso.com", "no_account", "misspelt, deleted, or somebody else's", NOBODY),
    Refused("hana@fabrikam.com", "wrong_tenant", "belongs to another customer: tenants.fabrikam", NOBODY),
    Refused("double.mail@contoso.com", "ambiguous", "holder.mail@contoso.com (mail)", DOUBTFUL),
    Refused("double.proxy@contoso.com", "ambiguous", "holder.proxy@contoso.com (proxy address)", DOUBTFUL),
    Refused("double.other@contoso.com", "ambiguous", "holder.other@contoso.com (alternate address)", DOUBTFUL),
    Refused("twin@home.example", "ambiguous", "only an alternate address of twin@contoso.com", DOUBTFUL),
    Refused("twin@fabrikam.com", "ambiguous", "only an alternate address of twin@contoso.com", DOUBTFUL),
    Refused(REQUESTER, "requester_is_subject", "their own account", "reset of your own account"),
    Refused("dana@contoso.com, emil@contoso.com", "bad_subject", "2 addresses", "not clear whose account"),
    Refused("", "bad_subject", "names no account", "not clear whose account"),
    Refused("dana@contoso.com", "unmapped_client", "is not mapped to a tenant", "not set up", client=30),
]  # fmt: skip


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A tenant with every kind of protection configured, and the permission to see every kind of role."""
    with ForkingStage(tmp_path_factory.mktemp("refusals")) as stage:
        stage.start_sandbox()
        stage.control("PATCH", "/tenants/contoso", {"grant": ["RoleManagement.Read.Directory", "AuditLog.Read.All"]})
        stage.control("PATCH", "/accounts/zoe@contoso.com", {"properties": {"userType": None}})
        moved = {"userPrincipalName": "paul@gone.example", "mail": "paul@gone.example"}  # a domain given up since
        stage.control("PATCH", "/accounts/paul+sales@contoso.com", {"properties": moved})
        groups = stage.facts["tenants"]["contoso"]["groups"]
        protected = [id_ for name, id_ in groups.items() if name in ("Do not reset", "Crown") or "Protected" in name]
        assert len(protected) > 20
        stage.settings["tenants"] = {
            name: {
                "tenant_id": tenant["tenant_id"],
                "clients": {"halo": tenant["clients"]},
                "approvers": tenant["approvers"],
                "protected": {"groups": protected if name == "contoso" else []},
            }
            for name, tenant in stage.facts["tenants"].items()
        }
        stage.settings["mail"] = {"from": f"Service Desk <{SENDER}>"}
        stage.write_files()
        stage.start_links()
        stage.start_connector()
        yield stage
        keep_to_the_contracts(stage)


def writes(stage: Stage) -> dict[str, int]:
    return {account["upn"]: account["writes"] for account in stage.control("GET", "/accounts")}


def notes_of(stage: Stage, number: int) -> str:
    return html.unescape("\n".join(one["note"] for one in stage.ticket(number)["actions"] if one["application"]))


def test_each_refusal_is_seen_by_everybody_before_an_approver_is_bothered_and_nothing_is_written(
    stage: Stage,
) -> None:
    before = writes(stage)
    tickets = [(case, stage.raise_ticket(case.kind, case.subject, REQUESTER, client_id=case.client)) for case in CASES]
    for case, number in tickets:
        wait_for(f"the hand-off of {case.subject!r}", partial(_handed_off, stage, number), seconds=90)
        stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    for case, number in tickets:
        note = notes_of(stage, number)
        assert case.noted in note, case
        assert "To do:" in note, case
        assert "Nothing was changed on the account." in note, case
        [mail] = wait_for(f"the mail on {case.subject!r}", partial(stage.mails, number))
        for body in (mail["text"], mail["html"]):
            assert case.told in " ".join(body.split()), case
            said = re.sub(r"<[^>]*>", "", body)
            assert not [word for word in NEVER_SAID_TO_A_REQUESTER if word in said], case
    for case, number in {case.code: (case, number) for case, number in tickets}.values():  # one of each reason
        facts = stage.case(number)
        assert facts["case"]["state"] == "needs_person", case
        assert case.noted in facts["case"]["explanation"], case
        assert facts["timeline"][0]["code"] == case.code, case
        assert [line["event"] for line in facts["timeline"]] == ["handed_off"], case
    printed = stage.connector("show", str(tickets[0][1])).stdout
    assert "holds an administrator role" in " ".join(printed.split())
    assert writes(stage) == before


def _handed_off(stage: Stage, number: int) -> bool:
    return bool(stage.ticket(number)["status"] == "Needs technician")


def rested(stage: Stage) -> bool:
    """Whether Microsoft was not asked for ten seconds.

    It takes five calls of a kind in that time, and removing methods may have used them up. Who can reset alone is such
    a call too, and only a hint, for which nothing waits.
    """
    asked = stage.control("GET", "/exchanges?system=graph")
    return not asked or datetime.now(UTC) - datetime.fromisoformat(asked[-1]["at"]) > timedelta(seconds=10)


def test_what_makes_a_reset_needless_is_said_with_the_confirmation(stage: Stage) -> None:
    wait_for("a rest", lambda: rested(stage), every=0.5)
    number = stage.raise_ticket("Password Reset", "self.service@contoso.com", REQUESTER, details="locked out again")
    [mail] = wait_for("the confirmation", lambda: stage.mails(number))
    text = " ".join(mail["text"].split())
    assert "https://passwordreset.microsoftonline.com" in text
    assert "You wrote of a lock-out" in text
    wait_for("the note", lambda: "reads like a lock-out" in notes_of(stage, number))
    facts = json.loads(stage.connector("show", str(number), "--json").stdout)
    assert facts["case"]["state"] == "waiting"


def test_an_mfa_reset_of_a_synchronised_account_works_all_the_same(stage: Stage) -> None:
    number = stage.raise_ticket("MFA Reset", "grete@contoso.com", REQUESTER)
    wait_for("the confirmation", lambda: stage.mails(number))
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    wait_for("the end", lambda: stage.ticket(number)["status"] == "Closed", seconds=60)
    account: dict[str, Any] = stage.control("GET", "/accounts/grete@contoso.com")
    assert account["methods"] == []
    assert account["password_set_at"] is None
