"""What the text of `weights` stands for: one value, parsed in one module, that knows all that concerns the weights."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

import zoo
from zoo.api import ArchitectureSpec, Classes
from zoo.errors import UsageError
from zoo.registry.lookup import Item, registry
from zoo.reporting.console import Console
from zoo.runs.initial_weights import FileWeights, NamedWeights, RandomWeights, RunWeights, parse_weights, run_of
from zoo.runs.run_directory import RunDir

TOP = Path(__file__).parents[2]


@pytest.fixture
def cnn() -> Item[ArchitectureSpec]:
    return registry().architecture("cnn")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of a network with options of its own, on three classes."""
    overrides = {
        "dataset": {"name": "digits", "classes": ["0", "1", "2"], "resize": 16},
        "architecture": {"name": "cnn", "n_features": 4},
        "train": {"epochs": 1}, "device": "cpu",
    }  # fmt: skip
    return RunDir(
        zoo.run(overrides=overrides, out=tmp_path_factory.mktemp("runs") / "first", console=Console(quiet=True)).path
    )


def test_nothing_and_none_are_random_weights_and_known_from_each_other(cnn: Item[ArchitectureSpec]) -> None:
    assert parse_weights(None, cnn) == RandomWeights() != parse_weights("none", cnn) == RandomWeights("none")
    assert parse_weights(None, None) == RandomWeights()


def test_a_name_or_its_beginning_is_the_architectures_weights(cnn: Item[ArchitectureSpec]) -> None:
    found = parse_weights("mni", cnn)
    assert isinstance(found, NamedWeights)
    spec = cnn.spec.weights["mnist"]
    assert (found.text, found.target, found.learned, found.builder_options) == (
        "mnist",
        Classes(names=spec.classes),
        spec,
        spec.architecture_options,
    )
    assert found.file().is_file()


def test_a_file_is_known_by_the_architectures_weights_of_its_form(tmp_path: Path, cnn: Item[ArchitectureSpec]) -> None:
    shipped = NamedWeights(cnn, "mnist")
    file = tmp_path / "mnist"  # a file goes before a name
    file.write_bytes(shipped.file().read_bytes())
    found = parse_weights(str(file), cnn)
    assert isinstance(found, FileWeights)
    assert (found.text, found.target, found.learned) == (str(file), shipped.target, shipped.spec)
    assert found.inputs(7) == shipped.inputs(7)._replace(name=f"the weights `{file}`")
    own = {name: torch.zeros_like(value) for name, value in shipped.read({}).tensors.items()}
    assert all(torch.equal(value, shipped.read(own).tensors[name]) for name, value in found.read(own).tensors.items())


def test_a_file_that_is_like_no_weights_of_the_architecture_is_loaded_with_nothing_known(
    tmp_path: Path, cnn: Item[ArchitectureSpec]
) -> None:
    (tmp_path / "odd.safetensors").write_bytes(save({"x.weight": torch.zeros(3, 2)}))
    found = parse_weights(str(tmp_path / "odd.safetensors"), cnn)
    assert isinstance(found, FileWeights)
    assert (found.target, found.learned, found.inputs(None)) == (None, None, None)
    with pytest.raises(UsageError, match="the class names of these weights are unknown"):
        _ = found.known


def test_a_run_gives_its_options_its_classes_and_how_it_prepared_images(
    earlier: RunDir, cnn: Item[ArchitectureSpec]
) -> None:
    found = parse_weights(str(earlier.path), cnn)
    assert isinstance(found, RunWeights) and found.run.path == earlier.path
    assert found.text == str(earlier.path.resolve())  # it is not below ZOO_RUNS
    assert found.builder_options["n_features"] == 4
    inputs = found.inputs(None)
    assert (
        inputs is not None
        and inputs.target == Classes(names=("0", "1", "2"))
        and inputs.preprocessing == earlier.record.preprocessing
    )
    assert found.learned is not None and found.learned.input == (1, 16, 16)
    assert run_of(str(earlier.path)).path == earlier.path and run_of("none") is run_of(None) is run_of(3) is None


@pytest.mark.parametrize(
    ("text", "architecture", "key", "words"),
    [
        (
            "mnits",
            "cnn",
            None,
            "'mnits' is not a file, a run, or weights of classics/cnn (weights); fix: did you mean mnist?",
        ),
        ("nowhere", "lenet", None, "fix: check the path"),
        (
            "mnist",
            None,
            None,
            "weights: there is no architecture to load 'mnist' into; fix: remove weights, or add --arch NAME",
        ),
        (
            "mnist",
            "cnn",
            "ema",
            "weights_key: 'ema' needs a weights file, but weights is not a file; fix: remove weights_key",
        ),
        (None, "cnn", "ema", "weights_key: 'ema' needs a weights file"),
    ],
)
def test_what_is_nothing_of_these_is_refused_with_its_fix(
    text: str | None, architecture: str | None, key: str | None, words: str
) -> None:
    item = None if architecture is None else registry().architecture(architecture)
    with pytest.raises(UsageError) as caught:
        parse_weights(text, item, key)
    assert words in str(caught.value)


def test_a_run_of_another_architecture_is_refused(earlier: RunDir) -> None:
    with pytest.raises(UsageError, match=r"has classics/cnn, not classics/lenet; fix: leave --arch out"):
        parse_weights(str(earlier.path), registry().architecture("lenet"))


def _reads_weights(node: ast.AST) -> bool:
    """``….config.weights`` or ``config.weights``: the text, which only `zoo.runs.initial_weights` may interpret."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("weights", "weights_key")
        and ast.unparse(node.value).rpartition(".")[2] == "config"
    )


def test_one_module_parses_weights() -> None:
    found: dict[str, Any] = {}
    for file in [*(TOP / "zoo").rglob("*.py"), *(TOP / "plugins").rglob("*.py")]:
        reads = [
            ast.unparse(node) for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if _reads_weights(node)
        ]
        found |= {file.relative_to(TOP).as_posix(): reads} if reads else {}
    assert set(found) == {"zoo/runs/initial_weights.py"}
