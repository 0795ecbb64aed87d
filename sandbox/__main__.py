"""`python -m sandbox`: run the imitation world until it is told to stop."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox.server import Addresses, Ports, require_loopback, running
from sandbox.world import World

SERVERS = ("halo", "connectwise", "graph", "authority", "smtp", "control", "passwordpusher", "onetimesecret")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, serve, and leave cleanly on SIGINT or SIGTERM. Exit code 2 is a wrong option."""
    options = _parser().parse_args(arguments)
    try:
        require_loopback(options.host)
    except ValueError as error:
        print(f"Cannot listen: {error} Use --host 127.0.0.1", file=sys.stderr)
        return 2
    world = World(
        seed=options.seed,
        gentle=options.gentle,
        latency_seconds=options.latency / 1000,
        extra_tenants=options.tenants,
        extra_users=options.users,
    )
    ports = Ports(**{name: getattr(options, f"{name}_port") for name in SERVERS})
    stop = threading.Event()

    def leave(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    try:
        with running(world, host=options.host, ports=ports) as addresses:
            ready = ready_document(world, addresses)
            if options.ready_file:
                _write(options.ready_file, ready)
            print(json.dumps(ready, indent=2), flush=True)
            # Waiting in slices lets signals through on every system.
            while not stop.wait(0.5):
                pass
    except OSError as error:
        print(f"Cannot listen on {options.host}: {error}. Choose another port, or 0 for any.", file=sys.stderr)
        return 1
    return 0


def ready_document(world: World, addresses: Addresses) -> dict[str, Any]:
    """What a client needs to use this world, credentials included; they end with the process."""
    known = world.credentials
    return {
        "halo": addresses.halo,
        "connectwise": addresses.connectwise,
        "graph": addresses.graph,
        "authority": addresses.authority,
        "smtp": {
            "host": addresses.smtp_host,
            "port": addresses.smtp_port,
            "username": known.smtp_user,
            "password": known.smtp_password,
        },
        "control": addresses.control,
        "ca_bundle": str(addresses.ca_bundle),
        "halo_client_id": known.halo_client_id,
        "halo_client_secret": known.halo_client_secret,
        "connectwise_company": known.connectwise_company,
        "connectwise_public_key": known.connectwise_public_key,
        "connectwise_private_key": known.connectwise_private_key,
        "connectwise_client_id": known.connectwise_client_id,
        "passwordpusher": addresses.passwordpusher,
        "passwordpusher_token": known.passwordpusher_token,
        "onetimesecret": addresses.onetimesecret,
        "onetimesecret_username": known.onetimesecret_username,
        "onetimesecret_token": known.onetimesecret_token,
        "graph_client_id": known.graph_client_id,
        "graph_client_secret": known.graph_client_secret,
        "graph_mfa_client_id": known.graph_mfa_client_id,
        "graph_mfa_client_secret": known.graph_mfa_client_secret,
        "tenants": {
            tenant.key: {
                "tenant_id": tenant.id,
                "domains": [domain.name for domain in tenant.domains],
                "clients": [str(client.id) for client in world.desk.clients.values() if client.tenant == tenant.key],
                "companies": [
                    str(company.id) for company in world.connectwise.companies.values() if company.tenant == tenant.key
                ],
                "approvers": sorted(
                    {
                        email
                        for client in world.desk.clients.values()
                        if client.tenant == tenant.key
                        for email in world.desk.approvers[client.id]
                    }
                ),
                "groups": {group.name: group.id for group in tenant.groups.values()},
            }
            for tenant in world.directory.tenants.values()
        },
    }


def _write(path: Path, document: dict[str, Any]) -> None:
    """Write it in one step, readable by its owner only, so that a waiting reader never sees half of it."""
    draft = path.with_name(path.name + ".part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
    draft.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="Imitation HaloPSA, ConnectWise, Microsoft Graph and mail sink."
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; others are refused")
    parser.add_argument("--gentle", action="store_true", help="no random failures and no throttling")
    parser.add_argument("--seed", type=int, default=1, help="decides ids and bad luck")
    parser.add_argument("--ready-file", type=Path, help="where to write addresses and credentials as JSON")
    for name in SERVERS:
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--tenants", type=int, default=0, help="more customers than Contoso and Fabrikam")
    parser.add_argument("--users", type=int, default=25, help="users of each of them")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="added to every answer")
    return parser


if __name__ == "__main__":
    sys.exit(main())
