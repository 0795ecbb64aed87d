"""Microsoft's clouds by name: where an app signs in, and where Graph is.

An app registration belongs to one cloud and crosses into none of the others. Source: the table of
learn.microsoft.com/graph/deployments and MSAL's own list of authorities, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cloud:
    """The two addresses of a cloud.

    Attributes:
        authority: Of the sign-in service, without a tenant.
        url: Of Graph, without a version; `<url>/.default` is the scope of its tokens.
    """

    authority: str
    url: str


CLOUDS: Mapping[str, Cloud] = {
    "global": Cloud("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    "usgov": Cloud("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    "dod": Cloud("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    "china": Cloud("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
}
# Names that people know them by; spaces, dashes and capitals do not count. GCC lives in the global cloud.
ALIASES: Mapping[str, str] = {
    "gcc": "global",
    "gcchigh": "usgov",
    "l4": "usgov",
    "usgovdod": "dod",
    "l5": "dod",
    "21vianet": "china",
}
# MSAL knows where these sign in, but the address of their Graph is UNVERIFIED: a guess could send tokens to a stranger.
UNVERIFIED: Mapping[str, str] = {
    "bleu": "https://login.sovcloud-identity.fr",
    "delos": "https://login.sovcloud-identity.de",
    "govsg": "https://login.sovcloud-identity.sg",
}


def read_cloud(value: object) -> str:
    """A cloud's name, one of `CLOUDS`.

    Raises:
        ValueError: Nobody knows it, or nobody knows its addresses for certain; the text says what to write.
    """
    name = re.sub(r"[\s_-]", "", value).casefold() if isinstance(value, str) else ""
    name = ALIASES.get(name, name)
    if name in UNVERIFIED:
        raise ValueError(
            f"where Graph is in the cloud {value!r} is not known for certain: leave cloud out and set graph.authority "
            f"and graph.url to the addresses that Microsoft gave you ({UNVERIFIED[name]} signs in there)"
        )
    if name not in CLOUDS:
        raise ValueError(
            f"{value!r} is not a cloud: write one of {', '.join(CLOUDS)} (GCC is global, GCC High is usgov), or leave "
            "it out and set graph.authority and graph.url"
        )
    return name
