"""Print what an app registration in Entra needs, and the links by which customers let it in.

    python deploy/entra/print_manifest.py                                   # one registration that does everything
    python deploy/entra/print_manifest.py --sets password                   # the first of two registrations
    python deploy/entra/print_manifest.py --sets mfa --narrow-mfa           # the second, with the narrower permissions
    python deploy/entra/print_manifest.py --config connector.yaml           # a consent link for every tenant
    python deploy/entra/print_manifest.py --tenant <id> --client-id <id>    # one consent link

The manifest's part goes to standard output as JSON, what each permission is for to standard error. Nothing is asked of
any system, nothing is written, and no secret is read. Run it with the Python in which the connector is installed.
Explained in docs/entra.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    from connector.config import read_yaml
    from connector.config.clouds import CLOUDS, read_cloud
    from connector.errors import ConfigError
    from connector.graph.permissions import PermissionSet, permissions_for, required_resource_access
    from connector.graph.signin import App, consent_link
except ModuleNotFoundError as missing:
    sys.exit(
        f"{missing.name} is not there: run this with the Python in which the connector is installed, for example "
        ".venv/bin/python in a checkout."
    )

EVERYTHING = "password,mfa"


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 fine, 2 wrong usage or configuration."""
    options = _parser().parse_args(words)
    try:
        links = list(_links(options))
    except (ConfigError, ValueError) as failure:
        print(failure, file=sys.stderr)
        return 2
    if options.sets is not None or not links:
        _print_manifest(options.sets or _sets(EVERYTHING), narrow_mfa=options.narrow_mfa)
        if links:
            print()
    for tenant, place, link in links:
        print(f"{tenant}\t{place}\t{link}")
    return 0


def _print_manifest(sets: frozenset[PermissionSet], *, narrow_mfa: bool) -> None:
    chosen = permissions_for(sets, narrow_mfa=narrow_mfa)
    print(json.dumps({"requiredResourceAccess": required_resource_access(chosen)}, indent=2))
    for permission in chosen:
        by_hand = "" if permission.app_role_id else " [not in the JSON: optional, add it by name in the portal]"
        print(f"{permission.name} ({permission.need}): {permission.what_for}{by_hand}", file=sys.stderr)


def _links(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Tenant, section of the app, link."""
    if options.config is not None:
        yield from _links_of(read_yaml(options.config), options.config.name)
    if (options.tenant is None) != (options.client_id is None):
        raise ValueError("A single link needs both, --tenant and --client-id. Give the other one too.")
    if options.tenant is not None:
        cloud = CLOUDS[read_cloud(options.cloud)]
        yield options.tenant, "graph", consent_link(App(options.client_id, cloud.authority, cloud.url), options.tenant)


def _links_of(settings: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    """Of a configuration as it stands in the file, so that it works before any secret is in its place."""
    graph, tenants = settings.get("graph"), settings.get("tenants")
    if not isinstance(graph, dict) or not isinstance(graph.get("client_id"), str):
        raise ValueError(f"{name} names no graph.client_id. Write the app's client id there first.")
    if not isinstance(tenants, dict) or not tenants:
        raise ValueError(f"{name} names no tenants. Write the customers there first.")
    authority = graph.get("authority") or CLOUDS[read_cloud(graph.get("cloud", "global"))].authority
    second = graph.get("mfa")
    apps = {"graph": graph, **({"graph.mfa": second} if isinstance(second, dict) else {})}
    for tenant, section in tenants.items():
        tenant_id = section.get("tenant_id") if isinstance(section, dict) else None
        if not isinstance(tenant_id, str):
            raise ValueError(f"{name}: tenants.{tenant}.tenant_id is missing. Write the id that Entra shows.")
        for place, app in apps.items():
            registration = App(str(app.get("client_id")), str(authority).rstrip("/"), "")
            yield str(tenant), place, consent_link(registration, tenant_id)


def _sets(text: str) -> frozenset[PermissionSet]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(PermissionSet)]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(unknown) or 'nothing'}; there are {', '.join(PermissionSet)}, joined by commas"
        )
    return frozenset(PermissionSet(name) for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--sets", type=_sets, metavar="SETS",
                        help=f"of {', '.join(PermissionSet)}, joined by commas; password brings read with it; "
                        f"default: {EVERYTHING}")  # fmt: skip
    parser.add_argument("--narrow-mfa", action="store_true",
                        help="one permission for each kind of sign-in method in place of one for all")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE", help="connector.yaml: a consent link for every tenant")
    parser.add_argument("--tenant", metavar="ID", help="one tenant's id or domain: its consent link")
    parser.add_argument("--client-id", metavar="ID", help="the app's client id, with --tenant")
    parser.add_argument("--cloud", default="global", help="with --tenant: global, usgov, dod or china")
    return parser


if __name__ == "__main__":
    sys.exit(main())
