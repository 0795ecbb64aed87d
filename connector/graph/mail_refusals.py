"""What Graph's refusals of `sendMail` mean.

Told apart by code and status alone: in the text of a refusal stands the recipient's address, and whoever chose that
address must not choose what we take the refusal for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError
from connector.graph.client import Reply

SCOPE: Final = "mail"
SEND_MAIL: Final = "Mail.Send"
ASK_AGAIN_AFTER: Final = timedelta(minutes=1)

# Codes of Exchange, folded. Those marked are on record in public reports of sendMail, read 2026-11-22; the others are
# from the list of codes of Exchange Web Services, which Graph passes on, and UNVERIFIED here. What is in no set goes by
# its status.
BAD_RECIPIENT: Final = frozenset({"errorinvalidrecipients"})  # on record
NO_MAILBOX: Final = frozenset(
    {
        "errorinvaliduser",  # on record
        "mailboxnotenabledforrestapi",  # on record
        "errormissingemailaddress",  # on record, of other calls
        "errornonexistentmailbox",
        "request_resourcenotfound",
        "resourcenotfound",
    }
)
LATER: Final = frozenset(
    {
        "applicationthrottled",  # on record, with 429
        "errorserverbusy",  # on record, with 503 and 504
        "errorexceededmessagelimit",
        "errormailboxmoveinprogress",
        "errormailboxstoreunavailable",
        "errortimeoutexpired",
    }
)
MAY_NOT_SEND: Final = frozenset(
    {
        "erroraccessdenied",  # on record, with 403
        "errorsendasdenied",  # on record, with 403
        "errormessagesubmissionblocked",
        "erroraccountsuspend",
        "errorquotaexceeded",
    }
)


def refusal(reply: Reply, *, mailbox: str, recipient: str) -> ConnectorError:
    """What to raise for a reply that is not fine; nothing was sent.

    A mailbox that does not exist or is not ours to use is an `AuthenticationError` of the scope `mail`: every mail
    fails alike until somebody mends it, so none of them may be given up.
    """
    code = reply.error.code.casefold() if reply.error else ""
    shown = f"{reply.status} {reply.error.code}" if reply.error and code else str(reply.status)
    if code in LATER:
        return TemporaryError(
            f"Microsoft Graph takes no mails from {mailbox} at the moment ({shown}). It is tried again by itself.",
            retry_after=ASK_AGAIN_AFTER,
        )
    if code in NO_MAILBOX or reply.status == 404:
        return AuthenticationError(
            f"Microsoft Graph knows no cloud mailbox {mailbox} in this tenant ({shown}). Check mail.mailbox (it has to "
            "be the user principal name, and licensed or shared) and mail.tenant_id; then run: connector check",
            scope=SCOPE,
        )
    if reply.refused_us or code in MAY_NOT_SEND:
        return AuthenticationError(
            f"Microsoft Graph does not let the app send from {mailbox} ({shown}). Give it that mailbox by RBAC for "
            f"Applications in Exchange Online (role Application {SEND_MAIL}; it may take two hours to count), or the "
            f"application permission {SEND_MAIL}, and look whether the mailbox is full or blocked from sending; then "
            "run: connector check",
            scope=SCOPE,
        )
    if code in BAD_RECIPIENT:
        return PermanentError(
            f"Microsoft Graph refused the recipient {recipient} ({shown}). Correct the address in the PSA."
        )
    return PermanentError(
        f"Microsoft Graph refused a mail to {recipient} ({shown}). Look the code up in Microsoft's documentation of "
        "sendMail."
    )
