"""`zoo matrix` and `zoo gradients`."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from zoo.registry.lookup import registry


def test_the_matrix_says_yes_or_why_not(zoo) -> None:
    told = zoo("matrix")
    rows = [line.split() for line in told.out.splitlines()]
    assert told.code == 0
    assert told.out.startswith("no, N: see reason N at the end\n\n")
    assert rows[2] == ["tasks/classification"]
    assert rows[3] == [
        "architecture",
        "catdog",
        "cifar10",
        "digit_sets",
        "digits",
        "digits_on_photos",
        "digits_rotated",
        "fashion_mnist",
        "folder",
        "images",
        "mnist",
        "mnist_on_photos",
        "mnist_rotated",
        "mnist_sets",
        "photos",
    ]
    row = next(line for line in told.out.splitlines() if line.split()[:1] == ["classics/cnn"])
    found = dict(zip(rows[3], re.split(r"\s{2,}", row.strip()), strict=True))
    assert {name for name, answer in found.items() if answer.startswith("no, ")} == {
        *("digit_sets", "digits_on_photos", "digits_rotated", "images"),
        *("mnist_on_photos", "mnist_rotated", "mnist_sets", "photos"),
    }
    assert (found["catdog"], found["cifar10"], found["digits"], found["folder"]) == ("yes*", "yes", "yes*", "yes*")
    tasks, networks = registry().items("task"), registry().items("architecture")
    evaluated = [task for task in tasks if task.spec.needs_architecture]
    assert len([row for row in rows if row[:1] and row[0].startswith(("classics/", "timm/"))]) == len(evaluated) * len(
        networks
    )
    assert "task TASK needs pretrained weights, but ARCHITECTURE has none" in " ".join(told.out.split())
    assert re.search(
        r"^\d+  task TASK needs targets, but DATASET has none; fix: choose another dataset", told.out, re.M
    )
    reasons = [line for line in told.out.splitlines() if re.match(r"\d+  ", line)]
    assert len(reasons) < 25  # those that differ in names are one
    assert any("task TASK needs targets of kind `multi_label`, but DATASET has `mask`" in line for line in reasons)
    alone = zoo("matrix", "--arch", "classics/alexnet", "--data", "digits", "--task", "transfer").out
    assert "1 task transfer needs pretrained weights, but alexnet has none; fix" in " ".join(alone.split())
    assert "architectures of families are not shown; to show them, add for example --arch 'timm/*'" in told.err


def test_names_and_keys_of_a_dataset_narrow_it(zoo) -> None:
    told = zoo(
        "matrix",
        "--arch",
        "torchvision/vit_b_16",
        "--data",
        "digits",
        "--task",
        "classification",
        "--set",
        "dataset.resize=never",
    )
    assert "the images are 8×8, but vit_b_16 needs 224×224 (dataset.resize=never)" in told.out
    assert told.err == ""
    (cell,) = json.loads(
        zoo("matrix", "--arch", "classics/lenet*", "--data", "digits", "--task", "classification", "--json").out
    )
    assert (cell["architecture"], cell["dataset"], cell["goes"], cell["refusal"]) == (
        "classics/lenet",
        "datasets/digits",
        True,
        None,
    )
    assert cell["changes"] == ["8×8 images are resized to 16×16"]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--data", "zzz"], 0, "no component matches this name"),
        (["--set", "train.lr=1"], 2, "--set train is none of the dataset's options"),
        (["--set", "dataset.path=x"], 2, "dataset.path: not an option common to all datasets"),
    ],
)
def test_what_the_matrix_cannot_take_is_said(zoo, arguments, code, line) -> None:
    told = zoo("matrix", *arguments)
    assert told.code == code and line in told.err


def test_gradients_of_two_networks_are_drawn_over_each_other(zoo, tmp_path, full_figures) -> None:
    file = tmp_path / "gradients.png"
    told = zoo(
        "gradients",
        "resnet18",
        "--data",
        "digits",
        "--batch-size",
        "8",
        "--versus",
        "architecture.residual=false",
        "--plot",
        str(file),
    )
    assert told.code == 0, told.err
    lines = [line.split() for line in told.out.splitlines()]
    assert [line[0] for line in lines] == ["network", "resnet18", "architecture.residual=false", "saved:"]
    assert [line[1] for line in lines[1:3]] == ["21", "18"]
    assert "one batch of datasets/digits, batch size 8, seed 0" in told.err
    with Image.open(file) as image:
        assert image.size[0] > 600


def test_gradients_as_json(zoo) -> None:
    (row,) = json.loads(zoo("gradients", "cnn_digits", "--json").out)
    assert list(row["layers"]) == ["conv1", "conv2", "fc1", "fc2"] and row["label"] == "cnn_digits"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cnn"], "no dataset is given"),
        (["cnn_digits", "--versus", "architecture.n_feature=3"], "did you mean n_features?"),
        (["cnn_digits", "--versus", "nothing"], "--set expects KEY.PATH=VALUE, not 'nothing'"),
    ],
)
def test_what_gradients_cannot_take_is_said(zoo, arguments, line) -> None:
    told = zoo("gradients", *arguments)
    assert told.code == 2 and line in told.err
