"""`connector rehearse` and `--dry-run` as an admin meets them: verdicts, and nothing changed anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.stage import Stage
from tests.e2e.conftest import SetUp

pytestmark = pytest.mark.e2e

WRITES = {"POST", "PATCH", "PUT", "DELETE"}


def tickets(stage: Stage) -> dict[str, int]:
    """One ticket of each fate."""
    numbers = {
        "reset": stage.raise_ticket("Password Reset", "dana@contoso.com", "ben@contoso.com"),
        "admin": stage.raise_ticket("Password Reset", "karin@contoso.com", "ben@contoso.com"),
        "rejected": stage.raise_ticket("MFA Reset", "emil@contoso.com", "ben@contoso.com"),
        "closed": stage.raise_ticket("MFA Reset", "farid@contoso.com", "ben@contoso.com"),
    }
    for name in ("reset", "closed"):
        stage.control("POST", f"/tickets/{numbers[name]}/approve", {"approver": "anna@contoso.com"})
    stage.control("POST", f"/tickets/{numbers['rejected']}/reject", {"approver": "anna@contoso.com", "comment": "no"})
    stage.control("PATCH", f"/tickets/{numbers['closed']}", {"status": "Closed"})
    return numbers


def changed(stage: Stage, before: int) -> list[str]:
    """Calls that could change something at the PSA or at Microsoft: not for a token, and not a batch of reads."""
    return [
        f"{one['method']} {one['path']}"
        for one in stage.control("GET", "/exchanges")[before:]
        if one["method"] in WRITES and not one["path"].endswith(("/token", "/$batch"))
    ]


def calls_so_far(stage: Stage) -> int:
    return len(stage.control("GET", "/exchanges"))


def accounts(stage: Stage) -> Any:
    return stage.control("GET", "/accounts")


def test_a_rehearsal_tells_each_fate_and_changes_nothing(set_up: SetUp) -> None:
    stage = set_up(all_parts=False)
    numbers = tickets(stage)
    before, people = calls_so_far(stage), accounts(stage)
    done = stage.connector("rehearse", "--since", "1d", "--json")
    assert done.returncode == 0, done.stderr
    told = {row["ticket"]: row for row in json.loads(done.stdout)["tickets"]}
    fates = {name: told[f"halo:{number}"]["fate"] for name, number in numbers.items()}
    assert fates == {"reset": "reset", "admin": "hand-off", "rejected": "rejected", "closed": "reset"}
    assert told[f"halo:{numbers['admin']}"]["code"] == "admin_role"
    assert changed(stage, before) == []
    assert (accounts(stage), stage.mails()) == (people, [])
    assert not (stage.folder / "connector.db").exists(), "a rehearsal needs no database"


def test_a_rehearsal_of_nothing_and_of_nonsense_says_so(set_up: SetUp) -> None:
    stage = set_up(all_parts=False)
    assert "No ticket of a mapped type was raised" in stage.connector("rehearse").stdout
    for words, problem in (
        (("--since", "soon"), "write a length of time"),
        (("--since", "2099-01-01"), "has not come yet"),
        (("--psa", "nobody"), "there is no such PSA"),
    ):
        done = stage.connector("rehearse", *words)
        assert done.returncode == 2
        assert problem in done.stderr


def test_a_dry_run_of_the_service_changes_nothing_and_tells_what_it_would_have_done(set_up: SetUp) -> None:
    stage = set_up(all_parts=False)
    stage.start_links()
    numbers = tickets(stage)
    before, people = calls_so_far(stage), accounts(stage)
    done = stage.connector("once", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert changed(stage, before) == []
    assert (accounts(stage), stage.mails()) == (people, [])
    case = stage.case(numbers["reset"])
    assert (case["case"]["state"], case["case"]["outcome"]) == ("closed", "dry_run")
    assert "one-time link" in case["case"]["explanation"]
    assert stage.case(numbers["admin"])["case"]["state"] == "needs_person"
    approval = case["case"]["approvals"][0]
    assert (approval["email"], approval["step"]) == ("anna@contoso.com", "Manager")
    assert len(approval["digest"]) == 64
