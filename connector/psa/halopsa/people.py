"""HaloPSA's users (the customers' people), and a user look-up field read as the account to be reset.

`azureoid` is the Entra object id that HaloPSA's own import wrote; a user without one is known by its addresses only.
Sources: the public Halo swagger (Users), CIPP-API's matching by `azureoid`, then e-mail, then `login`; read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from connector.core.case import Person
from connector.errors import AuthenticationError, PermanentError
from connector.psa.halopsa.api import HaloApi
from connector.psa.halopsa.mapping import HaloSubject
from connector.psa.halopsa.values import (
    Record,
    address,
    as_record,
    field_id,
    field_texts,
    flag,
    identifier,
    number,
    text,
)


@dataclass(frozen=True, kw_only=True)
class User:
    """A customer's user.

    Attributes:
        address: Where they can be found in the directory: their e-mail address, else a login that reads like one; empty
            where there is neither.
        entra: Their Entra object id, in lower case; empty where HaloPSA has none.
        agent_id: The agent that they are as well; `None` where they are none.
    """

    id: int
    name: str
    address: str
    entra: str
    client_id: int | None
    inactive: bool
    agent_id: int | None

    @property
    def person(self) -> Person:
        """With every identity that HaloPSA knows."""
        ids = {f"halo.user:{self.id}"}
        if self.agent_id:
            ids.add(f"halo.agent:{self.agent_id}")
        if self.entra:
            ids.add(f"entra:{self.entra}")
        return Person(name=self.name or self.address or f"user {self.id}", email=self.address or None,
                      ids=frozenset(ids))  # fmt: skip

    def joined(self, known: Person) -> Person:
        """The same person as a row names them, with what the user's own record adds."""
        return replace(known, email=known.email or self.person.email, ids=known.ids | self.person.ids)


Look = Callable[[int], User | None]


def read_user(record: Record) -> User | None:
    """A user's record; `None` when it is none."""
    id_ = identifier(record, "id")
    if id_ is None:
        return None
    email, login = address(record, "emailaddress"), address(record, "login")
    return User(
        id=id_,
        name=text(record, "name").strip(),
        address=email or (login if "@" in login else ""),
        entra=object_id(text(record, "azureoid")),
        client_id=number(record.get("client_id")),
        inactive=flag(record, "inactive"),
        agent_id=identifier(record, "linked_agent_id"),
    )


def find_user(api: HaloApi, user_id: int) -> User | None:
    """The user as HaloPSA has it now; `None` where there is none with that id, or none that we may see.

    Raises:
        TemporaryError: HaloPSA does not tell now.
    """
    try:
        user = read_user(as_record(api.get(f"Users/{user_id}", {"includedetails": "true"}).body) or {})
    except (AuthenticationError, PermanentError):
        return None
    return user if user and user.id == user_id else None


def object_id(value: str) -> str:
    """An Entra object id in the form in which they are compared; empty for anything else."""
    try:
        found = UUID(value.strip())
    except ValueError:
        return ""
    return str(found) if found.int else ""


# ---------------------------------------------------------------- the account to be reset


@dataclass(frozen=True)
class Subject:
    """Whose account is meant, as a ticket says it.

    Attributes:
        text: The address, as it stands there.
        entra: The Entra object id that HaloPSA holds for the user; empty where it holds none, or no user is named.
        problem: Why the user stands for no account; empty where all is well.
        person: The user, for comparing; `None` where the field holds an address.
    """

    text: str
    entra: str = ""
    problem: str = ""
    person: Person | None = None


def read_looked_up(detail: Record, source: HaloSubject, look: Look) -> Subject:
    """The user in a look-up field. A problem never names an address: agents write names as they like.

    Raises:
        TemporaryError: HaloPSA does not tell now.
    """
    user_id = field_id(detail, source.field)
    if user_id is None:
        if not field_texts(detail, source.field):
            return Subject("", problem="the ticket names no user")
        return Subject("", problem=f"the field {source.field} does not hold a user of HaloPSA")
    user = look(user_id)
    if user is None:
        return Subject("", problem=f"HaloPSA shows us no user {user_id}")
    if user.inactive:
        return Subject("", problem=f"the user {user_id} is inactive in HaloPSA")
    if user.client_id is None or user.client_id != number(detail.get("client_id")):
        return Subject("", problem=f"the user {user_id} does not belong to this ticket's client in HaloPSA")
    if not user.address:
        return Subject("", problem=f"the user {user_id} has neither an e-mail address nor a login that is one")
    return Subject(user.address, entra=user.entra, person=user.person)
