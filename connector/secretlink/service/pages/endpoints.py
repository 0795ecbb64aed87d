"""What the endpoints of links and those of alarms both work with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connector.secretlink.service.pages.addresses import Finder
from connector.secretlink.service.pages.proofs import Proofs
from connector.secretlink.service.pages.render import Renderer
from connector.secretlink.service.pages.strangers import Strangers
from connector.secretlink.service.pages.visitors import Visitors
from connector.secretlink.service.store.vault import Vault


class Endpoints:
    """Of one kind of pages."""

    def __init__(
        self,
        vault: Vault,
        proofs: Proofs,
        visitors: Visitors,
        strangers: Strangers,
        renderer: Renderer,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._vault = vault
        self._finder = Finder(vault)
        self._proofs = proofs
        self._visitors = visitors
        self._strangers = strangers
        self._renderer = renderer
        self._clock = clock
