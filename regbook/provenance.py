"""Where and when a stored measurement was made."""

import datetime
import importlib.metadata
import platform
from pathlib import Path
from typing import Any


def processor() -> str:
    """Return the name of the processor, or of its kind where the system does not tell it."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def environment(*packages: str) -> dict[str, Any]:
    """Return the date, the processor, the threads (1), and the versions of Python and packages."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "threads": 1,
        "versions": {"python": platform.python_version(), **versions},
    }
