"""Makes docs/img/demo.png: the terminal after `make demo`, drawn by rich and photographed by Chromium."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 110
CHROMIUM = "/usr/bin/chromium"


def main() -> int:
    environ = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.demo"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        return 1
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(done.stdout), soft_wrap=False)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        picture = Path(folder) / "demo.svg"
        console.save_svg(str(picture), title="make demo")
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        style = "body { margin: 0 } svg { width: 1000px; height: auto }"
        page.set_content(f"<style>{style}</style><body>{picture.read_text()}</body>")
        page.locator("svg").first.screenshot(path=ROOT / "docs" / "img" / "demo.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
