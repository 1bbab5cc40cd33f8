"""The conformance kit on datasets: each way to break their contract is named by its check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.testing import Fault

Odd = Callable[..., list[Fault]]

DATA = """
from zoo.api import DatasetSpec, hookimpl

@hookimpl
def zoo_register_datasets():
    facts = dict(shape=(1, 4, 4), mean=(0.5,), std=(0.5,), licence="CC0-1.0")
    return [DatasetSpec(name="data", summary="x", target="zoo_odd_parts:open_it", **facts, **dict({more}))]
"""
CLASSES = "classes=('a', 'b')"
IMAGES = """
import hashlib
import random

import numpy as np
import torch
from zoo.api import Classes, Dataset, Mask, MultiLabel, Options, SampleSource, Split

COUNTS = {"train": 6, "rest": 2}

class Choice(Options):
    brighter: bool = False

def images(split, count=6):
    return np.random.RandomState(len(split)).randint(0, 200, (count, 1, 4, {width})).astype(np.{dtype})

def noise():
    return np.random.default_rng().integers(9, dtype=np.uint8)

class Data(Dataset):
    parts = {parts}
    target = {target}
    brighter = False

    @property
    def fingerprint(self):
        return {fingerprint}

    def load(self, split):
        {load}
        return Split(images(split) + 50 * self.brighter, np.array({labels}))

def open_it(options, store):
    {opening}
    return Data()
"""
LABELS = "[0, 1, 0, 1, 0, 1]"
PARTS = "{'train': 'train', 'test': 'rest'}"
SOURCE = """
class Source(SampleSource):
    def __init__(self, split):
        self.split = split

    def __len__(self):
        return {length}

    def images(self, indices):
        return images(self.split, len(self))[indices]{twist}

    def targets(self, indices):
        return {labels}[indices % 6]
"""


def data(more: str = CLASSES) -> str:
    return DATA.replace("{more}", more)


def parts(**changes: str) -> str:
    text = IMAGES
    usual = {
        "parts": PARTS,
        "target": "None",
        "width": "4",
        "dtype": "uint8",
        "labels": LABELS,
        "fingerprint": "'f'",
        "load": "pass",
        "opening": "pass",
    }
    for name, value in {**usual, **changes}.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def source(length: str = "6", labels: str = f"np.array({LABELS})", twist: str = "", **changes: str) -> str:
    made = SOURCE
    for name, value in {"length": length, "labels": labels, "twist": twist}.items():
        made = made.replace(f"{{{name}}}", value)
    return parts(**{"load": "return Split(Source(split))", **changes}) + made


def test_a_sound_dataset_has_no_faults(odd: Odd) -> None:
    assert odd(data(), parts()) == []


def test_sound_samples_made_on_demand_have_no_faults(odd: Odd) -> None:
    assert odd(data(), source()) == []


def test_more_samples_than_are_looked_at_have_no_faults(odd: Odd) -> None:
    assert odd(data(), source(length="5000")) == []


@pytest.mark.parametrize(
    ("more", "parts", "check", "fault"),
    [
        (CLASSES, parts(parts="{'train': 'train'}"), "parts", "parts has no test split"),
        (CLASSES, parts(width="5"), "split", "images have shape (1, 4, 5), but the spec has (1, 4, 4)"),
        (CLASSES, parts(dtype="float32"), "split", "must be uint8 (N, C, H, W), not float32 (6, 1, 4, 4)"),
        (CLASSES, parts(labels="[0, 1, 2, 0, 1, 2]"), "split", "has the label 2, outside 0…1"),
        (CLASSES, parts(labels="[0.0] * 6"), "split", "must be integers (N,), not float64 (6,)"),
        (
            CLASSES,
            parts(load="return Split(images(split))"),
            "split",
            "it has no targets; only the predict split may have none",
        ),
        (CLASSES, parts(load="raise RuntimeError('gone')"), "split", "raised RuntimeError: gone"),
        (CLASSES, parts(opening="return 3"), "open", "opens as int, expected zoo.api.Dataset"),
        (CLASSES, parts(target="Mask(names=('a',))"), "open", "its targets are mask, but its spec has classes"),
        ("classes=('a', 'a')", parts(), "spec", "a class name occurs twice"),
        # a class without samples
        (CLASSES, parts(labels="[0] * 6"), "classes", "split 'train': no sample has the class 'b'"),
        (CLASSES, source(labels="np.zeros(6, int)"), "classes", "split 'train': no sample has the class 'b'"),
        (
            "targets=('multi_label',)",
            parts(target="MultiLabel(names=('a', 'b'))", labels="[[1, 0]] * 6, np.uint8"),
            "classes",
            "no sample has the class 'b'",
        ),
        (
            "targets=('mask',)",
            parts(target="Mask(names=('a', 'b'))", labels="np.zeros((6, 4, 4), np.uint8)"),
            "classes",
            "no sample has the class 'b'",
        ),
        # train equal to test
        (
            CLASSES,
            parts(parts="{'train': 'same', 'test': 'same'}"),
            "leak",
            "all images of split 'same' (test) are also in the train split",
        ),
        (
            CLASSES,
            parts(load="return Split(images('x')[:: 1 if split == 'train' else -1], np.array([0, 1] * 3))"),
            "leak",
            "all images of split 'rest' (test) are also in the train split",
        ),
        (
            CLASSES,
            parts(load="return Split(images('x', 6)[: COUNTS[split]], np.array([0, 1] * 3)[: COUNTS[split]])"),
            "leak",
            "all images of split 'rest' (test) are also in the train split",
        ),
        (CLASSES, source(parts="{'train': 'a', 'val': 'b', 'test': 'cc'}"), "leak", "all images of split 'b' (val)"),
        # content that differs under one fingerprint
        (
            CLASSES,
            parts(load="return Split(images(split) + noise(), np.array([0, 1] * 3))"),
            "fingerprint",
            "the content changes each time the dataset is opened",
        ),
        (
            CLASSES,
            source(twist=" + noise()"),
            "fingerprint",
            "the content changes each time the dataset is opened",
        ),
        (
            CLASSES,
            source(labels="np.random.default_rng().permutation([0, 1] * 3)"),
            "fingerprint",
            "the content changes each time the dataset is opened",
        ),
        (
            f"{CLASSES}, options='zoo_odd_parts:Choice'",
            parts(opening="Data.brighter = options.brighter"),
            "fingerprint",
            "with brighter=True the content changes, but the fingerprint does not",
        ),
        (
            CLASSES,
            parts(fingerprint="''"),
            "fingerprint",
            "the fingerprint is empty or changes each time the dataset is opened",
        ),
        (CLASSES, parts(fingerprint="str(id(self))"), "fingerprint", "the fingerprint is empty or changes each"),
        # what is made on demand
        (CLASSES, source(labels="np.array([0, 1, 2, 0, 1, 2])"), "split", "has the label 2, outside 0…1"),
        (
            CLASSES,
            source(twist=".astype('float32')"),
            "split",
            "the sample source did not return 6 images as uint8 (n, C, H, W)",
        ),
        (CLASSES, source(twist="[:1]"), "split", "the sample source did not return 6 images as uint8 (n, C, H, W)"),
        # changed global state
        (CLASSES, parts(opening="np.random.seed(0)"), "global_state", "changed the random state of numpy"),
        (CLASSES, parts(load="random.random()"), "global_state", "changed the random state of Python"),
        (CLASSES, parts(load="torch.manual_seed(1)"), "global_state", "changed the random state of torch"),
        (
            CLASSES,
            parts(opening="torch.set_default_dtype(torch.float64)"),
            "global_state",
            "changed torch's default dtype in opening the dataset",
        ),
    ],
)
def test_each_fault_is_named(odd: Odd, more: str, parts: str, check: str, fault: str) -> None:
    found = odd(data(more), parts)
    assert any(fault in line and line.check == f"dataset/data/{check}" for line in found), found


def test_mean_and_std_are_of_each_channel(odd: Odd) -> None:
    found = odd(data().replace("mean=(0.5,)", "mean=(0.5, 0.5)"), parts())
    assert [line.check for line in found] == ["dataset/data/spec"]
    assert "mean and std must have 1 values, one per channel" in found[0]
