"""The stage of most end-to-end tests."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from sandbox.stage import Stage
from tests import forked


@dataclass
class ForkingStage(Stage):
    """A stage whose commands are quick: forks of a connector that is imported already. Its services start as ever."""

    def connector(self, *words: str, config: str = "connector.yaml") -> subprocess.CompletedProcess[str]:
        return forked.run("connector", "--config", str(self.folder / config), *words, env=self._environment)
