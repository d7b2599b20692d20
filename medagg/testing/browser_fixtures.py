"""Makes pytest-playwright's `page` use the Chromium that `find_chromium` found."""

import os
from pathlib import Path
from typing import Any

import pytest

from medagg.testing.browser import find_chromium
from medagg.testing.environment import BASE_VARIABLE

ARGUMENTS = [
    "--disable-gpu",
    # Containers often have a /dev/shm of 64 MB.
    "--disable-dev-shm-usage",
    # Nothing of a browser's own business with the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = find_chromium(Path(os.environ[BASE_VARIABLE]))
    # Chromium's sandbox does not work for root.
    unboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {
        **browser_type_launch_args,
        "executable_path": chromium.path,
        "args": [*ARGUMENTS, *unboxed],
    }
