"""A `Directory` in memory. It passes `tests.contracts.directory.DirectoryContract`, like the real one.

Trouble is ordered, not patched in: `raise_before` and `raise_after` make one coming call fail without or with its
effect; `on_call` sees every call twice (before and after its effect) and may raise whatever it likes.
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from connector.core.case import Action, Person, fold
from connector.core.ports import Account, Finding, Level, MethodLeft, MethodsReport, Receipt, SessionsReport
from connector.core.secret import Secret
from connector.errors import AmbiguousAccount, ConnectorError, NoSuchAccount, PasswordRejected, PermanentError

Call = Literal[
    "find", "read", "manager_of", "ready", "set_password", "remove_methods", "remove_method", "revoke_sessions", "check"
]
Moment = Literal["before", "after"]
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class FakeAccount:
    """One account. Only `upn` is needed; the rest is a harmless cloud account of `contoso` with no methods.

    Attributes:
        id: Derived from tenant and UPN where none is given.
        also: Further addresses that stand for this account.
        alternate_mails: Addresses of its owner that stand for nobody.
        manager: The UPN of the manager's account in the same tenant, or empty.
        methods: Kinds of the registered methods besides the password: `phone (mobile)`, `fido2`.
        default_method: The kind that the directory lets go last.
        stubborn: Kinds that cannot be removed, each with its reason.
    """

    upn: str
    tenant: str = "contoso"
    id: str = ""
    display_name: str = ""
    also: tuple[str, ...] = ()
    alternate_mails: tuple[str, ...] = ()
    manager: str = ""
    enabled: bool = True
    guest: bool = False
    synchronised: bool = False
    federated: bool = False
    domain_verified: bool = True
    admin_roles: tuple[str, ...] = ()
    privileged_groups: tuple[str, ...] = ()
    protected_by: str = ""
    restricted: bool = False
    eligible_roles: tuple[str, ...] = ()
    helps_itself: bool | None = None
    unknown: tuple[str, ...] = ()
    methods: list[str] = field(default_factory=list)
    default_method: str | None = None
    stubborn: dict[str, str] = field(default_factory=dict)
    must_change: bool = False
    sessions_revoked: int = 0
    password_set_at: datetime | None = LONG_AGO
    sessions_valid_from: datetime | None = LONG_AGO

    def __post_init__(self) -> None:
        self.id = self.id or str(uuid.uuid5(uuid.NAMESPACE_URL, f"fake:{self.tenant}:{fold(self.upn)}"))
        self.display_name = self.display_name or self.upn.partition("@")[0].title()

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(fold(address) for address in (self.upn, *self.also, *self.alternate_mails))

    @property
    def names(self) -> frozenset[str]:
        """The addresses by which it is found."""
        return frozenset(fold(address) for address in (self.upn, *self.also))

    def reading(self) -> Account:
        """What `find` and `read` answer."""
        return Account(
            tenant=self.tenant,
            id=self.id,
            upn=self.upn,
            display_name=self.display_name,
            addresses=self.addresses,
            enabled=self.enabled,
            guest=self.guest,
            synchronised=self.synchronised,
            federated=self.federated,
            domain_verified=self.domain_verified,
            admin_roles=self.admin_roles,
            privileged_groups=self.privileged_groups,
            protected_by=self.protected_by,
            restricted=self.restricted,
            eligible_roles=self.eligible_roles,
            password_set_at=self.password_set_at,
            sessions_valid_from=self.sessions_valid_from,
            unknown=self.unknown,
            alternate_mails=self.alternate_mails,
        )


@dataclass(frozen=True)
class Write:
    """One change of an account. `detail` is the kind of a removed method, else empty."""

    what: Literal["password", "method", "sessions"]
    tenant: str
    account_id: str
    detail: str = ""


class FakeDirectory:
    """Tenants, accounts and methods in memory. Safe to share between threads.

    Attributes:
        accounts: May be changed by a test between calls.
        writes: Every change, in order.
        passwords: The newest password of each account that got one, by object id.
        calls: Every call in order, refused ones too: its name and the tenant.
        on_call: Called before and after the effect of each call (for `remove_methods` also around each method);
            what it raises is what the caller of the directory sees.
        lagging: Its times of the last reset and the last sign-out stay as they were; `catch_up` ends that.
        keeps: Kinds of methods that a removal leaves in place on purpose.
        reject_passwords: How many of the coming candidates are refused as banned.
        findings: What `check` yields instead of "all is well".
    """

    def __init__(self, accounts: Iterable[FakeAccount] = ()) -> None:
        self.accounts: list[FakeAccount] = list(accounts)
        self.writes: list[Write] = []
        self.passwords: dict[str, Secret] = {}
        self.calls: list[tuple[Call, str]] = []
        self.on_call: Callable[[Call, Moment], None] | None = None
        self.lagging = False
        self.keeps: tuple[str, ...] = ()
        self.reject_passwords = 0
        self._times: dict[tuple[str, str], datetime] = {}
        self.findings: list[Finding] = []
        self._ordered: dict[tuple[Call, Moment], deque[Exception]] = defaultdict(deque)
        self._lock = threading.Lock()

    # -- orders

    def raise_before(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name fail one after the other, without an effect."""
        self._ordered[call, "before"].extend(errors)

    def raise_after(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name have their effect and fail all the same."""
        self._ordered[call, "after"].extend(errors)

    def account(self, upn_or_id: str) -> FakeAccount:
        """The account itself, for looking at or changing it in a test."""
        return next(known for known in self.accounts if upn_or_id in (known.upn, known.id))

    def catch_up(self) -> None:
        """Every replica knows everything."""
        self.lagging = False
        for (account_id, what), moment in self._times.items():
            setattr(self.account(account_id), what, moment)

    # -- the port

    def find(self, tenant: str, address: str) -> Account:
        self._at("find", "before", tenant)
        wanted = fold(address)
        found = [known for known in self.accounts if known.tenant == tenant and wanted in known.addresses]
        if not found:
            raise NoSuchAccount(f"{tenant} has no account for {address}. Correct the address in the ticket.")
        if len(found) > 1 or wanted not in found[0].names:
            raise AmbiguousAccount(
                f"{len(found)} accounts of {tenant} answer to {address}. Name the one by its UPN.",
                ids=tuple(known.id for known in found),
            )
        self._at("find", "after", tenant)
        return found[0].reading()

    def read(self, tenant: str, account_id: str) -> Account:
        self._at("read", "before", tenant)
        reading = self._get(tenant, account_id).reading()
        self._at("read", "after", tenant)
        return reading

    def manager_of(self, tenant: str, account_id: str) -> Person | None:
        self._at("manager_of", "before", tenant)
        wanted = next((known.manager for known in self.accounts if known.tenant == tenant and known.id == account_id),
                      "")  # fmt: skip
        manager = next((known for known in self.accounts if known.tenant == tenant and known.upn == wanted), None)
        self._at("manager_of", "after", tenant)
        return manager.reading().person if manager is not None and manager.enabled else None

    def home_of(self, address: str) -> str:
        domain = fold(address).rpartition("@")[2]
        homes = (known.tenant for known in self.accounts if fold(known.upn).rpartition("@")[2] == domain)
        return next(homes, "")

    def can_help_itself(self, tenant: str, account_id: str) -> bool | None:
        return self._get(tenant, account_id).helps_itself

    def ready(self, tenant: str, action: Action) -> None:
        if self._ordered["ready", "before"]:
            raise self._ordered["ready", "before"].popleft()

    def set_password(self, tenant: str, account_id: str, password: Secret) -> Receipt:
        self._at("set_password", "before", tenant)
        account = self._get(tenant, account_id)
        if account.synchronised or account.federated:
            raise PermanentError(f"The password of {account.upn} is not kept in {tenant}. Reset it where it is kept.")
        if account.admin_roles or account.privileged_groups or account.restricted:
            raise PermanentError(f"{account.upn} of {tenant} is protected. A privileged administrator must do this.")
        with self._lock:
            if self.reject_passwords > 0 or not _acceptable(password):
                self.reject_passwords = max(0, self.reject_passwords - 1)
                raise PasswordRejected(f"{tenant} refused the candidate for {account.upn}. Try another one.")
            self.passwords[account_id] = password
            account.must_change = True
            self._note_time(account, "password_set_at")
            self.writes.append(Write("password", tenant, account_id))
        self._at("set_password", "after", tenant)
        return Receipt(str(uuid.uuid4()), str(uuid.uuid4()))

    def remove_methods(self, tenant: str, account_id: str) -> MethodsReport:
        self._at("remove_methods", "before", tenant)
        account = self._get(tenant, account_id)
        removed: list[str] = []
        try:
            for kind in sorted(account.methods, key=lambda kind: kind == account.default_method):
                if kind in account.stubborn or kind in self.keeps:
                    continue
                self._at("remove_method", "before", tenant)
                with self._lock:
                    account.methods.remove(kind)
                    self.writes.append(Write("method", tenant, account_id, kind))
                removed.append(kind)
                self._at("remove_method", "after", tenant)
            self._at("remove_methods", "after", tenant)
        except ConnectorError as failure:
            failure.done = tuple(removed)
            raise
        kept = tuple(kind for kind in account.methods if kind in self.keeps)
        left = tuple(
            MethodLeft(kind, account.stubborn.get(kind, "still listed")) for kind in account.methods if kind not in kept
        )
        return MethodsReport(tuple(removed), left, kept, tuple(Receipt(str(uuid.uuid4())) for _ in removed))

    def revoke_sessions(self, tenant: str, account_id: str) -> SessionsReport:
        self._at("revoke_sessions", "before", tenant)
        account = self._get(tenant, account_id)
        with self._lock:
            account.sessions_revoked += 1
            self._note_time(account, "sessions_valid_from")
            self.writes.append(Write("sessions", tenant, account_id))
        self._at("revoke_sessions", "after", tenant)
        return SessionsReport(
            Receipt(str(uuid.uuid4()), str(uuid.uuid4())),
            sessions_valid_from=account.sessions_valid_from,
            password_set_at=account.password_set_at,
        )

    def check(self, tenant: str) -> Iterable[Finding]:
        self._at("check", "before", tenant)
        yield from self.findings or [Finding(Level.OK, f"tenants.{tenant}", "The directory answers.")]

    # -- inside

    def _at(self, call: Call, moment: Moment, tenant: str) -> None:
        if moment == "before":
            self.calls.append((call, tenant))
        if self.on_call:
            self.on_call(call, moment)
        if self._ordered[call, moment]:
            raise self._ordered[call, moment].popleft()

    def _note_time(self, account: FakeAccount, what: str) -> None:
        """By a clock of its own, which has nothing to do with ours."""
        self._times[account.id, what] = LONG_AGO + timedelta(seconds=len(self.writes) + 1)
        if not self.lagging:
            setattr(account, what, self._times[account.id, what])

    def _get(self, tenant: str, account_id: str) -> FakeAccount:
        for known in self.accounts:
            if known.tenant == tenant and known.id == account_id:
                return known
        raise NoSuchAccount(f"{tenant} has no account {account_id}. It may have been deleted; look in the directory.")


def _acceptable(password: Secret) -> bool:
    """The cloud policy: 8 to 256 ASCII characters, three of four classes."""
    clear = password.reveal()
    classes = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
    kinds = sum(any(test(letter) for letter in clear) for test in classes)
    return 8 <= len(clear) <= 256 and clear.isascii() and kinds >= 3
