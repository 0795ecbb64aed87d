"""How this ConnectWise behaves where no source settles it, so that a client can be tried against either answer."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from sandbox.connectwise_audit import ACTORS, ORDERS, WORDINGS

_CHOICES = {
    "audit_wording": tuple(WORDINGS),
    "audit_actor": ACTORS,
    "audit_order": ORDERS,
    "wrong_board_status": ("refuse", "ignore"),
    "custom_fields_left_out": ("keep", "clear"),
    "note_lines": ("keep", "join"),
    "audit_notes": ("mention", "text", "none"),
    "callbacks": ("deliver", "lose"),
    "reopening": ("allow", "refuse", "forbid", "ignore"),
}


@dataclass
class Habits:
    """Every one of these is UNVERIFIED in ConnectWise, or differs between its builds.

    `audit_wording`, `audit_actor`, `audit_order`, `audit_late_seconds`: see `connectwise_audit`. `audit_notes`: the
    trail mentions a note, quotes its text, or is silent. `note_moves_ticket`: a note moves the ticket's `lastUpdated`.
    `note_lines`: line ends of a note are kept, or become single spaces, as the guide says.
    `info_in_fields`: `_info` survives a projection that names it. `wrong_board_status`: a status of another board is
    refused, or ignored with a 200. `custom_fields_left_out`: what a PATCH does to fields that its array leaves out.
    `null_custom_values`: an unset custom field says `"value": null` (2026) instead of nothing (2022).
    `vendor_media_type`: answers name the vendor's media type. `callbacks`: delivered or lost.
    `callback_created_status`: 201 (OpenAPI) or 200 (seen). `callback_key_needs_login`: so says amp-labs; other clients
    fetch it plain. `retry_seconds`: the waits before a callback's second and third try (2 s and 4 s). `link_host`:
    another origin for `Link` headers; empty is the one that was called. `wrong_login_status`: 401,
    or the 404 of which the guide warns. `reopening`: what the board makes of a closed ticket's change to a status that
    does not close: done, refused (400), forbidden to the member's role (403), or a 200 that did nothing. `forbidden`:
    beginnings of "METHOD /path" that the member's role may not call (403).
    """

    audit_wording: str = "quoted"
    audit_actor: str = "identifier"
    audit_order: str = "newest_first"
    audit_late_seconds: float = 0
    audit_notes: str = "mention"
    note_moves_ticket: bool = True
    note_lines: str = "keep"
    info_in_fields: bool = True
    wrong_board_status: str = "refuse"
    custom_fields_left_out: str = "keep"
    null_custom_values: bool = False
    vendor_media_type: bool = False
    callbacks: str = "deliver"
    callback_created_status: int = 201
    callback_key_needs_login: bool = True
    retry_seconds: list[float] = field(default_factory=lambda: [2.0, 4.0])
    link_host: str = ""
    wrong_login_status: int = 401
    reopening: str = "allow"
    forbidden: list[str] = field(default_factory=list)

    def change(self, wanted: dict[str, Any]) -> None:
        """Set some of them; nothing changes when one is wrong.

        Raises:
            ValueError: No such habit, or not one of its choices.
        """
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        for name, value in wanted.items():
            if name not in known:
                raise ValueError(f"no habit is named {name!r}; there are: {', '.join(sorted(known))}")
            if name in _CHOICES and value not in _CHOICES[name]:
                raise ValueError(f"{name} is one of {', '.join(_CHOICES[name])}, not {value!r}")
            if isinstance(known[name], bool) != isinstance(value, bool):
                raise ValueError(f"{name} does not take {value!r}")
        for name, value in wanted.items():
            setattr(self, name, value)
