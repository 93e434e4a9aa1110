"""`python -m benchmarks NAME [OPTIONS]`: each prints a table and, last, one JSON line."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(argv: list[str]) -> None:
    """Run the benchmark named first; `--list` names them all, one a line."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name[0] != "_"
    )
    if argv == ["--list"]:
        print("\n".join(names))
        return
    if not argv or argv[0] not in names:
        raise SystemExit(f"usage: python -m benchmarks {{{','.join(names)}}} [--help], or --list")
    importlib.import_module(f"benchmarks.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
