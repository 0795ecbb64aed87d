"""HaloPSA when somebody said "this was not me": what is sent, and what is made of a HaloPSA that will not.

What every PSA promises about alarms is in `tests.contracts.psa`; here is what only HaloPSA has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import responses

from connector.core.ports import Stance, StatusTarget
from connector.errors import AuthenticationError, ConfigError, PermanentError, TicketGone
from connector.psa.halopsa.adapter import HaloPsa
from sandbox.desk_records import StatusRule
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.psa.halopsa_desk import HaloDesk
from tests.psa.halopsa_make import MovableClock, changed_mapping
from tests.psa.halopsa_server import Server, detail

PRIORITIES = [
    {"id": "a", "slaid": 1, "priorityid": 1, "name": "Critical"},
    {"id": "b", "slaid": 1, "priorityid": 4, "name": "Low"},
    {"id": "c", "slaid": 2, "priorityid": 7, "name": "Critical"},
    {"id": "d", "slaid": 3, "priorityid": 1, "name": "Low"},
]
CLOSED, ALARM = {"status_id": 9, "hasbeenclosed": True, "sla_id": 1, "priority_id": 4}, 36
PASSWORD_RESET = 25


@pytest.fixture
def halo() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        server = Server(mock)
        server.get("Priority", json=PRIORITIES)
        server.get("Team", json=[{"id": 4, "name": "2nd Line"}, {"id": 5, "name": "Security"}])
        yield server


def mapped(halo: Server, *, alarm: dict[str, Any] | None = None, **changes: Any) -> HaloPsa:
    return halo.psa(mapping=changed_mapping(alarm=alarm or {"priority": "Critical"}, **changes))


def stands(halo: Server, before: dict[str, Any], after: dict[str, Any]) -> None:
    """The ticket as it is before and after a change, whose answer says nothing."""
    halo.get("Tickets/4242", json=detail(**before))
    halo.get("Tickets/4242", json=detail(**after))
    halo.post("Tickets", json=detail(**before))


# ---------------------------------------------------------------- what is sent


def test_everything_goes_in_one_change(halo: Server) -> None:
    after = {"status_id": ALARM, "sla_id": 1, "priority_id": 1, "team": "Security", "agent_id": 12}
    stands(halo, CLOSED, after)
    psa = mapped(halo, alarm={"priority": "Critical", "team": "Security", "owner": "12"})
    assert psa.move("4242", StatusTarget.ALARM)
    (sent,) = halo.sent("Tickets")
    assert sent == [{"id": 4242, "status_id": ALARM, "team": "Security", "agent_id": 12, "priority_id": 1}]


@pytest.mark.parametrize(("agreement", "number"), [(1, 1), (2, 7)])
def test_a_priority_is_that_of_the_tickets_own_agreement(halo: Server, agreement: int, number: int) -> None:
    stands(halo, {**CLOSED, "sla_id": agreement}, {"status_id": ALARM, "sla_id": agreement, "priority_id": number})
    assert mapped(halo).move("4242", StatusTarget.ALARM)
    assert halo.sent("Tickets")[0][0]["priority_id"] == number


@pytest.mark.parametrize("agreement", [3, 99, None])
def test_an_agreement_without_that_priority_is_told_and_the_ticket_opened_all_the_same(
    halo: Server, agreement: int | None
) -> None:
    stands(halo, {**CLOSED, "sla_id": agreement}, {"status_id": ALARM, "sla_id": agreement, "priority_id": 4})
    with pytest.raises(PermanentError, match=r"does not have the priority that alarm.priority names"):
        mapped(halo).move("4242", StatusTarget.ALARM)
    assert halo.sent("Tickets")[0] == [{"id": 4242, "status_id": ALARM}]


@pytest.mark.parametrize(
    ("alarm", "team", "owner"),
    [({}, "2nd Line", 11), ({"team": "Security"}, "Security", 11), ({"owner": "12"}, "2nd Line", 12)],
)
def test_what_alarm_does_not_name_is_taken_from_hand_off(
    halo: Server, alarm: dict[str, str], team: str, owner: int
) -> None:
    stands(halo, CLOSED, {"status_id": ALARM, "sla_id": 1, "priority_id": 1, "team": team, "agent_id": owner})
    psa = mapped(halo, alarm={"priority": 1, **alarm}, hand_off={"team": "2nd Line", "owner": "11"})
    assert psa.move("4242", StatusTarget.ALARM)
    assert (halo.sent("Tickets")[0][0]["team"], halo.sent("Tickets")[0][0]["agent_id"]) == (team, owner)


def test_a_hand_off_is_none_of_an_alarms_business(halo: Server) -> None:
    halo.post("Tickets", json=detail(status_id=34))
    psa = mapped(halo, alarm={"priority": "Critical", "team": "Security", "owner": "12"})
    assert psa.move("4242", StatusTarget.HAND_OFF)
    assert halo.sent("Tickets") == [[{"id": 4242, "status_id": 34}]]


# ---------------------------------------------------------------- without a status of its own


@pytest.mark.parametrize(("reopened", "status"), [(1, 1), ("31", 31)])
def test_a_closed_ticket_goes_where_its_type_brings_reopened_ones(halo: Server, reopened: object, status: int) -> None:
    kind = {"tickettype": {"id": 25, "reopenedstatus": reopened}}
    stands(halo, CLOSED | kind, {"status_id": status, "sla_id": 1, "priority_id": 1, **kind})
    assert mapped(halo, statuses={"closed": "Closed"}).move("4242", StatusTarget.ALARM)
    assert halo.sent("Tickets") == [[{"id": 4242, "status_id": status, "priority_id": 1}]]


@pytest.mark.parametrize("reopened", [None, -1, 0, "?", 9, 32, 33, 35, 4711])
def test_a_status_that_means_something_else_opens_nothing(halo: Server, reopened: object) -> None:
    """Nothing, closed, approved, rejected, retry, and one that no status has."""
    halo.get("Tickets/4242", json=detail(**CLOSED, tickettype={"id": 25, "reopenedstatus": reopened}))
    psa = mapped(halo, statuses={"closed": "Closed", "retry": "Retry reset"})
    assert psa.move("4242", StatusTarget.ALARM) is False
    assert halo.sent("Tickets") == []


def test_an_open_ticket_stays_where_it_is_and_gets_the_priority(halo: Server) -> None:
    kind = {"tickettype": {"id": 25, "reopenedstatus": 1}}
    stands(halo, {"sla_id": 1, "priority_id": 4, **kind}, {"sla_id": 1, "priority_id": 1, **kind})
    assert mapped(halo, statuses={"closed": "Closed"}).move("4242", StatusTarget.ALARM)
    assert halo.sent("Tickets") == [[{"id": 4242, "priority_id": 1}]]


# ---------------------------------------------------------------- a HaloPSA that will not


def test_a_forbidden_reopening_pauses_nothing(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(**CLOSED))
    halo.post("Tickets", status=403, body="no")
    with pytest.raises(PermanentError, match="open ticket 4242 again in HaloPSA now, set it to 'Security alarm'"):
        mapped(halo).move("4242", StatusTarget.ALARM)


def test_where_nothing_can_be_read_either_it_is_no_matter_of_one_ticket(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(**CLOSED))
    halo.get("Tickets/4242", status=401)
    halo.get("Tickets", status=401)
    halo.post("Tickets", status=401)
    with pytest.raises(AuthenticationError):
        mapped(halo).move("4242", StatusTarget.ALARM)


def test_a_ticket_that_went_away_meanwhile_is_gone(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(**CLOSED))
    halo.post("Tickets", status=404)
    with pytest.raises(TicketGone):
        mapped(halo).move("4242", StatusTarget.ALARM)


@pytest.mark.parametrize("priority", [4, None, "?"])
def test_a_priority_that_was_passed_over_is_told(halo: Server, priority: object) -> None:
    stands(halo, CLOSED, {"status_id": ALARM, "sla_id": 1, "priority_id": priority})
    with pytest.raises(PermanentError, match=r"does not have the priority 1.*priority 'Critical'"):
        mapped(halo).move("4242", StatusTarget.ALARM)


def test_a_priority_that_does_not_exist_stops_the_start(halo: Server) -> None:
    with pytest.raises(AuthenticationError, match="there is no priority 'Urgent'"):
        mapped(halo, alarm={"priority": "Urgent"}).read("4242")


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        ({"closed": "Closed", "alarm": "closed"}, "alarm must not be the status of working or closed"),
        ({"retry": "Again", "alarm": "again"}, "retry must be a status of its own"),
        ({"alarm": "approved"}, "statuses.alarm is also a decision"),
        ({"alarm": "Rejected"}, "statuses.alarm is also a decision"),
    ],
)
def test_a_status_that_means_something_else_is_refused(statuses: dict[str, str], words: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=words):
        changed_mapping(statuses=statuses)


# ---------------------------------------------------------------- at the sandbox


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[World, Addresses, MovableClock]]:
    clock = MovableClock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield world, addresses, clock


@pytest.fixture
def desk(house: tuple[World, Addresses, MovableClock]) -> HaloDesk:
    world, addresses, clock = house
    clock.moment = MovableClock().moment
    world.reset()
    return HaloDesk(world, addresses, clock)


@pytest.mark.parametrize("status", [True, False])
def test_a_ticket_that_says_closed_for_ever_is_open_where_alarms_go_and_nowhere_else(
    desk: HaloDesk, status: bool
) -> None:
    desk.desk.habits = replace(desk.desk.habits, stays_flagged=True)
    psa, ticket = desk.for_alarms(status=status), desk.add_ticket()
    desk.close(ticket)
    assert psa.move(ticket, StatusTarget.ALARM)
    assert not psa.read(ticket).closed
    desk.set_status(ticket, "In Progress")
    assert psa.read(ticket).closed


def test_an_approved_ticket_that_an_alarm_opened_again_is_not_approved(desk: HaloDesk) -> None:
    psa, ticket = desk.for_alarms(), desk.add_ticket()
    desk.approve(ticket)
    assert psa.read(ticket).approval.stance is Stance.APPROVED
    desk.close(ticket)
    psa.move(ticket, StatusTarget.ALARM)
    assert psa.read(ticket).approval.stance is not Stance.APPROVED


@pytest.mark.parametrize("does", ["undo", "ignore"])
def test_a_rule_that_closes_the_ticket_anew_is_told(desk: HaloDesk, does: str) -> None:
    """Its answer may have shown the ticket as it was wanted: the rule runs afterwards."""
    rules = (StatusRule(desk.desk.status_named("Security alarm").id, does),)
    desk.desk.types[PASSWORD_RESET] = replace(desk.desk.types[PASSWORD_RESET], status_rules=rules)
    psa, ticket = desk.for_alarms(), desk.add_ticket()
    desk.close(ticket)
    with pytest.raises(
        PermanentError, match=r"stand in 'Security alarm' but in 'Closed'\. Look for a workflow or rule"
    ):
        psa.move(ticket, StatusTarget.ALARM)
    assert desk.status(ticket) == "Closed"


@pytest.mark.parametrize("habit", ["refuse", "forbid", "ignore"])
def test_a_halopsa_that_reopens_nothing_says_so_and_goes_on(desk: HaloDesk, habit: str) -> None:
    desk.desk.habits = replace(desk.desk.habits, reopening=habit)
    psa, ticket = desk.for_alarms(), desk.add_ticket()
    desk.close(ticket)
    with pytest.raises(PermanentError, match=f"open ticket {ticket} again in HaloPSA now"):
        psa.move(ticket, StatusTarget.ALARM)
    assert desk.status(ticket) == "Closed"
    assert psa.read(ticket).closed
