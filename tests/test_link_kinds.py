"""A customer's links are of the kind that its policy says, from the wish to the alarm in the mail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connector.core.ports import HumanCheck, LinkMode, Psa
from connector.core.steps import Policy
from tests.fakes.world import World


class OfKind(World):
    """A world whose customers have links of a kind of their own."""

    kind: dict[str, object]

    def policy_for(self, psa: Psa, client_id: str) -> Policy:
        return replace(super().policy_for(psa, client_id), **self.kind)  # type: ignore[arg-type]


def carried_out(**kind: object) -> World:
    """A request whose link was made and opened."""
    world = OfKind()
    world.kind = kind
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.open_newest_link()
    world.run()
    return world


def test_without_a_word_a_link_is_opened_by_its_service_in_english_and_asks_nothing() -> None:
    world = carried_out()
    [wish] = [world.links.wish_for(link_id) for link_id in world.links.made()]
    assert (wish.mode, wish.human_check, wish.locale) == (LinkMode.PATH, HumanCheck.OFF, "en")
    assert [(alarm.ticket, alarm.locale) for alarm in world.links.armed()] == [("4242", "en")]


@pytest.mark.parametrize("mode", list(LinkMode))
def test_mode_check_and_language_of_the_policy_reach_the_link(mode: LinkMode) -> None:
    world = carried_out(link_mode=mode, human_check=HumanCheck.TICKET_NUMBER, locale="de")
    [wish] = [world.links.wish_for(link_id) for link_id in world.links.made()]
    assert (wish.mode, wish.human_check, wish.locale) == (mode, HumanCheck.TICKET_NUMBER, "de")
    assert wish.ticket == "4242", "the service's adapter knows what it may send"


def test_language_and_lifetime_of_the_policy_reach_the_alarm() -> None:
    world = carried_out(locale="de", alarm_lifetime=timedelta(hours=3))
    assert [(alarm.locale, alarm.lifetime) for alarm in world.links.armed()] == [("de", timedelta(hours=3))]


def test_an_alarm_tells_no_number_that_opens_a_link() -> None:
    """The link may have a view left, and both stand in one database."""
    world = carried_out(human_check=HumanCheck.TICKET_NUMBER)
    assert [alarm.ticket for alarm in world.links.armed()] == [""]
    assert "4242" not in "".join(f"{alarm.about} {alarm.display_name}" for alarm in world.links.armed())
