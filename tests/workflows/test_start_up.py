"""What a run imports before its first step: torch, and nothing that only its report or other options need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

FIRST_STEP = """
import sys, zoo
from zoo.training import trainer
from zoo.reporting.console import Console
class Reached(Exception): pass
def stop(*_): raise Reached
trainer.take_step = stop
try:
    zoo.run("cnn_digits", overrides={"device": "cpu"}, out="run", console=Console(quiet=True))
except Reached:
    print(*sorted(name for name in sys.argv[1:] if name in sys.modules))
"""


def run_fresh(folder, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env={**os.environ, "ZOO_DATA": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_until_its_first_step_a_run_imports_no_plots_no_exporter_and_no_timm(tmp_path) -> None:
    late = ("matplotlib", "timm", "onnx", "onnxruntime", "onnxscript", "pandas", "scipy", "IPython")
    done = run_fresh(tmp_path, FIRST_STEP, "torch", *late)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "torch"


@pytest.mark.parametrize(
    "line",
    [
        "run nosuch",
        "run cnn_digits --data nosuch",
        "run cnn_digits --data folder:nowhere",
        "run cnn_digits --set train.epocs=3",
        "run cnn_digits --set train.optimizer_options=3",
        "run resnet18 --data digits --weights nowhere.safetensors",
        "run --resume nowhere",
        "run --config nowhere.yaml",
        "run cnn_digits --task nosuch",
        "run cnn_digits --out .",
        "run cnn_digits --out image.png",
        "run cnn_digits --seeds 2 --out image.png",
        "evaluate nowhere",
        "export nowhere --onnx",
        "predict nowhere image.png",
        "predict nowhere/bundle image.png",
        "show nosuch",
        "report nowhere",
        "verify nowhere",
        "compare nowhere nothing",
        "gradients nosuch --data digits",
    ],
)
def test_a_wrong_name_or_path_is_refused_before_torch_is_imported(tmp_path, line) -> None:
    script = (
        "import sys; from zoo.cli.app import run_cli; code = run_cli(sys.argv[1:]); print('torch' in sys.modules, code)"
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    done = run_fresh(tmp_path, script, *line.split())
    code = "3" if "folder:" in line else "2"
    assert done.stdout.split() == ["False", code], done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_wrong_path_of_weights_for_a_known_network_of_a_family_is_refused_before_torch(tmp_path) -> None:
    line = ["run", "torchvision/squeezenet1_1", "--data", "digits", "--weights", "nowhere.safetensors"]
    script = (
        "import sys; from zoo.cli.app import run_cli; code = run_cli(sys.argv[1:]); "
        "print(*('torch' in sys.modules, 'torchvision' in sys.modules, code))"
    )
    first, second = (run_fresh(tmp_path, script, *line) for _ in range(2))
    assert (first.stdout.split(), second.stdout.split()) == (["True", "True", "2"], ["False", "False", "2"])
    assert first.stderr == second.stderr and first.stderr.startswith("error: ")


def test_a_pattern_is_left_to_the_dataset(tmp_path) -> None:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "image.png")
    script = "import sys; from zoo.cli.app import run_cli; sys.exit(run_cli(sys.argv[1:]))"
    done = run_fresh(tmp_path, script, "run", "svd_image", "--data", "images:*.png", "--dry-run")
    assert done.returncode == 0 and "dry run" in done.stdout, done.stderr


def test_an_exported_model_predicts_without_torch(tmp_path) -> None:
    bundle = Path(__file__).parents[2] / "exports" / "published" / "cnn_mnist"
    Image.new("L", (28, 28)).save(tmp_path / "image.png")
    script = (
        "import sys; from zoo.cli.app import run_cli; code = run_cli(sys.argv[1:])\n"
        "print(*(name for name in ('torch', 'torchvision', 'timm', 'matplotlib') if name in sys.modules), code)"
    )
    done = run_fresh(tmp_path, script, "predict", str(bundle), "image.png")
    assert done.stdout.splitlines()[-1] == "0" and done.stdout.startswith("image.png: "), done.stderr
