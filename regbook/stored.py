"""Measurements that a script stores: where they were made, and a text that people can read."""

import datetime
import importlib.metadata
import json
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


def readable(value: Any, indent: str = "") -> str:
    """Return JSON with a line for each entry of a dict; a list of numbers stays on one line."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        rows = (f"{inner}{json.dumps(key)}: {readable(v, inner)}" for key, v in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        return "[\n" + ",\n".join(inner + readable(v, inner) for v in value) + f"\n{indent}]"
    return json.dumps(value, separators=(",", ":"))
