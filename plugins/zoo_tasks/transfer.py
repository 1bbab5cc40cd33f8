"""Transfer learning: a network that has been trained on something else keeps what it knows, and learns new classes.

The core builds the network for the new classes and loads trained weights into all but its head
(`zoo.runs.load_initial_weights`). This task says which parameters learn (``train``) and how the others behave
meanwhile: frozen parameters get no gradient, a frozen batch norm keeps its statistics and normalises by them, and
dropout stays as it is in training, whether what it works on is frozen or not (J. Yosinski et al.: How transferable are
features in deep neural networks?, 2014, has the measurements behind freezing). Layers may learn at rates that fall
towards the input, and one after the other (J. Howard, S. Ruder: Universal language model fine-tuning for text
classification, 2018, sections 3.2 and 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.api import ArchitectureSpec, DataView
from zoo.errors import UsageError
from zoo_tasks.classification import Classification, ClassWeights


class Transfer:
    """The implementation of `zoo.api.Task`: judged, shown and, where it learns, taught as ``classification`` is."""

    def __init__(
        self, train: str, classification: Classification, layer_decay: float = 1.0, unfreeze_every: int | None = None
    ) -> None:
        self._train, self._classification = train, classification
        self._layer_decay, self._unfreeze_every = layer_decay, unfreeze_every
        self._learning: Sequence[str] = ()
        self.monitor = classification.monitor
        self.loss, self.evaluate, self.report = classification.loss, classification.evaluate, classification.report
        self._head: str | None = None

    def introduce(self, architecture: ArchitectureSpec) -> None:
        self._head = architecture.head

    def prepare(self, model: nn.Module, data: DataView) -> tuple[nn.Module, dict[str, Any]]:
        """Freeze all but what ``train`` says; the structure names the layers that learn."""
        model, _ = self._classification.prepare(model, data)
        structure = {"trained": list(learning_layers(model, self._train, self._head))}
        return self.restructure(model, structure), structure

    def restructure(self, model: nn.Module, structure: dict[str, Any]) -> nn.Module:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._learning = structure["trained"]
        for parameter in _parameters(model, self._learning).values():
            parameter.requires_grad_(True)
        return model

    def rates(self, model: nn.Module) -> Mapping[str, float]:
        """The head's is whole; that of each layer before is so many times the next one's."""
        return {
            parameter: self._layer_decay**back
            for back, name in enumerate(reversed(self._learning))
            for parameter in _parameters(model, [name])
        }

    def begin_epoch(self, model: nn.Module, epoch: int) -> None:
        """One layer more learns every so many epochs, where that was asked for."""
        if self._unfreeze_every is None:
            return
        now = _parameters(model, self._learning[-(1 + epoch // self._unfreeze_every) :])
        for name, parameter in _parameters(model, self._learning).items():
            parameter.requires_grad_(name in now)

    def set_modes(self, model: nn.Module) -> None:
        """Of a model in training mode: a batch norm that learns nothing is in eval mode."""
        for module in model.modules():
            if isinstance(module, _BatchNorm) and not any(parameter.requires_grad for parameter in module.parameters()):
                module.eval()


def _parameters(model: nn.Module, layers: Sequence[str]) -> dict[str, nn.Parameter]:
    return {
        f"{layer}.{name}" if layer else name: each
        for layer in layers
        for name, each in model.get_submodule(layer).named_parameters()
    }


def learning_layers(model: nn.Module, train: str, head: str | None) -> Sequence[str]:
    """Names of the modules that learn. Raises UsageError where there are not so many."""
    layers = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    if train == "all":
        return layers
    last = head if head is not None else layers[-1]
    if train == "head":
        return [last]
    count = int(train.removeprefix("last:"))
    if last in layers:  # a head is the last layer, wherever the module stands in the network's listing
        layers = [*(name for name in layers if name != last), last]
    if count > len(layers):
        raise UsageError(
            f"the network has {len(layers)} layers with parameters, not {count}",
            where="task.train",
            fix="use all, or a smaller number",
        )
    return layers[-count:]


def build(
    train: str = "head",
    label_smoothing: float = 0.0,
    class_weights: ClassWeights = None,
    layer_decay: float = 1.0,
    unfreeze_every: int | None = None,
) -> Transfer:
    return Transfer(train, Classification(label_smoothing, class_weights), layer_decay, unfreeze_every)
