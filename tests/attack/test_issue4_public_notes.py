"""What a requester may read of our notes tells nothing of other people's requests."""

from __future__ import annotations

from connector.core.case import Action
from connector.core.messages import PUBLIC_TOPICS
from tests.fakes.world import World


def test_a_public_note_tells_of_no_other_ticket() -> None:
    world = World()
    world.set_rules(public_notes=PUBLIC_TOPICS)
    world.ticket(action=Action.MFA)
    world.run()
    ticket = world.ticket(action=Action.PASSWORD)
    world.run_for(hours=5)
    notes = world.marked_notes_of(ticket)
    assert any("Mind: the same account" in note.text for note in notes if not note.public)
    assert [note.text for note in notes if note.public and "halo:" in note.text] == []
    assert any(note.public for note in notes), "the reminder"
