"""``python -m zoo`` is the command ``zoo``."""

from __future__ import annotations

import sys


def main() -> None:
    from zoo.cli.app import run_cli

    sys.exit(run_cli())


if __name__ == "__main__":
    main()
