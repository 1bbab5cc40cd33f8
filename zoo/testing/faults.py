"""The checks of the conformance kit, and their findings: faults with the identifier of the check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from zoo.errors import ZooError
from zoo.registry.plugin_isolation import contained, describe

OF_ANY = {
    "target": "it can be imported and called, and its options are a zoo.api.Options whose fields all have defaults",
    "global_state": (
        "importing and using it does not change global state: default dtype and device, threads, random generators, "
        "warning filters, working directory, environment variables"
    ),
}
"""Checks of every kind that has an implementation."""
CHECKS: dict[str, dict[str, str]] = {
    "plugin": {
        "state": "it is installed, can be imported and is compatible",
        "contract": "it states the version of the plugin API that it was written for, as ZOO_API",
        "import": "importing it and calling its hooks does not import torch or numpy",
        "data": "`data` contains only datasets of the plugin that take a path",
        "global_state": (
            "importing it and calling its hooks does not change global state, such as random generators or warning "
            "filters"
        ),
    },
    "architecture": {
        **OF_ANY,
        "spec": "the channels of its default input, of its weights and of `channels` are consistent",
        "build": (
            "it can be built and run at its smallest and its default size, and with another number of outputs; its "
            "outputs match the spec"
        ),
        "initialisation": "built twice with the same torch seed, it has equal parameters",
        "output": "the main output has the declared shape for batches of 1 and 3",
        "logits": "it returns logits, not probabilities or log-probabilities",
        "head": "the module `head` computes the main output, and its input is a feature vector",
        "eval_mode": "in eval mode, two forward passes agree, and no output depends on the other images of the batch",
        "gradients": "every trainable parameter has a gradient",
        "training": "two training steps have finite losses and change its parameters",
        "saving": "its outputs are unchanged after its weights are saved and loaded into a new network",
        "channels": (
            "it can be built and run with each number of channels in `channels` of the spec; if that is empty, with 1, "
            "3, 4 and 10"
        ),
        "weights": "shipped weights have the checksum of the spec and fit the network",
        "export": (
            "for each kind of main output (vector, map, features), the smallest architecture of the plugin can be "
            "exported with each installed exporter and verified against PyTorch"
        ),
    },
    "dataset": {
        **OF_ANY,
        "spec": "mean and std have a value for each channel; no class name occurs twice",
        "open": "it can be opened, and its targets are of a kind in the spec",
        "parts": "it has a train and a test split, or a predict split if it has no targets",
        "split": "images and targets have the dtypes, shapes and values of the spec and the target",
        "classes": "each class and label has samples",
        "leak": "the validation and test splits are not subsets of the train split",
        "fingerprint": "equal content has equal fingerprints, and different content different ones",
    },
    "task": {
        **OF_ANY,
        "class": (
            "`target` of the spec is a subclass of zoo.api.Task with a Monitor as `monitor`, or `solver` is a subclass "
            "of zoo.api.Solver"
        ),
        "statistics": "they are JSON, from which the task can be built; `constants` returns their values as tensors",
        "outputs": "num_outputs is an integer above 0",
        "loss": "it is a finite zoo.api.Loss with a gradient",
        "per_sample": (
            "the loss of a sample does not depend on the others of its batch, unless the task sets `batchwise = True`"
        ),
        "evaluation": "the evaluator returns an EvaluationResult that has the monitored metric",
        "merge": "merged evaluators give the same result as one that has seen all batches",
        "decision": "it is a zoo.api.Decision, of the same kind with and without a validation result",
        "report": "it returns ReportItems whose files it wrote",
        "training": "two epochs with zoo's trainer change the network",
        "resume": "an interrupted and resumed training ends with the same weights and metrics",
        "solution": (
            "`plan` of a solver returns JSON, and `solve` sets the parameters and buffers of the module that `rebuild` "
            "builds from it"
        ),
    },
    "adaptation": {
        **OF_ANY,
        "class": "`target` of the spec is a subclass of zoo.api.Adaptation",
        "adapt": "`adapt` returns the changed network and a JSON description of the change",
        "rebuild": "`rebuild` makes the same change as `adapt`, from the JSON that `adapt` returned",
        "resume": (
            "`resume` makes the same change as `adapt`, and a resumed training ends with the same weights and metrics"
        ),
        "hooks": (
            "trains, teacher, lr_multipliers, configure_train_mode and on_epoch_start return the expected types; "
            "on_epoch_start unfreezes no parameter that adapt froze"
        ),
        "training": "two epochs with zoo's trainer change the network, if `trains` is True",
        "report": "it returns ReportItems whose files it wrote",
    },
    "exporter": {
        **OF_ANY,
        "build": "it is a zoo.api.Exporter",
        "vector": "a small network with a vector output can be exported and verified against PyTorch",
        "map": "a small network with a map output can be exported and verified against PyTorch",
    },
    "augmentation": {
        **OF_ANY,
        "build": (
            "it is a zoo.api.Augmentation, and `draws`, the number of random numbers for each image, is an integer of "
            "at least 0"
        ),
        "pixels": "images keep their shape and values from 0 to 255: uint8 and float32, grayscale and RGB",
        "geometry": (
            "`geometry` returns float32 (N, 2, 3) for all random numbers, or None for all; `resample` is overridden "
            "only "
            "together with `geometry`; if `boxes` is overridden, `geometry` scales each box to the whole image"
        ),
        "arguments": "no method modifies its arguments",
        "draws": (
            "the result for an image depends only on its own random numbers (its row of `draws`), not on its batch or "
            "on other random generators"
        ),
    },
    "metric": {
        **OF_ANY,
        "build": "it can be built for each kind of target that it accepts",
        "value": "it returns one finite number",
        "batches": "it has the same value for one batch and for several, and a new one keeps no earlier samples",
        "arguments": "update does not modify its arguments",
    },
    "recipe": {
        "configuration": "it resolves to a valid configuration: names, options, metrics, augmentation and image size",
        "weights": "its architecture has the weights that it names",
        "optimizer": "the optimizer and its options are valid",
        "schedule": "the schedule and its options are valid",
        "metrics": "the metrics of train.metrics can be built with their options",
        "expected": "expected.metric is a metric of its task or of train.metrics",
        "global_state": OF_ANY["global_state"],
    },
    "family": {
        **OF_ANY,
        "members": "it has version, names and spec; no name occurs twice, and names contains its examples",
        "description": "spec returns each member under its name, and raises KeyError for other names",
    },
    "command": {**OF_ANY, "name": "the group has the plugin's namespace as name"},
}
"""The checks of each kind: the last part of the check's identifier, and the requirement.

The examples of a family must pass the checks of an architecture, as ``family/NAME/EXAMPLE/CHECK``.
"""
WITHOUT_BUILDING = {("plugin", check) for check in CHECKS["plugin"]} | {
    *((kind, "target") for kind, checks in CHECKS.items() if "target" in checks),
    ("recipe", "configuration"),
    ("recipe", "weights"),
    ("command", "name"),
}
"""The checks that do not need torch, by kind and name."""


class Finding(NamedTuple):
    """A fault that a check found, before the item's name is added."""

    check: str
    text: str


class Fault(str):
    """A fault, in one line. ``check`` is the identifier of its check, such as ``architecture/sepnet/gradients``."""

    check: str

    def __new__(cls, text: str, check: str) -> Self:
        fault = super().__new__(cls, text)
        fault.check = check
        return fault


def guarded(check: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings; an exception becomes a finding of ``check`` and ends them."""
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
    """Return whether an identifier names a check, for any item name."""
    kind, _, rest = check.partition("/")
    names = CHECKS["architecture"] if kind == "family" and rest.count("/") == 2 else CHECKS.get(kind, {})
    return rest.rpartition("/")[2] in names and (kind == "plugin") != ("/" in rest)
