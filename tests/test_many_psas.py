"""Several PSAs in one service: one customer in two of them, the same numbers, and trouble that stays at its own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.case import Action, Case, State
from connector.errors import AuthenticationError, TemporaryError
from tests.fakes.psa import FakePsa
from tests.fakes.world import World

WHILE_AWAY = timedelta(minutes=3)


@pytest.fixture
def world() -> World:
    return World(more_psas=("rt",))


def case_at(world: World, psa: str, number: str) -> Case:
    (case,) = world.store.find(number, psa=psa)
    return case


def approve(world: World, psa: FakePsa, number: str) -> None:
    world.clock.advance(minutes=1)
    psa.approve(number)


def test_the_same_number_in_two_psas_is_two_tickets(world: World) -> None:
    rt = world.psas["rt"]
    for psa in world.psas.values():
        psa.add_ticket(id="77", action=Action.MFA)
    world.run()
    approve(world, rt, "77")
    world.run()
    assert case_at(world, "rt", "77").state is State.CLOSED
    assert case_at(world, "halo", "77").state is State.WAITING
    assert any("MFA of" in note.text for note in rt.notes_of("77"))
    assert not any("MFA of" in note.text for note in world.psa.notes_of("77"))


def test_a_customer_in_two_psas_cannot_be_taken_over_half_in_each(world: World) -> None:
    rt = world.psas["rt"]
    world.psa.add_ticket(id="1", action=Action.MFA)
    rt.add_ticket(id="2", action=Action.PASSWORD)
    world.run()
    approve(world, world.psa, "1")
    world.run()
    writes = list(world.writes)
    approve(world, rt, "2")
    world.run()
    assert case_at(world, "rt", "2").state is State.WAITING
    assert world.writes == writes
    assert any("ticket halo:1" in note.text and "second person" in note.text for note in rt.notes_of("2"))


@pytest.mark.parametrize("trouble", [TemporaryError("away"), AuthenticationError("refused", scope="psa.rt")])
def test_the_trouble_of_one_psa_stops_no_other_and_loses_nothing(world: World, trouble: Exception) -> None:
    rt = world.psas["rt"]
    for psa in world.psas.values():
        psa.add_ticket(id="5", action=Action.PASSWORD, subject_text="lea@contoso.example.com")
    world.run()
    approve(world, world.psa, "5")
    approve(world, rt, "5")

    def fail(call: str, moment: str) -> None:
        if moment == "before":
            raise trouble

    rt.on_call = fail
    world.run_for(minutes=WHILE_AWAY.total_seconds() / 60, every=timedelta(seconds=15))
    assert case_at(world, "halo", "5").state is State.LINK_OUT
    assert case_at(world, "rt", "5").state is State.WAITING
    assert world.psa.notes_of("5")
    rt.on_call = None
    world.run_for(minutes=6, every=timedelta(seconds=15))
    assert case_at(world, "rt", "5").state is State.LINK_OUT
