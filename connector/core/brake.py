"""The brake: refuses a surprising number of resets.

A stolen requester's or approver's mailbox, or a bug of ours, shows as many resets in a short time. Each limit counts
accounts that were about to be written, one per case and half of an action, so retries of one case count once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.core.ports import Reset


@dataclass(frozen=True)
class Limit:
    """At most `count` resets in `window`."""

    count: int
    window: timedelta

    @property
    def words(self) -> str:
        hours = self.window.total_seconds() / 3600
        return f"{self.count} in {hours:g} h" if hours >= 1 else f"{self.count} in {hours * 60:g} min"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits in force; see `brake:` in the configuration."""

    per_subject: Limit
    per_requester: Limit
    per_approver: Limit
    per_tenant: Limit
    overall: Limit

    @property
    def longest(self) -> timedelta:
        """How far back everybody's resets must be read; those of one account as far as `per_subject.window`."""
        return max(limit.window for limit in (self.per_requester, self.per_approver, self.per_tenant, self.overall))


@dataclass(frozen=True)
class Stop:
    """The brake refuses.

    Attributes:
        reason: Which limit, in plain words.
        everything: The overall limit: nothing more is written for anybody until a person says `connector resume`.
    """

    reason: str
    everything: bool = False


def check(wanted: Reset, done: Sequence[Reset], limits: Limits, *, now: datetime) -> Stop | None:
    """Whether one more reset would be too many; `None` lets it pass.

    Args:
        done: Earlier resets: at least everybody's of `limits.longest` and this account's of the window of
            `limits.per_subject`; one that comes twice counts once. An entry of the very case, action and account is
            not counted, so that a step that is started again does not stop itself.
    """
    earlier = {reset for reset in done if reset.key != wanted.key}

    def count(limit: Limit, same: Callable[[Reset], bool]) -> int:
        since = now - limit.window
        return sum(1 for reset in earlier if reset.at > since and same(reset))

    if count(limits.overall, lambda _: True) >= limits.overall.count:
        return Stop(f"the limit for all resets together is reached ({limits.overall.words})", everything=True)
    for limit, same, words in (
        (limits.per_subject, lambda one: one.subject == wanted.subject, "resets of this account"),
        (limits.per_requester, lambda one: one.requester == wanted.requester, "resets asked for by this requester"),
        (limits.per_approver, lambda one: bool(one.approvers & wanted.approvers), "resets approved by this approver"),
        (limits.per_tenant, lambda one: one.tenant == wanted.tenant, "resets for this customer"),
    ):
        if count(limit, same) >= limit.count:
            return Stop(f"the limit of {words} is reached ({limit.words})")
    return None
