"""Make the pictures of mails in `docs/img/`: three mails, wide and as on a phone.

    python scripts/screenshots_mails.py [DIRECTORY] [--all] [--dark]

Needs the `dev` extra and a Chromium (`apt-get install chromium`). `--all` takes every sample, to look them over.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from connector.mail.preview import SAMPLE_BRAND, preview

SHOWN = ("password_ready", "link_accessed", "mfa_reset_done")
WIDTHS = {"wide": 700, "phone": 375}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", default=Path(__file__).parents[1] / "docs" / "img")
    parser.add_argument("--all", action="store_true", help="every sample, not only the three of the README")
    parser.add_argument("--dark", action="store_true", help="as a mail program in dark mode shows them")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("No Chromium found. Install one: apt-get install chromium", file=sys.stderr)
        return 1
    arguments.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        pages = [path for path in preview(Path(scratch), SAMPLE_BRAND) if path.suffix == ".html"]
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for page_path in pages:
            if page_path.stem not in SHOWN and not (arguments.all and page_path.stem != "index"):
                continue
            for name, width in WIDTHS.items():
                page = browser.new_page(
                    viewport={"width": width, "height": 400},
                    device_scale_factor=2,
                    color_scheme="dark" if arguments.dark else "light",
                )
                page.goto(page_path.as_uri())
                target = arguments.directory / f"mail-{page_path.stem.replace('_', '-')}-{name}.png"
                page.screenshot(path=target, full_page=True)
                page.close()
                print(target)
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
