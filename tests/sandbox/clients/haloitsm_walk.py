"""What `haloitsm-python` sees of a HaloPSA; run by an interpreter that has it, not by ours.

Reads `{url, client_id, client_secret, ticket, user_search}` as JSON from standard input, so that no secret is in a
command line, and prints what it saw as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("error")

from halo import HaloClient, HaloError  # noqa: E402 - what it warns about at import counts


def main() -> None:
    wish = json.load(sys.stdin)
    client = HaloClient(wish["url"], client_id=wish["client_id"], client_secret=wish["client_secret"])
    number = wish["ticket"]
    seen = {
        "pages": [
            [ticket.id for ticket in client.tickets.list(page_size=500, page_no=page, order="id")] for page in (1, 2)
        ],
        "by_wrong_name": len(client.tickets.list(ticket_type_id=25)),
        "by_right_name": [ticket.id for ticket in client.tickets.list(requesttype_id=25)],
        "ticket": client.tickets.get(number, includedetails=True).raw,
        "types": {one.name: one.id for one in client.ticket_types.list(show_inactive=False)},
        "type": client.ticket_types.get(27, include_details=True).raw,
        "clients": {one.name: one.id for one in client.clients.list()},
        "users": [one.raw for one in client.users.search(wish["user_search"])],
    }
    note = {"ticket_id": number, "outcome_id": 7, "note_html": "<p>by a stranger</p>", "timetaken": 0.25}
    seen["note"] = client.session.post("/Actions", json=[note])
    seen["actions"] = [one.raw for one in client.actions.list(ticket_id=number, excludesys=True)]
    seen["one_action"] = client.actions.get(seen["note"]["id"], ticket_id=number).raw
    seen["moved"] = client.session.post("/Tickets", json=[{"id": number, "status_id": 9}])
    seen["refused"] = refusals(client, number)
    print(json.dumps(seen))


def refusals(client: HaloClient, number: int) -> dict[str, str]:
    """The kind of error that each mistake becomes."""
    mistakes = {
        "a bare object": lambda: client.tickets.create({"summary": "not an array"}),
        "no outcome": lambda: client.session.post("/Actions", json=[{"ticket_id": number}]),
        "no such ticket": lambda: client.tickets.get(999999),
    }
    kinds = {}
    for name, mistake in mistakes.items():
        try:
            mistake()
        except HaloError as error:
            kinds[name] = type(error).__name__
    return kinds


if __name__ == "__main__":
    main()
