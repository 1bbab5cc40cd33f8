"""The published bundles run on the oldest Python, numpy, Pillow and onnxruntime that predict.py declares, and give the
same."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import zoo_onnx.client
from PIL import Image

import zoo.runtime
from zoo.contract.decisions import Affine, Embedding, PixelArgmax, Raw, Sigmoid, Softmax
from zoo.exporting.client_files import runtime_source

pytestmark = pytest.mark.slow

PUBLISHED = sorted((Path(__file__).parents[2] / "exports" / "published").glob("*/bundle.json"))
OLDEST = {
    name: ".".join(map(str, version)) for name, version in {**zoo.runtime.OLDEST, **zoo_onnx.client.OLDEST}.items()
}
PIXELS = """
import hashlib, importlib.util, itertools, json, sys
from pathlib import Path
found = importlib.util.spec_from_file_location("predict", sys.argv[1])
predict = importlib.util.module_from_spec(found)
found.loader.exec_module(predict)
digests = {}
ways = (predict.COVER, predict.SQUASH, predict.CROP)
for file, channels, resize, interpolation in itertools.product(sys.argv[2:], (1, 3), ways, predict.RESAMPLING):
    values = {"mean": [0] * channels, "std": [1] * channels}
    spec = {"channels": channels, "height": 20, "width": 24, "resize": resize, **values}
    inputs = predict.prepare(Path(file), dict(spec, interpolation=interpolation))
    name = " ".join([Path(file).name, str(channels), resize, interpolation])
    digests[name] = hashlib.sha256(inputs.tobytes()).hexdigest()
print(json.dumps(digests))
"""
DECISIONS = """
import importlib.util, json, sys
from pathlib import Path
found = importlib.util.spec_from_file_location("predict", sys.argv[1])
predict = importlib.util.module_from_spec(found)
found.loader.exec_module(predict)
np = predict.np
numbers = np.random.RandomState(0).randint(-300, 300, (2, 3, 4, 6)) / 100
told = {}
for text in sys.argv[3:]:
    output = json.loads(text)
    spec = {"channels": 1, "height": 4, "width": 6, "resize": predict.SQUASH, "mean": [0], "std": [1]}
    description = {"format": 2, "input": dict(spec, interpolation="bilinear"), "output": output}
    predict.check_description(description)
    decision = predict.decision_of(description)
    outputs = (numbers if output["kind"] == "map" else numbers[:, :, 0, 0]).astype(np.float32)
    due = predict.due_shape(decision, output["kind"], (2, 1, 4, 6))
    values = predict.decide(outputs, decision)
    rows = [(Path(str(index)), each) for index, each in enumerate(values)]
    table = Path(sys.argv[2], "table.csv")
    predict.write_csv(table, rows, decision)
    told[text] = [str(due), table.read_text(), [predict.answer_text(each, decision, 2) for each in values]]
    if decision["kind"] == "pixel_argmax":
        masks = [(path, predict.resize_mask(each, (11, 13))) for path, each in rows]
        told[text].append([file.name for file in predict.write_masks(Path(sys.argv[2]), masks)])
        told[text].append([each.tolist() for _, each in masks])
print(json.dumps(told))
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """The zoo_runtime.py of every bundle."""
    file = tmp_path / "zoo_runtime.py"
    file.write_bytes(runtime_source())
    return file


def python_of(version: str) -> str | None:
    """An interpreter of that minor version: on the path, or pyenv's."""
    on_path = shutil.which(f"python{version}")
    kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    return str(kept[-1]) if kept else on_path


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with the oldest version of everything."""
    interpreter = python_of(OLDEST["python"])
    if interpreter is None:
        pytest.skip(f"there is no Python {OLDEST['python']} here")
    folder = tmp_path_factory.mktemp("old")
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    wanted = [f"{name}=={version}.*" for name, version in OLDEST.items() if name != "python"]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"pip cannot get {', '.join(wanted)}: {done.stderr.strip()[-200:]}")
    return python


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photographs and digits of scikit-learn, as files of several kinds, sizes and modes."""
    from sklearn.datasets import load_digits, load_sample_images

    folder = tmp_path_factory.mktemp("images")
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    digits = [Image.fromarray((255 - digit / 16 * 255).astype(np.uint8)) for digit in load_digits().images[:10]]
    made = {f"photo{index}.png": photo.resize((200, 133)) for index, photo in enumerate(photos)}
    made |= {
        f"digit{index}.png": digit.resize((61, 75), Image.Resampling.BICUBIC) for index, digit in enumerate(digits)
    }
    clear = photos[0].resize((30, 90)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    made |= {
        "clear.png": clear,
        "palette.gif": photos[1].resize((50, 40)).quantize(16),
        "small.bmp": photos[1].resize((9, 13)),
    }
    made["sixteen.png"] = Image.fromarray(np.asarray(digits[0].resize((40, 20)), np.uint16) * 257)
    for name, image in made.items():
        image.save(folder / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    photos[0].resize((80, 60)).save(folder / "turned.png", exif=turned)
    return sorted(folder.iterdir())


def told_by(python: str, arguments: Sequence[str | Path]) -> str:
    done = subprocess.run([python, *arguments], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("client", ["as published", "of today"])
@pytest.mark.parametrize("index", PUBLISHED, ids=[file.parent.name for file in PUBLISHED])
def test_a_published_bundle_predicts_the_same_on_the_oldest_versions(
    old: str, images: list[Path], put_client: Callable[[Path], Path], tmp_path: Path, index: Path, client: str
) -> None:
    tables = []
    bundle = shutil.copytree(index.parent, tmp_path / "bundle")
    predict = bundle / "predict.py" if client == "as published" else put_client(bundle)
    for python in (old, sys.executable):
        told_by(python, [predict, *images, "--csv", tmp_path / "table.csv"])
        tables.append(list(csv.reader((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines())))
    assert [row[:2] for row in tables[0]] == [row[:2] for row in tables[1]]
    assert tables[0][0] == tables[1][0] and len(tables[0]) == len(images) + 1
    probabilities = [np.array([row[2:] for row in table[1:]], np.float64) for table in tables]
    np.testing.assert_allclose(*probabilities, atol=1e-5)
    assert len({row[1] for row in tables[0]}) > 5


def test_files_become_the_same_inputs_on_the_oldest_versions(
    old: str, images: list[Path], runtime: Path, tmp_path: Path
) -> None:
    script = tmp_path / "pixels.py"
    script.write_text(PIXELS, encoding="utf-8")
    told = [json.loads(told_by(python, [script, runtime, *images])) for python in (old, sys.executable)]
    assert len(told[0]) == 12 * len(images)
    assert told[0] == told[1]


def test_every_decision_gives_the_same_on_the_oldest_versions(old: str, runtime: Path, tmp_path: Path) -> None:
    names = ("cat", "dog", "owl")
    outputs = [
        {"kind": kind, "decision": json.loads(decision.model_dump_json())}
        for kind, decision in (
            ("vector", Softmax(classes=names, temperature=2, abstain_below=0.5)),
            ("vector", Sigmoid(classes=names, thresholds=(0.5, 0.4, 0.3))),
            ("vector", Affine(names=names, units=("m", "", "s"), scale=(1, 2, 3), offset=(0, 1, 2), clip=(-1, 5))),
            ("map", PixelArgmax(classes=names)),
            ("features", Embedding()),
            ("map", Raw()),
        )
    ]
    script = tmp_path / "decisions.py"
    script.write_text(DECISIONS, encoding="utf-8")
    given = [script, runtime, tmp_path, *map(json.dumps, outputs)]
    told = [json.loads(told_by(python, given)) for python in (old, sys.executable)]
    assert len(told[0]) == len(outputs)
    assert told[0] == told[1]


def test_the_bundle_declares_the_versions_that_it_is_tested_with() -> None:
    for index in PUBLISHED:
        assert json.loads(index.read_text(encoding="utf-8"))["requires"] == {
            name: f">={version}" for name, version in OLDEST.items()
        }
        source = index.with_name("predict.py").read_bytes()
        assert (
            json.loads(index.read_text(encoding="utf-8"))["files"]["predict.py"]["sha256"]
            == hashlib.sha256(source).hexdigest()
        )


def test_older_packages_are_refused_in_one_line(old: str, put_client: Callable[[Path], Path], tmp_path: Path) -> None:
    """A package that says it is older stands in for one."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("__version__ = '1.20.0'\n", encoding="utf-8")
    done = subprocess.run([old, put_client(tmp_path), "a.png"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (6, "")
    assert (
        done.stderr
        == "error: numpy 1.20.0 is too old for predict.py, which needs 1.21; fix: pip install 'numpy>=1.21'\n"
    )
