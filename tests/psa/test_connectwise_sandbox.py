"""The adapter against the sandbox's ConnectWise: the contract, and what a whole life of a ticket costs and sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contracts.psa import PsaContract
from tests.psa.connectwise_desk import CwDesk
from tests.psa.halopsa_make import MovableClock

House = tuple[World, Addresses, MovableClock]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    clock = MovableClock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield world, addresses, clock


def open_desk(house: House) -> CwDesk:
    world, addresses, clock = house
    clock.moment = MovableClock().moment
    world.reset()
    return CwDesk(world, addresses, clock)


@pytest.fixture
def desk(house: House) -> CwDesk:
    return open_desk(house)


class TestConnectWise(PsaContract):
    many = 1100

    @pytest.fixture
    def desk(self, house: House) -> CwDesk:
        return open_desk(house)
