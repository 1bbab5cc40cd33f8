"""A client written from bundle.json and its page alone gives what the bundle's predict.py gives."""

from __future__ import annotations

import ast
import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime
from zoo.exporting.bundle import write_sealed_json

sys.path.insert(0, str(Path(__file__).parent))

from awkward_images import write_awkward_images
from described_bundles import CASES, write_bundle
from described_client import RefusedBundleError, RefusedImageError, prepare, read_bundle
from described_decisions import predict

REFUSED = {"deep-32-wide.tif", "deep-float-1.tif", "deep-float-nan.tif"}
"""Images that are refused unless a value range has their values."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_awkward_images(tmp_path_factory.mktemp("awkward") / "images")


def by_predict_py(bundle: Path, images: list[Path], *more: str) -> tuple[list[list[str]], set[str]]:
    """The rows of its table, and the names of the images that it refused."""
    table = bundle.parent / "predict.csv"
    command = [sys.executable, "-B", str(bundle / "predict.py"), *map(str, images), "--csv", str(table), *more]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    refused = {Path(path).name for path in re.findall(r"^error: (.+?): ", done.stderr, re.M)}
    assert done.returncode == (3 if refused else 0), done.stderr
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream)), refused


@pytest.mark.parametrize("name", CASES)
def test_its_table_and_masks_are_those_of_predict_py(images: list[Path], tmp_path: Path, name: str) -> None:
    assert len(images) == 80
    bundle, masks = write_bundle(tmp_path / "bundle", CASES[name]), tmp_path / "masks"
    writes_masks = CASES[name].decision.kind == "pixel_argmax"
    expected, refused = by_predict_py(bundle, images, *(["--masks", str(masks)] if writes_masks else []))
    table, found, own_refused = predict(bundle, images)
    assert {file.name for file in own_refused} == refused
    assert table == expected
    assert refused == REFUSED or {"value_range", "max_pixels"} & set(CASES[name].preprocessing)
    assert len(found) == (len(images) - len(refused) if writes_masks else 0)
    taken: set[Path] = set()
    for file, mask in found.items():
        endings = (f"{file.stem}{'' if number == 1 else f'-{number}'}.mask.png" for number in range(1, 99))
        taken.add(written := next(masks / ending for ending in endings if masks / ending not in taken))
        with Image.open(written) as theirs:
            assert theirs.size == mask.T.shape and np.array_equal(np.asarray(theirs), mask)


@pytest.mark.parametrize("name", CASES)
def test_its_inputs_are_those_of_predict_py_to_the_last_bit(images: list[Path], tmp_path: Path, name: str) -> None:
    spec = read_bundle(write_bundle(tmp_path / "bundle", CASES[name]))["description"]["input"]
    compared = 0
    for file in images:
        try:
            expected = runtime.prepare(file, spec)
        except ValueError:
            with pytest.raises(RefusedImageError):
                prepare(file, spec["steps"])
            continue
        found, size = prepare(file, spec["steps"])
        assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes(), file.name
        assert size == runtime.read_image(file, spec["channels"], value_range=spec["value_range"]).size
        compared += 1
    assert compared > 40


def test_it_imports_nothing_of_zoo() -> None:
    for name in ("described_client", "described_decisions"):
        tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not [module for module in modules if module.split(".")[0].startswith("zoo")]


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(index: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        entry: Any = index["description"]
        for parent in parents:
            entry = entry[int(parent) if parent.isdecimal() else parent]
        entry[last] = value

    return change


CHANGES = {
    "another mean": _set("input.steps.7.mean", [0.5, 0.5, 0.5]),
    "another filter": _set("input.steps.4.filter", "bicubic"),
    "another offset": _set("input.steps.5.offset", "round_half_to_even((side - size) / 2)"),
    "no antialias": _set("input.steps.4.antialias", False),
    "an unknown step": _set("input.steps.2.step", "equalise"),
    "an unknown field of a step": _set("input.steps.3.gamma", 2.2),
    "an unknown decision": _set("output.decision.kind", "vote"),
    "an unknown field of the decision": _set("output.decision.top", 5),
    "another format": _set("format", 4),
    "no steps": lambda index: index["description"]["input"].pop("steps"),
    "a step less": lambda index: index["description"]["input"]["steps"].pop(2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_predict_py_refuses_a_sealed_description_with(images: list[Path], tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "bundle", CASES["cover"])
    index = json.loads((bundle / "bundle.json").read_bytes())
    index.pop("sha256")
    CHANGES[name](index)
    write_sealed_json(bundle / "bundle.json", index)
    with pytest.raises(runtime.ModelError):
        runtime.open_model(bundle / "model.onnx", lambda path: _Unopened())
    if "unknown" in name or "format" in name or name == "no antialias":
        with pytest.raises(RefusedBundleError):
            predict(bundle, images[:1])


class _Unopened:
    """A runner that is not run."""

    metadata: dict[str, str] = {}  # noqa: RUF012

    def close(self) -> None: ...


def test_it_refuses_a_changed_byte_of_bundle_json_and_of_the_model(images: list[Path], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", CASES["cover"])
    for name in ("bundle.json", "model.onnx"):
        content = (bundle / name).read_bytes()
        for place in np.random.default_rng(0).integers(0, len(content), 50):
            changed = bytearray(content)
            changed[place] ^= 1
            (bundle / name).write_bytes(changed)
            with pytest.raises((RefusedBundleError, ValueError)):
                read_bundle(bundle)
        (bundle / name).write_bytes(content)
    read_bundle(bundle)
