"""ConnectWise when somebody said "this was not me": what is sent, and what is made of a board that will not.

What every PSA promises about alarms is in `tests.contracts.psa`; here is what only ConnectWise has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import responses

from connector.core.ports import Finding, Level, Stance, StatusTarget
from connector.errors import AuthenticationError, PermanentError, TicketGone
from connector.psa.connectwise.adapter import ConnectWise
from tests.psa.connectwise_desk import CwDesk, House, house, open_desk
from tests.psa.connectwise_make import changed_mapping
from tests.psa.connectwise_server import STATUSES, Server, ticket

TICKET = "service/tickets/4242"
PRIORITIES = [{"id": 6, "name": "Priority 1 - Emergency"}, {"id": 8, "name": "Priority 3 - Normal"}]
TEAMS = [{"id": 31, "name": "Service Desk Team"}, {"id": 32, "name": "Escalations"}]
OLGA = {"id": 152, "identifier": "OlgaO", "firstName": "Olga", "lastName": "Owner"}
TINA = {"id": 151, "identifier": "TinaT", "firstName": "Tina", "lastName": "Technician"}
CLOSED = {"status": {"id": 508, "name": "Closed"}, "closedFlag": True, "priority": {"id": 8, "name": "Normal"}}
ALARM = {"status": {"id": 509, "name": "Security alarm"}, "priority": {"id": 6, "name": "Emergency"}}
URGENT = "Priority 1 - Emergency"


@pytest.fixture
def server() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        made = Server(mock)
        made.get("service/priorities", json=PRIORITIES)
        made.get("service/boards/1/teams", json=TEAMS)
        made.get("system/members", json=[OLGA, TINA])
        yield made


def mapped(server: Server, *, alarm: dict[str, Any] | None = None, **changes: Any) -> ConnectWise:
    return server.psa(mapping=changed_mapping(alarm=alarm or {"priority": URGENT}, **changes))


def stands(server: Server, before: dict[str, Any], after: dict[str, Any], answer: dict[str, Any] | None = None) -> None:
    """The ticket as it is before and after a change, and what the change is answered."""
    server.get(TICKET, json=ticket(**before))
    server.get(TICKET, json=ticket(**after))
    server.patch(TICKET, json=ticket(**(after if answer is None else answer)))


def sent(server: Server) -> list[Any]:
    return [json.loads(request.body or "") for request in server.asked(TICKET) if request.method == "PATCH"]


def replaced(**parts: int) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": name, "value": {"id": id_}} for name, id_ in parts.items()]


# ---------------------------------------------------------------- what is sent


def test_everything_goes_in_one_patch_by_id(server: Server) -> None:
    stands(server, CLOSED, {**ALARM, "team": {"id": 32}, "owner": {"id": 152}})
    psa = mapped(server, alarm={"priority": URGENT, "team": "Escalations", "owner": "OlgaO"})
    assert psa.move("4242", StatusTarget.ALARM)
    assert sent(server) == [replaced(status=509, priority=6, team=32, owner=152)]


@pytest.mark.parametrize(
    ("alarm", "team", "owner"),
    [({}, 31, 151), ({"team": "Escalations"}, 32, 151), ({"owner": "OlgaO"}, 31, 152)],
)
def test_what_alarm_does_not_name_is_taken_from_hand_off(
    server: Server, alarm: dict[str, str], team: int, owner: int
) -> None:
    stands(server, CLOSED, {**ALARM, "team": {"id": team}, "owner": {"id": owner}})
    hand_off = {"team": "Service Desk Team", "owner": "TinaT"}
    psa = mapped(server, alarm={"priority": 6, **alarm}, hand_off=hand_off)
    assert psa.move("4242", StatusTarget.ALARM)
    assert sent(server) == [replaced(status=509, priority=6, team=team, owner=owner)]


def test_a_hand_off_is_none_of_an_alarms_business(server: Server) -> None:
    stands(server, {}, {"status": {"id": 506, "name": "Needs technician"}})
    psa = mapped(server, alarm={"priority": URGENT, "team": "Escalations", "owner": "OlgaO"})
    assert psa.move("4242", StatusTarget.HAND_OFF)
    assert sent(server) == [replaced(status=506)]


# ---------------------------------------------------------------- without a status of its own


def default_status(server: Server, *wanted: int, **flags: Any) -> None:
    rows = [{**row, **({"defaultFlag": True, **flags} if row["id"] in wanted else {})} for row in STATUSES]
    server.mock.replace("GET", server.url("service/boards/1/statuses"), json=rows)


def test_a_closed_ticket_goes_to_the_boards_default_status(server: Server) -> None:
    default_status(server, 501)
    stands(server, CLOSED, {"status": {"id": 501}, "priority": {"id": 6}})
    assert mapped(server, statuses={"closed": "Closed"}).move("4242", StatusTarget.ALARM)
    assert sent(server) == [replaced(status=501, priority=6)]


@pytest.mark.parametrize(
    ("defaults", "flags"),
    [
        ((), {}),
        ((501, 503), {}),
        ((504,), {}),
        ((508,), {}),
        ((501,), {"inactive": True}),
        ((501,), {"closedStatus": True}),
    ],
    ids=["none", "two", "approved", "closed", "inactive", "closing"],
)
def test_a_default_status_that_is_not_surely_open_opens_nothing(
    server: Server, defaults: tuple[int, ...], flags: dict[str, bool]
) -> None:
    default_status(server, *defaults, **flags)
    server.get(TICKET, json=ticket(**CLOSED))
    assert mapped(server, statuses={"closed": "Closed"}).move("4242", StatusTarget.ALARM) is False
    assert sent(server) == []


def test_an_open_ticket_stays_where_it_is_and_gets_the_priority(server: Server) -> None:
    default_status(server, 501)
    stands(server, {"priority": {"id": 8}}, {"priority": {"id": 6}})
    assert mapped(server, statuses={"closed": "Closed"}).move("4242", StatusTarget.ALARM)
    assert sent(server) == [replaced(priority=6)]


def test_a_hand_off_status_that_closes_opens_nothing(server: Server) -> None:
    server.get(TICKET, json=ticket(**CLOSED))
    psa = mapped(server, statuses={"hand_off": "Closed"})
    assert psa.move("4242", StatusTarget.ALARM) is False
    assert sent(server) == []


# ---------------------------------------------------------------- a board that will not


@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_refused_reopening_pauses_nothing_and_repeats_no_word_of_connectwises(server: Server, status: int) -> None:
    server.get(TICKET, json=ticket(**CLOSED))
    words = "Dana's ticket is closed"
    server.patch(TICKET, status=status, json={"code": "InvalidObject", "message": words})
    with pytest.raises(
        PermanentError, match="open ticket 4242 again in ConnectWise now, set it to 'Security al"
    ) as told:
        mapped(server).move("4242", StatusTarget.ALARM)
    assert "Close Service Tickets" in str(told.value)
    assert words not in str(told.value)


def test_a_role_that_may_read_no_tickets_either_is_no_matter_of_one_ticket(server: Server) -> None:
    server.get(TICKET, json=ticket(**CLOSED))
    server.get(TICKET, status=403, json={"code": "Security"})
    server.get("service/tickets", status=403, json={"code": "Security"})
    server.patch(TICKET, status=403, json={"code": "Security"})
    with pytest.raises(AuthenticationError):
        mapped(server).move("4242", StatusTarget.ALARM)


def test_a_ticket_that_went_away_meanwhile_is_gone(server: Server) -> None:
    server.get(TICKET, json=ticket(**CLOSED))
    server.patch(TICKET, status=404, json={"code": "NotFound"})
    with pytest.raises(TicketGone):
        mapped(server).move("4242", StatusTarget.ALARM)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (CLOSED, "its status and priority did not change"),
        ({**ALARM, "priority": {"id": 8}}, "its priority did not change"),
        ({**ALARM, "closedFlag": True}, "its closed flag did not change"),
    ],
)
def test_what_was_answered_as_done_and_is_not_is_told(server: Server, after: dict[str, Any], words: str) -> None:
    """A false 200, or a workflow rule that ran afterwards."""
    stands(server, CLOSED, after, answer=ALARM)
    with pytest.raises(PermanentError, match=words):
        mapped(server).move("4242", StatusTarget.ALARM)


def test_a_ticket_on_a_board_that_is_not_mapped_is_told(server: Server) -> None:
    server.get(TICKET, json=ticket(**CLOSED, board={"id": 7, "name": "Elsewhere"}))
    with pytest.raises(PermanentError, match="board that the mapping does not name"):
        mapped(server).move("4242", StatusTarget.ALARM)
    assert sent(server) == []


# ---------------------------------------------------------------- what is looked up


def findings(psa: ConnectWise) -> list[Finding]:
    return [one for one in psa.check() if one.about.endswith(".mapping")]


@pytest.mark.parametrize(
    ("alarm", "words"),
    [
        ({"priority": "Urgent"}, "alarm.priority: there is no priority 'Urgent'. There is: Priority 1 - Emergency (6)"),
        ({"team": "Third line"}, "alarm.team (board Service Desk): there is no team 'Third line'. There is: Escalati"),
        ({"owner": "Nobody"}, "alarm.owner: there is no member 'Nobody'. There is: OlgaO (152), TinaT (151)."),
    ],
)
def test_a_name_that_does_not_exist_stops_the_start(server: Server, alarm: dict[str, str], words: str) -> None:
    server.get("system/info", json={"version": "v2026.1"})
    wrong = [one for one in findings(mapped(server, alarm=alarm)) if one.level is Level.ERROR]
    assert [(words in one.text, one.temporary) for one in wrong] == [(True, False)]


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        ({"alarm": 508}, "Closed (508) on the board Service Desk closes tickets"),
        ({"alarm": 504}, "Approved (504) on the board Service Desk is also a decision"),
        ({"closed": "Needs technician", "alarm": 506}, "Needs technician (506) on the board Service Desk has another"),
        ({"retry": "Retry reset", "alarm": 507}, "is also a status that we set"),
        ({"alarm": "Red alert"}, "statuses.alarm (board Service Desk): there is no status 'Red alert'"),
    ],
)
def test_a_status_that_cannot_be_an_alarms_stops_the_start(
    server: Server, statuses: dict[str, Any], words: str
) -> None:
    server.get("system/info", json={"version": "v2026.1"})
    found = findings(mapped(server, statuses=statuses))
    assert [one.level for one in found if words in one.text] == [Level.ERROR]


@pytest.mark.parametrize(
    ("statuses", "defaults", "level", "words"),
    [
        ({"hand_off": "Needs technician"}, (), Level.OK, "go where hand-offs go, to Needs technician"),
        ({"closed": "Closed"}, (501,), Level.OK, "go where new tickets begin, to New"),
        ({"closed": "Closed"}, (), Level.WARNING, "a closed ticket stays closed"),
    ],
)
def test_where_alarms_go_is_told(
    server: Server, statuses: dict[str, str], defaults: tuple[int, ...], level: Level, words: str
) -> None:
    default_status(server, *defaults)
    server.get("system/info", json={"version": "v2026.1"})
    found = findings(mapped(server, statuses=statuses))
    assert [one.level for one in found if words in one.text] == [level]


# ---------------------------------------------------------------- at the sandbox


@pytest.fixture(scope="module")
def rooms() -> Iterator[House]:
    with house() as made:
        yield made


@pytest.fixture
def desk(rooms: House) -> CwDesk:
    return open_desk(rooms)


def test_an_approved_ticket_that_an_alarm_opened_again_is_not_approved(desk: CwDesk) -> None:
    psa, number = desk.for_alarms(), desk.add_ticket()
    desk.approve(number)
    assert psa.read(number).approval.stance is Stance.APPROVED
    desk.close(number)
    psa.move(number, StatusTarget.ALARM)
    assert psa.read(number).approval.stance is not Stance.APPROVED


@pytest.mark.parametrize("habit", ["refuse", "forbid", "ignore"])
def test_a_board_that_reopens_nothing_says_so_and_goes_on(desk: CwDesk, habit: str) -> None:
    desk.desk.habits.reopening = habit
    psa, number = desk.for_alarms(), desk.add_ticket()
    desk.close(number)
    with pytest.raises(PermanentError, match=f"open ticket {number} again in ConnectWise now"):
        psa.move(number, StatusTarget.ALARM)
    assert desk.status(number) == "Closed"
    assert psa.read(number).closed


def test_an_alarm_is_three_calls_and_a_repeat_one(desk: CwDesk) -> None:
    psa, number = desk.for_alarms(), desk.add_ticket()
    desk.close(number)
    psa.read(number)
    desk.calls()
    assert psa.move(number, StatusTarget.ALARM)
    here = f"/service/tickets/{number}"
    assert desk.calls() == [f"GET {here}", f"PATCH {here}", f"GET {here}"]
    assert psa.move(number, StatusTarget.ALARM)
    assert desk.calls() == [f"GET {here}"]
