"""The customers' directories: Microsoft Entra through Graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connector.core.case import Action, Person
from connector.core.ports.findings import Finding
from connector.core.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account and everything that the guard needs to know about it, read just now.

    Attributes:
        id: The Entra object id.
        addresses: Every address by which this person may be known: UPN, mail, proxy addresses, other mails;
            folded. Used to compare people, never to send.
        enabled, guest, synchronised, federated: Plain facts.
        domain_verified: The UPN's domain is a verified domain of this tenant.
        admin_roles: Names (or ids) of active Entra roles, through role-assignable groups too.
        privileged_groups: Role-assignable groups that the account is a member or an owner of.
        protected_by: Why the configuration protects it: the entry under `tenants.<name>.protected`; or empty.
        restricted: Member of a restricted management administrative unit.
        eligible_roles: Names (or ids) of Entra roles that it may activate, where that can be read.
        password_set_at, sessions_valid_from: As the directory tells; `None` where it does not. Only ever compared with
            a later reading of the same, because the directory's clock is not ours.
        unknown: Facts that could not be read, in plain words. Not empty means: do not touch.
        alternate_mails: Addresses that the directory holds beside the account's own mailbox (often private ones), as
            written there. Only ever for telling the owner what was done; nobody is recognised by them.
    """

    tenant: str
    id: str
    upn: str
    display_name: str
    addresses: frozenset[str]
    enabled: bool
    guest: bool
    synchronised: bool
    federated: bool
    domain_verified: bool
    admin_roles: tuple[str, ...] = ()
    privileged_groups: tuple[str, ...] = ()
    protected_by: str = ""
    restricted: bool = False
    eligible_roles: tuple[str, ...] = ()
    password_set_at: datetime | None = None
    sessions_valid_from: datetime | None = None
    unknown: tuple[str, ...] = ()
    alternate_mails: tuple[str, ...] = ()

    @property
    def person(self) -> Person:
        """The account's owner as a person to compare others with."""
        return Person(
            name=self.display_name,
            email=self.upn,
            ids=frozenset({f"entra:{self.id}", *(f"mail:{address}" for address in self.addresses)}),
        )


@dataclass(frozen=True)
class MethodLeft:
    """An authentication method that is still there, and why."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Receipt:
    """By what a call is found again in the directory's own logs; for the audit and for Microsoft's support.

    Attributes:
        ours: The id that we sent with the call (`client-request-id`).
        theirs: The id that was answered (`request-id`); empty where there was none.
    """

    ours: str
    theirs: str = ""

    def __str__(self) -> str:
        return f"{self.ours}/{self.theirs}"


@dataclass(frozen=True)
class MethodsReport:
    """What a removal of authentication methods did, read back from the directory.

    Attributes:
        removed: Kinds removed by this call, in order, one entry a method: `phone (mobile)`, `fido2`.
        left: What is still listed and should not be.
        kept: Kinds left in place because the configuration says so.
        receipts: Of the removals.
    """

    removed: tuple[str, ...]
    left: tuple[MethodLeft, ...]
    kept: tuple[str, ...] = ()
    receipts: tuple[Receipt, ...] = ()


@dataclass(frozen=True)
class SessionsReport:
    """What ending the sessions did.

    Attributes:
        receipt: Of the call.
        sessions_valid_from, password_set_at: Read back with it; `None` where they could not be.
    """

    receipt: Receipt
    sessions_valid_from: datetime | None = None
    password_set_at: datetime | None = None


class Directory(Protocol):
    """The customers' Entra tenants. `tenant` is always the name in `connector.yaml`."""

    def find(self, tenant: str, address: str) -> Account:
        """The account that `address` (UPN, mail or proxy address) stands for, with all facts for the guard.

        An alternate address (often a private one, and not unique) stands for nobody.

        Raises:
            NoSuchAccount, AmbiguousAccount.
            TemporaryError, AuthenticationError (scope `tenant.<name>`).
        """

    def read(self, tenant: str, account_id: str) -> Account:
        """The same by object id, in one call. Used right before a write."""

    def home_of(self, address: str) -> str:
        """The tenant of ours to which the address's domain belongs, or empty. Only ever for explaining a refusal.

        Raises nothing: what cannot be read is not known.
        """

    def can_help_itself(self, tenant: str, account_id: str) -> bool | None:
        """Whether the account's owner can reset the password without us; `None` where that is not known.

        Raises nothing: a hint is not worth a delay.
        """

    def manager_of(self, tenant: str, account_id: str) -> Person | None:
        """The manager of an account, to be told what was done to it; in one call.

        Returns:
            `email` is where the manager reads mail, `None` where the directory shows none. `None` instead of a person:
            there is no manager, it is one who cannot sign in any more, or the account is gone.

        Raises:
            TemporaryError, AuthenticationError (scope `tenant.<name>`), PermanentError.
        """

    def ready(self, tenant: str, action: Action) -> None:
        """Say whether a write for this action could be tried now; asks nobody.

        Raises:
            TemporaryError: The directory has asked for a pause that is not over, or lets few work at a time.
        """

    def set_password(self, tenant: str, account_id: str, password: Secret) -> Receipt:
        """Set the password; it must be changed at the next sign-in.

        Raises:
            PasswordRejected: Try another candidate; nothing changed.
            PermanentError: The directory refuses for good (protected target, synchronised); nothing changed.
            TemporaryError: It may or may not have been set.
            AuthenticationError: Permission or role missing; nothing changed.
        """

    def remove_methods(self, tenant: str, account_id: str) -> MethodsReport:
        """Remove every authentication method except the password, the default one last, and read back.

        A repeat goes on where the first stopped.

        Raises:
            TemporaryError, AuthenticationError: Some may have been removed (their kinds are in the error's `done`);
                repeat.
            PermanentError, NoSuchAccount.
        """

    def revoke_sessions(self, tenant: str, account_id: str) -> SessionsReport:
        """Sign the account out everywhere, and read back in the same call. A repeat is harmless.

        What is read back may be stale for some seconds; the caller compares it with what it knew before.
        """

    def check(self, tenant: str) -> Iterable[Finding]:
        """Credentials, consent and permissions of this tenant."""
