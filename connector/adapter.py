"""What `wiring` hands to every adapter when it builds one from its section of the configuration.

An adapter class is found by its kind through the entry-point groups `connector.psa`, `connector.links` and
`connector.mail`, and is built by its class method

    from_config(name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self

which checks the section (`connector.config.validate` with `surroundings.place`) and raises `ConfigError` with every
problem. It does no I/O beyond reading files that the section names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

from connector.config import Budget, GraphSection, HttpSection, Place, TenantSection
from connector.core.ports import Clock
from connector.http import Http


@dataclass(frozen=True)
class Surroundings:
    """The common ground of all adapters of one process.

    Attributes:
        graph: The app registration, for adapters that sign in at Microsoft too; `None` where there is none.
        tenants: By their names.
    """

    place: Place
    http: HttpSection
    clock: Clock
    graph: GraphSection | None = None
    tenants: Mapping[str, TenantSection] = field(default_factory=dict)

    def http_for(
        self, *, system: str, scope: str, timeout: timedelta | None = None, budget: Budget | None = None
    ) -> Http:
        """A client for one outside system, with the proxy, CA bundle and time limit of the configuration.

        Args:
            system: Its name in messages: `HaloPSA`.
            scope: What an `AuthenticationError` pauses: `psa.halo`, `tenant.contoso`, `links`.
            budget: How often the system may be called; `None`: as often as it lets us.
        """
        return Http(
            system=system,
            scope=scope,
            timeout=timeout or self.http.timeout,
            ca_bundle=str(self.place.folder / self.http.ca_bundle) if self.http.ca_bundle else None,
            proxy=self.http.proxy,
            refuse_sandbox=self.place.production,
            budget=budget,
        )


@runtime_checkable
class CallbackPsa(Protocol):
    """A PSA that can be told through its own API to push to us; see `connector psa register-callback`."""

    def register_callback(self, url: str) -> str:
        """Have the PSA push what happens to its tickets to `url`; what was done, in a sentence.

        A repeat changes nothing, and says so.

        Raises:
            ConfigError: The PSA cannot push there.
            PermanentError, AuthenticationError, TemporaryError: The PSA does not take it, or cannot be asked.
        """
