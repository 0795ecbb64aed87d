"""A whole reset out of a ConnectWise ticket, in an unkind world, beside one out of HaloPSA in the same daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.stage import Stage, link_in, open_link, wait_for
from tests.contract_check import check_all, contracts_are_here, specs_or_skip

pytestmark = pytest.mark.e2e

DANA, HANA, BEN, GUS = "dana@contoso.com", "hana@fabrikam.com", "ben@contoso.com", "gus@fabrikam.com"


def ready_link(stage: Stage, number: int) -> str:
    return next((link for mail in stage.mails(number) if (link := link_in(mail))), "")


def test_two_psas_in_one_daemon_reset_each_their_own(tmp_path: Path) -> None:
    with Stage(tmp_path, gentle=False, psas=("halo", "connectwise")) as stage:
        stage.start_all()
        wish = {"requester": BEN, "subject": DANA, "details": "locked out"}
        ours = int(stage.control("POST", "/connectwise/tickets", wish)["id"])
        theirs = stage.raise_ticket("Password Reset", HANA, GUS, client_id=21)

        def ticket() -> dict[str, Any]:
            return dict(stage.control("GET", f"/connectwise/tickets/{ours}"))

        wait_for("the recognition", lambda: any("Recognised" in n["text"] for n in ticket()["notes"]), seconds=40)
        assert stage.control("GET", f"/accounts/{DANA}")["password_set_at"] is None, "nobody has approved"
        stage.control("POST", f"/connectwise/tickets/{ours}/approve", {"comment": "fine"})
        stage.control("POST", f"/tickets/{theirs}/approve", {"comment": "fine"})
        passwords = []
        for number, upn in ((ours, DANA), (theirs, HANA)):
            link = wait_for(f"the link of {number}", lambda number=number: ready_link(stage, number), seconds=40)
            status, password = open_link(link)
            assert status == 200
            opened = stage.control("POST", f"/accounts/{upn}/check-password", {"password": password})
            assert opened == {"opens": True, "must_change": True}
            passwords.append(password)
        wait_for("the closing", lambda: ticket()["closed"], seconds=40)
        wait_for("the other closing", lambda: stage.ticket(theirs)["closed"], seconds=40)
        assert [row["enteredBy"] for row in ticket()["audit"] if row["auditSubType"] == "Status"] == [
            "AnnaA",
            "ResetConnector",
        ]
        assert not [password for password in passwords if password in str(ticket())]
        if contracts_are_here():
            exchanges = stage.control("GET", "/exchanges")
            assert {"halo", "connectwise", "graph"} <= {one["system"] for one in exchanges}
            assert check_all(specs_or_skip(), exchanges) == []
