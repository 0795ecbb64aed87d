"""What every `Directory` promises. A subclass gives the fixture `place`; the tests are the contract.

`Place` is a tenant with known people in it, and eyes that look past the adapter: whether a password opens an account,
which methods it has, how often it was signed out.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal, Protocol

import pytest

from connector.core.ports import Account, Directory, Level
from connector.core.secret import Secret
from connector.errors import AmbiguousAccount, NoSuchAccount, PasswordRejected, PermanentError, TemporaryError
from connector.passwords import Policy, new_password

NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class People:
    """Addresses of the accounts that a place has to have.

    Attributes:
        plain: An ordinary cloud account with at least two methods, one of which is the default.
        plain_alias: Another address of the same account.
        plain_other: An alternate address of its owner, as the directory has it.
        manager: The manager of `plain`, who has none.
        twins: An address that two accounts answer to.
        stranger: An account of another tenant.
    """

    plain: str
    plain_alias: str
    plain_other: str
    manager: str
    apostrophe: str
    plus: str
    twins: str
    stranger: str
    disabled: str
    guest: str
    synchronised: str
    federated: str
    admin: str
    role_group_member: str
    role_group_owner: str
    protected_user: str
    protected_group_member: str


class Place(Protocol):
    """A directory with people in it."""

    @property
    def directory(self) -> Directory: ...

    @property
    def tenant(self) -> str: ...

    @property
    def people(self) -> People: ...

    def opens(self, upn: str, password: Secret) -> bool: ...

    def must_change(self, upn: str) -> bool: ...

    def method_count(self, upn: str) -> int:
        """Methods without the password."""

    def signed_out(self, upn: str) -> bool:
        """Whether it was signed out everywhere since the test began."""

    def changed(self, upn: str) -> bool:
        """Whether anything at all was written to this account since the test began."""

    def lose(self, what: Literal["password", "method", "sessions"], *, effect: bool) -> None:
        """The next write of this kind fails without an answer, with or without its effect."""


class DirectoryContract:
    """Subclass it, and give a fixture `place` that makes a new `Place` for each test."""

    # -- looking up

    def test_an_account_is_found_by_its_sign_in_name(self, place: Place) -> None:
        found = place.directory.find(place.tenant, place.people.plain)
        assert found.upn == place.people.plain
        assert found.tenant == place.tenant
        assert place.people.plain.casefold() in found.addresses

    def test_capitals_and_blanks_around_an_address_do_not_matter(self, place: Place) -> None:
        found = place.directory.find(place.tenant, f"  {place.people.plain.upper()} ")
        assert found.upn == place.people.plain

    def test_an_account_is_found_by_another_of_its_addresses(self, place: Place) -> None:
        found = place.directory.find(place.tenant, place.people.plain_alias)
        assert found.upn == place.people.plain
        assert place.people.plain_alias.casefold() in found.addresses

    @pytest.mark.parametrize("who", ["apostrophe", "plus"])
    def test_odd_letters_in_an_address_are_letters(self, place: Place, who: str) -> None:
        address = getattr(place.people, who)
        assert place.directory.find(place.tenant, address).upn == address

    @pytest.mark.parametrize("address", ["", "   ", "no address", "nobody@contoso.com", "x' or '1' eq '1@contoso.com"])
    def test_nobody_is_nobody(self, place: Place, address: str) -> None:
        with pytest.raises(NoSuchAccount):
            place.directory.find(place.tenant, address)

    def test_an_account_of_another_tenant_is_not_found(self, place: Place) -> None:
        with pytest.raises(NoSuchAccount):
            place.directory.find(place.tenant, place.people.stranger)

    def test_an_address_of_two_accounts_is_refused(self, place: Place) -> None:
        with pytest.raises(AmbiguousAccount):
            place.directory.find(place.tenant, place.people.twins)

    def test_an_alternate_address_is_told_and_stands_for_nobody(self, place: Place) -> None:
        account = self._plain(place)
        assert account.alternate_mails == (place.people.plain_other,)
        assert self._account(place, "manager").alternate_mails == ()
        with pytest.raises((AmbiguousAccount, NoSuchAccount)):
            place.directory.find(place.tenant, place.people.plain_other)

    def test_reading_by_id_tells_the_same_as_finding(self, place: Place) -> None:
        found = place.directory.find(place.tenant, place.people.plain)
        assert place.directory.read(place.tenant, found.id) == found

    def test_an_id_of_nobody_is_nobody(self, place: Place) -> None:
        with pytest.raises(NoSuchAccount):
            place.directory.read(place.tenant, NOBODY)

    # -- facts for the guard

    def test_an_ordinary_account_has_nothing_against_it(self, place: Place) -> None:
        account = place.directory.find(place.tenant, place.people.plain)
        assert account.enabled
        assert account.domain_verified
        traits = (account.guest, account.synchronised, account.federated, account.restricted)
        assert not any(traits)
        assert (account.admin_roles, account.privileged_groups, account.protected_by, account.unknown) == (
            (),
            (),
            "",
            (),
        )

    def test_a_disabled_account_shows(self, place: Place) -> None:
        assert not self._account(place, "disabled").enabled

    def test_a_guest_shows(self, place: Place) -> None:
        assert self._account(place, "guest").guest

    def test_a_synchronised_account_shows(self, place: Place) -> None:
        assert self._account(place, "synchronised").synchronised

    def test_a_federated_domain_shows(self, place: Place) -> None:
        assert self._account(place, "federated").federated

    def test_an_administrator_shows(self, place: Place) -> None:
        assert len(self._account(place, "admin").admin_roles) == 1

    def test_a_member_of_a_role_assignable_group_shows(self, place: Place) -> None:
        assert self._account(place, "role_group_member").privileged_groups

    def test_an_owner_of_a_role_assignable_group_shows(self, place: Place) -> None:
        assert self._account(place, "role_group_owner").privileged_groups

    @pytest.mark.parametrize("who", ["protected_user", "protected_group_member"])
    def test_a_protected_account_names_its_entry(self, place: Place, who: str) -> None:
        assert "protected" in self._account(place, who).protected_by

    # -- the password

    def test_a_new_password_opens_and_must_be_changed(self, place: Place) -> None:
        account, password = self._plain(place), new_password()
        place.directory.set_password(place.tenant, account.id, password)
        assert place.opens(account.upn, password)
        assert place.must_change(account.upn)

    def test_the_newest_password_is_the_one(self, place: Place) -> None:
        account, older, newer = self._plain(place), new_password(), new_password(Policy.RANDOM)
        place.directory.set_password(place.tenant, account.id, older)
        place.directory.set_password(place.tenant, account.id, newer)
        assert place.opens(account.upn, newer)
        assert not place.opens(account.upn, older)

    def test_a_weak_password_is_refused_and_changes_nothing(self, place: Place) -> None:
        account, weak = self._plain(place), Secret(secrets.token_hex(2))
        with pytest.raises(PasswordRejected) as refusal:
            place.directory.set_password(place.tenant, account.id, weak)
        assert weak.reveal() not in str(refusal.value)
        assert not place.changed(account.upn)

    def test_a_password_kept_elsewhere_is_refused_and_changes_nothing(self, place: Place) -> None:
        account = self._account(place, "synchronised")
        with pytest.raises(PermanentError) as refusal:
            place.directory.set_password(place.tenant, account.id, new_password())
        assert not isinstance(refusal.value, PasswordRejected)
        assert not place.changed(account.upn)

    def test_a_password_for_nobody_is_refused(self, place: Place) -> None:
        with pytest.raises(NoSuchAccount):
            place.directory.set_password(place.tenant, NOBODY, new_password())

    @pytest.mark.parametrize("effect", [False, True])
    def test_a_lost_answer_to_a_password_leaves_it_open_what_happened(self, place: Place, effect: bool) -> None:
        account, password = self._plain(place), new_password()
        place.lose("password", effect=effect)
        with pytest.raises(TemporaryError) as failure:
            place.directory.set_password(place.tenant, account.id, password)
        assert password.reveal() not in str(failure.value)
        assert place.opens(account.upn, password) is effect

    # -- the methods

    def test_every_method_is_removed_and_reported(self, place: Place) -> None:
        account = self._plain(place)
        before = place.method_count(account.upn)
        report = place.directory.remove_methods(place.tenant, account.id)
        assert before >= 2
        assert len(report.removed) == before
        assert report.left == ()
        assert place.method_count(account.upn) == 0

    def test_removing_again_finds_nothing_to_do(self, place: Place) -> None:
        account = self._plain(place)
        place.directory.remove_methods(place.tenant, account.id)
        report = place.directory.remove_methods(place.tenant, account.id)
        assert (report.removed, report.left) == ((), ())

    def test_the_password_survives_the_removal_of_the_methods(self, place: Place) -> None:
        account, password = self._plain(place), new_password()
        place.directory.set_password(place.tenant, account.id, password)
        place.directory.remove_methods(place.tenant, account.id)
        assert place.opens(account.upn, password)

    @pytest.mark.parametrize("effect", [False, True])
    def test_a_lost_answer_to_a_removal_is_made_good_by_repeating(self, place: Place, effect: bool) -> None:
        account = self._plain(place)
        place.lose("method", effect=effect)
        try:
            place.directory.remove_methods(place.tenant, account.id)
        except TemporaryError:
            place.directory.remove_methods(place.tenant, account.id)
        assert place.method_count(account.upn) == 0

    def test_methods_of_nobody_are_refused(self, place: Place) -> None:
        with pytest.raises(NoSuchAccount):
            place.directory.remove_methods(place.tenant, NOBODY)

    # -- the sessions

    def test_an_account_is_signed_out_as_often_as_one_likes(self, place: Place) -> None:
        account = self._plain(place)
        assert not place.signed_out(account.upn)
        place.directory.revoke_sessions(place.tenant, account.id)
        place.directory.revoke_sessions(place.tenant, account.id)
        assert place.signed_out(account.upn)

    def test_sessions_of_nobody_are_refused(self, place: Place) -> None:
        with pytest.raises(NoSuchAccount):
            place.directory.revoke_sessions(place.tenant, NOBODY)

    # -- the manager

    def test_a_manager_is_known_by_name_address_and_account(self, place: Place) -> None:
        manager = place.directory.manager_of(place.tenant, self._plain(place).id)
        expected = self._account(place, "manager")
        assert manager is not None
        assert (manager.name, manager.email) == (expected.display_name, place.people.manager)
        assert f"entra:{expected.id}" in manager.ids
        assert manager.is_same(expected.person)

    def test_who_has_no_manager_has_none(self, place: Place) -> None:
        assert place.directory.manager_of(place.tenant, self._account(place, "manager").id) is None
        assert place.directory.manager_of(place.tenant, NOBODY) is None

    # -- looking must not touch

    def test_looking_up_changes_nothing(self, place: Place) -> None:
        account = self._plain(place)
        place.directory.read(place.tenant, account.id)
        place.directory.manager_of(place.tenant, account.id)
        list(place.directory.check(place.tenant))
        assert not place.changed(account.upn)

    def test_a_place_in_order_is_found_in_order(self, place: Place) -> None:
        findings = list(place.directory.check(place.tenant))
        assert findings
        assert all(finding.level is Level.OK for finding in findings)

    # -- inside

    def _plain(self, place: Place) -> Account:
        return self._account(place, "plain")

    def _account(self, place: Place, who: str) -> Account:
        return place.directory.find(place.tenant, getattr(place.people, who))
