"""A network and data that are passed from Python: an ordinary run, opened again by passing them, or by reference."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

import zoo
from zoo.cli.app import run_cli
from zoo.errors import CheckpointError, DataError, PluginError, UsageError
from zoo.registry.lookup import registry

DIGITS = load_digits()
X, Y = np.rint(DIGITS.images[:200] * (255 / 16)).astype(np.uint8), DIGITS.target[:200]
SMALL = {"epochs": 2, "batch_size": 20, "device": "cpu", "lr": 0.01, "quiet": True}


class Net(nn.Module):
    def __init__(self, width: int = 16, outputs: int = 10) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(64, width), nn.Linear(width, outputs)

    def forward(self, images: torch.Tensor) -> Any:
        return self.last(self.hidden(images.flatten(1)).relu())


@pytest.fixture(autouse=True)
def new_process() -> Iterator[Callable[[], None]]:
    """Forgets what this process registered, as a new one would not know it."""
    registry.cache_clear()
    yield registry.cache_clear
    registry.cache_clear()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    result = zoo.run(model=Net(), data=(X, Y), out=tmp_path_factory.mktemp("trained") / "run", **SMALL)
    assert result.path is not None
    return result.path


@pytest.fixture
def trained(original: Path, tmp_path: Path) -> Path:
    """A copy of a run, in the process that knows its objects."""
    run = Path(shutil.copytree(original, tmp_path / "run"))
    zoo.load(run, model=Net(), data=(X, Y))
    return run


def only_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "; fix: " in lines[0], text
    return lines[0]


# ------------------------------------------------------------------------------------------------------ an ordinary run


def test_a_module_and_arrays_are_an_ordinary_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = Net()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = zoo.run(model=module, data=(X, Y), out=tmp_path / "run", **SMALL)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())  # a copy was trained
    assert capsys.readouterr().out == ""  # quiet
    record = result.record
    assert (record.label, record.samples) == ("net", {"train": 160, "test": 40})
    assert record.architecture is not None and record.architecture.startswith("local/net-")
    assert record.python == {"architecture": f"{__name__}.Net", "dataset": "arrays"}
    assert (tmp_path / "run" / "report.html").is_file()
    assert "accuracy" in result._repr_html_() and "local/net-" in result._repr_html_()


def test_a_loaded_model_predicts_whatever_an_image_is(trained: Path, tmp_path: Path) -> None:
    model = zoo.load(trained)
    for index, image in enumerate(X[:4]):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    files = [tmp_path / f"{index}.png" for index in range(4)]
    spec = model.preprocessing
    inputs = (torch.from_numpy(X[:4, None]) / 255 - spec["mean"][0]) / spec["std"][0]
    with torch.inference_mode():
        due = model.module(inputs.float()).softmax(1).numpy()
    for images in (
        files, [str(file) for file in files], [Image.open(file) for file in files], X[:4], X[:4, None],
        X[:4, ..., None], torch.from_numpy(X[:4]), X[:4] / 255, list(X[:4]),
        [files[0], Image.open(files[1]), X[2], torch.from_numpy(X[3])],
    ):  # fmt: skip
        found = model.predict(images)
        np.testing.assert_allclose(found.values, due, rtol=2e-5, atol=1e-6)
        assert found.answers == [model.classes[row] for row in due.argmax(1)] and len(found) == 4
    assert [path.name for path, _ in model.predict(files).rows] == ["0.png", "1.png", "2.png", "3.png"]
    assert len(model.predict(files[0])) == len(model.predict(X[0])) == len(model.predict(Image.open(files[0]))) == 1
    with pytest.raises(DataError, match=r"add an axis: images\[None\] for one image"):
        model.predict(X[:3])
    with pytest.raises(UsageError, match="only predictions of image files are drawn"):
        model.predict(X[:4]).draw(tmp_path / "drawn.png")
    assert "<td>0</td>" in model.predict(X[:4])._repr_html_() and "1×8×8" in model._repr_html_()


def test_its_export_is_verified_on_the_arrays_and_predicts_without_torch(trained: Path, tmp_path: Path) -> None:
    bundle = zoo.export(str(trained), out=tmp_path / "bundle")
    assert bundle.verification["real"]["dataset"].startswith("local/data-")
    np.save(tmp_path / "images.npy", X[:5])
    script = (
        "import sys, json, numpy as np, zoo; model = zoo.load('bundle'); found = model.predict(np.load('images.npy'));"
        "print(json.dumps([found.answers, found.values.tolist(), 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ
    )
    answers, values, with_torch = json.loads(done.stdout)
    due = zoo.load(trained).predict(X[:5])
    assert answers == due.answers and not with_torch
    np.testing.assert_allclose(values, due.values, atol=1e-5)
    loaded = zoo.load(tmp_path / "bundle")
    with pytest.raises(UsageError, match="an exported model has no torch module"):
        _ = loaded.module


# ------------------------------------------------------------------------------------------------- in another process


def test_in_another_process_one_line_says_how_to_go_on(
    trained: Path, new_process: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    new_process()
    for command in (["export", str(trained)], ["predict", str(trained), "image.png"], ["evaluate", str(trained)]):
        assert run_cli(command) in (2, 3)
    told = [line for line in capsys.readouterr().err.splitlines() if "is a Python object" in line]
    assert told and all(f"({__name__}.Net)" in line and "zoo.load(RUN, model=…)" in line for line in told)
    assert run_cli(["run", "--resume", str(trained)]) == 2
    assert "the network of this run is a Python object" in only_line(capsys.readouterr().err)
    with pytest.raises(UsageError, match=r"pass it again in Python: zoo\.load\(RUN, model=…\)"):
        zoo.load(trained)


def test_passed_again_the_model_needs_no_data(
    trained: Path, tmp_path: Path, new_process: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    due = zoo.load(trained).predict(X[:5]).values
    new_process()
    np.testing.assert_array_equal(zoo.load(trained, model=Net()).predict(X[:5]).values, due)
    assert zoo.export(str(trained), out=tmp_path / "bundle").verification["real"]["samples"] == 10  # those in the run
    with pytest.raises(DataError, match=r"the data of this run is a Python object .*zoo\.load\(RUN, data=…\)"):
        zoo.evaluate(trained)
    zoo.load(trained, data=(X, Y))
    assert zoo.evaluate(trained).metrics == pytest.approx(
        json.loads((trained / "run.json").read_text())["results"]["test"]
    )
    assert run_cli(["report", str(trained)]) == 0
    capsys.readouterr()


def test_each_function_takes_the_objects_again(trained: Path, tmp_path: Path, new_process: Callable[[], None]) -> None:
    due = zoo.load(trained).predict(X[0]).values
    Image.fromarray(X[0]).save(tmp_path / "0.png")
    new_process()
    np.testing.assert_array_equal(zoo.predict(trained, [tmp_path / "0.png"], model=Net()).values, due)
    new_process()
    (batch,) = zoo.predict_batches(trained, [tmp_path / "0.png"], model=Net())
    np.testing.assert_array_equal(batch.values, due)
    new_process()
    recorded = json.loads((trained / "run.json").read_text())["results"]["test"]
    assert zoo.evaluate(trained, model=Net(), data=(X, Y)).metrics == pytest.approx(recorded)
    new_process()
    bundle = zoo.export(trained, model=Net(), data=(X, Y), out=tmp_path / "bundle")
    assert bundle.verification["real"]["dataset"].startswith("local/data-")
    with pytest.raises(UsageError, match="no run"):
        zoo.predict(bundle.path, [tmp_path / "0.png"], model=Net())
    new_process()
    with pytest.raises(DataError, match="differs from that of the run"):
        zoo.evaluate(trained, model=Net(), data=(X[:199], Y[:199]))


def test_another_network_or_other_data_is_refused(trained: Path, new_process: Callable[[], None]) -> None:
    new_process()
    with pytest.raises(CheckpointError, match=r"hidden\.bias is \(16,\), not \(8,\).*pass the module that the run was"):
        zoo.load(trained, model=Net(8))
    with pytest.raises(DataError, match=r"the data \(train 159, test 40 images\) differs from that of the run"):
        zoo.load(trained, model=Net(), data=(X[:199], Y[:199]))
    with pytest.raises(DataError, match="differs from that of the run"):
        zoo.load(trained, model=Net(), data=(X, (Y + 1) % 10))
    with pytest.raises(PluginError, match=r"returns \(2, 9\) for two images.*correct the code that you passed"):
        zoo.load(trained, model=Net(outputs=9))


def test_two_networks_of_one_class_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    for width in (8, 16):
        zoo.run(model=Net(width), data=(X, Y), out=tmp_path / str(width), **SMALL)
    assert [zoo.load(tmp_path / str(width)).module.hidden.out_features for width in (8, 16)] == [8, 16]


def test_objects_are_not_passed_to_a_run_of_registered_components(tmp_path: Path) -> None:
    zoo.run("cnn_digits", **{**SMALL, "epochs": 1, "out": tmp_path / "run"})
    with pytest.raises(UsageError, match="the network of this run is classics/cnn, no Python object"):
        zoo.load(tmp_path / "run", model=Net())


# ------------------------------------------------------------------------------------------------------------- resume

SETTINGS = {"epochs": 6, "batch_size": 20, "device": "cpu", "threads": 1, "train.checkpoint_steps": 3, "quiet": True}
SCRIPT = """
import sys
import time
import torch
import zoo
sys.path.insert(0, TESTS)
from test_python_objects import SETTINGS, Net, X, Y
torch.manual_seed(3)
net = Net()
net.register_forward_hook(lambda *_: time.sleep(0.02))  # the time to be killed in the middle
zoo.run(model=net, data=(X, Y), out=sys.argv[1], **SETTINGS)
"""


def test_a_killed_run_is_resumed_to_the_bit_with_the_module_and_the_arrays(
    tmp_path: Path, new_process: Callable[[], None]
) -> None:
    script = SCRIPT.replace("TESTS", repr(str(Path(__file__).parent)))
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "killed"), "3"])
    root, deadline = tmp_path / "killed" / "root.json", time.monotonic() + 120
    while time.monotonic() < deadline and not (root.exists() and len(json.loads(root.read_text())["checkpoints"])):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    files = {file: file.read_bytes() for file in (tmp_path / "killed").rglob("*") if file.is_file()}
    with pytest.raises(CheckpointError, match="the weights do not fit the network"):
        zoo.run(resume=tmp_path / "killed", model=Net(8), data=(X, Y), quiet=True)
    kept = {file for file in files if file.name in ("root.json", "metrics.csv", "config.yaml") or "step" in str(file)}
    assert len(kept) > 5 and all(file.read_bytes() == files[file] for file in kept)  # nothing was cut back
    new_process()
    zoo.run(resume=tmp_path / "killed", model=Net(), data=(X, Y), quiet=True)  # its own initial weights do not count
    torch.manual_seed(3)
    zoo.run(model=Net(), data=(X, Y), out=tmp_path / "whole", **SETTINGS)
    one, other = (zoo.load(tmp_path / name).module.state_dict() for name in ("killed", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


# -------------------------------------------------------------------------------------------------------- by reference

MODULE = """
from pathlib import Path
import numpy as np
from sklearn.datasets import load_digits
from torch import nn

Path(MARK).touch()

def petal(num_outputs, image_size, in_channels):
    height, width = image_size
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * height * width, num_outputs))

def digits():
    found = load_digits()
    return found.images[:200] / 16, found.target[:200]

def broken():
    raise RuntimeError("no disk")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A module of the user's on the path; calling it forgets it, and what is registered of it."""
    folder, mark = tmp_path / "own", tmp_path / "imported"
    folder.mkdir()
    (folder / "petals_of_a_test.py").write_text(MODULE.replace("MARK", repr(str(mark))), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)

    def forget() -> None:
        registry.cache_clear()
        sys.modules.pop("petals_of_a_test", None)
        mark.unlink(missing_ok=True)

    forget()
    return forget


OWN = "petals_of_a_test:petal"


def test_a_run_by_reference_is_opened_by_the_command_line_if_its_module_is_allowed(
    module: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--epochs", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert run_cli(["run", OWN, "--data", "petals_of_a_test:digits", *settings]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["python"] == {"architecture": OWN, "dataset": "petals_of_a_test:digits"}
    assert record["label"] == "petal" and record["notes"] == ["float images from 0 to 1 are rounded to 8 bits"]
    capsys.readouterr()
    export = ["export", str(tmp_path / "run"), "--out", str(tmp_path / "bundle")]
    module()
    assert run_cli(export) == 2
    told = only_line(capsys.readouterr().err)
    assert f"is made by {OWN}, which zoo does not import unless you allow it" in told and "ZOO_IMPORTS=" in told
    assert not (tmp_path / "imported").exists()  # nothing of it was executed
    monkeypatch.setenv("ZOO_IMPORTS", "other, petals")
    assert run_cli(export) == 2 and not (tmp_path / "imported").exists()
    capsys.readouterr()
    monkeypatch.setenv("ZOO_IMPORTS", "other, petals_of_a_test")
    assert run_cli(export) == 0 and run_cli(["evaluate", str(tmp_path / "run")]) == 0
    assert "40 of 40 predictions equal on local/data-" in capsys.readouterr().out


def test_in_python_a_reference_that_the_caller_names_is_imported(module: Callable[[], None], tmp_path: Path) -> None:
    zoo.run(model=OWN, data="digits", out=tmp_path / "run", **{**SMALL, "epochs": 1})
    module()
    with pytest.raises(UsageError, match=f'in Python zoo.load\\(RUN, model="{OWN}"\\)'):
        zoo.load(tmp_path / "run")
    assert len(zoo.load(tmp_path / "run", model=OWN).predict(X[:4])) == 4


def test_a_crafted_run_cannot_have_anything_imported(
    trained: Path, new_process: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.runs.provided_objects import require_object
    from zoo.runs.run_directory import find

    new_process()
    record = find(trained).record
    monkeypatch.setenv("ZOO_IMPORTS", "petals")
    for origin in ("os:system", "petals_of_others:run", "petals:a:b", "__import__('os'):x", "", "petals"):
        forged = record.model_copy(update={"python": {"architecture": origin}})
        with pytest.raises(UsageError, match="the network of this run"):
            require_object(forged, registry(), "architecture", str(record.architecture))


def test_functions_make_a_network_for_each_seed(tmp_path: Path) -> None:
    def make(num_outputs: int) -> nn.Module:
        return Net(outputs=num_outputs)

    found = zoo.run_seeds(2, model=make, data=(X, Y), out=tmp_path / "runs", **SMALL)
    one, other = (zoo.load(str(run.path)).module.state_dict()["last.weight"] for run in found.runs)
    assert not torch.equal(one, other)
    again = zoo.run(model=make, data=(X, Y), out=tmp_path / "again", **SMALL)
    assert torch.equal(zoo.load(str(again.path)).module.state_dict()["last.weight"], one)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"model": lambda: 3}, PluginError, "built a int, expected torch.nn.Module"),
        ({"data": lambda: 1 / 0}, UsageError, "raised ZeroDivisionError: division by zero"),
        ({"data": "petals_of_a_test:broken"}, UsageError, "petals_of_a_test:broken raised RuntimeError: no disk"),
        ({"data": "petals_of_a_test:nothing"}, UsageError, "'petals_of_a_test:nothing' cannot be imported"),
        ({"model": Net(outputs=7)}, PluginError, r"returns \(2, 7\) for two images, expected a vector \(2, 10\)"),
        ({"model": nn.Conv2d(1, 10, 3)}, PluginError, r"returns \(2, 10, 6, 6\) for two images, expected a vector"),
        ({"model": nn.Linear(5, 10)}, PluginError, "fails on images of 1×8×8"),
    ],
)
def test_what_does_not_fit_is_one_line(
    given: dict[str, Any], error: type[Exception], said: str, module: Callable[[], None]
) -> None:
    with pytest.raises(error, match=said) as refused:
        zoo.run(**{"model": Net(), "data": (X, Y), "dry_run": True, **SMALL, **given})
    assert "\n" not in str(refused.value) and "report it to" not in str(refused.value)


# ---------------------------------------------------------------------------------------------------- other targets


def test_numbers_are_learned_by_a_task_of_a_third_party(install: Callable[..., Path], tmp_path: Path) -> None:
    package = Path(__file__).parents[1] / "third_party" / "packages" / "zoo_logcosh"
    info = install("zoo-logcosh", "logcosh", (package / "__init__.py").read_text("utf-8"))
    (info.parent / "zoo_logcosh" / "task.py").write_text((package / "task.py").read_text("utf-8"), "utf-8")
    registry.cache_clear()
    ink = X.mean((1, 2)).astype(np.float64)
    split = {"train": (X[:150], ink[:150]), "test": (X[150:], ink[150:])}
    result = zoo.run(model=Net(outputs=1), data=split, task="logcosh", names=["ink"], out=tmp_path / "run", **SMALL)
    assert result.record.target.names == ("ink",) and set(result.metrics) == {"rmse", "mae"}  # type: ignore[union-attr]
    answers = zoo.load(tmp_path / "run").predict(X[150:]).answers
    off = np.array([each["ink"] for each in answers]) - ink[150:]
    assert np.sqrt((off**2).mean()) == pytest.approx(result.metrics["rmse"], rel=1e-4)
    whole = zoo.run(model=Net(outputs=1), data=(X, Y), task="logcosh", dry_run=True, **SMALL)  # integers, as numbers
    assert whole.record.target.kind == "values"
    with pytest.raises(UsageError, match=r"needs targets of kind `classes`, but data-.* has `values`"):
        zoo.run(model=Net(), data=split, task="tasks/classification", **SMALL)


def test_a_registered_spec_is_a_component_of_this_process(tmp_path: Path) -> None:
    from zoo.api import ArchitectureSpec, RecipeSpec

    spec = ArchitectureSpec(
        name="own-net", summary="A network of this test", target=f"{__name__}:build_net", input=(1, 8, 8)
    )
    assert zoo.register(spec) == "local/own-net"
    assert "local/own-net" in zoo.list_architectures("own*")
    recipe = RecipeSpec(
        name="own", summary="Digits", architecture="own-net", dataset="digits", task="classification",
        parameters={"train": {"epochs": 1, "batch_size": 200}, "device": "cpu"},
    )  # fmt: skip
    zoo.register(recipe)
    result = zoo.run("own", out=tmp_path / "run", quiet=True)
    assert (result.record.architecture, result.record.label) == ("local/own-net", "own")
    assert zoo.info("own-net")["network"]["parameters"] == 1210
    registry.cache_clear()
    with pytest.raises(UsageError, match=r"architecture local/own-net of this run was registered in another process"):
        zoo.load(tmp_path / "run")
    zoo.register(spec)
    assert len(zoo.load(tmp_path / "run").predict(X[:4])) == 4
    with pytest.raises(UsageError, match="dict cannot be registered; fix: pass one of: AdaptationSpec"):
        zoo.register({})  # type: ignore[arg-type]


def build_net(options: object, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> nn.Module:
    return Net(outputs=num_outputs)


def test_a_script_registers_what_is_in_it(tmp_path: Path) -> None:
    script = """
        import zoo
        from torch import nn
        from zoo.api import ArchitectureSpec
        def build(options, *, in_channels, num_outputs, image_size):
            return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_outputs))
        zoo.register(ArchitectureSpec(name="flat", summary="Linear", target="__main__:build", input=(1, 8, 8)))
        print(zoo.run("flat", data="digits", dry_run=True, device="cpu", quiet=True).record.parameters)
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "650\n"
