"""What holds for every installed exporter: a bundle that answers as PyTorch does, twice the same, and not after a
change."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo import runtime
from zoo.errors import CheckpointError, UsageError
from zoo.exporting.export import export_model
from zoo.inspection.inspect import inspect
from zoo.registry.lookup import registry
from zoo.runs.load_model import LoadedModel
from zoo.workflows.predict import predict

EXPORTERS = [item.canonical for item in registry().items("exporter")]

MADE: dict[str, Path] = {}


@pytest.fixture(params=EXPORTERS)
def new_bundle(request: pytest.FixtureRequest, make_loaded: Callable[..., LoadedModel]) -> Callable[..., Path]:
    """Export to a folder."""

    def run(folder: Path, **options: Any) -> Path:
        return export_model(
            registry(), make_loaded(), "as asked", registry().exporter(request.param), out=folder, **options
        ).path

    return run


@pytest.fixture
def bundle(
    request: pytest.FixtureRequest, new_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle with a dynamic batch, the same for all tests of an exporter: an export takes a while."""
    name = request.node.callspec.params["new_bundle"]
    if name not in MADE:
        MADE[name] = new_bundle(tmp_path_factory.mktemp("bundle") / "made")
    return MADE[name]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for index, file in enumerate(files):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    return files


def model_files(bundle: Path) -> list[Path]:
    return [bundle / name for name in json.loads((bundle / "bundle.json").read_text())["model_files"]]


def check_answers(bundle: Path, loaded: LoadedModel, images: list[Path], table: Path) -> None:
    """By `zoo predict` with the bundle and with its model, and by predict.py."""
    spec = loaded.preprocessing.describe()
    inputs = torch.from_numpy(np.concatenate([runtime.prepare(file, spec) for file in images]))
    with torch.inference_mode():
        due = torch.softmax(loaded.model(inputs), 1).numpy()
    for target in (bundle, model_files(bundle)[0]):
        found = np.stack([values for _, values in predict(target, images).rows])
        np.testing.assert_allclose(found, due, atol=1e-6)
    if (bundle / "predict.py").is_file():
        command = [sys.executable, "-B", str(bundle / "predict.py"), *map(str, images), "--csv", str(table)]
        subprocess.run(command, cwd=table.parent, check=True, capture_output=True)
        rows = [line.split(",")[-due.shape[1] :] for line in table.read_text().splitlines()[1:]]
        np.testing.assert_allclose(np.array(rows, np.float64), due, atol=1e-6)


def test_a_bundle_answers_as_pytorch_does(
    bundle: Path, make_loaded: Callable[..., LoadedModel], images: list[Path], tmp_path: Path
) -> None:
    check_answers(bundle, make_loaded(), images, tmp_path / "out.csv")


@pytest.mark.slow
def test_a_bundle_with_a_fixed_batch_answers_as_pytorch_does(
    new_bundle: Callable[..., Path], make_loaded: Callable[..., LoadedModel], images: list[Path], tmp_path: Path
) -> None:
    check_answers(new_bundle(tmp_path / "fixed", batch=2), make_loaded(), images, tmp_path / "out.csv")


def test_two_exports_of_a_model_are_equal_byte_by_byte(
    bundle: Path, new_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    second = new_bundle(tmp_path / "second")
    names = sorted(path.name for path in bundle.iterdir() if path.name not in ("verify.json", "__pycache__"))
    assert names == sorted(path.name for path in second.iterdir() if path.name != "verify.json")
    assert [name for name in names if (bundle / name).read_bytes() != (second / name).read_bytes()] == []


def test_one_changed_byte_of_any_file_of_the_model_is_refused(bundle: Path, images: list[Path], tmp_path: Path) -> None:
    changed = Path(shutil.copytree(bundle, tmp_path / "changed"))
    for file in model_files(changed):
        content = file.read_bytes()
        file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        with pytest.raises(CheckpointError, match="altered"):
            predict(changed, images)
        assert any(file.name in line for line in inspect(changed).refused)  # type: ignore[union-attr]
        file.write_bytes(content)
    assert len(predict(changed, images).rows) == len(images)


def test_a_bundle_and_its_model_are_described_without_a_reason_to_refuse_them(bundle: Path) -> None:
    found, model = inspect(bundle), inspect(model_files(bundle)[0])
    assert found is not None
    assert (found.kind, found.refused) == ("bundle", [])
    assert model is None or (model.refused == [] and model.facts)


def test_an_unknown_provider_is_refused(new_bundle: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no provider 'abacus'.*cpu"):
        new_bundle(tmp_path / "none", provider="abacus")
