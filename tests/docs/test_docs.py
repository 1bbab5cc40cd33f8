"""README and docs agree with the code; what they show is run."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import pytest
from PIL import Image

from zoo.cli.app import run_cli
from zoo.config.run_config import DatasetSection, RunConfig, Section, TrainConfig
from zoo.models.building import build_model, count_parameters
from zoo.registry.lookup import options_model, registry
from zoo.runs.resolve_config import resolve
from zoo.support.formatting import label, plural, spread, value

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def key_table() -> str:
    lines = ["| key | default | what |", "| --- | --- | --- |"]
    for prefix, model in (("", RunConfig), ("dataset.", DatasetSection), ("train.", TrainConfig)):
        for name, field in model.model_fields.items():
            if name in ("architecture", "dataset", "task", "train") or (
                prefix == "dataset." and name in Section.model_fields
            ):
                continue
            default = (
                ""
                if field.is_required()
                else f"`{field.get_default(call_default_factory=True)}`".replace("`None`", "none")
            )
            lines.append(f"| `{prefix}{field.alias or name}` | {default} | {field.description or ''} |")
    return "\n".join(lines)


def test_the_configuration_page_lists_every_key_with_its_default() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert key_table() in page, f"docs/configuration.md must hold:\n{key_table()}"


def augmentation_table() -> str:
    lines = ["| augmentation | what it does | options |", "| --- | --- | --- |"]
    (plugin,) = (plugin for plugin in registry().plugins if plugin.namespace == "augment")
    for spec in plugin.specs["augmentation"]:
        fields = options_model(registry().augmentation(spec.name)).model_fields
        options = ", ".join(f"`{key}` {field.default}" for key, field in fields.items())
        lines.append(f"| `{spec.name}` | {spec.summary} | {options} |")
    return "\n".join(lines)


def test_the_training_page_lists_every_augmentation() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert augmentation_table() in page, f"docs/training.md must hold:\n{augmentation_table()}"


def test_the_training_page_names_keys_that_exist() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").partition("## Augmentation")[0]
    keys = [key for row in re.findall(r"^\| (`.*?`) \|", page, re.M) for key in re.findall(r"`(\w+)`", row)]
    assert len(keys) > 12
    assert set(keys) <= set(TrainConfig.model_fields)


OUTPUTS = {"tasks/retrieval": 64, "tasks/regression": 1, "tasks/segmentation": 5}
"""Of tasks that do not have one for each class or label."""


def recipe_table() -> str:
    rows = []
    for item in registry().items("recipe", namespace="classics"):
        config, expected = resolve(registry(), item.canonical).config, item.spec.expected
        if expected is None:
            continue
        channels, *shape = {
            "datasets/digits": (1, 28, 28),
            "datasets/mnist": (1, 28, 28),
            "datasets/cifar10": (3, 32, 32),
            "datasets/digit_sets": (1, 32, 32),
            "datasets/mnist_sets": (1, 56, 56),
            "datasets/digits_rotated": (1, 28, 28),
            "datasets/mnist_rotated": (1, 28, 28),
            "datasets/digits_on_photos": (3, 32, 32),
            "datasets/mnist_on_photos": (3, 48, 48),
        }[config.dataset.name]
        outputs = OUTPUTS.get(config.task.name, len(config.dataset.classes or range(10)))
        model = build_model(
            registry(), config.architecture, in_channels=channels, num_outputs=outputs, image_size=tuple(shape)
        )
        epochs = f"{config.train.epochs} epoch{'s' if config.train.epochs > 1 else ''}"
        start = f"| `{item.spec.name}` | {item.spec.summary} | {count_parameters(model)[0]:,}"
        several = expected.seeds > 1
        reached = (spread if several else value)(expected.metric, expected.mean, *[expected.sd] * several)
        named = "" if expected.metric == "accuracy" else f"{label(expected.metric)} "
        measured = f"{plural(expected.seeds, 'seed')}, {epochs}, {expected.seconds:.0f} s per run on {expected.device}"
        rows.append(f"{start} | {named}{reached} ({measured}) |")
    return "\n".join(rows)


def test_the_recipe_table_is_what_the_specs_say() -> None:
    assert recipe_table() in README, f"README.md must hold:\n{recipe_table()}"


def commands(text: str) -> list[str]:
    """The lines of console blocks that call the zoo, without their comments."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.S)
    return [
        line[2:].partition(" #")[0].strip()
        for block in blocks
        for line in block.splitlines()
        if line.startswith("$ zoo ")
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder where the README's runs have been made, quickly: MNIST stands for itself only where its data is."""
    return tmp_path_factory.mktemp("readme")


SUBSTITUTES = {"cnn_mnist": "cnn_digits", "--seeds 3": "--seeds 2", "exports/cnn_mnist": "exports/cnn_digits"}


@pytest.mark.parametrize("command", commands(README.partition("## Use")[2]))
def test_the_commands_of_the_readme_are_right(command, trained, monkeypatch, capsys) -> None:
    """Each is run, in order, in one folder; on embedded data, one epoch, and on an image of the run where an image is
    named. The first screen is in test_guides.py."""
    monkeypatch.chdir(trained)
    monkeypatch.setenv("ZOO_RUNS", str(trained / "runs"))
    monkeypatch.setenv("ZOO_EXPORTS", str(trained / "exports"))
    if command.startswith("zoo run --resume"):
        pytest.skip("needs a run that was stopped: tests/training/test_resume.py has it")
    for old, new in SUBSTITUTES.items():
        command = command.replace(old, new)
    images = sorted(trained.glob("runs/cnn_digits/*/samples/*.png"))
    words = shlex.split(command)[1:]
    if words[0] == "run":
        words += ["--set", "train.epochs=1"] if "--epochs" not in words else []
    words = [str(images[0]) if word == "image.png" else word for word in words]
    code = run_cli(words)
    told = capsys.readouterr()
    assert code == 0, f"{command}\n{told.out}\n{told.err}"


@pytest.mark.parametrize("command", commands((ROOT / "docs" / "weights.md").read_text(encoding="utf-8")))
def test_the_commands_of_the_page_of_weights_are_right(command, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28), 100).save("digit.png")
    assert run_cli(shlex.split(command)[1:]) == 0, capsys.readouterr().err


NETWORKS = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", commands(NETWORKS))
def test_the_commands_of_the_page_of_networks_are_right(command, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    assert (
        command != "zoo arithmetic conv2d --input 3,32,32 --out 10 --kernel 5"
        or textwrap.indent(capsys.readouterr().out, "    ") in NETWORKS
    )


SVD = (ROOT / "docs" / "svd.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def factorised(tmp_path_factory):
    """A folder where the runs of the page on singular values have been made."""
    return tmp_path_factory.mktemp("svd")


@pytest.mark.parametrize("command", commands(SVD))
def test_the_commands_of_the_page_of_singular_values_are_right(command, factorised, monkeypatch, capsys) -> None:
    """Each is run, in order, in one folder."""
    monkeypatch.chdir(factorised)
    monkeypatch.setenv("ZOO_RUNS", str(factorised / "runs"))
    if "RUN" in command:
        (run,) = (factorised / "runs" / "svd_image").iterdir()
        command = command.replace("RUN", run.name)
    words = shlex.split(command)[1:]
    if words == ["run", "digits_svd"]:  # tests/plugins/zoo_svd/test_networks.py runs it, and exports the result
        words.append("--dry-run")
    code = run_cli(words)
    assert code == 0, f"{command}\n{capsys.readouterr().err}"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "exports" / "cnn_digits" / "model.onnx").exists()


def test_every_yaml_of_the_configuration_page_is_valid(tmp_path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for block in re.findall(r"```yaml\n(.*?)```", page, re.S):
        file = tmp_path / "my.yaml"
        file.write_text(block)
        config = resolve(registry(), file=file).config
        assert config.train.epochs == 30
        assert config.train.optimizer == resolve(registry(), "cnn_digits").config.train.optimizer


def test_the_tree_of_the_readme_is_there() -> None:
    tree = README.partition("## Repository layout")[2].partition("## ")[0]
    folders = re.findall(r"^    (\w+)/ ", tree, re.M)
    assert {"zoo", "plugins", "exports", "tests", "docs", "examples", "benchmarks"} == set(folders)
    assert all((ROOT / folder).is_dir() for folder in folders)
