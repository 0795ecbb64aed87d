"""Settings that say something else than they look like: a wrong customer or a limit that limits nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.config import Place, TenantSection, read_limit, read_yaml, validate
from connector.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    file = folder / "connector.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("number", ["012", "0x1F", "0b11", "1_000", "12:30", "-012"])
def test_a_number_that_yaml_reads_as_another_is_refused(tmp_path: Path, number: str) -> None:
    """YAML 1.1 takes 012 for 10: another customer's id, and so another customer's tenant."""
    file = written(tmp_path, f"tenants:\n  contoso:\n    clients: {{halo: [{number}]}}\n")
    with pytest.raises(ConfigError, match=r"line 3.*quotes"):
        read_yaml(file)


@pytest.mark.parametrize("number", ["12", "0", "-1", "'012'", '"12:30"', "8081"])
def test_plain_and_quoted_numbers_are_taken(tmp_path: Path, number: str) -> None:
    read = read_yaml(written(tmp_path, f"value: {number}\n"))
    assert str(read["value"]) == number.strip("'\"")


@pytest.mark.parametrize("client", ["", "  ", None, True, 12.0, ["12"], {"id": 12}])
def test_a_client_id_that_is_none_maps_nobody_to_a_tenant(tmp_path: Path, client: object) -> None:
    """A ticket without a customer has the empty id; it must never belong to somebody."""
    with pytest.raises(ConfigError, match="clients"):
        validate(
            TenantSection,
            {"tenant_id": "8a1", "clients": {"halo": [client]}},
            Place(tmp_path, production=True, environ={}),
            where="tenants.contoso",
        )


@pytest.mark.parametrize("client", ["12", 12, "Service Desk"])
def test_ids_and_names_of_clients_are_taken(tmp_path: Path, client: object) -> None:
    section = validate(
        TenantSection,
        {"tenant_id": "8a1", "clients": {"halo": [client]}},
        Place(tmp_path, production=True, environ={}),
        where="tenants.contoso",
    )
    assert section.clients["halo"] == (str(client),)


@pytest.mark.parametrize("limit", ["3/0s", "3/0h", "3/0ms"])
def test_a_limit_within_no_time_limits_nothing_and_is_refused(limit: str) -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        read_limit(limit)
