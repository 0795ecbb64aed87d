"""What `connectpyse-manage` sees of a ConnectWise; run by an interpreter that has it, not by ours.

Reads `{url, company, public_key, private_key, client_id, ticket, other}` as JSON from standard input, so that no secret
is in a command line, and prints what it saw as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict
from typing import Any

warnings.simplefilter("error")

from connectwise import ConnectWiseClient, ConnectWiseError  # noqa: E402 - what it warns about at import counts


def client_of(wish: dict[str, Any], **changes: str) -> ConnectWiseClient:
    return ConnectWiseClient(
        base_url=wish["url"],
        client=wish["company"],
        username=wish["public_key"],
        password=changes.get("private_key", wish["private_key"]),
        client_id=changes.get("client_id", wish["client_id"]),
    )


def main() -> None:
    wish = json.load(sys.stdin)
    client = client_of(wish)
    number = wish["ticket"]
    seen: dict[str, Any] = {
        "tickets": [ticket.id for ticket in client.get_tickets(pagesize=50)],
        "waiting": [ticket.id for ticket in client.get_tickets(conditions=wish["poll"])],
        "count": client.get_ticket_count(conditions=wish["poll"]),
        "ticket": asdict(client.get_ticket(number)),
        "boards": {board.name: board.id for board in client.get_boards()},
        "statuses": {one.name: one.id for one in client.get_board_statuses(1)},
        "types": {one.name: one.id for one in client.get_board_types(1)},
        "contact": asdict(client.get_ticket_contact(number)),
        "member": asdict(client.get_member_by_identifier("AnnaA")),
        "companies": {one.identifier: one.id for one in client.get_companies()},
        "note": asdict(client.add_ticket_note(number, "by a stranger")),
        "patched": asdict(client.update_ticket_field(number, "/summary", "Seen by a stranger")),
        "moved": asdict(client.update_ticket_status(number, wish["closed"])),
    }
    seen["notes"] = [asdict(note) for note in client.get_ticket_notes(number, pagesize=2)]
    seen["info"] = client.get("system/info")
    seen["trail"] = client.get(f"system/audittrail?type=Ticket&id={number}")
    entry = {"chargeToId": number, "chargeToType": "ServiceTicket", "timeStart": wish["start"], "actualHours": 0.1}
    client.post("time/entries", entry)
    seen["time"] = [one.actualHours for one in client.get_ticket_time_entries(number)]
    seen["callback"] = client.post("system/callbacks", wish["callback"])
    seen["callbacks"] = client.get_all("system/callbacks")
    seen["refused"] = refusals(client, wish)
    print(json.dumps(seen))


def refusals(client: ConnectWiseClient, wish: dict[str, Any]) -> dict[str, str]:
    """The kind of error that each mistake becomes."""
    mistakes = {
        "no placement": lambda: client.post(f"service/tickets/{wish['ticket']}/notes", {"text": "x"}),
        "a status of another board": lambda: client.update_ticket_status(wish["ticket"], 604),
        "an unknown field": lambda: client.get_tickets(conditions="colour=1"),
        "the same callback": lambda: client.post("system/callbacks", wish["callback"]),
        "a wrong key": lambda: client_of(wish, private_key="wrong").get_tickets(),
        "no client id": lambda: client_of(wish, client_id="wrong").get_tickets(),
    }
    kinds = {"no such ticket": str(client.get_ticket(1))}
    for name, mistake in mistakes.items():
        try:
            mistake()
        except ConnectWiseError as error:
            kinds[name] = type(error).__name__
    return kinds


if __name__ == "__main__":
    main()
