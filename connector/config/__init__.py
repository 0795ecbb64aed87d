"""`connector.yaml` and the link service's file: read, checked, every problem at once.

Values come from the YAML file; an environment variable `CONNECTOR_<KEY>` (nested keys joined by `__`, for example
`CONNECTOR_POLL_EVERY=30s` or `CONNECTOR_GRAPH__URL=…`) beats the file. An unknown key is an error that names its
place. Secrets are never inline: `{file: PATH}` or `{env: NAME}`. Relative paths count from the file's own folder.

The sections of adapters (`psa.<name>`, `links`, `mail`) are validated by the adapter with the types of this module.
"""

from __future__ import annotations

from connector.config.budget import Budget, BudgetSection, OwnBudgetSection
from connector.config.clouds import CLOUDS, Cloud
from connector.config.graph import (
    METHOD_NAMES,
    FederatedSection,
    GraphSection,
    MfaSection,
    PfxSection,
    RegistrationSection,
)
from connector.config.reading import (
    load_connector,
    load_link_server,
    read_yaml,
    validate,
)
from connector.config.settings import (
    BrakeSection,
    ConnectorSettings,
    HashedKeySection,
    HttpSection,
    InboundSection,
    LinkServerSettings,
    LinksSection,
    LogSection,
    PasswordsSection,
    ProtectedSection,
    SentrySection,
    SupportSection,
    TenantId,
    TenantSection,
    WebhookSection,
)
from connector.config.values import (
    Address,
    ApiKeyValue,
    BrakeLimit,
    Database,
    Duration,
    FilePath,
    Listen,
    Place,
    SecretValue,
    Section,
    Url,
    Zone,
    is_loopback,
    read_duration,
    read_limit,
    split_listen,
)

__all__ = [
    "CLOUDS",
    "METHOD_NAMES",
    "Address",
    "ApiKeyValue",
    "BrakeLimit",
    "BrakeSection",
    "Budget",
    "BudgetSection",
    "Cloud",
    "ConnectorSettings",
    "Database",
    "Duration",
    "FederatedSection",
    "FilePath",
    "GraphSection",
    "HashedKeySection",
    "HttpSection",
    "InboundSection",
    "LinkServerSettings",
    "LinksSection",
    "Listen",
    "LogSection",
    "MfaSection",
    "OwnBudgetSection",
    "PasswordsSection",
    "PfxSection",
    "Place",
    "ProtectedSection",
    "RegistrationSection",
    "SecretValue",
    "Section",
    "SentrySection",
    "SupportSection",
    "TenantId",
    "TenantSection",
    "Url",
    "WebhookSection",
    "Zone",
    "is_loopback",
    "load_connector",
    "load_link_server",
    "read_duration",
    "read_limit",
    "read_yaml",
    "split_listen",
    "validate",
]
