"""What the conformance kit finds: faults, each with the identifier of the check that found it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from zoo.errors import ZooError
from zoo.registry.plugin_isolation import contained, describe

OF_ANY = {
    "target": "it can be imported and called, and its options are a zoo.api.Options in which each has a default",
    "global_state": (
        "importing, building and opening it changes nothing in the process: default dtype and device, threads, random "
        "generators, warning filters, working folder, environment"
    ),
}
"""Checks of every kind that has an implementation."""
CHECKS: dict[str, dict[str, str]] = {
    "plugin": {
        "state": "it is found, imported and compatible",
        "contract": "it states the version of the contract it was written for, as ZOO_API",
        "import": "importing it and calling its hooks imports neither torch nor numpy",
        "data": "`data` names datasets of the plugin that take a path",
        "global_state": "its import and registration change nothing in the process",
    },
    "architecture": {
        **OF_ANY,
        "spec": "its default input and its weights go with each other and with the channels that it names",
        "build": (
            "it is built and runs at its smallest and at its default size, and with another number of outputs; its "
            "outputs are what the spec declares"
        ),
        "initialisation": "built twice under one seed of torch, its parameters are equal",
        "output": "the main output has its shape for batches of 1 and 3",
        "logits": "it gives logits, not probabilities or log-probabilities",
        "head": "the module that `head` names gives the main output, and its input is a vector of features",
        "eval_mode": "in eval mode, two passes agree, and no output depends on the other images of its batch",
        "gradients": "a gradient reaches every parameter that is trained",
        "training": "two steps of training have finite losses and change its parameters",
        "saving": "its outputs are the same after saving the weights and loading them into a new network",
        "channels": "it is built and runs with each number of channels that the spec names; 1, 3, 4 and 10 if none",
        "weights": "shipped weights are the file that the spec describes, and fit the network",
        "export": "the smallest network of each kind of output is exported by each exporter, and verified",
    },
    "dataset": {
        **OF_ANY,
        "spec": "mean and std have a number for each channel; no class is named twice",
        "open": "it opens, and its targets are of a kind that the spec names",
        "parts": "its parts have a train and a test split, or a predict split where it has no targets",
        "split": "images and targets have the types, shapes and values that the spec and the target say",
        "classes": "each class and label has samples",
        "leak": "the validation and the test split are not images of the train split",
        "fingerprint": "the same content has the same fingerprint, and another content another one",
    },
    "task": {
        **OF_ANY,
        "class": "target names a zoo.api.Task (solver: a zoo.api.Solver), whose monitor is a Monitor",
        "statistics": "they are JSON, and the task can be made of them; `constants` finds the numbers in them",
        "outputs": "num_outputs is a number above 0",
        "loss": "it is a zoo.api.Loss, finite, and has a gradient",
        "per_sample": "the loss of samples does not depend on the others of their batch, or the task is batchwise",
        "evaluation": "the evaluator gives an EvaluationResult, with the metric that the monitor names",
        "merge": "merged evaluators give what one gives that has seen all batches",
        "decision": "it is a zoo.api.Decision, of one kind with and without a validation result",
        "report": "it returns ReportItems whose files it wrote",
        "training": "two epochs by zoo's trainer change the network",
        "resume": "a training that is interrupted and resumed ends with the same weights and metrics",
        "solution": "a solver plans in JSON, and fills the module that it rebuilds from that",
    },
    "adaptation": {
        **OF_ANY,
        "class": "target names a zoo.api.Adaptation",
        "adapt": "it changes a network, and says how in JSON",
        "rebuild": "it makes the same change from that JSON alone",
        "resume": "resuming makes the same change, and a resumed training ends with the same weights and metrics",
        "hooks": (
            "trains, teacher, lr_multipliers, configure_train_mode and on_epoch_start can be called and return what "
            "they should; nothing that adapt froze is thawed"
        ),
        "training": "two epochs by zoo's trainer change the network, where `trains` says so",
        "report": "it returns ReportItems whose files it wrote",
    },
    "exporter": {
        **OF_ANY,
        "methods": "it has emit, check, runner and first_mismatch",
        "vector": "a small network with a vector output is exported and verified against PyTorch",
        "map": "the same with a map output",
    },
    "augmentation": {
        **OF_ANY,
        "build": "it is a zoo.api.Augmentation with a number of draws",
        "pixels": "images keep their shape and values of 0 to 255, uint8 and float, grey and RGB",
        "geometry": "matrices are float32 (N, 2, 3) or, whatever the draws, None; resample has a geometry too",
        "arguments": "no method changes its arguments",
        "draws": "an image's change depends on its own draws alone, and on them",
    },
    "metric": {
        **OF_ANY,
        "build": "it is built for each kind of target that it accepts",
        "value": "it gives one finite number",
        "batches": "it gives the same of one batch as of the same samples in several, and starts anew when built again",
        "arguments": "it does not change its arguments",
    },
    "recipe": {
        "configuration": "it resolves to a plan that can run: names, options, metrics, augmentation and image size",
        "weights": "its architecture names the weights that it ships",
        "optimizer": "the optimizer and its options exist",
        "schedule": "the schedule and its options exist",
        "metrics": "train.metrics can be built with their options",
        "expected": "expected.metric is a metric of its task, or one of train.metrics",
        "global_state": OF_ANY["global_state"],
    },
    "family": {
        **OF_ANY,
        "members": "it has version, names and spec; no name twice, and its examples are among them",
        "description": "it describes each member under its name, and raises KeyError for others",
    },
    "command": {**OF_ANY, "name": "the group has the plugin's name"},
}
"""What is checked of each kind: the last part of a check's identifier, and what must hold.

The examples of a family are held to the checks of an architecture, as ``family/NAME/EXAMPLE/CHECK``.
"""
WITHOUT_BUILDING = {("plugin", check) for check in CHECKS["plugin"]} | {
    *((kind, "target") for kind, checks in CHECKS.items() if "target" in checks),
    ("recipe", "configuration"),
    ("recipe", "weights"),
    ("command", "name"),
}
"""Kind and name of the checks that need no torch."""


class Finding(NamedTuple):
    """What one check of an item found."""

    check: str
    text: str


class Fault(str):
    """A fault in one line. ``check`` identifies the check that found it, such as ``architecture/sepnet/gradients``."""

    check: str

    def __new__(cls, text: str, check: str) -> Self:
        fault = super().__new__(cls, text)
        fault.check = check
        return fault


def guarded(check: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; an exception is one of ``check``, and the last."""
    rest = iter(findings)
    while True:
        try:
            with contained():
                found = next(rest, None)
        except ZooError as error:
            yield Finding(check, str(error))
            return
        except Exception as error:
            yield Finding(check, f"raised {describe(error)}")
            return
        if found is None:
            return
        yield found


def is_known(check: str) -> bool:
    """Whether an identifier can be one of a check, whatever the item is called."""
    kind, _, rest = check.partition("/")
    names = CHECKS["architecture"] if kind == "family" and rest.count("/") == 2 else CHECKS.get(kind, {})
    return rest.rpartition("/")[2] in names and (kind == "plugin") != ("/" in rest)
