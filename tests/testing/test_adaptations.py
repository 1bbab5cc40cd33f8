"""The conformance kit on adaptations: each hook is called, and each way to break the contract is named by its check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.testing import Fault

Odd = Callable[..., list[Fault]]

SPEC = """
from zoo.api import AdaptationSpec, hookimpl

@hookimpl
def zoo_register_adaptations():
    return [AdaptationSpec(name="change", summary="x", target="zoo_odd_parts:Odd")]
"""
FREEZE = """
import copy
import torch
from torch import nn
from zoo.api import Adaptation, ReportItem, Teacher

class Freeze(Adaptation):
    def adapt(self, model, context):
        made = {"learning": "head"}
        context.print("all but the head is frozen")
        return self.rebuild(model, made), made

    def rebuild(self, model, adaptation):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(adaptation["learning"]))
        return model

def grown(model):
    model.more = nn.Linear(2, 2)
    return model

class Odd(Freeze):
    {twist}
"""


def change(twist: str) -> str:
    return FREEZE.replace("{twist}", twist.replace("\n", "\n    "))


MOVING = """
steps = 0
def on_epoch_start(self, model, epoch):
    self.steps += 1
    model.head.bias.data += 0.1 * self.steps
"""
SOUND = """
def lr_multipliers(self, model): return {'head.weight': 0.5}
def configure_train_mode(self, model): model.body.eval()
def on_epoch_start(self, model, epoch): model.head.bias.requires_grad_(epoch > 0)
def teacher(self): return Teacher(copy.deepcopy(self.plain)) if hasattr(self, 'plain') else None
def report(self, result, part, evaluate, directory):
    (directory / 'table.csv').write_text('a,b')
    return [ReportItem('Table', 'table.csv')]
"""


def test_a_sound_adaptation_has_no_faults(odd: Odd) -> None:
    assert odd(SPEC, change(SOUND)) == []


def test_one_that_learns_from_a_teacher_has_no_faults(odd: Odd) -> None:
    twist = (
        "def adapt(self, model, context):\n    self.plain = copy.deepcopy(model)\n"
        "    return super().adapt(model, context)\n"
        "def teacher(self): return Teacher(self.plain)"
    )
    assert odd(SPEC, change(twist)) == []


def test_every_hook_is_called(odd: Odd, tmp_path: Path) -> None:
    """Each writes its name, and those that may refuse nothing are all there."""
    hooks = ("adapt", "rebuild", "resume", "teacher", "lr_multipliers", "configure_train_mode", "on_epoch_start")
    twist = "\n".join(
        f"def {name}(self, *given):\n"
        f"    with open({str(tmp_path / 'called')!r}, 'a') as file:\n        file.write('{name} ')\n"
        f"    return super().{name}(*given)"
        for name in (*hooks, "report")
    )
    assert odd(SPEC, change(twist)) == []
    assert set((tmp_path / "called").read_text().split()) == {*hooks, "report"}


@pytest.mark.parametrize(
    ("twist", "check", "fault"),
    [
        ("def adapt(self, model, context): return model", "adapt", "adapt must return a tuple of a network"),
        ("def adapt(self, model, context): raise KeyError('head')", "adapt", "raised KeyError: 'head'"),
        ("def adapt(self, model, context): return model, {1, 2}", "adapt", "a description that is not JSON"),
        ("def adapt(self, model, context): return model, ['head']", "adapt", "of type list, expected dict"),
        ("def adapt(self, model, context): return nn.Linear(64, 3), {}", "rebuild", "raised KeyError"),
        (
            "def adapt(self, model, context): return super().adapt(model, context)[0], {'learning': 'body'}",
            "rebuild",
            "rebuild and adapt leave different parameters trainable",
        ),
        (
            "def adapt(self, model, context): return super().adapt(grown(model), context)",
            "rebuild",
            "rebuild and adapt return networks with different parameters",
        ),
        (
            "def resume(self, model, context, adaptation): return model, {'learning': 'body'}",
            "resume",
            "resume and adapt return different descriptions",
        ),
        # hooks that raise, and those that return something else than they should
        *(
            (f"def {name}: raise RuntimeError('never called')", "hooks", "raised RuntimeError: never called")
            for name in (
                "teacher(self)",
                "lr_multipliers(self, model)",
                "configure_train_mode(self, model)",
                "on_epoch_start(self, model, epoch)",
            )
        ),
        ("def report(self, *_): raise RuntimeError('never called')", "report", "raised RuntimeError: never called"),
        ("def report(self, *_): return 'a.png'", "report", "report must return a sequence of"),
        (
            "def teacher(self): return nn.Linear(1, 1)",
            "hooks",
            "teacher returns Linear, expected zoo.api.Teacher or None",
        ),
        (
            "def teacher(self): return Teacher(None)",
            "hooks",
            "teacher returns Teacher, expected zoo.api.Teacher or None",
        ),
        ("trains = 'yes'", "hooks", "trains is 'yes', expected True or False"),
        ("def lr_multipliers(self, model): return [0.5]", "hooks", "lr_multipliers returns list, expected a mapping"),
        (
            "def lr_multipliers(self, model): return {'tail.weight': 0.5}",
            "hooks",
            "lr_multipliers: 'tail.weight' is not a parameter of the network",
        ),
        (
            "def lr_multipliers(self, model): return {'head.weight': '0.5'}",
            "hooks",
            "lr_multipliers has '0.5', expected numbers of at least 0",
        ),
        (
            "def configure_train_mode(self, model): return model.body.eval()",
            "hooks",
            "configure_train_mode returns Sequential, expected None",
        ),
        (
            "def on_epoch_start(self, model, epoch): return epoch",
            "hooks",
            "on_epoch_start returns int, expected None",
        ),
        (
            "def on_epoch_start(self, model, epoch): model.requires_grad_(True)",
            "hooks",
            "on_epoch_start unfreezes 'body.1.bias', which adapt froze",
        ),
        (
            "def rebuild(self, model, adaptation): return model.requires_grad_(False)",
            "hooks",
            "`trains` is True, but no parameter is trainable",
        ),
        # training and exact resume
        (
            MOVING,
            "resume",
            "'head.",
        ),
        (
            "def lr_multipliers(self, model): return {name: 0.0 for name, _ in model.named_parameters()}",
            "training",
            "2 epochs of training change no parameter",
        ),
        # changed global state
        (
            "def teacher(self): torch.set_num_threads(torch.get_num_threads() + 1)",
            "global_state",
            "changed torch's number of threads",
        ),
    ],
)
def test_each_fault_is_named(odd: Odd, twist: str, check: str, fault: str) -> None:
    found = odd(SPEC, change(twist))
    assert any(fault in line and line.check == f"adaptation/change/{check}" for line in found), found


def test_an_adaptation_is_an_adaptation(odd: Odd) -> None:
    found = odd(SPEC, "class Odd: pass")
    assert [line.check for line in found] == ["adaptation/change/class"]
    assert "zoo_odd_parts:Odd is not a subclass of zoo.api.Adaptation" in found[0]
