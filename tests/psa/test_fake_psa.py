"""The PSA in memory keeps the same promises as the real ones, so tests may lean on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from connector.core.case import Action
from connector.core.ports import Finding, Level, Note, Psa, StatusTarget
from connector.errors import AuthenticationError, TemporaryError
from tests.contracts.psa import PsaContract, SeenNote
from tests.fakes.psa import ALARM, APPROVER, CLOSED, HAND_OFF, REQUESTER, URGENT, FakePsa


class FakeDesk:
    """People at the PSA in memory."""

    urgent = URGENT
    open_status = None

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        self.psa = FakePsa("halo", clock=lambda: self.moment)
        self.foreign: set[tuple[str, str]] = set()

    def again(self) -> Psa:
        return self.psa

    @property
    def requester(self) -> str:
        return REQUESTER.email or ""

    @property
    def approver(self) -> str:
        return APPROVER.email or ""

    def add_ticket(
        self, *, subject: str = "dana@contoso.com", action: Action = Action.PASSWORD, reason: str = ""
    ) -> str:
        return self.psa.add_ticket(subject_text=subject, action=action, reason=reason).id

    def add_tickets(self, count: int) -> set[str]:
        return {self.add_ticket() for _ in range(count)}

    def add_other_ticket(self) -> str:
        return self.psa.add_ticket(mapped=False).id

    def approve(self, ticket_id: str, *, comment: str = "") -> None:
        self.psa.approve(ticket_id, comment=comment)

    def reject(self, ticket_id: str, *, comment: str = "") -> None:
        self.psa.reject(ticket_id, comment=comment)

    def change_subject(self, ticket_id: str, text: str) -> None:
        self.psa.change_subject(ticket_id, text)

    def retype(self, ticket_id: str) -> None:
        self.psa.retype(ticket_id)

    def close(self, ticket_id: str) -> None:
        self.psa.close(ticket_id)

    def ask_retry(self, ticket_id: str) -> None:
        self.psa.ask_retry(ticket_id)

    def delete(self, ticket_id: str) -> None:
        self.psa.delete(ticket_id)

    def write_as_person(self, ticket_id: str, text: str) -> None:
        self.foreign.add((ticket_id, text))  # people's notes are not kept by the fake

    def notes(self, ticket_id: str) -> list[SeenNote]:
        return [SeenNote(note.text, note.public) for note in self.psa.notes_of(ticket_id)]

    def status(self, ticket_id: str) -> str:
        return self.psa.tickets[ticket_id].status

    def closed_status(self) -> str:
        return CLOSED

    def hand_off_status(self) -> str:
        return HAND_OFF

    def alarm_status(self) -> str:
        return ALARM

    def for_alarms(self, *, status: bool = True, hand_off: bool = True, urgent: bool = True) -> Psa:
        self.psa.statuses |= {
            StatusTarget.ALARM: ALARM if status else None,
            StatusTarget.HAND_OFF: HAND_OFF if hand_off else None,
        }
        self.psa.alarm_priority = URGENT if urgent else ""
        return self.psa

    def priority(self, ticket_id: str) -> str:
        return self.psa.tickets[ticket_id].priority

    def changes(self, ticket_id: str) -> int:
        return self.psa.tickets[ticket_id].seq

    def forbid_reopening(self) -> None:
        self.psa.reopens = False

    def tick(self) -> None:
        self.moment += timedelta(seconds=2)

    def go_down(self) -> None:
        self._trouble(TemporaryError("The PSA is away. It is tried again by itself."))

    def come_up(self) -> None:
        self.psa.on_call = None

    def refuse(self) -> None:
        self._trouble(AuthenticationError("The PSA refuses us. Run: connector check", scope="psa.halo"))

    def lose_answer(self, to: Literal["note", "move"]) -> None:
        self.psa.raise_after("add_note" if to == "note" else "move", TemporaryError("No answer came."))

    def _trouble(self, error: Exception) -> None:
        def raise_it(call: str, moment: str) -> None:
            if call != "check":
                raise error

        self.psa.on_call = raise_it
        self.psa.findings = [Finding(Level.ERROR, "psa.halo", str(error))]


class TestFakePsa(PsaContract):
    @pytest.fixture
    def desk(self) -> FakeDesk:
        return FakeDesk()


def test_ordered_trouble_strikes_before_or_after_the_effect_once() -> None:
    psa = FakePsa()
    ticket = psa.add_ticket().id
    psa.raise_before("add_note", TemporaryError("away"))
    psa.raise_after("add_note", TemporaryError("cut"))
    for expected in (0, 1):
        with pytest.raises(TemporaryError):
            psa.add_note(ticket, Note("x", "m"))
        assert len(psa.notes) == expected
    psa.add_note(ticket, Note("x", "m"))
    assert psa.calls == [("add_note", ticket)] * 3
