"""One text for each refusal that is not one of the guard's rules: for the agent, what to do, and for the requester.

The requester learns what is true and of use to them, never what would help an attacker or names another customer.
"""

from __future__ import annotations

from collections.abc import Sequence

from connector.core.guard import Refusal

THEN_RETRY = "then move this ticket to the retry status."
WILL_ASK = "A colleague of the service desk will ask you."
TOLD_TAKEN = "they will finish it with you."
TAKES_OVER = "A colleague of the service desk takes over."


# ---------------------------------------------------------------- the request


def bad_subject(problem: str) -> Refusal:
    return Refusal(
        "bad_subject",
        f"It is not clear whose account is meant: {problem}.",
        f"Put exactly one address, or the right person, into the subject field, {THEN_RETRY}",
        f"It is not clear whose account is meant. {WILL_ASK}",
    )


def unknown_action() -> Refusal:
    return Refusal(
        "unknown_action",
        "The ticket does not say what is to be reset (password, MFA or both).",
        f"Fill in what is to be reset, {THEN_RETRY}",
        f"It is not clear what is to be reset. {WILL_ASK}",
    )


def no_requester() -> Refusal:
    return Refusal(
        "no_requester",
        "The ticket has no requester with a usable e-mail address, so nobody could be given the link.",
        f"Set the requester, or correct the address in the PSA, {THEN_RETRY}",
        "",
    )


def taken_by_agent(name: str) -> Refusal:
    return Refusal(
        "taken_by_agent",
        f"{name} has taken this ticket over.",
        "Finish it by hand; or give the ticket back (no owner) and move it to the retry status.",
        f"A colleague of the service desk has taken your request over: {TOLD_TAKEN}",
    )


def unmapped_client(client: str, client_id: str) -> Refusal:
    return Refusal(
        "unmapped_client",
        f"The customer {client} (id {client_id}) is not mapped to a tenant.",
        f"Add it under tenants.<name>.clients in the configuration, {THEN_RETRY}",
        "Your organisation is not set up for automatic resets yet. A colleague takes over.",
    )


# ---------------------------------------------------------------- its account


def not_the_account_of_the_psa(address: str) -> Refusal:
    return Refusal(
        "subject_mismatch",
        f"The PSA holds another Entra account for the person on this ticket than the one that {address} stands for.",
        "Find out which account is meant (the address may have been given to somebody else, or the contact in the PSA "
        "is out of date), correct the contact, then move this ticket to the retry status.",
        f"It is not clear whose account is meant. {WILL_ASK}",
    )


def not_looked_up() -> Refusal:
    return Refusal("no_account", "The account was not looked up.", "Move this ticket to the retry status.", "")


def no_account(address: str, *, home: str = "") -> Refusal:
    """No account has the address. `home`: the tenant of ours to which its domain belongs; for the agent's eyes only."""
    told = f"We found no account with the address {address} in your organisation. {WILL_ASK}"
    if home:
        return Refusal(
            "wrong_tenant",
            f"No account of this customer's tenant has the address {address}. Its domain belongs to another customer: "
            f"tenants.{home}.",
            "Check who is asking: nobody may ask for another customer's account. If the ticket is with the wrong "
            f"customer, correct that, {THEN_RETRY}",
            told,
        )
    return Refusal(
        "no_account",
        f"No account of this customer's tenant has the address {address}: it is misspelt, deleted, or somebody else's.",
        f"Correct the subject field (user principal name or e-mail address), {THEN_RETRY}",
        told,
    )


def ambiguous(address: str, why: str) -> Refusal:
    """The address does not stand for one account. `why`: the directory's own words, for the agent."""
    return Refusal(
        "ambiguous",
        f"It is not certain whose account {address} means: {why}",
        f"Do that, {THEN_RETRY}",  # `why` ends with what to do: another name, or tidier addresses
        f"The address {address} does not stand for one account beyond doubt. {WILL_ASK}",
    )


def account_renamed(address: str, upn: str) -> Refusal:
    return Refusal(
        "account_replaced",
        f"The address {address} in the ticket is not (or no longer) one of the account {upn} that it stood for.",
        f"Find out what happened to the account, {THEN_RETRY}",
        f"The account has changed since you asked. {TAKES_OVER}",
    )


def account_replaced(address: str) -> Refusal:
    return Refusal(
        "account_replaced",
        f"The address {address} stands for another account than when the request was recognised.",
        f"Find out what happened to the account, {THEN_RETRY}",
        f"The account has changed since you asked. {TAKES_OVER}",
    )


# ---------------------------------------------------------------- the work


def brake(why: str) -> Refusal:
    return Refusal(
        "brake",
        f"The brake refuses: {why}.",
        f"Check whether these requests are genuine; {THEN_RETRY}",
        "There were unusually many requests. A colleague of the service desk looks at yours.",
    )


def failed(why: str, psa: str, number: str) -> Refusal:
    return Refusal(
        "failed",
        why,
        f"Mend the cause, then move this ticket to the retry status or run: connector retry {psa}:{number}",
        f"The reset could not be finished automatically. {TAKES_OVER}",
    )


def methods_left(removed: Sequence[str], left: Sequence[str], kept: Sequence[str] = ()) -> Refusal:
    return Refusal(
        "methods_left",
        f"Not every authentication method could be removed. Removed: {', '.join(removed) or 'none'}; "
        f"left: {'; '.join(left)}." + (f" Kept on purpose (mfa.keep): {', '.join(kept)}." if kept else ""),
        "Remove the rest in the Entra admin centre, tell the requester, and close this ticket.",
        "Part of the MFA reset has to be finished by a colleague of the service desk.",
    )


# ---------------------------------------------------------------- the link


def link_silent(waited: str) -> Refusal:
    return Refusal(
        "link_silent",
        f"The link service has not told how the link ended, {waited} after its time was over. "
        "Whether it was opened is not known.",
        "Look at the link service and its clock. Ask the requester whether the link was opened, then close this "
        "ticket, or move it to the retry status for a new password.",
        f"We could not find out whether your link was used. {TAKES_OVER}",
    )


def link_revoked() -> Refusal:
    return Refusal(
        "link_revoked",
        "The link was revoked at the link service before it was opened.",
        "Ask who revoked it and why; then move this ticket to the retry status, or close it.",
        f"Your link was withdrawn. {TAKES_OVER}",
    )
