"""What `connector.yaml` says of Password Pusher, and what is found when it is tried out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from pydantic import field_validator

from connector.config import SecretValue, Section, Url
from connector.core.ports import Capabilities, Finding, Level, LinkMode
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConnectorError
from connector.secretlink.fitness import warnings
from connector.secretlink.passwordpusher import story
from connector.secretlink.passwordpusher.api import PushApi
from connector.secretlink.passwordpusher.pushes import Edition

CAPABILITIES: Final = Capabilities(
    scanner_proof=False,
    alarms=False,
    modes=frozenset({LinkMode.PATH}),
    human_check=False,
    announces=False,
    needs_watched=True,
)

LONGEST_LIFE: Final = timedelta(days=9)
"""The longest lifetime that can be configured, a week, and time to come back: older pushes are not ours to look at."""


class PasswordPusherSection(Section):
    """`links` in `connector.yaml`, for `kind: passwordpusher`.

    Attributes:
        url: What people open, and where the API is.
        token: The API token of an account that only the connector uses.
        account_id: Which of several accounts pushes belong to (hosted); left out: the token's own.
    """

    url: Url
    token: SecretValue
    account_id: str | int | None = None

    @field_validator("token")
    @classmethod
    def _token_is_there(cls, token: Secret) -> Secret:
        if not token.reveal().strip():
            raise ValueError("it is empty, and pushes without a token are nobody's: no audit, no end but their own")
        return token


def findings(api: PushApi, url: str, *, now: datetime) -> Iterator[Finding]:
    """Whether it is there, which edition it is, whether it takes our token, and what to mind with it."""
    api.forget()
    try:
        edition = api.edition()
        foreign = sum(story.read_note(push.note) is None for push in api.active(since=now - LONGEST_LIFE))
    except AuthenticationError as failure:
        yield Finding(
            Level.ERROR, "links.token", str(failure),
            "make an API token in the connector's own account there and put it into links.token",
        )  # fmt: skip
        return
    except ConnectorError as failure:
        yield Finding(Level.ERROR, "links", str(failure), "start it, and check links.url")
        return
    name = {Edition.V1: "self-hosted, API v1", Edition.OSS: "self-hosted, API v2", Edition.HOSTED: "hosted or Pro"}
    yield Finding(Level.OK, "links", f"Password Pusher at {url} ({name[edition]}) answers and takes the token")
    yield from warnings("passwordpusher", CAPABILITIES)
    if foreign:
        yield Finding(
            Level.WARNING, "links.token", f"its account holds {foreign} more pushes that are not ours: whoever "
            "signs in to make those can see ours, and they make every poll longer",
            "give the connector an account of its own",
        )  # fmt: skip
    if edition is Edition.HOSTED:
        yield Finding(
            Level.WARNING, "links.lifetime", "the hosted service offers 15, 30, 45 and 60 minutes, 6 and 12 hours and "
            "whole days: a link of any other lifetime ends a step earlier, while mails name the lifetime as configured",
            "set links.lifetime to one of these",
        )  # fmt: skip
        return
    yield Finding(
        Level.WARNING, "links.lifetime", "self-hosted Password Pusher counts in days, so the connector ends each "
        "link in time: while the connector is down, a link stays open for up to a day",
        "watch that the connector runs (/healthz)",
    )  # fmt: skip
    yield Finding(
        Level.WARNING, "links", "without a PWPUSH_MASTER_KEY of its own, Password Pusher encrypts "
        "with a key that anybody can read in its source; that cannot be seen from here",
        "see that it is set there, and kept apart from the database's backups",
    )  # fmt: skip
