"""300 approvals in one minute: from the vote recorded in HaloPSA to *Password ready* accepted by the mail server.

Once with a poll every 15 seconds and once with HaloPSA's webhooks as well. HaloPSA's published limit is 500 calls in
three minutes for all tools of a customer together, our default share of it 100: nobody could carry 300 approvals a
minute through that. So the budget is out of the way here; how many calls were made is told, and `bench.psa_share`
measures what the default share carries.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from bench import psa_stages
from bench.figures import Figure, median, percentile, say
from bench.psa_crowd import Crowd, Request, crowded
from bench.watch import counted, links_called, start_counting
from sandbox.stage import link_in, open_link, wait_for

APPROVALS = 300
PER_SECOND = 5.0
CUSTOMERS = 12
POLL_EVERY = "15s"
CALL_MILLISECONDS = 50
"""Added to each answer of HaloPSA and Graph: nobody has them on the same machine."""
AIM_SECONDS = 2.0
PATIENCE = 90.0
DEFAULT_PER_MINUTE = 100 / 3


def measure(folder: Path, *, approvals: int = APPROVALS) -> Sequence[Figure]:
    """Measure both. About four minutes with `APPROVALS`."""
    users = -(-(2 * (approvals + CUSTOMERS) + 1) // CUSTOMERS)
    with crowded(folder, customers=CUSTOMERS, users=users) as crowd:
        start_counting(crowd.stage)
        crowd.start(poll_every="1s")
        warm = [crowd.raise_requests(CUSTOMERS) for _ in range(2)]
        requests = [crowd.raise_requests(approvals) for _ in range(2)]
        say(f"  burst: {2 * (approvals + CUSTOMERS)} tickets of {CUSTOMERS} customers are recognised")
        crowd.recognise(2 * (approvals + CUSTOMERS))
        crowd.stage.control("POST", "/latency", {"ms": CALL_MILLISECONDS})
        return [
            *_run(crowd, "polls only", warm[0], requests[0], push=False),
            *_run(crowd, "with pushes", warm[1], requests[1], push=True),
            *_life(crowd),
        ]


def _run(
    crowd: Crowd, name: str, warm: Sequence[Request], requests: Sequence[Request], *, push: bool
) -> Sequence[Figure]:
    stage = crowd.stage
    crowd.start(poll_every=POLL_EVERY, push=push)
    crowd.forget()
    crowd.approve(warm, per_second=100)
    if not push:
        crowd.poll_now()
    if len(crowd.wait_for_links(warm, seconds=60)) < len(warm):
        raise TimeoutError("the first password of each customer did not come")
    crowd.settle()
    crowd.forget()
    say(f"  burst: {len(requests)} approvals, {name}")
    links, cpu, started = links_called(stage), _cpu(stage.pid("connector")), time.monotonic()
    sandbox_cpu = _cpu(stage.pid("sandbox"))
    late = crowd.approve(requests, per_second=PER_SECOND)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    ready = crowd.wait_for_links(requests, seconds=PATIENCE)
    seconds = time.monotonic() - started
    cpu, sandbox_cpu = _cpu(stage.pid("connector")) - cpu, _cpu(stage.pid("sandbox")) - sandbox_cpu
    approved = crowd.approved_at(requests)
    waits = sorted((at - approved[number]).total_seconds() for number, at in ready.items())
    if not waits:
        raise TimeoutError(f"{name}: no password came within {PATIENCE:g} s")
    crowd.settle()  # what is still owed to the tickets is counted, too
    calls = psa_stages.calls_of(stage, "halo")
    own = [call for call in calls if not call.is_poll]
    graph = counted(stage).of("graph")
    links = links_called(stage) - links
    most = len(psa_stages.fullest(calls, timedelta(minutes=1)))
    found = psa_stages.moments(stage, requests, approved, ready)
    run = (
        f"{len(waits)} of {len(requests)} at {PER_SECOND:g} a second, {CALL_MILLISECONDS} ms per call, load {load:.1f}"
    )
    busy = f"connector {cpu / seconds:.0%}, sandbox {sandbox_cpu / seconds:.0%} of a core; the votes {late:.1f} s late"
    over = f"{sum(wait > AIM_SECONDS for wait in waits)} over {AIM_SECONDS:g} s"
    count = len(requests)
    return [
        Figure(f"{name}: p50", median(waits), "s", None, run),
        Figure(f"{name}: p95", percentile(waits, 0.95), "s", AIM_SECONDS if push else None, busy),
        Figure(f"{name}: slowest", max(waits), "s", None, over),
        Figure(f"{name}: calls to HaloPSA in the busiest minute", most, "calls", None,
               f"budget set aside: the default share is {DEFAULT_PER_MINUTE:.0f} a minute"),
        Figure(f"{name}: HaloPSA, calls a case", len(own) / count, "calls", None,
               f"until the link: {psa_stages.words(own)}; {len(calls) - len(own)} lists left out"),
        Figure(f"{name}: Graph and link service, calls a case", (graph + links) / count, "calls", None,
               f"{graph / count:.2f} and {links / count:.2f}"),
        *psa_stages.figures(name, found, count),
    ]  # fmt: skip


def _life(crowd: Crowd) -> Sequence[Figure]:
    """One password reset from the ticket's first moment to its last, with pushes and warm tokens."""
    stage = crowd.stage
    crowd.forget()
    links = links_called(stage)
    [request] = crowd.raise_requests(1)
    crowd.recognise(1)
    crowd.approve([request], per_second=1)
    wait_for("the link", lambda: crowd.ready([request]), seconds=60, every=0.25)
    [url] = [link_in(mail) for mail in stage.mails(request.id) if link_in(mail)]
    open_link(url)
    wait_for("the end", lambda: stage.ticket(request.id)["status"] == "Closed", seconds=60, every=0.25)
    crowd.settle()
    own = [call for call in psa_stages.calls_of(stage, "halo") if not call.is_poll]
    graph = counted(stage)
    return [
        Figure("one case, seen to closed: HaloPSA", len(own), "calls", None,
               f"{psa_stages.words(own)}; lists left out"),
        Figure("one case, seen to closed: Graph", graph.of("graph"), "calls", None, "look-ups of a batch are one"),
        Figure("one case, seen to closed: link service", links_called(stage) - links, "calls", None,
               "reading events not counted: one call for all links at each poll"),
        Figure("one case, seen to closed: mails", graph.of("smtp"), "mails", None, ""),
    ]  # fmt: skip


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process so far; 0 where the system does not tell it like Linux."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
