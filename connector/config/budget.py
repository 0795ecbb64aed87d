"""How many calls a system may get from us: our share of what it allows to all of a customer's tools together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from connector.config.values import Duration, Section
from connector.errors import ConfigError

LEAST_CALLS = 5
"""Fewer in one window carry no request to its end: a token, names, a list and a ticket are that many."""
PERCENT = re.compile(r"\s*([0-9]{1,3})\s*%\s*", re.ASCII)


@dataclass(frozen=True)
class Budget:
    """At most so many calls in any stretch of time of the length `per`.

    Raises:
        ValueError: Fewer than `LEAST_CALLS`, or no time at all.
    """

    calls: int
    per: timedelta

    def __post_init__(self) -> None:
        if self.calls < LEAST_CALLS or self.per <= timedelta(0):
            raise ValueError(f"a budget is at least {LEAST_CALLS} calls in some time, not {self.calls} in {self.per}")


def read_share(value: object) -> int:
    """`20%` as 20. Only whole percentages with their sign: `0.2` and `20` could each be taken for the other's meaning.

    Raises:
        ValueError: Anything else, and what is not from 1% to 100%.
    """
    found = PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not found or not 1 <= int(found[1]) <= 100:
        raise ValueError(f"{value!r} is not a share: write a whole percentage from 1% to 100%, such as 20%")
    return int(found[1])


class BudgetSection(Section):
    """`psa.<name>.budget`, where the vendor publishes a limit.

    Attributes:
        share: Percent of the limit that this connector may use.
        calls, per: The limit for all tools together, where it is not the published one. Both or neither.
    """

    share: Annotated[int, BeforeValidator(read_share)] = 20
    calls: Annotated[int, Field(ge=LEAST_CALLS, le=1_000_000)] | None = None
    per: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=24))] | None = None

    @model_validator(mode="after")
    def _a_whole_limit(self) -> BudgetSection:
        if (self.calls is None) != (self.per is None):
            raise ValueError("calls and per belong together: give both, or neither for the published limit")
        return self

    def share_of(self, published: Budget | None, *, where: str) -> Budget | None:
        """What this connector may send.

        Args:
            published: The vendor's own limit; `None` where it has none.
            where: The section's place for messages: `psa.halo`.

        Returns:
            The share, rounded down; `None` where neither the vendor nor the section knows a limit.

        Raises:
            ConfigError: It comes to less than `LEAST_CALLS`.
        """
        limit = Budget(self.calls, self.per) if self.calls is not None and self.per is not None else published
        if limit is None:
            return None
        calls = limit.calls * self.share // 100
        if calls < LEAST_CALLS:
            raise ConfigError(
                f"{where}: budget.share: {self.share}% of {limit.calls} calls are {calls}, and with fewer than "
                f"{LEAST_CALLS} nothing can be done. Raise the share."
            )
        return Budget(calls, limit.per)


class OwnBudgetSection(BudgetSection):
    """`psa.<name>.budget`, where the vendor publishes no limit: it is the admin's own, so it has to be given whole."""

    calls: Annotated[int, Field(ge=LEAST_CALLS, le=1_000_000)]
    per: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=24))]
