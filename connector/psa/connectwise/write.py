"""Writes notes, time and moves into tickets, and looks whether they happened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta

from connector.core.ports import Clock, Note, StatusTarget
from connector.errors import PermanentError
from connector.psa.connectwise import conditions
from connector.psa.connectwise.answers import Forbidden, NotThere, Refused
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.names import BoardNames, Names
from connector.psa.connectwise.read import fetch_ticket
from connector.psa.connectwise.ticket import gone, mark, note_text
from connector.psa.connectwise.values import Record, flag, reference, text

CHARGED_TO = "ServiceTicket"


class Writer:
    """Writes into tickets of one ConnectWise. Safe to share between threads."""

    def __init__(self, api: ConnectWiseApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    def add_note(self, key: str, note: Note) -> None:
        """See `Psa.add_note`.

        A refused time entry costs no note: the note then says that the time was not booked.
        """
        text_ = note_text(note)
        if note.time_spent > timedelta(0):
            try:
                self._book(key, note)
            except (PermanentError, Forbidden) as failure:
                fetch_ticket(self._api, key)  # raises TicketGone where that is why
                if not note.public:
                    text_ = f"{text_}\n(The time could not be entered: {_first_sentence(str(failure))})"
        try:
            self._api.post(
                f"service/tickets/{key}/notes",
                {
                    "text": text_,
                    "detailDescriptionFlag": note.public,
                    "internalAnalysisFlag": not note.public,
                    "resolutionFlag": False,
                    "processNotifications": False,
                },
            )
        except NotThere:
            raise gone(key) from None
        except Refused:
            fetch_ticket(self._api, key)  # what is refused for a ticket that is gone is no refusal: raises TicketGone
            raise

    def _book(self, key: str, note: Note) -> None:
        """Book time on a ticket, unless an entry with this note's marker is there already."""
        wanted = conditions.all_of(
            conditions.is_text("chargeToType", CHARGED_TO), conditions.is_one_of("chargeToId", {int(key)})
        )
        entries = self._api.everything("time/entries", {"conditions": wanted})
        if any(mark(note.marker) in text(entry, "notes") for entry in entries):
            return
        end = self._clock().astimezone(UTC)
        self._api.post(
            "time/entries",
            {
                "chargeToId": int(key),
                "chargeToType": CHARGED_TO,
                "timeStart": f"{end - note.time_spent:%Y-%m-%dT%H:%M:%SZ}",
                "timeEnd": f"{end:%Y-%m-%dT%H:%M:%SZ}",
                "actualHours": round(note.time_spent.total_seconds() / 3600, 4),
                "notes": f"Reset by the connector. {mark(note.marker)}",
                "addToDetailDescriptionFlag": False,
                "addToInternalAnalysisFlag": False,
                "addToResolutionFlag": False,
                "emailContactFlag": False,
                "emailResourceFlag": False,
                "emailCcFlag": False,
            },
        )

    def move(self, record: Record, key: str, target: StatusTarget, names: Names) -> bool:
        """See `Psa.move`; `record` is the ticket as it is now. For an alarm: `alarm`."""
        board = _board_of(record, key, names)
        status = board.targets.get(target)
        if status is None:
            return False
        wanted = {"status": status}
        if target is StatusTarget.HAND_OFF:
            wanted |= {"team": board.team} if board.team else {}
            wanted |= {"owner": names.owner} if names.owner else {}
        closes = target is StatusTarget.CLOSED
        if not _differences(record, wanted, closes=closes):
            return True
        stored = self._change(key, wanted, board, status)
        if _differences(stored, wanted, closes=closes):
            stored = fetch_ticket(self._api, key)
        wrong = _differences(stored, wanted, closes=closes)
        if wrong:
            raise PermanentError(
                f"ConnectWise took the change of ticket {key} to {board.statuses.get(status, status)!r}, but its "
                f"{' and '.join(wrong)} did not change. Look for a workflow rule of the board {board.name} that moves "
                "it back, then set it by hand."
            )
        return True

    def _change(self, key: str, wanted: Mapping[str, int], board: BoardNames, status: int) -> Record:
        closing = status in board.closing
        try:
            return self._patch(key, wanted)
        except Forbidden as failure:
            if not closing:
                raise
            # Moving to other statuses works: this must not pause everything.
            raise PermanentError(
                f"ConnectWise does not let us close ticket {key} (403). Give the API member's security role Service "
                "Desk / Close Service Tickets: Edit All and Inquire All, or map statuses.closed to a status that does "
                "not close."
            ) from failure
        except Refused as failure:
            wanting = "required fields"
            if closing:
                wanting += ", open tasks, time that must be entered first, and the right Close Service Tickets"
            raise PermanentError(
                f"ConnectWise does not take ticket {key} to {board.statuses.get(status, status)!r}: {failure} "
                f"Look for {wanting}."
            ) from failure

    def _patch(self, key: str, wanted: Mapping[str, int]) -> Record:
        """
        Raises:
            TicketGone: Also where that is why it was refused.
            Forbidden, Refused, TemporaryError, AuthenticationError.
        """
        # References are replaced whole and by id: a name, or a path into one, can be answered with a 200 that did
        # nothing. Custom fields are never sent: leaving some out may clear them. Source: developer guide.
        operations: list[Mapping[str, object]] = [
            {"op": "replace", "path": name, "value": {"id": id_}} for name, id_ in wanted.items()
        ]
        try:
            return self._api.patch(f"service/tickets/{key}", operations)
        except NotThere:
            raise gone(key) from None
        except Refused:
            fetch_ticket(self._api, key)  # raises TicketGone where that is why
            raise

    def alarm(self, record: Record, key: str, names: Names, urgent: str) -> bool:
        """Bring a ticket back to the agents, out of a closed status too: status, priority, team and owner in one PATCH.

        Without a mapped status a closed ticket goes to the board's default one, and an open one stays where it is.

        Args:
            record: The ticket as it is now.
            urgent: What the mapping calls the priority, for messages.

        Returns:
            `False`: there is nowhere to bring it; nothing was sent.

        Raises:
            TicketGone, PermanentError: ConnectWise refuses; the message says what an agent has to do. How a board that
                keeps its tickets closed answers is UNVERIFIED, so every refusal of this one change is one.
            TemporaryError, AuthenticationError.
        """
        board = _board_of(record, key, names)
        status = board.status_for(StatusTarget.ALARM)
        if status is None and flag(record, "closedFlag"):
            if board.open_status is None:
                return False
            status = board.open_status
        parts = {"status": status, "priority": names.priority, "team": board.alarm_team, "owner": names.alarm_owner}
        wanted = {name: id_ for name, id_ in parts.items() if id_ is not None}
        if not wanted:
            return False
        if not _differences(record, wanted, open_=True):
            return True
        by_hand = _by_hand(key, board.statuses.get(status or 0, ""), urgent, board)
        try:
            self._patch(key, wanted)
        except Forbidden as failure:
            fetch_ticket(self._api, key)  # where nothing at all is allowed, it is no matter of this ticket
            raise PermanentError(f"ConnectWise does not let us open ticket {key} again (403). {by_hand}") from failure
        except Refused as failure:
            raise PermanentError(
                f"ConnectWise does not take the alarm for ticket {key}: {failure} {by_hand}"
            ) from failure
        wrong = _differences(fetch_ticket(self._api, key), wanted, open_=True)
        if wrong:
            raise PermanentError(
                f"ConnectWise took the alarm for ticket {key}, but its {' and '.join(wrong)} did not change. Look for "
                f"a workflow rule of the board {board.name} that moves it back. {by_hand}"
            )
        return True


def _board_of(record: Record, key: str, names: Names) -> BoardNames:
    board = names.boards.get(reference(record, "board") or 0)
    if board is None:
        raise PermanentError(
            f"Ticket {key} of ConnectWise stands on a board that the mapping does not name, so its statuses are "
            "not known. Set its status by hand, or add the board to the mapping."
        )
    return board


def _differences(record: Record, wanted: Mapping[str, int], *, closes: bool = False, open_: bool = False) -> list[str]:
    """Which parts are not as wanted.

    Args:
        closes: A ticket that is closed some other way is closed.
        open_: A ticket that says it is closed is not as wanted, whatever its status: the flag follows the board's
            set-up of its statuses.
    """
    wrong = [name for name, id_ in wanted.items() if reference(record, name) != id_]
    if closes and flag(record, "closedFlag") and "status" in wrong:
        wrong.remove("status")
    if open_ and flag(record, "closedFlag") and "status" not in wrong:
        wrong.append("closed flag")
    return wrong


def _by_hand(key: str, status: str, urgent: str, board: BoardNames) -> str:
    """What an agent has to do where an alarm could not bring the ticket back."""
    to = f", set it to {status!r}" if status else ""
    to += f", priority {urgent!r}" if urgent else ""
    return (
        f"Somebody said that a reset was not theirs: open ticket {key} again in ConnectWise now{to}. Then see whether "
        f"the board {board.name} forbids to open closed tickets again, and whether the API member's role has Service "
        "Desk / Close Service Tickets: Edit All."
    )


def _first_sentence(words: str) -> str:
    return words.partition(". ")[0].rstrip(".") + "."
