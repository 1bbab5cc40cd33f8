"""``python -m zoo`` is the command ``zoo``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    # Imports create many objects and no garbage. With the default thresholds, garbage collection takes a quarter of
    # the time of `zoo list`.
    gc.set_threshold(20_000, 10, 10)
    from zoo.support.standard_streams import protect
    from zoo.support.untrusted_cwd import ignore_matplotlibrc

    ignore_matplotlibrc()
    stdout, _ = protect()
    try:
        from zoo.cli import quick
        from zoo.cli.failures import finish

        if quick.answer(sys.argv[1:]):
            sys.exit(finish(0, stdout))
        from zoo.cli.app import run_cli

        code = run_cli()
        if code == 0 and quick.wanted(sys.argv[1:]):
            sys.stdout.flush()
            quick.remember()
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(finish(code, stdout))


if __name__ == "__main__":
    from zoo.support.untrusted_cwd import import_nothing_from_here

    import_nothing_from_here()
    main()
