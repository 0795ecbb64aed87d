"""Everything that the imitated HaloPSA can say is described by the vendor, property by property.

The check that ends every test here lets an answer have properties that are not described, because real ones do. The
imitation must not: a property that it made up would be one that the connector could come to rely on.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract_check import _content, _find, _inner_path, _unknown, check_all, specs_or_skip
from tests.sandbox.conftest import BEN, DANA, Stage

READ = (
    "Tickets?includestatus=true&includeagent=true&include_custom_fields=201,204",
    "Tickets/{ticket}?includedetails=true",
    "TicketApproval?ticket_id={ticket}",
    "Actions?ticket_id={ticket}",
    "Users",
    "Users/103",
    "Client",
    "Client/12",
    "TicketType",
    "TicketType/27?includedetails=true",
    "Status",
    "Status/9",
    "Outcome",
    "Outcome/7",
    "Workflow",
    "Workflow/10?includedetails=true",
    "ApprovalProcess",
    "ApprovalProcess/8?includedetails=true",
    "FieldInfo",
    "FieldInfo/204",
    "Webhook",
    "WebhookEvent",
)
SEEN_LIVE = {"id"}
"""An approval's own number: the swagger has none, a public client saw it on a live tenant (read 2026-11-22)."""


def say_everything(stage: Stage) -> None:
    stage.control("POST", "halo/webhooks", url="http://127.0.0.1:9/", username="halo")
    custom = {"CFSubjectUser": DANA, "CFNeededBy": "2026-11-30", "CFResetParts": "MFA", "CFSpokenTo": True}
    number = stage.ticket(type="Account Reset", what="Both", approval_process="CAB reset approval", custom=custom)
    other = stage.ticket(approval_process="Staged reset approval")
    stage.control("POST", f"tickets/{number}/delegate", to=BEN)
    stage.control("POST", f"tickets/{number}/approve", override_agent=2, comment="fine")
    stage.control("POST", f"tickets/{other}/approvers", approver="alex@msp.example")
    stage.control("POST", f"tickets/{other}/approve")
    stage.halo("POST", "Tickets", json=[{"id": number, "agent_id": 2, "team": "Security"}])
    stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome_id": 7, "note": "x", "timetaken": 0.1}])
    stage.halo("GET", f"TicketApproval?ticket_id={other}")
    stage.control("POST", f"tickets/{number}/merge", into=other)
    for path in READ:
        assert stage.halo("GET", path.format(ticket=number)).ok, path


@pytest.mark.parametrize("habits", [{}, {"finished_to_history": True, "pending_result": 0, "sentinel_dates": True}])
def test_every_property_is_described_or_was_seen_live(stage: Stage, habits: dict[str, Any]) -> None:
    spec = specs_or_skip()["halo"]
    stage.control("POST", "halo/habits", **({"auth_path": "/auth"} | habits))
    say_everything(stage)
    exchanges = [exchange.as_dict() for exchange in stage.world.record.exchanges if exchange.system == "halo"]
    assert check_all({"halo": spec}, exchanges) == []
    strange = {}
    for exchange in exchanges:
        operation = _find(spec, exchange["method"], _inner_path(spec, exchange["path"]))
        assert not isinstance(operation, str), exchange["path"]
        answer = operation.content["responses"][str(exchange["status"])]
        unknown = set(_unknown(spec, _content("", answer)[1], exchange["response_body"])) - SEEN_LIVE
        if unknown:
            strange[exchange["path"]] = unknown
    assert len(exchanges) > len(READ)
    assert strange == {}
