"""An adapter to ConnectWise for tests: with the mapping that the project ships, a clock that stands, no real waits."""

from __future__ import annotations

from connector.config import Place
from connector.core.ports import Clock
from connector.core.secret import Secret
from connector.http import Http
from connector.psa.connectwise.adapter import CallbackSection, ConnectWise
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.mapping import ConnectWiseMapping
from connector.psa.mapping import read_mapping
from tests.psa.halopsa_make import ROOT

MEMBER = "ResetConnector"


def shipped_mapping() -> ConnectWiseMapping:
    """The mapping that the project ships."""
    place = Place(folder=ROOT, production=True, environ={})
    return read_mapping(ConnectWiseMapping, "mappings/connectwise.yaml", place)


def changed_mapping(**changes: object) -> ConnectWiseMapping:
    """The shipped mapping with other values, read anew so that every rule of the model holds; `None` leaves one out."""
    data = shipped_mapping().model_dump(mode="json", exclude_defaults=True)
    merged = {**data, **changes}
    return ConnectWiseMapping.model_validate({key: value for key, value in merged.items() if value is not None})


def make_api(
    url: str,
    *,
    public_key: str,
    private_key: str,
    client_id: str,
    company: str = "msp",
    waits: list[float] | None = None,
) -> ConnectWiseApi:
    noted = [] if waits is None else waits
    return ConnectWiseApi(
        http=Http(system="ConnectWise", scope="psa.cw", refuse_sandbox=False, sleep=noted.append),
        scope="psa.cw",
        url=url,
        company=company,
        public_key=public_key,
        private_key=Secret(private_key),
        client_id=client_id,
    )


def make_psa(
    api: ConnectWiseApi,
    *,
    clock: Clock,
    mapping: ConnectWiseMapping | None = None,
    member: str | None = MEMBER,
    site_url: str | None = None,
    callback: CallbackSection | None = None,
) -> ConnectWise:
    return ConnectWise(
        name="cw",
        api=api,
        mapping=mapping or shipped_mapping(),
        where="connectwise.yaml: ",
        clock=clock,
        member=member,
        site_url=site_url,
        callback=callback,
    )
