"""What both halves of ConnectWise's control side need: who acts, and who is meant."""

from __future__ import annotations

from sandbox.connectwise_desk import ConnectWiseDesk, contact_actor, member_actor
from sandbox.connectwise_records import EMAIL_CONNECTOR, WORKFLOW, Actor, Contact, Member
from sandbox.desk_records import NotThere
from sandbox.world import World

TECHNICIAN = "TinaT"


class ConnectWisePlay:
    """One instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def desk(self) -> ConnectWiseDesk:
        return self.world.connectwise

    def actor(self, name: str, by: str | None = None) -> Actor:
        """By kind; without one, a member of that name or address comes before a contact."""
        if by == "workflow":
            return WORKFLOW
        if by == "email":
            return EMAIL_CONNECTOR
        if by not in (None, "member", "contact"):
            raise ValueError(f"by is member, contact, workflow or email, not {by!r}")
        if by != "contact":
            member = self.desk.member_with(name)
            if member is not None:
                return member_actor(member)
            if by == "member":
                raise NotThere(f"member {name!r}")
        return contact_actor(self.contact(int(name) if name.isdigit() else name))

    def contact(self, wanted: int | str) -> Contact:
        desk = self.desk
        contact = desk.contacts.get(wanted) if isinstance(wanted, int) else desk.contact_with(wanted)
        if contact is None:
            raise NotThere(f"contact {wanted!r}")
        return contact

    def member(self, name: str) -> Member:
        member = self.desk.member_with(name)
        if member is None:
            raise NotThere(f"member {name!r}")
        return member
