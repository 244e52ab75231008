"""Where and with what a run was made, without names of machines, people or folders."""

import hashlib
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_VERSIONS = """
import importlib.metadata as m, json, platform
found = {"Python": platform.python_version()}
for name in ("torch", "numpy"):
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps(found))
"""
_FOLDERS = re.compile(r"(?<![\w.])(?:/[\w.+@~-]+)+/")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and how busy it is."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def commit() -> tuple[str, str]:
    """The commit that is checked out, and a digest of what differs from it in code ("" if nothing does)."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=HERE.parent, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changes = git("diff", "HEAD", "--", "src", "benchmarks")
    return git("rev-parse", "--short=12", "HEAD") or "unknown", _digest(changes) if changes else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def versions(python: Path) -> dict[str, str]:
    """Of Python and PyTorch in an environment."""
    done = subprocess.run([str(python), "-c", _VERSIONS], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {"Python": "does not start"}


def without_folders(text: str) -> str:
    """Leaves file names, and takes the folders before them away: errors of others name those.

    >>> without_folders("OSError: no /some/where/file.txt, in src/x.py")
    'OSError: no file.txt, in src/x.py'
    """
    return _FOLDERS.sub("", text)
