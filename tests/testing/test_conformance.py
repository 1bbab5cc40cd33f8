"""The conformance kit: every installed plugin passes, and each way to break the contract is named."""

from __future__ import annotations

import sys

import pytest

from zoo.registry.lookup import registry
from zoo.testing import check_plugin, find_faults

NET = """
from zoo.api import ArchitectureSpec, hookimpl

@hookimpl
def zoo_register_architectures():
    return [ArchitectureSpec(name="net", summary="x", target="zoo_odd_parts:build", input=(1, 8, 8), smallest=8{more})]
"""
DATA = """
from zoo.api import DatasetSpec, hookimpl

@hookimpl
def zoo_register_datasets():
    facts = dict(classes=("a", "b"), shape=(1, 4, 4), mean=(0.5,), std=(0.5,), licence="CC0-1.0")
    return [DatasetSpec(name="data", summary="x", target="zoo_odd_parts:open_it", **facts)]
"""
TASK = """
from zoo.api import TaskSpec, hookimpl

@hookimpl
def zoo_register_tasks():
    return [TaskSpec(name="task", summary="x", target="zoo_odd_parts:build")]
"""
RECIPE = """
from zoo.api import RecipeSpec, hookimpl

@hookimpl
def zoo_register_recipes():
    parts = dict(architecture="classics/cnn", dataset="datasets/digits", task="tasks/classification")
    return [RecipeSpec(name="odd", summary="x", **parts, {more})]
"""
COMMAND = """
from zoo.api import CommandSpec, hookimpl

@hookimpl
def zoo_register_commands():
    return [CommandSpec(name="other", summary="x", target="zoo_odd_parts:app")]
"""
FAMILY = """
from zoo.api import FamilySpec, hookimpl

@hookimpl
def zoo_register_families():
    return [FamilySpec(name="flock", summary="x", target="zoo_odd_flock:FAMILY", examples=("net",))]
"""
FLOCK = """
from zoo.api import ArchitectureSpec
{twist}

class Flock:
    version = "1"

    def names(self):
        return {names}

    def spec(self, name):
        if {known}:
            return ArchitectureSpec(name={name}, summary="x", target="zoo_odd_parts:build", input=(1, 8, 8), smallest=8)
        raise KeyError(name)

FAMILY = {made}
"""
LAYERS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.fc = nn.Linear(64, classes)
        self.idle = nn.Linear(3, 3) if {idle} else nn.Identity()
        self.memory = torch.zeros(1)

    def forward(self, x):
        logits = self.fc(x.flatten(1))
        {twist}
        return logits

def build(*, in_channels, num_classes, image_size):
    return Net(num_classes{classes})
"""
PICTURES = """
import numpy as np
from zoo.api import Split

class Data:
    parts = {parts}
    fingerprint = "f"

    def load(self, split):
        return Split(np.zeros((6, 1, 4, {width}), np.{dtype}), np.array({labels}))

def open_it(store):
    return Data()
"""
LABELS = "[0, 1, 0, 1, 0, 1]"
JOB = """
from zoo.api import Evaluation, ReportItem, Loss, Monitor
from zoo_tasks.classification import Classification

class Odd(Classification):
    {twist}

def build():
    return Odd()
"""


def layers(idle: bool = False, twist: str = "", classes: str = "") -> str:
    return LAYERS.format(idle=idle, twist=twist, classes=classes)


def pictures(
    parts: str = "{'train': 't', 'report': 'r'}", width: int = 4, dtype: str = "uint8", labels: str = LABELS
) -> str:
    return (
        PICTURES.replace("{parts}", parts)
        .replace("{width}", str(width))
        .replace("{dtype}", dtype)
        .replace("{labels}", labels)
    )


def job(twist: str) -> str:
    return JOB.replace("{twist}", twist)


def flock(
    names: str = '["net"]', known: str = "name == 'net'", name: str = "name", made: str = "Flock()", twist: str = ""
) -> str:
    return FLOCK.format(names=names, known=known, name=name, made=made, twist=twist)


@pytest.fixture
def odd(install, monkeypatch):
    """Faults of a plugin made of this source, with the implementation in a second module, and a family in a third,
    which imports no torch."""

    def faults(source: str, parts: str = "", build: bool = True, family: str = "") -> list[str]:
        site = install("zoo-odd", "odd", source).parent
        for module, text in {"zoo_odd_parts": parts, "zoo_odd_flock": family}.items():
            (site / f"{module}.py").write_text(text, encoding="utf-8")
            monkeypatch.delitem(sys.modules, module, raising=False)
        registry.cache_clear()
        return find_faults("odd", build=build)

    yield faults
    for module in ("zoo_odd_parts", "zoo_odd_flock"):
        sys.modules.pop(module, None)
    registry.cache_clear()


@pytest.mark.parametrize("namespace", [plugin.namespace for plugin in registry().plugins])
def test_every_installed_plugin_keeps_the_contract(namespace) -> None:
    check_plugin(namespace)


def test_a_plugin_is_found_by_its_module_too() -> None:
    assert find_faults("zoo_datasets", build=False) == []


def test_sound_parts_have_no_faults(odd) -> None:
    assert odd(NET.format(more=', head="fc"'), layers()) == []


@pytest.mark.parametrize(
    ("source", "parts", "fault"),
    [
        ("raise RuntimeError('no')", "", "the plugin is broken: importing zoo_odd raised RuntimeError: no"),
        ("import numpy", "", "importing zoo_odd imports numpy"),
        (NET.format(more=', head="top"'), layers(), "has no module 'top', which its spec names as its head"),
        (NET.format(more=""), "build = 3", "zoo_odd_parts:build cannot be called"),
        (NET.format(more=""), "def built(): ...", "could not be loaded: AttributeError"),
        (NET.format(more=', options="zoo_odd_parts:Net"'), layers(), "are no zoo.api.Options"),
        (NET.format(more=""), layers(idle=True), "no gradient reaches idle.weight, idle.bias"),
        (NET.format(more=""), layers(twist="logits = logits + torch.rand(1)"), "two passes in eval mode differ"),
        (NET.format(more=""), layers(twist="logits = logits - logits.mean(0)"), "logits depend on the batch it is in"),
        (
            NET.format(more=""),
            layers(twist="logits = logits + id(self) % 97"),
            "the outputs change when the weights are saved and loaded",
        ),
        (NET.format(more=""), layers(twist="logits = logits[:2]"), "logits for a batch of 3 are (2, 10), not (3, 10)"),
        (NET.format(more=""), layers(classes=" + 1"), "gives (2, 11) for two pictures"),
        (NET.format(more="").replace("smallest=8", "smallest=4"), layers(), "fails on pictures of 1×4×4"),
        (DATA, pictures("{'train': 't'}"), "no split serves as test"),
        (DATA, pictures(width=5), "pictures are (1, 4, 5), and the spec says (1, 4, 4)"),
        (DATA, pictures(dtype="float32"), "images are float32 (6, 1, 4, 4), where uint8 (N, C, H, W) is due"),
        (DATA, pictures(labels="[0, 1, 2, 0, 1, 2]"), "it is empty, or has labels outside 0…1"),
        (DATA, pictures(labels="[0.0] * 6"), "labels are float64 (6,), where integers (6,) are due"),
        (
            DATA.replace("mean=(0.5,)", "mean=(0.5, 0.5)"),
            pictures(),
            "mean and std need a number for each of 1 channels",
        ),
        (
            TASK,
            "def build(): return object()",
            "lacks prepare, restructure, evaluate, report, loss, or fit where there is nothing to train",
        ),
        (TASK, job("monitor = None"), "monitor is no zoo.api.Monitor"),
        (
            TASK,
            job("monitor = Monitor('f1', 'max')"),
            "monitor names 'f1', and the metrics are accuracy, macro_f1, calibration_error, loss",
        ),
        (
            TASK,
            job("def loss(self, logits, batch): return logits"),
            "the loss is (12, 3), where a zoo.api.Loss, or one finite number, is due",
        ),
        (
            TASK,
            job("def loss(self, logits, batch): return logits.sum() * float('nan')"),
            "the loss is nan, where a finite number is due",
        ),
        (
            TASK,
            job("def loss(self, logits, batch): return logits.sum()"),
            "give values and weights of the samples (zoo.api.Loss)",
        ),
        (TASK, job("def loss(self, logits, batch): return Loss(logits)"), "where one value a sample is due: (12,)"),
        (
            TASK,
            job("def loss(self, logits, batch): return logits.detach().mean().requires_grad_()"),
            "no gradient of the loss reaches the model",
        ),
        (TASK, job("def evaluate(self, *_): return {}"), "evaluate gives dict, where zoo.api.Evaluation is due"),
        (
            TASK,
            job("def report(self, *_): return ['plots/a.png']"),
            "report gives something else than zoo.api.Exhibits",
        ),
        (
            TASK,
            job("def report(self, *_): return [ReportItem('A', '../a.png')]"),
            "report shows '../a.png', which is no .png or .csv that it wrote",
        ),
        (TASK, job("def prepare(self, model, data): return model, {1, 2}"), "raised TypeError"),
        (
            TASK,
            job("def restructure(self, model, structure): return model[1]"),
            "restructure(structure) gives other parameters",
        ),
        (
            TASK,
            job("def fit(self, model, data, note): model.append(model[1])"),
            "fit gives the model other parameters than prepare did",
        ),
        (
            RECIPE.format(more="parameters={'train': {'epoch': 3}}"),
            "",
            "train.epoch: unknown key; fix: did you mean epochs?",
        ),
        (RECIPE.format(more="weights='best'"), "", "its architecture names no weights 'best'"),
        (COMMAND, "def app(): ...", "call it 'odd'"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and " " in value and "\n" not in value else "",
)
def test_each_fault_is_named(odd, source, parts, fault) -> None:
    found = odd(source, parts)
    assert any(fault in line for line in found), found


def test_a_sound_family_has_no_faults(odd) -> None:
    assert odd(FAMILY, layers(), family=flock()) == []


@pytest.mark.parametrize(
    ("family", "parts", "fault"),
    [
        (flock(made="3"), layers(), "family 'flock': lacks version, names, spec"),
        (flock(names='["net", "net"]'), layers(), "lists 'net' twice"),
        (flock(names='["other"]', known="True"), layers(), "its example 'net' is not among its names"),
        (flock(known="True"), layers(), "describes 'no_such_member', which it does not list; raise KeyError"),
        (flock(name="'wren'"), layers(), "describes 'net' as ArchitectureSpec(name='wren'"),
        (flock(), layers(idle=True), "'odd/net': at 1×8×8 with 10 classes, no gradient reaches idle.weight, idle.bias"),
        (flock(), layers(classes=" + 1"), "gives (2, 11) for two pictures"),
        (flock(twist="import torch"), layers(), "importing zoo_odd imports torch"),
    ],
)
def test_each_fault_of_a_family_is_named(odd, family, parts, fault) -> None:
    found = odd(FAMILY, parts, family=family)
    assert any(fault in line for line in found), found


def test_every_fault_is_in_the_one_assertion(odd) -> None:
    odd(DATA, pictures("{'train': 't'}", width=5))
    with pytest.raises(AssertionError, match="plugin 'odd' does not keep the contract") as caught:
        check_plugin("odd")
    assert len(str(caught.value).splitlines()) == 3


def test_without_build_only_specs_and_references_are_looked_at(odd) -> None:
    assert odd(NET.format(more=""), layers(idle=True), build=False) == []


def test_a_namespace_that_is_not_there_is_said() -> None:
    with pytest.raises(AssertionError, match=r"no plugin has the namespace 'nowhere'.*pip install -e"):
        check_plugin("nowhere")
