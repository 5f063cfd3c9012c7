"""Chromium for the browser tests: the system's, else Debian's package, else Playwright's own.

Where none can be had it says so and the browser tests are left out; CI treats that as a failure.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """The path of a Chromium on this machine."""
    named = os.environ.get("MISREAD_CHROMIUM")
    if named or (found := next(filter(None, map(shutil.which, NAMES)), None)):
        return named or found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def main() -> None:
    if find_browser():
        return
    print("Looking for a Chromium for the browser tests …", flush=True)
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if not find_browser():
        print("None could be installed: the browser tests will be left out.")


if __name__ == "__main__":
    main()
