"""The pages' own files for the browser: styles, scripts, the logo. Nothing is read from the disk for a request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from connector.errors import ConfigError
from connector.secretlink.service.pages.brand import BRAND_FILE, brand_css

MOST_LOGO_BYTES: Final = 200_000

_CSS: Final = "text/css; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_FILES: Final[Mapping[str, str]] = {
    "link.css": _CSS,
    "common.js": _SCRIPT,
    "link.js": _SCRIPT,
    "fragment.js": _SCRIPT,
    "alarm.js": _SCRIPT,
}
# An SVG cannot run scripts here: the pages show it as a picture, and by itself it comes with the pages' policy.
_LOGOS: Final[Mapping[str, str]] = {
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


@dataclass(frozen=True)
class StaticFile:
    """A file for the browser; its name changes with its content, so it may be kept for ever."""

    content: bytes
    media_type: str


class StaticFiles:
    """Knows the files by names that change with their content."""

    def __init__(self, logo: Path | None = None) -> None:
        """Read the files.

        Args:
            logo: The operator's picture: PNG, SVG, JPEG or WebP of at most `MOST_LOGO_BYTES`; `None` for none.

        Raises:
            ConfigError: The logo cannot be read or is not such a picture.
        """
        self._names: dict[str, str] = {}
        self._files: dict[str, StaticFile] = {}
        folder = resources.files("connector.secretlink.service.pages").joinpath("static")
        for name, media_type in _FILES.items():
            self._add(name, StaticFile(folder.joinpath(name).read_bytes(), media_type))
        self.logo: Final = self._add(f"logo{logo.suffix.lower()}", _read_logo(logo)) if logo else None

    def path(self, name: str) -> str:
        """Where the browser finds a file."""
        return f"/static/{self._names[name]}"

    def add_script(self, name: str, content: str) -> None:
        """Serve one more script, made at the start."""
        self._add(name, StaticFile(content.encode("utf-8"), _SCRIPT))

    def find(self, hashed: str) -> StaticFile | None:
        """A file by its name in an address; `None` for anything else."""
        colour = BRAND_FILE.fullmatch(hashed)
        if colour:
            return StaticFile(brand_css(f"#{colour[1]}").encode("ascii"), _CSS)
        return self._files.get(hashed)

    def _add(self, name: str, file: StaticFile) -> str:
        stem, _, ending = name.partition(".")
        hashed = f"{stem}-{hashlib.sha256(file.content).hexdigest()[:16]}.{ending}"
        self._names[name] = hashed
        self._files[hashed] = file
        return self.path(name)


def _read_logo(path: Path) -> StaticFile:
    media_type = _LOGOS.get(path.suffix.lower())
    if media_type is None:
        raise ConfigError(f"The logo {path} cannot be shown. Check support.logo: name a .png, .svg, .jpg, .webp.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The logo {path} cannot be read ({error.strerror}). Check support.logo: this user must be able to read it."
        ) from None
    if len(content) > MOST_LOGO_BYTES:
        raise ConfigError(
            f"The logo {path} has {len(content)} bytes. Check support.logo: use a picture of at most {MOST_LOGO_BYTES}."
        )
    return StaticFile(content, media_type)
