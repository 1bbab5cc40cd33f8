"""LoRA: freeze the pretrained weights and train a low-rank update of each layer (E. Hu et al.: LoRA: low-rank
adaptation of large language models, 2021, section 4.1).

A linear layer x ↦ W·x becomes x ↦ W·x + (alpha / rank) · B·A·x, with A (rank, in) and B (out, rank). For a convolution,
A has its kernel size and B is 1×1. B is initialised with zeros, so that the network is unchanged at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.api import JSON, Adaptation, AdaptContext
from zoo.errors import UsageError
from zoo.plugin import plural
from zoo_tasks.options import LoraOptions


class Corrected(nn.Module):
    """A frozen layer with a trainable low-rank update."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__()
        self.layer, self.scale = layer, alpha / rank
        self.down: nn.Module
        self.up: nn.Module
        if isinstance(layer, nn.Linear):
            self.down = nn.Linear(layer.in_features, rank, bias=False)
            self.up = nn.Linear(rank, layer.out_features, bias=False)
        else:
            self.down = nn.Conv2d(
                layer.in_channels,
                rank,
                layer.kernel_size,  # type: ignore[arg-type]  # of a Conv2d they are pairs
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                layer.dilation,  # type: ignore[arg-type]
                bias=False,
                padding_mode=layer.padding_mode,
            )
            self.up = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.scale * self.up(self.down(x))  # type: ignore[no-any-return]


class Lora(Adaptation[LoraOptions]):
    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        """Add low-rank updates. Raises UsageError if no layer supports them."""
        layers = correctable(model, context.head)
        if not layers:
            raise UsageError(
                "LoRA needs a linear layer or an ungrouped convolution before the head, which this network lacks",
                where="adapt",
                fix="choose another network, or the adaptation transfer",
            )
        adaptation = {"layers": layers, "head": context.head}
        model = self.rebuild(model, adaptation)
        learned = sum(each.numel() for each in model.parameters() if each.requires_grad)
        context.print(
            f"lora: {plural(len(layers), 'layer')} of rank {self.options.rank}, {learned:,} trainable parameters"
        )
        return model, adaptation

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        """Add the updates; only they and the head are trainable."""
        model.requires_grad_(False)
        for name in adaptation["layers"]:
            owner, _, last = name.rpartition(".")
            layer: Any = model.get_submodule(name)
            setattr(model.get_submodule(owner), last, Corrected(layer, self.options.rank, self.options.alpha))
        if adaptation["head"] is not None:
            model.get_submodule(adaptation["head"]).requires_grad_(True)
        return model

    def configure_train_mode(self, model: nn.Module) -> None:
        """Set batch norms, which are frozen, to eval mode."""
        for module in model.modules():
            if isinstance(module, _BatchNorm) and not any(each.requires_grad for each in module.parameters()):
                module.eval()


def correctable(model: nn.Module, head: str | None) -> Sequence[str]:
    """Return the names of the linear layers and ungrouped convolutions outside the head.

    Layers inside torch's attention modules are excluded, because those use the weights directly.
    """
    inside = [name for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)]
    left_out = [*inside, *([] if head is None else [head])]
    return [
        name
        for name, module in model.named_modules()
        if (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
        and not any(name == each or name.startswith(f"{each}.") for each in left_out)
    ]
