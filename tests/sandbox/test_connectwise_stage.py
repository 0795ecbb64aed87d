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


def test_a_registered_callback_is_signed_believed_and_a_forged_one_is_not(tmp_path: Path) -> None:
    """Polling is an hour apart, so whatever happens at once comes of a callback."""
    with Stage(tmp_path, psas=("connectwise",), settings={"poll_every": "1h"}) as stage:
        stage.start_all()
        address = f"http://127.0.0.1:{stage.inbound_port}/nudge/connectwise"
        done = stage.connector("psa", "register-callback", "connectwise", "--url", address)
        assert done.returncode == 0, done.stderr

        def ticket() -> dict[str, Any]:
            return dict(stage.control("GET", f"/connectwise/tickets/{ours}"))

        def answers(place: int) -> int | None:
            status = stage.control("GET", "/connectwise/deliveries")[place]["status"]
            return None if status is None else int(status)

        ours = int(stage.control("POST", "/connectwise/tickets", {"requester": BEN, "subject": DANA})["id"])
        wait_for("the recognition", lambda: any("Recognised" in note["text"] for note in ticket()["notes"]))
        told = len(stage.control("GET", "/connectwise/deliveries"))
        for forged in ("bad_signature", "no_signature", "other_company", "not_json"):
            stage.control("POST", "/connectwise/deliveries", {"ticket": ours, "forged": forged})
        wait_for("the forgeries' answers", lambda: all(answers(told + place) for place in range(4)))
        assert [answers(told + place) for place in range(4)] == [401] * 4
        assert answers(0) == 202
        stage.control("POST", f"/connectwise/tickets/{ours}/approve", {})
        link = wait_for("the link", lambda: ready_link(stage, ours))
        assert open_link(link)[0] == 200
        assert len(
            [one for one in stage.control("GET", "/exchanges?system=connectwise") if "callbackkey" in one["path"]]
        )
