"""Configurations that are wrong: one line each, and all problems of a file at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from zoo.errors import ConfigError, PluginError, UnknownNameError, UsageError
from zoo.registry.lookup import Registry, registry
from zoo.runs.resolve_config import parse_assignment, resolve
from zoo.support.yaml_files import write_yaml

FAULTS: dict[str, tuple[str, list[str]]] = {
    "unknown architecture": (
        "dataset: toy\narchitecture: nett\n",
        ["no architecture is called 'nett'", "did you mean net"],
    ),
    "unknown dataset": ("dataset: toyy\n", ["no dataset is called 'toyy'", "did you mean toy"]),
    "unknown task": ("dataset: toy\ntask: sorts\n", ["no task is called 'sorts'", "did you mean sort"]),
    "unknown recipe": (
        "dataset: toy\nrecipe: net_shape\n",
        ["no recipe is called 'net_shape'", "did you mean net_shapes"],
    ),
    "epochs: zero": ("dataset: toy\ntrain: {epochs: 0}\n", ["train.epochs: must be greater than or equal to 1, not 0"]),
    "epochs: negative": (
        "dataset: toy\ntrain: {epochs: -1}\n",
        ["train.epochs: must be greater than or equal to 1, not -1"],
    ),
    "epochs: text": ("dataset: toy\ntrain: {epochs: many}\n", ["train.epochs: must be a valid integer, not 'many'"]),
    "lr: nan": ("dataset: toy\ntrain: {lr: .nan}\n", ["train.lr: must be a finite number, not nan"]),
    "lr: inf": ("dataset: toy\ntrain: {lr: .inf}\n", ["train.lr: must be a finite number, not inf"]),
    "lr: zero": ("dataset: toy\ntrain: {lr: 0}\n", ["train.lr: must be greater than 0, not 0"]),
    "lr: negative": ("dataset: toy\ntrain: {lr: -1}\n", ["train.lr: must be greater than 0, not -1"]),
    "name: upwards": ("dataset: toy\nname: ../up\n", ["name: '../up' is not a valid run name"]),
    "name: newline": ('dataset: toy\nname: "a\\nb"\n', ["name: 'a\\nb' is not a valid run name"]),
    "nothing: empty": ("", ["is empty"]),
    "nothing: no dataset": ("seed: 1\n", ["no dataset is given", "--data"]),
    "case 11": ("dataset: [toy\n", [":2:1"]),
    "unknown key: top": ("dataset: toy\nsede: 1\n", ["sede: unknown key (", "; fix: did you mean seed?"]),
    "unknown key: train": (
        "dataset: toy\ntrain: {batchsize: 1}\n",
        ["train.batchsize: unknown key (", "; fix: did you mean batch_size?"],
    ),
    "unknown key: architecture": (
        "dataset: toy\narchitecture: {name: net, widht: 1}\n",
        ["architecture.widht: unknown key (", "; fix: did you mean width?"],
    ),
    "unknown key: no options": (
        "dataset: toy\narchitecture: {name: plain, width: 1}\n",
        ["architecture.width: unknown key (", "; fix: remove it"],
    ),
    "unknown key: dataset": (
        "dataset: {name: shapes, side: 1}\n",
        ["dataset.side: unknown key (", "; fix: did you mean sides?"],
    ),
    "unknown key: the core's": (
        "dataset: {name: shapes, val_fractoin: 1}\n",
        ["dataset.val_fractoin: unknown key (", "; fix: did you mean val_fraction?"],
    ),
    "unknown key: like nothing": (
        "dataset: {name: shapes, xyzzy: 1}\n",
        ["dataset.xyzzy: unknown key (", "; fix: choose one of: sides, resize, fit, scale, channels"],
    ),
    "wrong type: text": ("dataset: toy\ntrain: {lr: abc}\n", ["train.lr: must be a valid number, not 'abc'"]),
    "wrong type: a list": ("dataset: toy\nseed: [1]\n", ["seed: must be a valid integer, not [1]"]),
    "wrong type: no section": ("dataset: toy\ntrain: 3\n", ["train: must be a valid dictionary"]),
    "wrong type: dataset": ("dataset: 3\n", ["dataset: must be a valid dictionary"]),
    "wrong type: name": ("dataset: {name: [toy]}\n", ["dataset.name: must be a valid string, not ['toy']"]),
    "wrong type: option": (
        "dataset: toy\narchitecture: {name: net, width: wide}\n",
        ["architecture.width: must be a valid integer, not 'wide'"],
    ),
    "wrong type: option out of range": (
        "dataset: toy\narchitecture: {name: net, width: 0}\n",
        ["architecture.width: must be greater than or equal"],
    ),
    "wrong type: union": (
        "dataset: {name: toy, resize: big}\n",
        ["dataset.resize: must be 'auto' or 'never' or a valid integer, not 'big'"],
    ),
    "wrong type: a key that is no word": ("dataset: {name: toy, 1: 2}\n", ["dataset.1: Keys should be strings"]),
    "case 14": ("dataset: toy\ndataset: toy\n", [":2:1", "'dataset' is given twice, in lines 1 and 2"]),
    "case 15": ("dataset: !!python/object:os.system {}\n", [":1:10"]),
    "case 16": (f"dataset: toy\nname: &a [{'x, ' * 400}]\nweights: [{'*a, ' * 400}]\n", ["aliases are expanded"]),
    "case 17": ("schema: 2\ndataset: toy\n", ["schema 2 is newer than this zoo, which reads 1", "update torch-zoo"]),
    "schema: older": ("schema: 0\ndataset: toy\n", ["schema 0 is not supported by this zoo"]),
    "no such weights": (
        "dataset: toy\narchitecture: net\nweights: nowhere.safetensors\n",
        ["'nowhere.safetensors' is not a file", "check the path, or choose one of: tuned"],
    ),
    "no such weights, nearly": (
        "dataset: toy\narchitecture: net\nweights: tunde\n",
        ["'tunde' is not a file", "did you mean tuned?"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_one_line_of_exit_code_2(lab: Registry, write: Any, fault: str) -> None:
    text, words = FAULTS[fault]
    with pytest.raises(UsageError) as caught:
        resolve(lab, file=write(text if not text or "architecture: " in text else f"{text}architecture: net\n"))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_case_18_a_file_that_is_not_there_is_named(lab: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        resolve(lab, "net_shapes", file=tmp_path / "nowhere.yaml")
    assert str(tmp_path / "nowhere.yaml") in str(caught.value)


def test_weights_that_are_there_are_fine(lab: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(save({"head.weight": torch.zeros(4, 2)}))
    for weights in ("tuned", str(tmp_path / "mine.safetensors")):
        assert resolve(lab, "net_shapes", overrides={"weights": weights}).config.weights == weights


@pytest.mark.parametrize("name", ["net_shape", "lab/net_shape"])
def test_case_1_an_unknown_name_to_run(lab: Registry, name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*net_shapes"):
        resolve(lab, name)


def test_an_item_of_a_broken_plugin_ends_with_the_plugin_s_code(lab: Registry) -> None:
    with pytest.raises(PluginError, match=r"plugin 'sick' is broken: ImportError: no luck") as caught:
        resolve(lab, "net", overrides={"dataset": "sick/data"})
    assert caught.value.exit_code == 6


def test_no_dataset_is_told_with_what_to_add(lab: Registry) -> None:
    with pytest.raises(UsageError, match=r"no dataset is given.*--data"):
        resolve(lab, "net")


def test_all_problems_of_a_file_are_told_at_once(lab: Registry, write: Any) -> None:
    file = write(
        """
        schema: 2
        sede: 1
        name: a/b
        architecture: {name: net, widht: 3, kernels: 3x3}
        dataset: {name: toyy, resize: big}
        task: {name: sort, smoothing: none}
        train: {epochs: 0, lr: .nan, batchsize: 4}
        """
    )
    with pytest.raises(ConfigError) as caught:
        resolve(lab, file=file)
    starts = [
        "schema: schema 2 is newer",
        "sede: unknown key",
        "name: 'a/b' is not a valid run name",
        "architecture.widht: unknown key",
        "architecture.kernels: must be a valid tuple",
        "no dataset is called 'toyy'",
        "dataset.resize: must be",
        "task.smoothing: must be a valid number",
        "train.epochs: must be",
        "train.lr: must be",
        "train.batchsize: unknown key",
    ]
    problems = caught.value.problems
    assert len(problems) == len(starts), problems
    for start in starts:
        assert sum(problem.startswith(start) for problem in problems) == 1, (start, problems)
    assert f"{len(starts)} problems in {file}" in str(caught.value)
    assert caught.value.exit_code == 2


ODD_NAMES = ["001", "1e3", "true", "null", "0x1", "2020-01-01", "1_000", "no"]


@pytest.mark.parametrize(
    "text",
    ["dataset.classes=[{}]", "dataset={{name: digits, classes: [{}]}}", "dataset.classes=['{}']"],
    ids=["list", "section", "quoted"],
)
def test_the_names_of_classes_are_the_text_that_is_written(text: str) -> None:
    separator = "', '" if "'" in text else ", "
    assert parse_assignment(text.format(separator.join(ODD_NAMES)))["dataset"]["classes"] == ODD_NAMES


def test_a_file_s_names_of_classes_are_the_text_that_is_written_and_numbers_stay_numbers(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(
        f"dataset: {{name: digits, classes: [{', '.join(ODD_NAMES)}]}}\nname: 001\nseed: 0x10\ntrain: {{lr: 1e-3}}\n",
        encoding="utf-8",
    )
    config = resolve(registry(), "cnn_digits", file=file).config
    assert (config.dataset.classes, config.name, config.seed, config.train.lr) == (ODD_NAMES, "001", 16, 0.001)
    again = tmp_path / "config.yaml"
    again.write_text(write_yaml(config.as_dict()), encoding="utf-8")
    assert resolve(registry(), file=again).config.dataset.classes == ODD_NAMES


@pytest.mark.parametrize(("given", "kept"), [([3, "8"], ["3", "8"]), ([True], None), ([1e3], None), ([None], None)])
def test_from_python_only_whole_numbers_stand_for_names(given: list[object], kept: list[str] | None) -> None:
    overrides = {"dataset": {"classes": given}}
    if kept is not None:
        assert resolve(registry(), "cnn_digits", overrides=overrides).config.dataset.classes == kept
        return
    with pytest.raises(ConfigError, match=r"dataset\.classes\.0: must be a valid string"):
        resolve(registry(), "cnn_digits", overrides=overrides)
