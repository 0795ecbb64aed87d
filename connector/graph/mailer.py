"""Mails through Microsoft Graph: `mail: {kind: graph, mailbox: …}`, for houses that have closed SMTP.

One call per mail, `POST /users/{mailbox}/sendMail`, answered with 202 and nothing else. What follows from how it works
(learn.microsoft.com/graph/api/user-sendmail and outlook-send-mime-message, read 2026-11-22):

* The mail goes as JSON, which holds one body: ours is the HTML one. A MIME mail would carry the plain text too, but
  Graph keeps every MIME mail in Sent Items, and one of ours holds the link to a password. Exchange adds a plain
  version of the HTML on the way out to others (UNVERIFIED).
* Exchange makes the Message-ID. Ours travels as `x-connector-message-id`, for message traces and against the case's
  audit trail; a mail program cannot tell a repeat by it. Graph takes no header whose name does not begin with `x-`, so
  there is no `Auto-Submitted`, and whether Exchange keeps `x-auto-response-suppress` is UNVERIFIED.
* 202 means accepted, not delivered: an unknown address comes back later as a report into the mailbox.
* Exchange Online lets a mailbox send 30 mails a minute and an app make 4 calls at once to it (UNVERIFIED whether the
  first shows as a 429 or as a delay). We honour what we are told (429, 503 with `Retry-After`) and pace nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self, TypeVar
from urllib.parse import quote

from pydantic import AfterValidator

from connector.adapter import Surroundings
from connector.config import RegistrationSection, TenantId, validate
from connector.core.address import checked_address, has_control_characters
from connector.core.case import fold
from connector.core.ports import Clock, Email, Finding, Level
from connector.errors import AuthenticationError, ConfigError, ConnectorError, PermanentError, TemporaryError
from connector.graph.client import GraphClient, Reply
from connector.graph.credential import Credential, days_left, read_credential
from connector.graph.mail_refusals import SCOPE, SEND_MAIL, refusal
from connector.graph.report import WARN_DAYS, CredentialLine
from connector.graph.signin import App, SignIn
from connector.http import Http

A_REFUSAL_COUNTS_FOR: Final = timedelta(minutes=5)
"""How long `ready` says no after the mailbox was refused: long enough for the tries of one case, short enough to notice
by ourselves that it was mended. Exchange itself takes between half an hour and two hours."""

_MESSAGE_ID: Final = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+>")

_Read = TypeVar("_Read")


def _one_address(value: str) -> str:
    try:
        if value.isascii():
            return checked_address(value)
        why = "it holds letters beyond ASCII"
    except ValueError as failure:
        why = str(failure)
    raise ValueError(f"write one plain address, such as support@msp.example ({why})")


def _one_line(value: str) -> str:
    if has_control_characters(value):
        raise ValueError("a line break or control character has no place here")
    return value


class GraphMailSettings(RegistrationSection):
    """The section `mail` of `connector.yaml` with `kind: graph`.

    Without `client_id` and a credential of its own it uses the app of `graph`. An app of its own, in the MSP's tenant
    and with nothing but the right to send from this one mailbox, is the smaller risk. It lives in the cloud of `graph`.

    Attributes:
        mailbox: Whose mailbox sends; a shared mailbox does. Its directory object is found by this address, which
            therefore has to be the user principal name as well.
        from_name: Shown beside the address. Exchange may put the name of its own address book in its place
            (UNVERIFIED).
        reply_to: Where answers go; `None` leaves them with the mailbox.
        tenant_id: Of the tenant in which the mailbox lives; default: the only one under `tenants`.
    """

    kind: Literal["graph"] = "graph"
    mailbox: Annotated[str, AfterValidator(_one_address)]
    from_name: Annotated[str, AfterValidator(_one_line)] | None = None
    reply_to: Annotated[str, AfterValidator(_one_address)] | None = None
    tenant_id: TenantId | None = None


class GraphMailer:
    """The `Mailer` that sends through Graph. Safe to use from several threads; asks nothing before its first use.

    Args:
        settings: With the credential filled in.
        app: Which app signs in, and where.
        own_app: It is not the one of `graph`, so it needs no permission but one.
        http_for: `Surroundings.http_for`.
    """

    def __init__(
        self,
        settings: GraphMailSettings,
        *,
        app: App,
        own_app: bool,
        tenant_id: str,
        credential: Credential,
        http_for: Callable[..., Http],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._own_app = own_app
        self._credential = credential
        self._clock = clock
        self._sign_in = SignIn(
            tenant="mail", tenant_id=tenant_id, settings=app, credential=credential, clock=clock, place="mail",
            scope=SCOPE, http=http_for(system="Microsoft sign-in", scope=SCOPE),
        )  # fmt: skip
        self._client = GraphClient(
            url=app.url, sign_in=self._sign_in, http=http_for(system="Microsoft Graph", scope=SCOPE)
        )
        self._path = f"/users/{quote(settings.mailbox, safe='@')}/sendMail"
        self._refused: _Refused | None = None

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build it from `mail` of the configuration.

        Raises:
            ConfigError: With every problem of the section; also when it is not clear whose tenant sends.
        """
        graph = surroundings.graph
        if graph is None:
            raise ConfigError(f"{name}: mail by Graph needs the section graph. Add it, or use kind: smtp.")
        app_keys = RegistrationSection.model_fields.keys()
        own_app = bool(app_keys & section.keys())
        shared = {} if own_app else {key: getattr(graph, key) for key in app_keys if key in graph.model_fields_set}
        problems: list[str] = []

        def attempt(read: Callable[[], _Read]) -> _Read | None:
            try:
                return read()
            except ConfigError as failure:
                problems.extend(failure.problems)
                return None

        merged = {**shared, **section}
        settings = attempt(lambda: validate(GraphMailSettings, merged, surroundings.place, where=name))
        tenant_id = str(section.get("tenant_id") or attempt(lambda: _only_tenant(name, surroundings)))
        at = name if own_app else "graph"
        credential = attempt(lambda: read_credential(settings, section=at)) if settings else None
        if problems or settings is None or credential is None:
            raise ConfigError(problems)
        return cls(
            settings,
            app=App(settings.client_id, graph.authority, graph.url),
            own_app=own_app,
            tenant_id=tenant_id,
            credential=credential,
            http_for=surroundings.http_for,
            clock=surroundings.clock,
        )

    @property
    def sender_domain(self) -> str:
        """The domain of the mailbox: what our own message ids end with."""
        return self._settings.mailbox.rpartition("@")[2]

    @property
    def own_addresses(self) -> frozenset[str]:
        """The mailbox that sends, folded: whoever answers to it is never reset."""
        return frozenset({fold(self._settings.mailbox)})

    def ready(self) -> None:
        """See `Mailer.ready`. Signs in, which a token in memory makes free; makes no call to Graph.

        The token's permissions prove nothing either way (with RBAC for Applications `Mail.Send` is not among them), so
        what counts is whether Graph refused this mailbox within the last minutes.
        """
        self._sign_in.token()
        refused = self._refused
        left = refused.until - self._clock() if refused is not None else timedelta(0)
        if refused is not None and left > timedelta(0):
            if refused.passing:
                raise TemporaryError(refused.why, retry_after=left)
            raise AuthenticationError(refused.why, scope=SCOPE)

    def send(self, email: Email) -> None:
        """Hand the mail over. See `Mailer.send`. One call.

        Raises:
            PermanentError: Also for an address, a subject or a message id that is more than one line, or an address
                that could be read as several. Nothing was sent.
            TemporaryError: After no answer, or an unclear one, the mail may be on its way: here it is never repeated.
                Only a 429 or 503 that names a short wait is, as `Http` does with every call: it means "not done"
                (learn.microsoft.com/graph/throttling; a public report of mails that arrived after a 429 was read on
                2026-11-22 too, so a mail may come twice).
        """
        try:
            reply = self._post(self._message(email))
        except TemporaryError as failure:
            raise self._noted(failure) from None
        if reply.fine:
            self._refused = None
            return
        raise self._noted(refusal(reply, mailbox=self._settings.mailbox, recipient=email.to))

    def check(self) -> Iterable[Finding]:
        """Sign in, then ask Graph to send a mail without subject, text and recipient. Sends nothing.

        Graph refuses such a mail with `ErrorInvalidRecipients` once it has found the mailbox and our right to it; that
        it looks in this order is UNVERIFIED, so a wrong "yes" is possible, a wrong "no" is not.
        """
        yield from self._check_credential()
        try:
            held = self._client.permissions()
            failure = self._refused_mailbox()
        except ConnectorError as away:
            yield Finding(
                Level.ERROR, "mail", str(away), "Mend this, then run: connector check",
                temporary=isinstance(away, TemporaryError),
            )  # fmt: skip
            return
        if failure is not None:
            todo = "Until then no mail goes out, and no password is reset. Then run: connector check"
            yield Finding(Level.ERROR, "mail", str(failure), todo)
            return
        yield Finding(Level.OK, "mail", f"Microsoft Graph takes mails from {self._settings.mailbox}.")
        if held is None:
            yield Finding(
                Level.WARNING, "mail",
                "The token cannot be looked into, so nobody knows which other mailboxes it opens.",
                f"Look in Entra whether the app holds {SEND_MAIL}, which is every mailbox of that tenant.",
            )  # fmt: skip
            return
        if SEND_MAIL in held:
            yield Finding(
                Level.WARNING, "mail",
                f"The app holds the permission {SEND_MAIL}, so it may send as everybody in that tenant.",
                f"Give it {self._settings.mailbox} alone, by RBAC for Applications in Exchange Online (role "
                f"Application {SEND_MAIL}), then take {SEND_MAIL} away in Entra: the two add up.",
            )  # fmt: skip
        excess = sorted(held - {SEND_MAIL}) if self._own_app else []
        if excess:
            yield Finding(
                Level.WARNING, "mail.client_id", f"The app for mails holds more than it needs: {', '.join(excess)}.",
                "Take these away from it in Entra.",
            )  # fmt: skip

    def credentials(self) -> tuple[CredentialLine, ...]:
        """What an app of its own proves itself with, and how long that lasts; empty with the app of `graph`."""
        known = self._credential
        return (CredentialLine(known.place, known.key, days_left(known, self._clock())),) if self._own_app else ()

    # -- inside

    def _check_credential(self) -> Iterable[Finding]:
        """The end of a credential of our own; that of `graph` is reported there."""
        known = self._credential
        days = days_left(known, self._clock()) if self._own_app else None
        if days is not None and days <= WARN_DAYS:
            level = Level.ERROR if days < 0 else Level.WARNING
            text = f"The {known.words} has ended." if days < 0 else f"The {known.words} ends in {days} days."
            yield Finding(level, known.place, text, "Add a new one to the app registration, then set it here.")

    def _refused_mailbox(self) -> ConnectorError | None:
        """Why Graph would take no mail at all; `None` when it would."""
        reply = self._post({"toRecipients": []})
        if reply.fine:
            return None
        failure = refusal(reply, mailbox=self._settings.mailbox, recipient="nobody")
        if isinstance(failure, PermanentError) and reply.status == 400:
            self._refused = None
            return None
        return self._noted(failure)

    def _post(self, message: Mapping[str, object]) -> Reply:
        # The names as Microsoft's own description and library spell them; the pages' examples use small letters, and
        # Graph compares without regard to case. Source: msgraph-sdk 1.65 (generated), read 2026-11-22.
        body = {"Message": message, "SaveToSentItems": False}
        return self._client.call("POST", self._path, json=body, repeatable=False)

    def _message(self, email: Email) -> dict[str, object]:
        """The message as Graph wants it, refusing what could be read as more than one recipient or line."""
        try:
            checked_address(email.to)
        except ValueError as failure:
            raise _unfit(f"the recipient's address is refused: {failure}") from None
        if has_control_characters(email.subject):
            raise _unfit("the subject holds a line break or another control character")
        if not _MESSAGE_ID.fullmatch(email.message_id):
            raise _unfit("the Message-ID is not of the form <name@domain>")
        settings = self._settings
        message: dict[str, object] = {
            "subject": email.subject,
            "body": {"contentType": "html", "content": email.html},
            "toRecipients": [_recipient(email.to)],
            "internetMessageHeaders": [
                {"name": "x-connector-message-id", "value": email.message_id},
                {"name": "x-auto-response-suppress", "value": "All"},
            ],
        }
        if settings.from_name:
            message["from"] = _recipient(settings.mailbox, settings.from_name)
        if settings.reply_to:
            message["replyTo"] = [_recipient(settings.reply_to)]
        return message

    def _noted(self, failure: ConnectorError) -> ConnectorError:
        if isinstance(failure, AuthenticationError):
            self._refused = _Refused(str(failure), self._clock() + A_REFUSAL_COUNTS_FOR)
        elif isinstance(failure, TemporaryError) and failure.retry_after is not None:
            # Else `ready` lets a password be set whose mail is sure not to go out before the pause is over.
            self._refused = _Refused(str(failure), self._clock() + failure.retry_after, passing=True)
        return failure


@dataclass(frozen=True)
class _Refused:
    why: str
    until: datetime
    passing: bool = False


def _recipient(address: str, name: str = "") -> dict[str, object]:
    return {"emailAddress": {"address": address, **({"name": name} if name else {})}}


def _only_tenant(name: str, surroundings: Surroundings) -> str:
    tenants = surroundings.tenants
    if len(tenants) != 1:
        names = f": {', '.join(sorted(tenants))}" if tenants else ""
        raise ConfigError(
            f"{name}.tenant_id: missing, and {len(tenants)} tenants are configured{names}. Write the id of the tenant "
            "in which the mailbox lives."
        )
    [only] = tenants.values()
    return only.tenant_id


def _unfit(reason: str) -> PermanentError:
    return PermanentError(f"A mail cannot be sent as it is: {reason}. Correct the requester's address in the PSA.")
