"""`cases`, `show`, `retry`, `cancel`, `pause`, `resume`: what people do with cases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.beginning import JsonOption, TicketArgument, load, open_cases
from connector.cli.printing import print_json, print_table
from connector.cli.wording import case_facts, in_words, print_case, print_moment
from connector.errors import ConnectorError

if TYPE_CHECKING:
    from connector.core.case import Case
    from connector.core.steps import Record
    from connector.store import SqlCaseStore

CLAIM_PATIENCE = timedelta(seconds=20)


def cases(
    context: typer.Context,
    as_json: JsonOption = False,
    needs_person: Annotated[bool, typer.Option("--needs-person", help="Only those that wait for a person.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
) -> None:
    """List the cases."""
    from connector.core.case import State

    with open_cases(context) as store:
        found = store.cases(open_only=not everything)
        if needs_person:
            found = [case for case in found if case.state is State.NEEDS_PERSON]
        paused = store.paused()
    if as_json:
        print_json({"paused": paused, "cases": [case_facts(case) for case in found]})
        return
    if paused:
        typer.echo(f"Writing to accounts is paused: {paused}. Lift it with: connector resume\n")
    if not found:
        typer.echo("No cases." if everything else "No open cases. See the closed ones with --all.")
        return
    print_table(
        ("ticket", "state", "action", "account", "requester", "since", "what"),
        [
            (
                f"{case.psa}:{case.number}",
                case.state.value,
                case.action.value if case.action else "?",
                case.subject or "?",
                (case.requester.email or case.requester.name) if case.requester else "?",
                f"{case.created_at.astimezone():%d %b %H:%M}",
                case.explanation,
            )
            for case in found
        ],
    )


def show(context: typer.Context, ticket: TicketArgument, as_json: JsonOption = False) -> None:
    """Show one case and its time line."""
    with open_cases(context) as store:
        case = find(store, ticket)
        lines = store.audit_of(case.id)
        waiting = store.outbox(case.id)
    if as_json:
        print_json(
            {
                "case": case_facts(case),
                "timeline": [
                    {"at": line.entry.at.isoformat(), "event": line.entry.event, **dict(line.entry.facts)}
                    for line in lines
                ],
                "undelivered": [
                    {"key": row.message.key, "kind": row.message.kind.value, "attempts": row.attempts}
                    for row in waiting
                ],
            }
        )
        return
    print_case(case)
    typer.echo("\nTime line")
    for line in lines:
        print_moment(f"{line.entry.at.astimezone():%d %b %H:%M:%S}", in_words(line.entry))
    if waiting:
        typer.echo("\nStill to be delivered")
        print_table(
            ("what", "kind", "tries"),
            [(row.message.key, row.message.kind.value, str(row.attempts)) for row in waiting],
        )


def retry(context: typer.Context, ticket: TicketArgument) -> None:
    """Start a case over that waits for a person. The approval is checked again like any other."""
    from connector.core.case import State
    from connector.core.records import retry as begin_again

    def decide(case: Case) -> Record:
        if case.state is not State.NEEDS_PERSON:
            raise ConnectorError(
                f"Ticket {case.psa}:{case.number} is {case.state.value}, it does not wait for a person. "
                "Only what was handed off can be tried again; see: connector cases --needs-person"
            )
        return begin_again(case)

    case = carry_out(context, ticket, decide)
    typer.echo(f"{case.psa}:{case.number} starts over. Follow it with: connector show {case.psa}:{case.number}")


def cancel(context: typer.Context, ticket: TicketArgument) -> None:
    """End a case. A link that is out is revoked; what was already reset stays so."""
    from connector.core.case import State
    from connector.core.machine import ENDING
    from connector.core.records import cancel as end

    settings, place = load(context)
    about_link = ""

    def decide(case: Case) -> Record:
        nonlocal about_link
        if case.state is State.ALARMED:
            raise ConnectorError(
                f"Ticket {case.psa}:{case.number} has an alarm (somebody said that it was not them): its account is "
                "being secured. There is nothing to cancel; see: connector show "
                f"{case.psa}:{case.number}"
            )
        if case.state in ENDING or case.state is State.CLOSED:
            raise ConnectorError(
                f"Ticket {case.psa}:{case.number} is {case.state.value} already. There is nothing to cancel."
            )
        if case.link_id:
            from connector.wiring import build_adapters

            known = build_adapters(settings, place).links.revoke(case.link_id, handle=case.link_handle)
            about_link = " Its link is revoked." if known else f" The link service knows no link {case.link_id} of it."
        return end(case, "an administrator")

    case = carry_out(context, ticket, decide)
    typer.echo(f"{case.psa}:{case.number} is cancelled.{about_link}")


def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever looks next.")] = "by an administrator",
) -> None:
    """Write to no account until `resume`. Tickets are still read, notes and mails still go out."""
    from connector.wiring import present

    with open_cases(context) as store:
        store.pause(reason, now=present())
    typer.echo("Paused: no account is written to. Lift it with: connector resume")


def resume(context: typer.Context) -> None:
    """Lift `pause`, or the stop of the overall brake."""
    from connector.wiring import present

    with open_cases(context) as store:
        reason = store.paused()
        store.resume(now=present())
    typer.echo(f"Resumed (it was paused: {reason})." if reason else "It was not paused.")


def find(store: SqlCaseStore, ticket: str) -> Case:
    psa, colon, number = ticket.partition(":")
    found = store.find(number, psa=psa) if colon else store.find(ticket)
    if not found:
        raise ConnectorError(f"There is no case of a ticket {ticket}. See: connector cases --all")
    if len({case.id for case in found}) > 1:
        choices = ", ".join(f"{case.psa}:{case.number}" for case in found)
        raise ConnectorError(f"More than one PSA has a ticket {ticket}. Say which: {choices}")
    return found[0]


def carry_out(context: typer.Context, ticket: str, decide: Any) -> Case:
    """Claim the case, decide on what it is then, write that down; a running service carries on from there."""
    import time

    from connector.core.machine import advance
    from connector.reconciler import LEASE
    from connector.wiring import present

    with open_cases(context) as store:
        case_id = find(store, ticket).id
        patience = present() + CLAIM_PATIENCE
        while (case := store.claim(case_id, now=present(), lease=LEASE)) is None:
            if present() > patience:
                raise ConnectorError(f"Ticket {ticket} is being worked on right now. Try again in a minute.")
            time.sleep(0.25)
        try:
            record: Record = decide(case)
        except BaseException:
            store.save(case, now=present())
            store.poke(case.id)  # something may have called for a pass, and the claim took that away
            raise
        now = present()
        after = advance(case, record.event, now=now, **record.changes)
        return store.save(after, now=now, messages=record.messages, audit=[record.audit(case, now)])
