"""Transfer learning: train the last layers of a pretrained network for a new target.

zoo builds the network for the new target and loads the weights into all layers except the head
(`zoo.runs.load_initial_weights`). This adaptation selects the trainable parameters (``train``). Frozen parameters have
no gradient; a frozen batch norm stays in eval mode; dropout stays active, after frozen layers, too (J. Yosinski et al.:
How transferable are features in deep neural networks?, 2014). Optionally, learning rates decrease towards the input,
and layers are unfrozen one after the other (J. Howard, S. Ruder: Universal language model fine-tuning for text
classification, 2018, sections 3.2 and 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.api import JSON, Adaptation, AdaptContext
from zoo.errors import UsageError
from zoo_tasks.options import TransferOptions


class Transfer(Adaptation[TransferOptions]):
    def __init__(self, options: TransferOptions) -> None:
        super().__init__(options)
        self._learning: Sequence[str] = ()

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        """Freeze all layers except those of ``train``; the JSON names the trainable layers."""
        adaptation = {"trained": list(learning_layers(model, self.options.train, context.head))}
        return self.rebuild(model, adaptation), adaptation

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._learning = adaptation["trained"]
        for parameter in parameters_of(model, self._learning).values():
            parameter.requires_grad_(True)
        return model

    def lr_multipliers(self, model: nn.Module) -> Mapping[str, float]:
        """Return 1 for the head, and for each other layer ``layer_decay`` times the multiplier of the next one."""
        return {
            parameter: self.options.layer_decay**back
            for back, name in enumerate(reversed(self._learning))
            for parameter in parameters_of(model, [name])
        }

    def on_epoch_start(self, model: nn.Module, epoch: int) -> None:
        """Unfreeze one more layer after every ``unfreeze_every`` epochs."""
        if self.options.unfreeze_every is None:
            return
        now = parameters_of(model, self._learning[-(1 + epoch // self.options.unfreeze_every) :])
        for name, parameter in parameters_of(model, self._learning).items():
            parameter.requires_grad_(name in now)

    def configure_train_mode(self, model: nn.Module) -> None:
        """Set frozen batch norms to eval mode."""
        for module in model.modules():
            if isinstance(module, _BatchNorm) and not any(parameter.requires_grad for parameter in module.parameters()):
                module.eval()


def parameters_of(model: nn.Module, layers: Sequence[str]) -> dict[str, nn.Parameter]:
    return {
        f"{layer}.{name}" if layer else name: each
        for layer in layers
        for name, each in model.get_submodule(layer).named_parameters()
    }


def learning_layers(model: nn.Module, train: str, head: str | None) -> Sequence[str]:
    """Return the names of the trainable modules. Raises UsageError if the network has fewer than ``last:N``."""
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
