"""One MNIST epoch of this checkout against one of another, in turn: whether a change made training slower.

    ZOO_DATA=… python benchmarks/epoch_against.py OTHER_CHECKOUT [--recipe cnn_mnist] [--rounds 9] --out FILE

Each time is of a process of its own: one epoch that is not counted, then one that is, by `zoo_fit` of that checkout's
`benchmarks/_epoch.py`. A ratio above 1 means that this checkout is faster. With --tiny, one round of cnn_digits, which
needs no data, against this checkout itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from _record import compared, parser_of, write_result

HERE = Path(__file__).resolve().parents[1]
EPOCH = """
import sys, tempfile
from pathlib import Path
import torch
from _epoch import open_data, registry, resolve, zoo_fit
plan = resolve(registry(), sys.argv[1], overrides={"device": "cpu", "train": {"epochs": 1}})
config = getattr(plan, "config", plan)  # an older checkout has the configuration alone
network = registry().architecture(config.architecture.name).spec
how = {"architecture": network} if config is plan else {"prepare": plan.prepare_images}
data = open_data(registry(), config.dataset, torch.device("cpu"), **how)
for _ in range(2):
    with tempfile.TemporaryDirectory() as folder:
        seconds = zoo_fit(config, data, Path(folder) / "run")
print(seconds)
"""


def metadata_of(checkout: Path, folder: Path) -> Path:
    """The metadata that an installer would leave of a checkout, so that zoo finds this one's plugins and not those that
    are installed."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    points = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["zoo"].items())
    (info / "entry_points.txt").write_text(f"[zoo]\n{points}", encoding="utf-8")
    return folder


def seconds_of(checkout: Path, metadata: Path, recipe: str) -> float:
    path = os.pathsep.join(map(str, (metadata, checkout, checkout / "plugins", checkout / "benchmarks")))
    command = [sys.executable, "-c", EPOCH, recipe]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}, cwd=checkout
    )
    return float(told.stdout.split()[-1])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("other", type=Path, nargs="?", default=HERE)
    parser.add_argument("--recipe")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    recipe = asked.recipe or ("cnn_digits" if asked.tiny else "cnn_mnist")
    found: dict[str, list[float]] = {"this": [], "other": []}
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            name: (checkout, metadata_of(checkout, Path(folder) / name))
            for name, checkout in (("this", HERE), ("other", asked.other.resolve()))
        }
        for _ in range(1 if asked.tiny else asked.rounds):
            for name, (checkout, metadata) in sides.items():
                found[name].append(seconds_of(checkout, metadata, recipe))
            print(f"this {found['this'][-1]:.3f} s, other {found['other'][-1]:.3f} s", flush=True)
    comparison = compared(found, ours="this")
    print(f"{recipe}: the other takes {comparison['ratios']['other']['median']:.3f}× the time of this one")
    write_result(asked.out, {"recipe": recipe, "comparisons": {"epoch": comparison}})


if __name__ == "__main__":
    main()
