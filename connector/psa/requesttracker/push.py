"""What a scrip of Request Tracker sends us: "look at ticket 12". See docs/psa/requesttracker.md for the scrip.

A push carries ids and nothing else that is used; whoever forges one makes us look at a ticket earlier than we would.
RT signs nothing, so the proof is a token of our own that the scrip sends along in a header.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import parse_qsl

from connector.config import SecretValue, Section
from connector.core.ports import Push
from connector.core.secret import Secret
from connector.errors import ConfigError, PushRefused
from connector.psa.requesttracker.write import KEY

HEADER = "x-connector-token"
SHORTEST_TOKEN = 24
LONGEST_BODY = 4096
MOST_TICKETS = 20


class PushSection(Section):
    """`psa.<name>.push`. Without it a push only means "poll now", whoever sends it and whatever it says."""

    token: SecretValue


def token_of(section: PushSection | None, where: str) -> Secret | None:
    """The token that a push has to show.

    Raises:
        ConfigError: It is so short that it could be guessed.
    """
    if section is not None and len(section.token.reveal()) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{where}.push.token: shorter than {SHORTEST_TOKEN} characters. Make one with: openssl rand -hex 24"
        )
    return section.token if section else None


def tickets_in(push: Push, token: Secret | None, name: str) -> Sequence[str]:
    """The ids in a push: `ticket` in the address or in a form, at most twenty; none without a token to check it by.

    Raises:
        PushRefused: The push has not shown the token.
    """
    if token is None:
        return ()
    shown = push.headers.get(HEADER, "")
    if not hmac.compare_digest(shown.encode("utf-8", "replace"), token.reveal().encode()):
        raise PushRefused(
            f"A push for {name} came without the right X-Connector-Token. Put the token of psa.{name}.push into the "
            "scrip in RT; if you have sent none, somebody else has."
        )
    said = [push.query.get("ticket", "")]
    if len(push.body) <= LONGEST_BODY:
        try:
            form = parse_qsl(push.body.decode("ascii"), max_num_fields=2 * MOST_TICKETS)
        except ValueError:  # another encoding, or too many fields
            form = []
        said += [value for key, value in form if key == "ticket"]
    ids = dict.fromkeys(one for text in said for one in text.split(",") if KEY.fullmatch(one))
    return tuple(ids)[:MOST_TICKETS]
