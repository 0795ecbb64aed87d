"""Bad days: targeted faults asked for through the control port, and the random unkindness of every day.

Unkindness is decided by a hash of seed, system, call and how often that call was made, so a run with the
same seed meets the same bad luck whatever the order of its threads. Two unkind answers to the same call never
follow each other, so a client that retries once gets through.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field

from sandbox import odd_answers

SYSTEMS = ("halo", "connectwise", "graph", "authority", "smtp", "webhook", "passwordpusher", "onetimesecret")
KINDS = ("status", "status_after", "cut_before", "cut_after", "slow", "not_json", "timeout")
WEBHOOK_KINDS = ("lost", "twice", "late")
"""What can happen to something that a PSA sends by itself."""


@dataclass
class Fault:
    """What should go wrong, and how often.

    `match` is a regular expression searched in "METHOD /path" (for SMTP: "MAIL from", "RCPT to" or "DATA subject").
    `status_after` does it and then answers with a `status`, as a gateway does that lost the answer (not for SMTP).
    `cut_before` drops the connection instead of doing anything; `cut_after` does it and then drops the
    connection; `timeout` does nothing and answers nothing for `delay` seconds (default 90); `slow` answers after
    `delay` seconds (default 0.5). What a PSA sends by itself (system `webhook`, match "POST event") can be `lost`, come
    `twice`, or `late` by `delay`. `shape` gives a `status` of Graph one of the odd bodies in `odd_answers`. `tenant`
    (a key, an id or a domain) limits a fault of Graph or the token endpoint to one customer. `times` 0 means until
    cleared.
    """

    system: str
    kind: str
    match: str = ""
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    times: int = 1
    delay: float | None = None
    tenant: str | None = None
    shape: str | None = None

    def __post_init__(self) -> None:
        if self.system not in SYSTEMS:
            raise ValueError(f"system is one of {', '.join(SYSTEMS)}, not {self.system!r}")
        kinds = WEBHOOK_KINDS if self.system == "webhook" else KINDS
        if self.kind not in kinds:
            raise ValueError(f"kind is one of {', '.join(kinds)}, not {self.kind!r}")
        if self.system == "smtp" and self.kind == "status_after":
            raise ValueError("status_after is a gateway's, and no gateway stands before smtp")
        if self.shape is not None and self.shape not in odd_answers.NAMES:
            raise ValueError(f"shape is one of {', '.join(odd_answers.NAMES)}, not {self.shape!r}")
        if self.tenant is not None and self.system not in ("graph", "authority"):
            raise ValueError("only graph and authority can tell one tenant from another")
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match is not a regular expression: {error}") from None

    @property
    def seconds(self) -> float:
        if self.delay is not None:
            return self.delay
        return 90.0 if self.kind == "timeout" else 0.5


@dataclass
class Faults:
    """The faults that wait, and the dice. `gentle` switches the dice off; targeted faults always work."""

    seed: int
    gentle: bool
    waiting: list[Fault] = field(default_factory=list)
    _asked: Counter[str] = field(default_factory=Counter)
    _was_unkind: set[str] = field(default_factory=set)

    def add(self, fault: Fault) -> None:
        self.waiting.append(fault)

    def clear(self) -> None:
        self.waiting.clear()

    def next_for(
        self, system: str, call: str, *, chance: bool = True, tenant: frozenset[str] = frozenset()
    ) -> Fault | None:
        """The fault that hits this call, if any; using it up counts.

        Args:
            call: "METHOD /path" without the query.
            chance: Whether random unkindness may hit too.
            tenant: The names of the customer that it is made for, where that is known.
        """
        for fault in self.waiting:
            if fault.tenant is not None and fault.tenant.lower() not in tenant:
                continue
            if fault.system == system and re.search(fault.match, call):
                if fault.times:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.waiting.remove(fault)
                return fault
        if self.gentle or not chance:
            return None
        return self._by_chance(system, call)

    def chance(self, what: str, probability: float) -> bool:
        """Throw the dice for an oddity that is not a fault, such as a row that shows up on two pages."""
        return not self.gentle and self._dice(what).random() < probability

    def _by_chance(self, system: str, call: str) -> Fault | None:
        key = f"{system} {call}"
        dice = self._dice(key)
        if key in self._was_unkind:
            self._was_unkind.discard(key)
            return None
        fault = _pick(system, call, dice.random())
        # A slow answer is no failure, so it needs no recovery.
        if fault and fault.kind != "slow":
            self._was_unkind.add(key)
        return fault

    def _dice(self, key: str) -> random.Random:
        self._asked[key] += 1
        return random.Random(f"{self.seed} {key} {self._asked[key]}")


def _pick(system: str, call: str, roll: float) -> Fault | None:
    writes = not call.startswith("GET ")
    if roll < 0.02:
        return Fault(system, "status", status=429, headers={"Retry-After": "1"})
    if roll < 0.035:
        return Fault(system, "status", status=503)
    if roll < 0.05 and writes:
        return Fault(system, "cut_after")
    if roll < 0.08:
        return Fault(system, "slow", delay=0.4)
    return None
