"""What `pyconnectwise` sees of a ConnectWise; run by an interpreter of its own, for it is under the GPL.

Reads and prints as `connectpyse_walk.py` does. It is generated from the vendor's description and validates every answer
with pydantic. It knows https only, so its addresses are made here.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

warnings.simplefilter("error")
# Its models were generated for an older pydantic, which is no affair of ours.
warnings.simplefilter("ignore", DeprecationWarning)

from pyconnectwise import ConnectWiseManageAPIClient  # noqa: E402 - what else it warns about at import counts
from pyconnectwise.exceptions import ConnectWiseException  # noqa: E402


class Client(ConnectWiseManageAPIClient):
    def _get_url(self) -> str:
        return f"{self.manage_url}/{self.codebase.strip('/')}/apis/3.0"

    def _try_get_codebase_from_api(self, manage_url: str, company_name: str, headers: dict[str, str]) -> str:
        information = self._make_request("GET", f"{manage_url}/login/companyinfo/{company_name}", headers=headers)
        return str(information.json()["Codebase"])


def client_of(wish: dict[str, Any], **changes: str) -> Client:
    return Client(
        wish["company"],
        wish["url"],
        changes.get("client_id", wish["client_id"]),
        wish["public_key"],
        changes.get("private_key", wish["private_key"]),
    )


def shown(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def main() -> None:
    wish = json.load(sys.stdin)
    client = client_of(wish)
    number = wish["ticket"]
    tickets, ticket = client.service.tickets, client.service.tickets.id(wish["ticket"])
    board = client.service.boards.id(1)
    active = {"conditions": "inactiveFlag=false"}
    seen: dict[str, Any] = {
        "codebase": client.codebase,
        "tickets": [one.id for one in tickets.paginated(1, 50).all()],
        "waiting": [one.id for one in tickets.get(params={"conditions": wish["poll"]})],
        "count": tickets.count.get(params={"conditions": wish["poll"]}).count,
        "ticket": shown(ticket.get()),
        "boards": {one.name: one.id for one in client.service.boards.get(params=active)},
        "statuses": {one.name: one.id for one in board.statuses.get()},
        "types": {one.name: one.id for one in board.types.get()},
        "member": shown(client.system.members.get(params={"conditions": 'identifier="AnnaA"'})[0]),
        "companies": {one.identifier: one.id for one in client.company.companies.get()},
        "note": shown(ticket.notes.post(data={"text": "by a stranger", "internalAnalysisFlag": True})),
        "patched": shown(ticket.patch([{"op": "replace", "path": "summary", "value": "Seen by a stranger"}])),
        "moved": shown(ticket.patch([{"op": "replace", "path": "status", "value": {"id": wish["closed"]}}])),
        "notes": [shown(one) for one in ticket.notes.paginated(1, 2).all()],
        "all_notes": [shown(one) for one in ticket.all_notes.get()],
        "info": shown(client.system.info.get()),
        "trail": [shown(one) for one in client.system.audittrail.get(params={"type": "Ticket", "id": number})],
        "fields": {one.caption: one.id for one in client.system.user_defined_fields.get()},
    }
    seen["contact"] = shown(client.company.contacts.id(seen["ticket"]["contact"]["id"]).get())
    entry = {"chargeToId": number, "chargeToType": "ServiceTicket", "timeStart": wish["start"], "actualHours": 0.1}
    client.time.entries.post(data=entry)
    seen["time"] = [one.actual_hours for one in client.time.entries.get(params={"conditions": f"chargeToId={number}"})]
    seen["callback"] = shown(client.system.callbacks.post(data=wish["callback"]))
    seen["callbacks"] = [shown(one) for one in client.system.callbacks.get()]
    seen["refused"] = refusals(client, wish)
    print(json.dumps(seen))


def refusals(client: Client, wish: dict[str, Any]) -> dict[str, str]:
    """The kind of error that each mistake becomes."""
    ticket = client.service.tickets.id(wish["ticket"])
    wrong_board = [{"op": "replace", "path": "status", "value": {"id": 604}}]
    mistakes = {
        "no such ticket": lambda: client.service.tickets.id(1).get(),
        "no placement": lambda: ticket.notes.post(data={"text": "x"}),
        "a status of another board": lambda: ticket.patch(wrong_board),
        "an unknown field": lambda: client.service.tickets.get(params={"conditions": "colour=1"}),
        "the same callback": lambda: client.system.callbacks.post(data=wish["callback"]),
        "a wrong key": lambda: client_of(wish, private_key="wrong").service.tickets.get(),
        "no client id": lambda: client_of(wish, client_id="wrong").service.tickets.get(),
    }
    kinds = {}
    for name, mistake in mistakes.items():
        try:
            mistake()
        except ConnectWiseException as error:
            kinds[name] = type(error).__name__
    return kinds


if __name__ == "__main__":
    main()
