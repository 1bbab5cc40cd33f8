"""The conformance kit on architectures and families: each way to break their contract is named by its check."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from zoo.registry.lookup import registry
from zoo.testing import Fault
from zoo.testing.architectures import MANY, CheaplyFilled

Odd = Callable[..., list[Fault]]

NET = """
from zoo.api import ArchitectureSpec, Output, hookimpl

@hookimpl
def zoo_register_architectures():
    return [ArchitectureSpec(name="net", summary="x", target="zoo_odd_parts:build", input=(1, 8, 8), smallest=8{more})]
"""
LAYERS = """
import os
import random
import warnings

import numpy as np
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        {setup}
        self.fc = nn.Linear(inputs, outputs)
        self.idle = nn.Linear(3, 3) if {idle} else nn.Identity()

    def forward(self, x):
        logits = self.fc(x.flatten(1))
        {twist}
        return logits

def build(options, *, in_channels, num_outputs, image_size):
    {build}
    made = Net({inputs} * image_size[0] * image_size[1], num_outputs{classes})
    {after}
    return made
"""
MAP = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.body, self.head = nn.Conv2d(inputs, 4, 3, padding=1), nn.Conv2d(4, outputs, 1)

    def forward(self, x):
        return self.head(self.body(x)){twist}

def build(options, *, in_channels, num_outputs, image_size):
    return Net(in_channels, num_outputs)
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


def net(more: str = "") -> str:
    return NET.format(more=more)


def layers(
    idle: bool = False,
    twist: str = "pass",
    classes: str = "",
    setup: str = "pass",
    build: str = "pass",
    inputs: str = "in_channels",
    after: str = "pass",
) -> str:
    return LAYERS.format(idle=idle, twist=twist, classes=classes, setup=setup, build=build, inputs=inputs, after=after)


def flock(
    names: str = '["net"]', known: str = "name == 'net'", name: str = "name", made: str = "Flock()", twist: str = ""
) -> str:
    return FLOCK.format(names=names, known=known, name=name, made=made, twist=twist)


def test_sound_parts_have_no_faults(odd: Odd) -> None:
    assert odd(net(', head="fc"'), layers(), imported=True) == []


def test_a_sound_map_has_no_faults(odd: Odd) -> None:
    assert odd(net(', head="head", outputs=(Output(kind="map"),)'), MAP.format(twist="")) == []


def test_a_sound_auxiliary_output_has_no_faults(odd: Odd) -> None:
    twist = "if self.training: return {'output': logits, 'more': logits * 2}"
    outputs = ', outputs=(Output(), Output(name="more", auxiliary=0.3))'
    assert odd(net(outputs), layers(twist=twist)) == []


@pytest.mark.parametrize(
    ("more", "parts", "check", "fault"),
    [
        ("", "build = 3", "target", "zoo_odd_parts:build is not callable"),
        ("", "def built(): ...", "target", "could not be loaded: AttributeError"),
        (', options="zoo_odd_parts:Net"', layers(), "target", "are no zoo.api.Options"),
        (', head="top"', layers(), "build", "has no module 'top', which is the head in its spec"),
        ("", layers(classes=" + 1"), "build", "returns (2, 11) for two images"),
        ("", layers(build="assert num_outputs == 10"), "build", "could not be built for 1×8×8"),
        (", channels=(3,)", layers(), "spec", "input has 1 channels, but channels are 3"),
        ("", layers(idle=True), "gradients", "no gradient reaches idle.weight, idle.bias"),
        ("", layers(twist="logits = logits + torch.rand(1)"), "eval_mode", "two forward passes in eval mode differ"),
        (
            "",
            layers(twist="logits = logits - logits.mean(0)"),
            "eval_mode",
            "the outputs of an image depend on its batch",
        ),
        (
            "",
            layers(twist="logits = logits + id(self) % 97"),
            "saving",
            "the outputs differ after the weights are saved and loaded",
        ),
        (
            "",
            layers(setup="self.memory = torch.randn(1)", twist="logits = logits + self.memory"),
            "saving",
            "the outputs differ after the weights are saved and loaded",
        ),
        (
            "",
            layers(twist="logits = logits[:2]"),
            "output",
            "its vector for a batch of 3 has shape (2, 10), not (3, 10)",
        ),
        ("", layers(twist="logits = logits * float('nan')"), "training", "the loss of step 1 is nan"),
        ("", layers(twist="logits = logits.detach()"), "training", "raised RuntimeError"),
        # a wrong head
        (
            ', head="idle"',
            layers(twist="self.idle(x)"),
            "head",
            "the output of its head 'idle', (3, 1, 8, 8), is not the network's main output (3, 10)",
        ),
        (', head="fc"', layers(twist="logits = logits * 2"), "head", "is not the network's main output"),
        (', head="idle"', layers(), "head", "its head 'idle' is not called in a forward pass"),
        (
            ', head="idle"',
            layers(twist="logits = self.idle(logits[:, :, None, None].expand(-1, -1, 1, 2)).mean((2, 3))"),
            "head",
            "is not the network's main output",
        ),
        # what is no logits
        ("", layers(twist="logits = logits.log_softmax(1)"), "logits", "it returns log-probabilities: return logits"),
        ("", layers(twist="logits = logits.softmax(1)"), "logits", "it returns probabilities: return logits"),
        # initialisation that is not seeded
        (
            "",
            layers(build="image_size = list(image_size)")
            + "\nBuilt = Net\ndef Net(*sizes):\n    made = Built(*sizes)\n"
            "    made.fc.bias.data += float(np.random.default_rng().normal())\n    return made\n",
            "initialisation",
            "built twice with the same torch seed, fc.bias differ",
        ),
        (
            "",
            layers(after="made.fc.bias.data += np.random.normal()"),
            "initialisation",
            "built twice with the same torch seed, fc.bias differ",
        ),
        (
            "",
            layers(after="made.fc.bias.data += random.random()"),
            "initialisation",
            "built twice with the same torch seed, fc.bias differ",
        ),
        # a lie about channels
        (
            "",
            layers(build="assert in_channels in (1, 3)"),
            "channels",
            "its spec says that it supports any number of channels, but it fails with 4",
        ),
        ("", layers(build="assert in_channels != 10"), "channels", "but it fails with 10"),
        ("", layers(inputs="1"), "channels", "but it fails with 3"),
        (", channels=(1, 3)", layers(inputs="1"), "channels", "it supports 1 or 3 channels, but it fails with 3"),
        # changed global state
        (
            "",
            layers(build="torch.set_default_dtype(torch.float64)"),
            "global_state",
            "plugin 'odd' changed torch's default dtype in building odd/net",
        ),
        (
            "",
            layers(build="torch.set_num_threads(torch.get_num_threads() + 1)"),
            "global_state",
            "changed torch's number of threads",
        ),
        ("", layers(build="os.chdir('/')"), "global_state", "changed the working directory"),
        ("", layers(build="os.environ['OMP_NUM_THREADS'] = '7'"), "global_state", "changed environment variables"),
        ("", layers(build="torch.manual_seed(3)"), "global_state", "building it seeds torch's generator"),
        ("", layers(build="np.random.seed(3)"), "global_state", "changed the random state of numpy in being built"),
        ("", layers(build="random.seed(3)"), "global_state", "changed the random state of Python in being built"),
        (
            "",
            layers(build="warnings.simplefilter('ignore')"),
            "global_state",
            "changed warning filters in being built",
        ),
        (
            "",
            layers(twist="torch.set_grad_enabled(False)"),
            "global_state",
            "changed torch's gradient mode in the checks",
        ),
        ("", "import torch\ntorch.set_default_dtype(torch.float64)\n" + layers(), "global_state", "in importing"),
    ],
)
def test_each_fault_is_named(odd: Odd, more: str, parts: str, check: str, fault: str) -> None:
    found = odd(net(more), parts)
    assert any(fault in line and line.check == f"architecture/net/{check}" for line in found), found


def test_a_smallest_size_that_is_too_small_is_named(odd: Odd) -> None:
    parts = layers(build="assert min(image_size) >= 8")
    found = odd(net().replace("smallest=8", "smallest=4"), parts)
    assert [line.check for line in found] == ["architecture/net/build"] and "1×4×4" in found[0]


def test_a_default_size_that_fails_is_named(odd: Odd) -> None:
    parts = layers(build="assert max(image_size) < 16")
    found = odd(net().replace("(1, 8, 8)", "(1, 16, 16)"), parts)
    assert [line.check for line in found] == ["architecture/net/build"] and "1×16×16" in found[0]


def test_the_head_of_a_map_gives_its_channels(odd: Odd) -> None:
    found = odd(net(', head="body", outputs=(Output(kind="map"),)'), MAP.format(twist=""))
    assert [line.check for line in found] == ["architecture/net/head"], found
    assert "its head 'body' does not return the 10 channels of the main output" in found[0]


def test_a_head_behind_which_features_are_no_vector_is_named(odd: Odd) -> None:
    """The head is a convolution over a whole map, whose outputs are the network's: its input is no vector."""
    parts = MAP.replace("nn.Conv2d(4, outputs, 1)", "nn.Conv2d(4, outputs, 8)")
    found = odd(net(', head="head"'), parts.format(twist=".flatten(1)"))
    assert [line.check for line in found] == ["architecture/net/head"], found
    assert "the input of its head 'head' has shape (3, 4, 8, 8), expected features (N, D)" in found[0]


def test_log_probabilities_of_pixels_are_named(odd: Odd) -> None:
    found = odd(net(', outputs=(Output(kind="map"),)'), MAP.format(twist=".log_softmax(1)"))
    assert [line.check for line in found] == ["architecture/net/logits"], found


def test_what_no_exporter_can_write_is_named(odd: Odd) -> None:
    """A data-dependent branch, which no exporter can trace."""
    found = odd(net(), layers(twist="logits = logits if bool(logits.sum() > 0) else logits * 1.0"))
    assert {line.check for line in found} == {"architecture/net/export"}, found
    names = [item.canonical for item in registry().items("exporter")]
    assert [f"with exporter {name}: " in line for name, line in zip(names, found, strict=True)] == [True] * len(names)


def test_without_build_only_specs_and_references_are_looked_at(odd: Odd) -> None:
    assert odd(net(), layers(idle=True), build=False) == []


def test_a_sound_family_has_no_faults(odd: Odd) -> None:
    assert odd(FAMILY, layers(), family=flock()) == []


@pytest.mark.parametrize(
    ("family", "parts", "check", "fault"),
    [
        (flock(made="3"), layers(), "family/flock/members", "family 'flock': lacks version, names, spec"),
        (flock(names='["net", "net"]'), layers(), "family/flock/members", "lists 'net' twice"),
        (
            flock(names='["other"]', known="True"),
            layers(),
            "family/flock/members",
            "its example 'net' is not in names()",
        ),
        (
            flock(known="True"),
            layers(),
            "family/flock/description",
            "spec('no_such_member') must raise KeyError, since names does not list it",
        ),
        (
            flock(name="'wren'"),
            layers(),
            "family/flock/description",
            "spec('net') returns ArchitectureSpec(name='wren'",
        ),
        (
            flock(),
            layers(idle=True),
            "family/flock/net/gradients",
            "'odd/net': at 1×8×8 with 10 outputs, no gradient reaches idle.weight, idle.bias",
        ),
        (flock(), layers(classes=" + 1"), "family/flock/net/build", "returns (2, 11) for two images"),
        (flock(twist="import torch"), layers(), "plugin/import", "importing zoo_odd imports torch"),
    ],
)
def test_each_fault_of_a_family_is_named(odd: Odd, family: str, parts: str, check: str, fault: str) -> None:
    found = odd(FAMILY, parts, family=family, imported=check == "plugin/import")
    assert any(fault in line and line.check == check for line in found), found


def test_large_tensors_get_few_numbers_of_their_distribution_over_and_over() -> None:
    before = torch.get_rng_state()
    with CheaplyFilled():
        nn.Linear(1000, 1000, bias=False)
        nn.init.normal_(torch.empty(1000, 1000))
        assert torch.equal(torch.get_rng_state(), before)  # left out as a whole
        nan = torch.full((1010, 1000), torch.nan)
        uniform, normal = nan.clone().uniform_(3, 4), nan.clone().normal_(5, 0.1)
        cut = nn.init.trunc_normal_(nan.clone(), 0.0, 1.0, -0.5, 0.5)  # draws until all are within
        nn.Linear(10, 10)
    for found, low, high in ((uniform, 3, 4), (normal, 4, 6), (cut, -0.5, 0.5)):
        assert bool(((found >= low) & (found <= high)).all())
        assert 1000 < len(found.unique()) <= MANY
    assert not torch.equal(torch.get_rng_state(), before)
