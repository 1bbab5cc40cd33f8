"""``python -m zoo`` is the command ``zoo``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    gc.set_threshold(20_000, 10, 10)  # importing makes many objects and no garbage: by default a quarter of `zoo list` is collecting it
    from zoo.cli.app import run_cli

    sys.exit(run_cli())


if __name__ == "__main__":
    main()
