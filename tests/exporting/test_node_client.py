"""The Node client of exports/runtimes/node: its inputs are those of predict.py to the last bit, and its answers too.

The steps are tested where node is installed. The answers need onnxruntime-node: ZOO_NODE_MODULES names the
``node_modules`` folder of ``npm install --ignore-scripts`` in a copy of exports/runtimes/node.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
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
from described_client import RefusedImageError, decode, deep_grey_to_8_bits, read_bundle

TOP = Path(__file__).parents[2]
CLIENT = TOP / "exports" / "runtimes" / "node"
FILES = ("index.mjs", "steps.mjs", "decisions.mjs")
NODE_MODULES = os.environ.get("ZOO_NODE_MODULES")  # read before the tests' own environment has none
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_onnxruntime = pytest.mark.skipif(
    shutil.which("node") is None or not NODE_MODULES,
    reason="ZOO_NODE_MODULES names no folder with onnxruntime-node",
)
ANSWERED = [name for name, case in CASES.items() if case.decision.kind != "pixel_argmax"]

pytestmark = needs_node


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_awkward_images(tmp_path_factory.mktemp("awkward") / "images")


@pytest.fixture
def client(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    folder.mkdir()
    for name in FILES:
        shutil.copyfile(CLIENT / name, folder / name)
    if NODE_MODULES:
        (folder / "node_modules").symlink_to(NODE_MODULES, target_is_directory=True)
    return folder


def node(*command: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["node", *map(str, command)], capture_output=True, check=False, timeout=300)


def write_decoded(folder: Path, files: list[Path], steps: list[dict[str, Any]]) -> dict[Path, Path]:
    """Write each image, upright and of 8 bits, as PGM, PPM or PAM; returns the file of each that the steps take."""
    folder.mkdir()
    found = {}
    for number, file in enumerate(files):
        try:
            image = deep_grey_to_8_bits(decode(file, steps[0]), steps[1])
        except RefusedImageError:
            continue
        if image.has_transparency_data:
            image = image.convert("LA" if image.mode == "LA" else "RGBA")
        elif image.mode == "YCbCr" and steps[3]["mode"] == "L":
            image = image.convert("L")  # Y, as it is
        elif image.mode not in ("L", "RGB"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        found[file] = folder / f"{number}.{'pam' if image.mode in ('LA', 'RGBA') else 'pnm'}"
        write_netpbm(found[file], np.asarray(image))
    return found


def write_netpbm(file: Path, pixels: np.ndarray) -> None:
    height, width, channels = (*pixels.shape, 1)[:3]
    if channels in (2, 4):
        kind = {2: "GRAYSCALE_ALPHA", 4: "RGB_ALPHA"}[channels]
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL 255\nTUPLTYPE {kind}\nENDHDR\n"
    else:
        head = f"P{5 if channels == 1 else 6}\n# decoded\n{width} {height}\n255\n"
    file.write_bytes(head.encode() + pixels.tobytes())


@pytest.mark.parametrize("name", CASES)
def test_its_inputs_are_those_of_predict_py_to_the_last_bit(
    images: list[Path], client: Path, tmp_path: Path, name: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle", CASES[name])
    spec = read_bundle(bundle)["description"]["input"]
    expected = {}
    for file in images:
        try:
            expected[file] = runtime.prepare(file, spec)
        except ValueError:
            continue
    decoded = write_decoded(tmp_path / "decoded", list(expected), spec["steps"])
    assert list(decoded) == list(expected) and len(decoded) > 40
    done = node(
        TOP / "tests/exporting/node_prepare.mjs", client / "steps.mjs", bundle / "bundle.json", *decoded.values()
    )
    assert done.returncode == 0, done.stderr.decode()
    found = np.frombuffer(done.stdout, np.float32).reshape(len(decoded), *next(iter(expected.values())).shape)
    for file, values in zip(expected, found, strict=True):
        assert values.tobytes() == expected[file].tobytes(), file.name


@pytest.mark.parametrize("filter_", ["bilinear", "bicubic"])
def test_it_scales_as_pillow_does_by_any_factor(client: Path, tmp_path: Path, filter_: str) -> None:
    numbers = np.random.default_rng(3)
    script, jobs = tmp_path / "scale.mjs", []
    for number in range(40):
        width, height, channels, *size = (int(each) for each in numbers.integers(1, [160, 160, 4, 90, 90]))
        pixels = numbers.integers(0, 2, (height, width, channels), dtype=np.uint8) * np.uint8(255 - number)
        jobs.append((pixels, size))
        (tmp_path / f"{number}.raw").write_bytes(pixels.tobytes())
    script.write_text(
        f"""
        import {{ readFileSync }} from "node:fs";
        import {{ prepare }} from {json.dumps((client / "steps.mjs").as_uri())};
        const step = {{ step: "resize", policy: "exact", filter: "{filter_}", antialias: true, max_pixels: 1e9,
          passes: ["width", "height"], rounding: "8 bits after each pass" }};
        for (const [i, [height, width, channels, w, h]] of {[[*p.shape, *s] for p, s in jobs]}.entries()) {{
          const image = {{ width, height, channels, data: readFileSync(`{tmp_path.as_posix()}/${{i}}.raw`) }};
          process.stdout.write(prepare(image, [{{ ...step, width: w, height: h }}]).data);
        }}
        """
    )
    done, start = node(script), 0
    assert done.returncode == 0, done.stderr.decode()
    for pixels, (width, height) in jobs:
        planes = []
        for plane in np.moveaxis(pixels, 2, 0):
            wide = Image.fromarray(plane).resize((width, pixels.shape[0]), runtime.RESAMPLING[filter_])
            planes.append(np.asarray(wide.resize((width, height), runtime.RESAMPLING[filter_])))
        due = np.stack(planes, 2).tobytes()
        assert done.stdout[start : start + len(due)] == due
        start += len(due)


def test_numbers_are_written_as_python_writes_them(client: Path, tmp_path: Path) -> None:
    numbers = np.random.default_rng(5)
    spread = numbers.normal(0, 1, 4000) * 10.0 ** numbers.integers(-12, 14, 4000)
    values = [
        *spread,
        0.0,
        1.0,
        2.0**-14,
        3 * 2.0**-14,
        0.5,
        123456789.5,
        1e9,
        0.0001,
        0.00001,
        -2.5,
        1e22,
        999999999.9,
    ]
    shares = [*numbers.uniform(0, 1, 2000), 0.0025, 0.0075, 0.5, 1.0, 0.00125, 0.03125, 0.09375]
    script = tmp_path / "format.mjs"
    script.write_text(
        f"""
        import {{ answerText, general }} from {json.dumps((client / "decisions.mjs").as_uri())};
        const decision = {{ kind: "sigmoid", classes: ["a"], thresholds: [0] }};
        console.log(JSON.stringify([{json.dumps(values)}.map((each) => [general(each, 9), general(each, 6)]),
          {json.dumps(shares)}.map((each) => answerText(Float64Array.of(each), decision, 1))]));
        """
    )
    done = node(script)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [[[f"{x:.9g}", f"{x:.6g}"] for x in values], [f"a {x:.1%}" for x in shares]]


@needs_onnxruntime
@pytest.mark.parametrize("name", ANSWERED)
def test_its_answers_are_those_of_predict_py(images: list[Path], client: Path, tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "bundle", CASES[name])
    steps = read_bundle(bundle)["description"]["input"]["steps"]
    decoded = write_decoded(tmp_path / "decoded", images, steps)
    done = node(client / "index.mjs", bundle, *decoded.values(), "--csv", tmp_path / "node.csv")
    assert done.returncode in (0, 3), done.stderr.decode()
    taken = [file for file, image in decoded.items() if f"error: {image}: " not in done.stderr.decode()]
    command = [sys.executable, "-B", bundle / "predict.py", *taken, "--csv", tmp_path / "python.csv"]
    theirs = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert theirs.returncode == 0, theirs.stderr
    own, due = ((tmp_path / f"{which}.csv").read_text("utf-8") for which in ("node", "python"))
    rows, expected = (list(csv.reader(text.splitlines())) for text in (own, due))
    assert rows[0] == expected[0] and len(rows) == len(taken) + 1 > 40
    texts = 1 + (rows[0][1] == "prediction")
    for row, other in zip(rows[1:], expected[1:], strict=True):
        assert row[1:texts] == other[1:texts]
        np.testing.assert_allclose(np.float64(row[texts:]), np.float64(other[texts:]), rtol=2e-6, atol=2e-6)
    lines = [line.split(": ", 1)[1] for line in done.stdout.decode().splitlines()]
    same = sum(line == other.split(": ", 1)[1] for line, other in zip(lines, theirs.stdout.splitlines(), strict=True))
    assert same >= 0.9 * len(lines)  # a last digit may differ where onnxruntime's versions do


def changed(bundle: Path, change: str) -> None:
    index = json.loads((bundle / "bundle.json").read_bytes())
    index.pop("sha256")
    steps, decision = index["description"]["input"]["steps"], index["description"]["output"]["decision"]
    match change:
        case "an unknown step":
            steps[2]["step"] = "equalise"
        case "an unknown field of a step":
            steps[4]["gamma"] = 2.2
        case "another rounding":
            steps[5]["offset"] = "ceil"
        case "an unknown decision":
            decision["kind"] = "vote"
        case "an unknown field of a decision":
            decision["top"] = 5
        case "format 4":
            index["format"] = 4
    write_sealed_json(bundle / "bundle.json", index)


REFUSED = {
    "an unknown step": "equalise",
    "an unknown field of a step": "gamma",
    "another rounding": "offset",
    "an unknown decision": "vote",
    "an unknown field of a decision": "top",
    "format 4": "format 4",
}


@needs_onnxruntime
@pytest.mark.parametrize("change", REFUSED)
def test_it_refuses(images: list[Path], client: Path, tmp_path: Path, change: str) -> None:
    bundle = write_bundle(tmp_path / "bundle", CASES["cover"])
    changed(bundle, change)
    write_netpbm(tmp_path / "image.ppm", np.zeros((8, 12, 3), np.uint8))
    done = node(client / "index.mjs", bundle, tmp_path / "image.ppm")
    assert done.returncode == 4 and REFUSED[change] in done.stderr.decode()


def test_it_refuses_bundles_of_older_formats(tmp_path: Path) -> None:
    write_netpbm(tmp_path / "image.ppm", np.zeros((8, 12, 3), np.uint8))
    done = node(CLIENT / "index.mjs", TOP / "tests" / "golden" / "0.1.0" / "bundle", tmp_path / "image.ppm")
    assert done.returncode == 4 and "format 2 are not implemented" in done.stderr.decode()


def test_it_refuses_altered_files_and_masks(client: Path, tmp_path: Path) -> None:
    write_netpbm(tmp_path / "image.ppm", np.zeros((8, 12, 3), np.uint8))
    for name in ("bundle.json", "model.onnx", "description"):
        bundle = write_bundle(tmp_path / name, CASES["masks of the image's size" if name == "description" else "cover"])
        if name != "description":
            content = bytearray((bundle / name).read_bytes())
            content[len(content) // 2] ^= 1
            (bundle / name).write_bytes(content)
        done = node(client / "index.mjs", bundle, tmp_path / "image.ppm")
        assert done.returncode == 4, done.stdout
        assert ("pixel_argmax" if name == "description" else f"{name} was altered") in done.stderr.decode()
