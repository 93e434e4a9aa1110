"""Asks whether what stream-server installs has known vulnerabilities (pip-audit).

Exit code 1 when it has. Where the vulnerability service cannot be reached, that is said and nothing fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from packaging.requirements import Requirement

PACKAGE = "stream-server"


def installed(package: str) -> dict[str, str]:
    """Return name and version of all that `package` needs here, without its extras."""
    found: dict[str, str] = {}
    waiting = [package]
    while waiting:
        for line in requires(waiting.pop()) or ():
            needed = Requirement(line)
            name = re.sub(r"[-_.]+", "-", needed.name).lower()
            if name in found or (needed.marker and not needed.marker.evaluate({"extra": ""})):
                continue
            try:
                found[name] = distribution(name).version
            except PackageNotFoundError:
                continue
            waiting.append(name)
    return found


def audit(packages: dict[str, str]) -> list[dict[str, object]]:
    """Return what pip-audit says of each package; nothing where it reaches no service."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in sorted(packages.items())))
        command = ["pip_audit", "--requirement", file, "--no-deps", "--disable-pip", "--format", "json"]
        done = subprocess.run(
            [sys.executable, "-m", *map(str, command), "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        answer: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    except ValueError:
        return []
    return answer["dependencies"]


def main() -> None:
    """Print one line, or one for each vulnerable package."""
    packages = installed(PACKAGE)
    checked = [package for package in audit(packages) if "skip_reason" not in package]
    if not checked:
        print("pip-audit: the vulnerability service cannot be reached from here; nothing was audited")
        return
    vulnerable = [package for package in checked if package["vulns"]]
    for package in vulnerable:
        names = ", ".join(str(found["id"]) for found in package["vulns"])  # type: ignore[index, attr-defined]
        print(f"pip-audit: {package['name']} {package['version']}: {names}")
    print(f"pip-audit: {len(checked)} of {len(packages)} packages audited, {len(vulnerable)} vulnerable")
    sys.exit(1 if vulnerable else 0)


if __name__ == "__main__":
    main()
