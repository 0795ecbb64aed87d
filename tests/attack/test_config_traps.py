"""Settings that say something else than they look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.config import ConnectorSettings, Place, validate
from connector.wiring import policies
from tests.fakes.psa import FakePsa


@pytest.mark.parametrize("client", ["None", "0"])
def test_a_ticket_without_a_customer_belongs_to_no_tenant(tmp_path: Path, client: str) -> None:
    """It has the empty client id, whatever somebody wrote into the list of clients."""
    settings = validate(
        ConnectorSettings,
        {
            "environment": "demo",
            "database": f"sqlite:///{tmp_path}/none.db",
            "psa": {"halo": {"kind": "halopsa"}},
            "graph": {"client_id": "6f0", "client_secret": {"env": "GRAPH"}},
            "tenants": {"contoso": {"tenant_id": "8a1", "clients": {"halo": [client, "12"]}}},
            "links": {},
            "mail": {},
        },
        Place(tmp_path, production=False, environ={"GRAPH": tmp_path.name}),
        where="connector.yaml",
    )
    policy_for = policies(settings, senders=frozenset())
    assert policy_for(FakePsa("halo"), "").tenant == ""
    assert policy_for(FakePsa("halo"), "12").tenant == "contoso"
    assert policy_for(FakePsa("rt"), "12").tenant == "", "the same number in another PSA is another customer"
