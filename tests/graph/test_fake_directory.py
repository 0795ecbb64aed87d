"""The directory in memory keeps the contract, and its orders for trouble do what they say."""

from __future__ import annotations

from typing import Literal

import pytest

from connector.core.secret import Secret
from connector.errors import PasswordRejected, TemporaryError
from connector.passwords import new_password
from tests.contracts.directory import DirectoryContract, People, Place
from tests.fakes.directory import Call, FakeAccount, FakeDirectory, Moment, Write

PEOPLE = People(
    plain="dana@contoso.com",
    plain_alias="d.subject@contoso.com",
    plain_other="dana@home.example",
    manager="anna@contoso.com",
    apostrophe="oona.o'neil@contoso.com",
    plus="paul+sales@contoso.com",
    twins="shared@contoso.com",
    stranger="hana@fabrikam.com",
    disabled="jan@contoso.com",
    guest="ines@example.com",
    synchronised="grete@contoso.com",
    federated="henk@partners.contoso.com",
    admin="karin@contoso.com",
    role_group_member="lars@contoso.com",
    role_group_owner="nils@contoso.com",
    protected_user="anna@contoso.com",
    protected_group_member="mira@contoso.com",
)


def people() -> list[FakeAccount]:
    return [
        FakeAccount(
            upn=PEOPLE.plain,
            also=(PEOPLE.plain_alias,),
            alternate_mails=(PEOPLE.plain_other,),
            manager=PEOPLE.manager,
            methods=["Microsoft Authenticator", "phone (mobile)"],
            default_method="Microsoft Authenticator",
        ),
        FakeAccount(upn=PEOPLE.apostrophe, also=(PEOPLE.twins,)),
        FakeAccount(upn=PEOPLE.plus, also=(PEOPLE.twins,)),
        FakeAccount(upn=PEOPLE.stranger, tenant="fabrikam"),
        FakeAccount(upn=PEOPLE.disabled, enabled=False),
        FakeAccount(upn=PEOPLE.guest, guest=True),
        FakeAccount(upn=PEOPLE.synchronised, synchronised=True),
        FakeAccount(upn=PEOPLE.federated, federated=True),
        FakeAccount(upn=PEOPLE.admin, admin_roles=("Global Administrator",)),
        FakeAccount(upn=PEOPLE.role_group_member, privileged_groups=("Service desk",)),
        FakeAccount(upn=PEOPLE.role_group_owner, privileged_groups=("Service desk",)),
        FakeAccount(upn=PEOPLE.protected_user, protected_by="tenants.contoso.protected.users: anna@contoso.com"),
        FakeAccount(upn=PEOPLE.protected_group_member, protected_by="tenants.contoso.protected.groups: board"),
    ]


class FakePlace:
    """Looks straight into the fake."""

    tenant = "contoso"
    people = PEOPLE

    def __init__(self) -> None:
        self.directory = FakeDirectory(people())

    def opens(self, upn: str, password: Secret) -> bool:
        return self.directory.passwords.get(self.directory.account(upn).id) == password

    def must_change(self, upn: str) -> bool:
        return self.directory.account(upn).must_change

    def method_count(self, upn: str) -> int:
        return len(self.directory.account(upn).methods)

    def signed_out(self, upn: str) -> bool:
        return self.directory.account(upn).sessions_revoked > 0

    def changed(self, upn: str) -> bool:
        return any(write.account_id == self.directory.account(upn).id for write in self.directory.writes)

    def lose(self, what: Literal["password", "method", "sessions"], *, effect: bool) -> None:
        calls: dict[str, Call] = {
            "password": "set_password", "method": "remove_method", "sessions": "revoke_sessions"
        }  # fmt: skip
        order = self.directory.raise_after if effect else self.directory.raise_before
        order(calls[what], TemporaryError("The connection was cut. It is tried again by itself."))


class TestFakeDirectory(DirectoryContract):
    @pytest.fixture
    def place(self) -> Place:
        return FakePlace()


def test_every_effect_is_written_down_in_order() -> None:
    directory = FakeDirectory([FakeAccount(upn="sam@contoso.com", methods=["email", "fido2"], default_method="email")])
    account = directory.find("contoso", "sam@contoso.com")
    directory.set_password("contoso", account.id, new_password())
    directory.remove_methods("contoso", account.id)
    directory.revoke_sessions("contoso", account.id)
    assert directory.writes == [
        Write("password", "contoso", account.id),
        Write("method", "contoso", account.id, "fido2"),
        Write("method", "contoso", account.id, "email"),
        Write("sessions", "contoso", account.id),
    ]


def test_ordered_refusals_of_candidates_are_used_up() -> None:
    directory = FakeDirectory([FakeAccount(upn="sam@contoso.com")])
    account = directory.find("contoso", "sam@contoso.com")
    directory.reject_passwords = 1
    with pytest.raises(PasswordRejected):
        directory.set_password("contoso", account.id, new_password())
    assert directory.writes == []
    directory.set_password("contoso", account.id, new_password())
    assert [write.what for write in directory.writes] == ["password"]


def test_a_stubborn_method_stays_with_its_reason() -> None:
    directory = FakeDirectory([FakeAccount(upn="sam@contoso.com", methods=["odd"], stubborn={"odd": "not known"})])
    report = directory.remove_methods("contoso", directory.find("contoso", "sam@contoso.com").id)
    assert report.removed == ()
    assert [(left.kind, left.reason) for left in report.left] == [("odd", "not known")]


def test_whoever_listens_hears_of_each_call_twice() -> None:
    heard: list[tuple[Call, Moment]] = []
    directory = FakeDirectory([FakeAccount(upn="sam@contoso.com")])
    directory.on_call = lambda call, moment: heard.append((call, moment))
    directory.find("contoso", "sam@contoso.com")
    assert heard == [("find", "before"), ("find", "after")]
