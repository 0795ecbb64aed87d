"""What PyPI's `HaloPSA` sees of a HaloPSA; run by an interpreter of its own, for it is under the AGPL.

Reads and prints as `haloitsm_walk.py` does. Its addresses are hard-wired, so its helper gets a beginning of ours.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from typing import Any

warnings.simplefilter("error")

import requests  # noqa: E402 - warnings count

halo: Any = importlib.import_module("HaloPSA.Halo")  # the package hides its module behind a class of the same name


class Helper(halo._MethodsHelper):
    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self.session = requests.Session()
        self.auth_url, self.url = f"{url}/auth/token", f"{url}/api"
        self.token = self._create_token(client_id, client_secret, "all")
        self.session.headers.update({"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"})
        self.formatted_params: list[Any] = []


def main() -> None:
    wish = json.load(sys.stdin)
    helper = Helper(wish["url"], wish["client_id"], wish["client_secret"])
    tickets, actions = halo._Tickets(mh=helper), halo._Actions(mh=helper)
    number = wish["ticket"]
    pages = [tickets.search(pageinate=True, page_size=100, page_no=page, order="id") for page in (1, 2)]
    seen = {
        "record_count": pages[0]["record_count"],
        "pages": [[row["id"] for row in page["tickets"]] for page in pages],
        "open": [row["id"] for row in tickets.search(requesttype_id=25, open_only=True)["tickets"]],
        "ticket": tickets.get(number, includedetails=True),
        "types": {row["name"]: row["id"] for row in halo._TicketTypes(mh=helper).search()},
        "type": halo._TicketTypes(mh=helper).get(27, includedetails=True),
        "statuses": {row["name"]: row["id"] for row in halo._Status(mh=helper).search()},
        "teams": {row["name"]: row["id"] for row in halo._Teams(mh=helper).search()},
        "agents": {row["name"]: row["id"] for row in halo._Agents(mh=helper).search()},
        "clients": {row["name"]: row["id"] for row in halo._Clients(mh=helper).search()["clients"]},
        "users": halo._Users(mh=helper).search(search=wish["user_search"])["users"],
        "note": actions.update(ticket_id=number, outcome="Private Note", note="by a stranger", timetaken=0.25),
        "actions": actions.search(ticket_id=number, excludesys=True)["actions"],
        "no_actions": actions.search()["actions"],
        "moved": tickets.update(id=number, status_id=9),
    }
    seen["one_action"] = actions.get(seen["note"]["id"], ticket_id=number)
    seen["refused"] = refusals(tickets, actions, wish)
    print(json.dumps(seen))


def refusals(tickets: Any, actions: Any, wish: dict[str, Any]) -> dict[str, str]:
    """What each mistake becomes: the kind of error and its first words."""
    mistakes = {
        "no outcome": lambda: actions.update(ticket_id=wish["ticket"], note="x"),
        "no such ticket": lambda: tickets.get(999999),
        "a wrong secret": lambda: Helper(wish["url"], wish["client_id"], "wrong"),
    }
    kinds = {}
    for name, mistake in mistakes.items():
        try:
            mistake()
        except Exception as error:  # it raises bare exceptions of many kinds
            kinds[name] = f"{type(error).__name__}: {error}"
    return kinds


if __name__ == "__main__":
    main()
