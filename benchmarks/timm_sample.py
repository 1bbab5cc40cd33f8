"""A seeded sample of timm's networks of under 30 M parameters: each is built, trained one step on digits, exported and
verified by onnxruntime.

    python benchmarks/timm_sample.py [--count 100] [--seed 0] [--out benchmarks/results/timm_sample.json]

Each network takes the user's way, `zoo.run` and `zoo.export`, on twenty of scikit-learn's digits, at the smallest size
that it takes. What fails is written down with its reason. Beside the JSON a table is written, .md. A sample that
is stopped goes on where it was: until the end, its results are in a file that ends in .partial.json.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _record import write_result
from PIL import Image
from sklearn.datasets import load_digits

import zoo
from zoo.config.run_config import Section
from zoo.errors import ZooError
from zoo.models.building import build_model, count_parameters
from zoo.registry.lookup import options_model, registry
from zoo.reporting.console import Console

LARGEST = 30_000_000
PER_CLASS = 2


def digits_folder(root: Path) -> Path:
    """``root/{train,val}/DIGIT``, two images each."""
    data = load_digits()
    for digit in range(10):
        rows = [row for row in range(len(data.target)) if data.target[row] == digit]
        for part, chosen in (("train", rows[:PER_CLASS]), ("val", rows[PER_CLASS : 2 * PER_CLASS])):
            folder = root / part / f"digit_{digit}"
            folder.mkdir(parents=True)
            for row in chosen:
                Image.fromarray((data.images[row] * 255 / 16).astype("uint8")).save(folder / f"{row}.png")
    return root


def sample(count: int, seed: int) -> Iterator[tuple[str, int]]:
    """Names of timm in a seeded order, with their parameters, those that are too large left out.

    Built on the meta device: nothing is computed.
    """
    names = [member.canonical for member in registry().members(namespace="timm")]
    random.Random(seed).shuffle(names)  # noqa: S311
    found = 0
    for name in names:
        parameters = parameters_of(name)
        if parameters is not None and parameters >= LARGEST:
            continue
        yield name, parameters or 0
        found += 1
        if found == count:
            return


def parameters_of(name: str) -> int | None:
    """With ten classes; None where it cannot be built so, which the sample is to show."""
    item = registry().architecture(name)
    channels, height, width = item.spec.input
    section = Section(name=item.canonical, **options_model(item)().model_dump())
    try:
        with torch.device("meta"):
            return count_parameters(
                build_model(registry(), section, in_channels=channels, num_outputs=10, image_size=(height, width))
            )[0]
    except ZooError:
        return None


def step_and_export(name: str, data: Path, folder: Path) -> dict[str, Any]:
    """Raises what goes wrong; else what was found."""
    spec = registry().architecture(name).spec
    dataset = {
        "name": "folder",
        "path": str(data),
        "resize": spec.input[1] if spec.sizing == "fixed" else spec.smallest,
    }
    overrides = {"device": "cpu", "dataset": dataset, "train": {"epochs": 1, "batch_size": 10 * PER_CLASS, "lr": 1e-4}}
    result = zoo.run(name, overrides=overrides, out=folder / "run", console=Console(quiet=True))
    zoo.export(str(result.path), out=folder / "bundle")
    verified = json.loads((folder / "bundle" / "verify.json").read_text(encoding="utf-8"))
    return {
        "input": list(result.record.preprocessing.shape),
        "parameters": result.record.parameters,
        "bytes": (folder / "bundle" / "model.onnx").stat().st_size,
        "opset": verified["form"]["opset"],
        "max_abs_error": max(verified[part]["max_abs_error"] for part in ("random", "real")),
    }


def attempt(name: str, data: Path) -> dict[str, Any]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            found: dict[str, Any] = {"ok": True, **step_and_export(name, data, Path(folder))}
        except Exception as error:
            found = {"ok": False, "reason": f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]}
    return {"name": name, **found, "seconds": round(time.perf_counter() - started, 1)}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| name | parameters | input | largest difference | seconds | what failed |",
        "| --- | ---: | --- | ---: | ---: | --- |",
    ]
    for row in sorted(rows, key=lambda row: (row["ok"], row["name"])):
        shape = "×".join(map(str, row["input"])) if row["ok"] else ""
        error = f"{row['max_abs_error']:.1e}" if row["ok"] else ""
        reason = row.get("reason", "").replace("|", "\\|")
        lines.append(f"| `{row['name']}` | {row['parameters']:,} | {shape} | {error} | {row['seconds']} | {reason} |")
    return "\n".join(lines)


def already(file: Path, seed: int) -> list[dict[str, Any]]:
    """The results of a sample of the same seed that was stopped."""
    if not file.exists():
        return []
    found = json.loads(file.read_text(encoding="utf-8"))
    return list(found["networks"]) if found["seed"] == seed else []


def write(file: Path, seed: int, rows: list[dict[str, Any]]) -> int:
    """Returns how many networks passed."""
    passed = sum(row["ok"] for row in rows)
    write_result(file, {"seed": seed, "count": len(rows), "passed": passed, "networks": rows})
    title = (
        f"# {passed} of {len(rows)} of timm's networks\n\nWritten by `benchmarks/timm_sample.py`, seed {seed}; "
        "its JSON lies beside this.\n\n"
    )
    file.with_suffix(".md").write_text(f"{title}{table(rows)}\n", encoding="utf-8")
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "timm_sample.json")
    asked = parser.parse_args()
    partial = asked.out.with_suffix(".partial.json")
    rows = already(partial, asked.seed)[: asked.count]
    done = {row["name"] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        data = digits_folder(Path(folder) / "digits")
        for number, (name, parameters) in enumerate(sample(asked.count, asked.seed), 1):
            if name in done:
                continue
            rows.append({"parameters": parameters, **attempt(name, data)})
            print(
                f"{number}/{asked.count} {name}: {rows[-1].get('reason', 'verified')} ({rows[-1]['seconds']} s)",
                flush=True,
            )
            partial.write_text(json.dumps({"seed": asked.seed, "networks": rows}), encoding="utf-8")
    passed = write(asked.out, asked.seed, rows)
    partial.unlink(missing_ok=True)
    print(f"{passed} of {len(rows)} built, trained a step, were exported and verified")


if __name__ == "__main__":
    main()
