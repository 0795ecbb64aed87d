"""Sending a mail through the imitated Graph; it lands in the same box as those that came by SMTP.

Sources: learn.microsoft.com/graph/api/user-sendmail and exchange role-based access control for applications, read
2026-11-22.
"""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.directory import Account
from sandbox.graph_call import Call, GraphError, Handler, Reply
from sandbox.world import World

MOST_HEADERS = 5


class Mailboxes:
    """The one handler that sends."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self, user: str) -> list[tuple[str, str, Handler]]:
        return [("POST", rf"{user}/(?:microsoft\.graph\.)?sendMail", self.send_mail)]

    def send_mail(self, call: Call, user: str) -> Reply:
        """202 without content. The same mail sent twice arrives twice; a copy is kept unless told otherwise."""
        account = self._mailbox(call, user)
        body = {key.lower(): value for key, value in call.object_body().items()}
        message = body.get("message")
        if not isinstance(message, dict):
            raise GraphError(400, "ErrorInvalidRequest", "The message is missing.")
        recipients = [
            address for kind in ("to", "cc", "bcc") for address in _addresses(message.get(f"{kind}Recipients"))
        ]
        if not recipients:
            raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
        content = message.get("body") or {}
        is_html = str(content.get("contentType", "")).lower() == "html"
        text = str(content.get("content", ""))
        self.world.deliver(
            via="graph",
            sender=_sender(account, message),
            recipients=recipients,
            subject=str(message.get("subject", "")),
            text="" if is_html else text,
            html=text if is_html else "",
            # Whether Microsoft keeps an id that the sender chose is not documented for this call.
            message_id=str(message.get("internetMessageId") or f"<{uuid.uuid4()}@{account.domain}>"),
            headers=_headers(message),
            saved_to_sent=bool(body.get("savetosentitems", True)),
        )
        return Reply(202)

    def _mailbox(self, call: Call, user: str) -> Account:
        """The mailbox, if the application may send from it: by Mail.Send from any, by a role in Exchange from some.

        The two add up, so a scope limits nothing as long as Mail.Send is granted as well.
        """
        account = call.tenant.find(user)
        if account is None:
            raise GraphError(404, "ErrorInvalidUser", f"The requested user '{user}' is invalid.")
        address = str(account.properties.get("mail") or "")
        scope = {one.lower() for one in call.tenant.mail_scope or ()}
        if "Mail.Send" not in call.permissions and address.lower() not in scope:
            raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        if not address:
            message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            raise GraphError(404, "MailboxNotEnabledForRESTAPI", message)
        return account


def _addresses(rows: Any) -> list[str]:
    """Addresses of recipients; one without address refuses the whole mail."""
    found = []
    for row in rows or []:
        address = str(((row or {}).get("emailAddress") or {}).get("address") or "")
        if "@" not in address:
            raise GraphError(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
        found.append(address)
    return found


def _sender(account: Account, message: dict[str, Any]) -> str:
    own = str(account.properties["mail"])
    for address in _addresses([message["from"]] if message.get("from") else []):
        if address.lower() not in (own.lower(), account.upn.lower()):
            refusal = "The user account which was used to submit this request does not have the right to send mail"
            raise GraphError(403, "ErrorSendAsDenied", f"{refusal} on behalf of the specified sending account.")
    return own


def _headers(message: dict[str, Any]) -> dict[str, str]:
    """One to five headers of one's own, which begin with `x-`; an empty list is refused.

    Sources: learn.microsoft.com/graph/api/resources/message, GitHub msgraph-sdk-dotnet#2208; read 2026-11-22.
    """
    rows = message.get("internetMessageHeaders")
    if rows is not None and not 1 <= len(rows) <= MOST_HEADERS:
        text = f"The number of internet message headers should be less than or equal to {MOST_HEADERS}."
        raise GraphError(400, "InvalidInternetMessageHeaderCollection", text)
    headers = {str(row["name"]): str(row["value"]) for row in rows or []}
    for name in headers:
        if not name.lower().startswith("x-"):
            text = f"The internet message header name '{name}' should start with 'x-' or 'X-'."
            raise GraphError(400, "InvalidInternetMessageHeader", text)
    if message.get("replyTo"):
        headers["Reply-To"] = ", ".join(_addresses(message["replyTo"]))
    return headers
