"""Three questions to the PSA's side: what an idle poll costs beside many tickets that are not ours, how soon a password
comes when many approve at once, and what the default share of HaloPSA's limit carries.

HaloPSA and ConnectWise are the sandbox's. Request Tracker is left out: a hundred thousand tickets in a real one take
hours to make, and there is no imitation of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import psa_burst, psa_polls
from bench.figures import Figure
from bench.psa_share import Squeeze

SHORT_MANY, SHORT_ROUNDS, SHORT_APPROVALS = 20_000, 20, 60
SHORT_SQUEEZE, SHORT_SQUEEZE_SECONDS = 30, 60.0


def measure(folder: Path, *, short: bool = False) -> Sequence[Figure]:
    """Measure all of it. About six minutes.

    Args:
        short: With fewer tickets and approvals, in about two minutes.
    """
    with (
        Squeeze(folder / "share", approvals=SHORT_SQUEEZE, seconds=SHORT_SQUEEZE_SECONDS)
        if short
        else Squeeze(folder / "share")
    ) as squeeze:
        if short:
            polls = psa_polls.measure(folder / "polls", rounds=SHORT_ROUNDS, many=SHORT_MANY)
            burst = psa_burst.measure(folder / "burst", approvals=SHORT_APPROVALS)
        else:
            polls, burst = psa_polls.measure(folder / "polls"), psa_burst.measure(folder / "burst")
        return [*polls, *burst, *squeeze.finish()]
