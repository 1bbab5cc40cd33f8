"""The measurements of docs/performance.md that need no GPU, in about 25 minutes on two cores; then the page.

    ZOO_DATA=… python benchmarks/bench.py [--weights squeezenet1_1.safetensors] [--offline] [--only NAME …]

Each script compares zoo with a plain loop and with what is otherwise used, in turn. Packages that zoo does not need
(fastai, SPDL, py-spy) are installed into a temporary folder, for the scripts that compare with them; with --offline,
these scripts are left out, and their last results stay. Use an idle machine.

With --tiny, every script runs in its small form, without the packages; results are written only with --out FOLDER.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _process import install
from _record import parser_of

from zoo.support.paths import data_root

HERE = Path(__file__).resolve().parent
SPDL = ("spdl", "spdl-core", "spdl-io", "av")
PLAIN = {"mnist_epoch": ["--rounds", "3"], "cifar10_epoch": ["--rounds", "5"]}
"""Scripts with their options: they need MNIST and CIFAR-10 in ZOO_DATA."""
PHOTOS = {
    "source_crops": ["--rounds", "3"],
    "finetune_speed": ["--rounds", "2", "--images", "96"],
    "photos_to_bundle": ["--rounds", "2"],
    "small_run": ["--rounds", "2"],
    "profiles": [],
}
"""They need the photographs of cats and dogs; with --tiny, random images do."""
WEIGHTS = ("photos_to_bundle", "small_run", "profiles")
COMPARED = {"source_crops": "spdl", "finetune_speed": "fastai", "small_run": "fastai", "profiles": "py-spy"}
"""The package of other authors that a script uses."""


def weights_of(asked: argparse.Namespace) -> Path:
    found = [asked.weights] if asked.weights else sorted((data_root() / "weights").rglob("squeezenet1_1*.safetensors"))
    if not found:
        raise SystemExit(f"error: no weights of SqueezeNet 1.1 in {data_root() / 'weights'}; fix: pass --weights FILE")
    return Path(found[0]).absolute()


def options(name: str, asked: argparse.Namespace, packages: Path) -> list[str]:
    out = (
        [] if asked.out is None else ["--out", str(asked.out / ("profiles" if name == "profiles" else f"{name}.json"))]
    )
    if asked.tiny:
        return ["--tiny", *out]
    found = [*{**PLAIN, **PHOTOS}[name], *out]
    if name in WEIGHTS:
        found += ["--weights", str(weights_of(asked))]
    match COMPARED.get(name):
        case "fastai":
            found.append("--fastai")
        case "spdl":
            found += ["--spdl", str(install(SPDL, packages / "spdl"))]
        case "py-spy":
            found += ["--py-spy", str(install(["py-spy"], packages / "py-spy"))]
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--weights", type=Path, help="default: those of SqueezeNet 1.1 in ZOO_DATA/weights")
    parser.add_argument("--offline", action="store_true", help="leave out scripts that compare with other packages")
    parser.add_argument("--only", nargs="*", choices=[*PLAIN, *PHOTOS], default=[*PLAIN, *PHOTOS])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            if asked.offline and not asked.tiny and name in COMPARED:
                print(f"{name}: left out with --offline; it uses {COMPARED[name]}")
                continue
            started = time.perf_counter()
            command = [sys.executable, str(HERE / f"{name}.py"), *options(name, asked, Path(folder))]
            print(f"{name}: {' '.join(command[1:])}", flush=True)
            if subprocess.run(command, check=False).returncode:
                raise SystemExit(f"error: {name}.py failed; fix: see its message above, then repeat with --only {name}")
            print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    if not asked.tiny and asked.out is None:
        subprocess.run([sys.executable, str(HERE / "performance_page.py")], check=True)


if __name__ == "__main__":
    main()
