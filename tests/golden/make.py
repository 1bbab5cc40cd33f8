"""Write the golden files of a release: `python tests/golden/make.py 0.1.0`.

tests/golden/VERSION/ then holds what that version wrote, for every later version to open:

    run/            a finished run of a small network on the embedded digits
    unfinished/     a run that was stopped within its second epoch, to be resumed
    bundle/         the exported network
    config.yaml     a configuration that a user would write
    image.png       one image of the test split
    expected.json   what that version found: metrics, the prediction for the image, where the unfinished run stopped

The runs name no folder, host or kernel: they are made in an empty folder, by relative paths, and the name of the
processor and the release of the system are left out of what is recorded. Plots and report.html are removed, for size.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from contextlib import redirect_stdout, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent
CONFIG = """\
dataset:
  name: digits
  val_fraction: 0.2
architecture:
  name: fnn
  hidden: 8
task: classification
train:
  epochs: 2
  batch_size: 128
  lr: 0.05
  checkpoint_steps: 3
device: cpu
threads: 1
seed: 1
"""
STOPS_AFTER_CHECKPOINTS = 5
"""Of 9 steps an epoch and one checkpoint every 3: within the second epoch."""
LEFT_OUT = ("plots", "report.html", ".lock", "error.log")


def main(version: str) -> None:
    if version != metadata.version("torch-zoo"):
        sys.exit(f"error: torch-zoo {metadata.version('torch-zoo')} is installed, and writes no files of {version}")
    target = GOLDEN / version
    if target.exists():
        sys.exit(f"error: the golden files of {version} exist ({target}), and are never written again")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write(Path("golden"))
        shutil.copytree("golden", target)
        os.chdir(GOLDEN)
    print(f"wrote {target}: {sum(file.stat().st_size for file in target.rglob('*') if file.is_file()):,} bytes")


def write(folder: Path) -> None:
    """All that the version that is installed writes."""
    import zoo
    from zoo.errors import Interrupted
    from zoo.runs.run_directory import RunDir
    from zoo.support import paths

    platform.platform = lambda *_, **__: platform.system()
    paths.processor = platform.machine
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8", newline="\n")
    finished = run("run", folder / "config.yaml")
    stop_after(STOPS_AFTER_CHECKPOINTS)
    with suppress(Interrupted):
        run("unfinished", folder / "config.yaml")
    zoo.export("run", out=Path("bundle"))
    image = sorted(Path("run/samples").glob("*.png"))[0]
    expected = {
        "metrics": finished.metrics,
        "weights": digest(zoo.load("run").module),
        "prediction": predicted("bundle", image),
        "unfinished_step": RunDir(Path("unfinished")).root.last.step,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8", newline="\n")
    shutil.copyfile(image, folder / "image.png")
    for name in ("run", "unfinished", "bundle"):
        shutil.copytree(name, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT, "__pycache__"))


def run(name: str, config: Path) -> Any:
    import zoo

    return zoo.run(config_file=config, overrides={"name": name}, out=Path(name))


def predicted(bundle: str, image: Path) -> Any:
    """What `zoo predict --json` prints for an image."""
    from zoo.cli.app import run_cli

    printed = io.StringIO()
    with redirect_stdout(printed):
        code = run_cli(["predict", bundle, str(image), "--json"])
    assert code == 0, printed.getvalue()
    return json.loads(printed.getvalue())


def digest(model: Any) -> str:
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def stop_after(count: int) -> None:
    """Ask the next run to stop, as Ctrl-C does, after a number of checkpoints."""
    from zoo.runs import checkpoints

    save, written = checkpoints.save, []

    def counted(*given: Any, **options: Any) -> str:
        written.append(save(*given, **options))
        if len(written) == count:
            signal.raise_signal(signal.SIGINT)
        return str(written[-1])

    checkpoints.save = counted


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/golden/make.py VERSION")
    main(sys.argv[1])
