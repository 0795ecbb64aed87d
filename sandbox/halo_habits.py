"""How the imitated HaloPSA behaves where builds differ, or where nobody outside Halo knows how."""

from __future__ import annotations

from dataclasses import dataclass

SHAPES = ("", "integer", "text")
COMMENTS = ("approver_note", "note")
REOPENING = ("allow", "refuse", "forbid", "ignore")


@dataclass
class HaloHabits:
    """Each default is the likeliest reading; a switch shows the other one.

    `older_build`: the date of the last change is called `flastupdate`, and `adhoc` is not told. `retry_after`: a 429
    carries that header. `value_shape`: of a drop-down's value `integer` or `text`; empty: by the ticket's number.
    `finished_to_history`: all rows of an ended approval process are in `approvers_history`. `pending_result`: what
    `result` holds while a vote is awaited; None leaves it out. `comment_in`: which property holds the approver's
    words. `sentinel_dates`: dates that were never set are told as a day in 1900 instead of left out. `auth_path`:
    where the token endpoint is, as `GET /api/authinfo` tells. `without_teams`: the API agent is in no team, so lists of
    tickets are empty and a ticket is refused with 403, the commonest mistake at set-up. `exclusive_bounds`: a ticket
    that changed at exactly `lastupdatefromdate` is not listed. `tenant`: the only `?tenant=` that the token endpoint
    takes, another answers 500; empty: any. `reopening`: what becomes of a closed ticket's change to another status:
    done, refused by a rule (400), forbidden to the API agent (403), or answered as done and not done. `stays_flagged`:
    a ticket that was closed once says `hasbeenclosed` ever after, as the property's name suggests.
    """

    older_build: bool = False
    retry_after: bool = False
    value_shape: str = ""
    finished_to_history: bool = False
    pending_result: int | None = None
    comment_in: str = "approver_note"
    sentinel_dates: bool = False
    auth_path: str = "/auth"
    without_teams: bool = False
    exclusive_bounds: bool = False
    tenant: str = ""
    reopening: str = "allow"
    stays_flagged: bool = False

    def __post_init__(self) -> None:
        if self.value_shape not in SHAPES:
            raise ValueError(f"value_shape is one of {', '.join(filter(None, SHAPES))} or empty")
        if self.comment_in not in COMMENTS:
            raise ValueError(f"comment_in is one of {', '.join(COMMENTS)}")
        if self.reopening not in REOPENING:
            raise ValueError(f"reopening is one of {', '.join(REOPENING)}")
        if not self.auth_path.startswith("/"):
            raise ValueError("auth_path begins with a slash")
