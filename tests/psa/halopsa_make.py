"""An adapter to HaloPSA for tests: with the mapping that the project ships, a clock that stands, and no real waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from connector.config import Place
from connector.core.ports import Clock
from connector.core.secret import Secret
from connector.http import Http
from connector.psa.halopsa.adapter import HaloPsa
from connector.psa.halopsa.api import HaloApi
from connector.psa.halopsa.mapping import HaloMapping
from connector.psa.mapping import read_mapping

ROOT = Path(__file__).resolve().parents[2]
RIGHTS = "read:tickets edit:tickets read:customers"


class MovableClock:
    """Goes only when told to; the sandbox and the adapter share it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **delta: float) -> None:
        self.moment += timedelta(**delta)


def shipped_mapping() -> HaloMapping:
    """The mapping that the project ships."""
    return read_mapping(HaloMapping, "mappings/halopsa.yaml", Place(folder=ROOT, production=True, environ={}))


def changed_mapping(**changes: object) -> HaloMapping:
    """The shipped mapping with other values, read anew so that every rule of the model holds; `None` leaves one out."""
    data = shipped_mapping().model_dump(mode="json", exclude_defaults=True)
    merged = {**data, **changes}
    return HaloMapping.model_validate({key: value for key, value in merged.items() if value is not None})


def make_psa(
    url: str,
    *,
    client_id: str,
    client_secret: str,
    clock: Clock,
    mapping: HaloMapping | None = None,
    tenant: str = "",
    waits: list[float] | None = None,
) -> HaloPsa:
    """An adapter that does not really wait between tries; `waits` collects how long it would have."""
    noted = [] if waits is None else waits
    api = HaloApi(
        http=Http(system="HaloPSA", scope="psa.halo", refuse_sandbox=False, sleep=noted.append),
        scope="psa.halo",
        api_url=f"{url}/api",
        auth_url=f"{url}/auth",
        client_id=client_id,
        client_secret=Secret(client_secret),
        rights=RIGHTS,
        tenant=tenant,
        clock=clock,
    )
    return HaloPsa(
        name="halo", url=url, api=api, mapping=mapping or shipped_mapping(), where="halopsa.yaml: ", clock=clock
    )
