"""``python -m zoo`` is the command ``zoo``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    # importing makes many objects and no garbage: by default a quarter of `zoo list` is collecting it
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
