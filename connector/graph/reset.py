"""The three writes: the password, the sign-in methods, the sessions.

None of them decides whether it may be done: the guard has, a moment before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta

from connector.core.case import Action
from connector.core.ports import MethodLeft, MethodsReport, Receipt, SessionsReport
from connector.core.secret import Secret
from connector.errors import (
    AuthenticationError,
    ConnectorError,
    NoSuchAccount,
    PasswordRejected,
    PermanentError,
    TemporaryError,
)
from connector.graph.client import Ask, GraphClient, Reply
from connector.graph.facts import moment, object_id
from connector.graph.methods import Method, read_methods
from connector.graph.permissions import ANY_METHOD, LIST_METHODS, enough
from connector.graph.refusals import Meaning
from connector.pacing import Pace

SET_PASSWORD = ("User-PasswordProfile.ReadWrite.All",)
REVOKE_SESSIONS = enough("User.RevokeSessions.All")
READ_METHODS = (ANY_METHOD, LIST_METHODS)
READ_BACK = "id,lastPasswordChangeDateTime,signInSessionsValidFromDateTime"

METHODS_TIMEOUT = timedelta(seconds=65)
"""Microsoft gives up on these calls after 60 s. Source: learn.microsoft.com authenticationmethods-overview, read
2026-11-22."""
WORK_AT_MOST = timedelta(seconds=60)
"""No call starts later than this after the first; with a last call that hangs, one removal ends within 125 s."""
GO_ON_AFTER = timedelta(seconds=10)
NEXT_REMOVAL_AFTER = timedelta(seconds=12)
"""About as long as the removal of five methods takes."""
ROUNDS = 3
STALE_PAUSE = timedelta(seconds=3)
STALE_LOOKS = 2


class Resetter:
    """Writes to accounts of one tenant. Safe to share between threads.

    Args:
        pace: Of this tenant's calls for sign-in methods: Microsoft allows 5 in 10 s for an app in a tenant
            (learn.microsoft.com/graph/throttling-limits, read 2026-11-22).
        methods_client: Of another app, for listing and removing methods; default: `client`. Microsoft counts calls for
            each app by itself, so the pace is that of the app which makes them.
        keep: Methods that stay, by Graph's name of their type without `AuthenticationMethod`: `fido2`.
        now, sleep: Monotonic seconds and how to wait; fakes in tests.
    """

    def __init__(
        self,
        *,
        client: GraphClient,
        pace: Pace,
        methods_client: GraphClient | None = None,
        keep: Collection[str] = (),
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._methods_client = methods_client or client
        self._pace = pace
        self._keep = frozenset(keep)
        self._one_removal = threading.Lock()
        self._now = now
        self._sleep = sleep

    def ready(self, action: Action) -> None:
        """See `Directory.ready`."""
        self._client.ready()
        if action.resets_mfa:
            self._methods_client.ready()
            if self._one_removal.locked():
                raise self._another_removal()

    def set_password(self, account_id: str, password: Secret) -> Receipt:
        """Set the password; it must be changed at the next sign-in.

        `forceChangePasswordNextSignInWithMfa` is never used: after an MFA reset nobody could pass it. Not repeated
        inside: after an unclear answer the caller starts over with a new password.
        """
        self._may_end_sessions(account_id)
        profile = {"password": password.reveal(), "forceChangePasswordNextSignIn": True}
        reply = self._client.call("PATCH", self._user(account_id), json={"passwordProfile": profile}, repeatable=False)
        if reply.fine:
            return reply.receipt
        doing = f"the password of {account_id}"
        match reply.meaning:
            case Meaning.PASSWORD_REJECTED:
                raise PasswordRejected(
                    f"Microsoft Graph did not like the candidate for {account_id} in {self._client.place}. Try another."
                )
            case Meaning.SYNCHRONISED | Meaning.FEDERATED as meaning:
                raise PermanentError(
                    f"Microsoft Graph refused {doing} in {self._client.place}: {meaning.value}. Reset the password "
                    "where it is kept."
                )
        raise self._refusal(reply, doing, SET_PASSWORD)

    def _may_end_sessions(self, account_id: str) -> None:
        """Refuse while nothing is changed: a password without the end of the sessions is mailed to nobody."""
        held = self._client.permissions()
        if held is not None and held & set(SET_PASSWORD) and not held & set(REVOKE_SESSIONS):
            raise AuthenticationError(
                f"The app may set the password of {account_id} in {self._client.place}, but not end its sessions, so "
                f"nothing was changed. Grant the application permission {REVOKE_SESSIONS[0]} and have the customer's "
                "admin consent again, then run: connector check",
                scope=self._client.scope,
            )

    def revoke_sessions(self, account_id: str) -> SessionsReport:
        """Sign the account out everywhere, and read back what the directory says then, in one call.

        A repeat is harmless. What is read back may be some seconds old (no figure is documented).
        """
        user = self._user(account_id)
        replies = self._client.batch([
            Ask("revoke", f"{user}/revokeSignInSessions", method="POST"),
            Ask("read back", f"{user}?$select={READ_BACK}", after="revoke", needed=False, hint=True),
        ])  # fmt: skip
        reply, state = replies["revoke"], replies["read back"]
        if not reply.fine:
            raise self._refusal(reply, f"to sign {account_id} out everywhere", REVOKE_SESSIONS)
        if isinstance(reply.body, dict) and reply.body.get("value") is False:
            raise TemporaryError(
                f"Microsoft Graph did not sign {account_id} of {self._client.place} out. It is tried again by itself."
            )
        seen = state.body if state.fine and isinstance(state.body, dict) else {}
        return SessionsReport(
            reply.receipt,
            sessions_valid_from=moment(seen.get("signInSessionsValidFromDateTime")),
            password_set_at=moment(seen.get("lastPasswordChangeDateTime")),
        )

    def remove_methods(self, account_id: str) -> MethodsReport:
        """Remove every method but the password and what is to be kept, one by one, and read back what is left.

        One removal at a time: they would only take each other's turns, and each would hold a worker that waits.
        """
        if not self._one_removal.acquire(blocking=False):
            raise self._another_removal()
        try:
            return self._remove_methods(account_id)
        finally:
            self._one_removal.release()

    def _another_removal(self) -> TemporaryError:
        return TemporaryError(
            f"Another MFA reset of {self._client.place} is under way, and Microsoft allows few calls at a time. "
            "This one is tried again by itself.",
            retry_after=NEXT_REMOVAL_AFTER,
        )

    def _remove_methods(self, account_id: str) -> MethodsReport:
        until = self._now() + WORK_AT_MOST.total_seconds()
        work = _Removal(self, self._user(account_id), account_id, keep=self._keep, until=until)
        try:
            return work.run()
        except ConnectorError as failure:
            failure.done = work.removed
            raise

    # -- for the removal

    def method_call(self, http_method: str, path: str, *, until: float, version: str = "v1.0") -> Reply:
        """A call about sign-in methods, at the tenant's pace.

        Raises:
            TemporaryError: The time is up; go on later.
        """
        self._pace.take_turn()
        if self._now() > until:  # or the turn came late: other accounts of the tenant stand in the same line
            raise TemporaryError(
                f"Removing sign-in methods in {self._client.place} takes long, because Microsoft allows few calls at a "
                "time. It goes on by itself.",
                retry_after=GO_ON_AFTER,
            )
        return self._methods_client.call(http_method, path, version=version, repeatable=False, timeout=METHODS_TIMEOUT)

    def pause(self, length: timedelta) -> None:
        self._sleep(length.total_seconds())

    def refusal(self, reply: Reply, doing: str, needs: tuple[str, ...]) -> ConnectorError:
        return self._refusal(reply, doing, needs, self._methods_client)

    def permissions(self) -> frozenset[str] | None:
        return self._methods_client.permissions()

    def _user(self, account_id: str) -> str:
        checked = object_id(account_id)
        if not checked:
            raise NoSuchAccount(
                f"{account_id!r} is not an object id of {self._client.place}. Look the account up again."
            )
        return f"/users/{checked}"

    def _refusal(
        self, reply: Reply, doing: str, needs: tuple[str, ...], client: GraphClient | None = None
    ) -> ConnectorError:
        if reply.meaning is Meaning.GONE:
            return NoSuchAccount(
                f"Microsoft Graph found nothing for {doing} in {self._client.place}. The account may have been "
                "deleted, or is only minutes old; look in Entra."
            )
        return (client or self._client).refusal(reply, doing, needs=needs)


class _Removal:
    """One removal of an account's methods: what was gone through, and how it went."""

    def __init__(self, resetter: Resetter, user: str, account_id: str, *, keep: frozenset[str], until: float) -> None:
        self._resetter = resetter
        self._user = user
        self._account_id = account_id
        self._keep = keep
        self._until = until
        self._receipts: list[Receipt] = []
        self._gone: dict[str, Method] = {}
        self._refused: dict[str, str] = {}
        self._forbidden: set[str] = set()

    @property
    def removed(self) -> tuple[str, ...]:
        """Kinds removed so far, in order."""
        return tuple(method.kind for method in self._gone.values())

    def run(self) -> MethodsReport:
        listed = self._list()
        for last in (False,) * (ROUNDS - 1) + (True,):
            gone_before = len(self._gone)
            self._remove([method for method in listed if self._worth_a_try(method)])
            listed = self._list_settled()
            # Another round for what appeared meanwhile, and for what was held back by methods that are gone now.
            progress = len(self._gone) > gone_before
            again = [method for method in listed if self._worth_a_try(method)]
            if last or not again or not (progress or any(method.key not in self._refused for method in again)):
                break
            self._resetter.pause(STALE_PAUSE)
        return MethodsReport(
            removed=self.removed,
            left=tuple(
                MethodLeft(method.kind, self._why(method))
                for method in listed
                if not method.is_password and not self._is_kept(method)
            ),
            kept=tuple(method.kind for method in listed if self._is_kept(method)),
            receipts=tuple(self._receipts),
        )

    def _is_kept(self, method: Method) -> bool:
        return method.short_type in self._keep

    def _worth_a_try(self, method: Method) -> bool:
        return (
            method.removable
            and not self._is_kept(method)
            and method.key not in self._gone
            and method.key not in self._forbidden
        )

    def _remove(self, methods: list[Method]) -> None:
        """Serially, and again as long as removing one may have freed another one: the default goes last."""
        waiting = sorted(methods, key=lambda method: method.order)
        while waiting:
            gone_before = len(self._gone)
            for method in waiting:
                self._delete(method)
            if len(self._gone) == gone_before:
                return
            waiting = [method for method in waiting if self._worth_a_try(method)]

    def _list_settled(self) -> list[Method]:
        """A removed method may be listed for some seconds more: so it is looked at again before it is reported."""
        listed = self._list()
        for _ in range(STALE_LOOKS):
            if not any(method.key in self._gone for method in listed):
                break
            self._resetter.pause(STALE_PAUSE)
            listed = self._list()
        return listed

    def _delete(self, method: Method) -> None:
        """404 counts as gone: it was listed a moment ago, so a lost answer was a yes."""
        reply = self._call_twice(method, method.version)
        if method.beta_too and not reply.fine and reply.meaning is not Meaning.HELD_BACK and not reply.refused_us:
            reply = self._call_twice(method, "beta")
        if reply.fine or reply.meaning is Meaning.GONE:
            self._receipts.append(reply.receipt)
            self._gone[method.key] = method
            self._refused.pop(method.key, None)
        elif reply.refused_us:
            self._stop_unless_one_kind(reply, method)
            self._forbidden.add(method.key)
            self._refused[method.key] = f"the app may not remove it: grant {method.permission}"
        elif reply.meaning is Meaning.HELD_BACK:
            kept = " (mfa.keep leaves others in place, and so it cannot be the last one)" if self._keep else ""
            self._refused[method.key] = (
                f"Microsoft keeps it as the default method{kept}: change the default, then remove it"
            )
        else:
            code = reply.error.code if reply.error and reply.error.code else "no code"
            self._refused[method.key] = f"Microsoft Graph refused its removal ({reply.status}, {code})"

    def _call_twice(self, method: Method, version: str) -> Reply:
        """A repeat after a lost answer is harmless and saves a whole round later on."""
        path = f"{self._user}/authentication/{method.path}"
        try:
            return self._resetter.method_call("DELETE", path, until=self._until, version=version)
        except TemporaryError as failure:
            if failure.retry_after is not None:
                raise
            return self._resetter.method_call("DELETE", path, until=self._until, version=version)

    def _stop_unless_one_kind(self, reply: Reply, method: Method) -> None:
        """Go on past a 403 only where the app holds permissions for other kinds: some granular ones, not this one."""
        held = self._resetter.permissions()
        others = {name for name in held or () if name.startswith("UserAuthMethod-") and "ReadWrite" in name}
        if reply.status == 401 or not others or {ANY_METHOD, method.permission} & (held or frozenset()):
            raise self._resetter.refusal(
                reply, f"to remove {method.kind} of {self._account_id}", (ANY_METHOD, method.permission)
            )

    def _list(self) -> list[Method]:
        reply = self._resetter.method_call("GET", f"{self._user}/authentication/methods", until=self._until)
        if not reply.fine:
            raise self._resetter.refusal(reply, f"to list the sign-in methods of {self._account_id}", READ_METHODS)
        return read_methods(reply.body)

    def _why(self, method: Method) -> str:
        if method.key in self._gone:
            return "still listed after Microsoft reported its removal: look again in some minutes"
        if not method.removable:
            return "this connector does not know how to remove it: remove it in Entra"
        return self._refused.get(method.key, "appeared during the removal: look at the account")
