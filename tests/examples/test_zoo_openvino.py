"""The example of a third party's exporter: its built wheel is installed beside zoo, listed without openvino, and used
with every command."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "zoo-openvino"
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed: pip install openvino"
)
Zoo = Callable[..., subprocess.CompletedProcess[str]]
AS_ZOO = ("-P", "-m", "zoo")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel."""
    folder = tmp_path_factory.mktemp("openvino")
    for command in (
        ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(EXAMPLE)],
        ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--find-links", str(folder / "dist"),
         "--target", str(folder / "site"), "zoo-openvino"],
    ):  # fmt: skip
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(scope="module")
def zoo(site: Path) -> Zoo:
    """Run zoo in a folder of its own, in which the plugin is installed."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZOO_")}
    environment |= {"PYTHONPATH": path, "ZOO_OFFLINE": "1"}

    def run(*words: str, code: int = 0, program: tuple[str, ...] = AS_ZOO) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *program, *words],
            capture_output=True, text=True, env=environment, cwd=site.parent, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="module")
def bundle(zoo: Zoo, site: Path) -> Path:
    zoo("export", "cnn_mnist", "--openvino", "--out", "bundle")
    return site.parent / "bundle"


def test_it_is_listed_with_its_flag_and_its_options_without_openvino(zoo: Zoo) -> None:
    assert "openvino" in zoo("list", "exporters").stdout
    assert "--openvino" in zoo("export", "--help").stdout
    assert "compress_to_fp16" in zoo("info", "openvino").stdout


@pytest.mark.skipif(importlib.util.find_spec("openvino") is not None, reason="openvino is installed")
def test_without_openvino_an_export_names_the_command_that_installs_it(zoo: Zoo) -> None:
    assert "pip install openvino" in zoo("export", "cnn_mnist", "--openvino", code=6).stderr


@needs_openvino
def test_a_bundle_has_both_files_and_answers_in_zoo_and_without_it(zoo: Zoo, bundle: Path) -> None:
    index = json.loads((bundle / "bundle.json").read_text())
    assert index["model_files"] == ["model.xml", "model.bin"]
    assert {"model.xml", "model.bin", "predict.py"} <= set(index["files"])
    assert json.loads((bundle / "verify.json").read_text())["provider"] == "cpu"
    images = str(bundle.parent / "images")
    draw = "import sys, numpy, PIL.Image, pathlib; f = pathlib.Path(sys.argv[1]); f.mkdir()\n"
    draw += "for i in range(3): PIL.Image.fromarray(numpy.random.default_rng(i).integers(0, 256, (28, 28), 'uint8'))"
    zoo(images, program=("-c", draw + ".save(f / f'{i}.png')"))
    for target in (bundle, bundle / "model.xml"):
        zoo("predict", str(target), images, "--csv", f"{target.name}.csv")
    zoo(images, "--csv", "client.csv", program=("-B", str(bundle / "predict.py")))
    tables = [(bundle.parent / f"{name}.csv").read_text() for name in ("bundle", "model.xml", "client")]
    assert tables[0] == tables[1] == tables[2]


@needs_openvino
def test_it_is_inspected_and_a_changed_byte_of_the_weights_is_refused(zoo: Zoo, bundle: Path) -> None:
    assert "refused" not in zoo("inspect", str(bundle)).stdout
    assert "OpenVINO model" in zoo("inspect", str(bundle / "model.xml")).stdout
    weights = bundle / "model.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    try:
        assert "model.bin: was altered" in zoo("predict", str(bundle), "images", code=4).stderr
        assert "model.bin: its sha256 is not the one recorded" in zoo("inspect", str(bundle)).stdout
    finally:
        weights.write_bytes(content)


@needs_openvino
def test_weights_in_float16_are_exported_or_refused_with_the_first_layer(zoo: Zoo) -> None:
    done = zoo("export", "cnn_mnist", "--openvino", "--set", "export.compress_to_fp16=true", "--out", "half", code=5)
    assert "first mismatch" in done.stderr
    assert "--set export.compress_to_fp16=false" in done.stderr


@needs_openvino
def test_its_own_tests_pass(zoo: Zoo) -> None:
    done = zoo("-q", "-p", "no:cacheprovider", "-c", os.devnull, str(EXAMPLE / "tests"), program=("-P", "-m", "pytest"))
    assert " passed" in done.stdout
