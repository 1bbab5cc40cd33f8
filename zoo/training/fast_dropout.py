"""Dropout on the CPU, by the bits of a counter-based generator (J. Salmon et al.: Parallel random numbers: as easy as
1, 2, 3, 2011).

torch draws the mask of a dropout on the CPU one value after another, some 40 million a second, which takes most of the
time of a small head on cached features. Here, torch's generator gives only the key of a Philox stream for each mask. So
masks are a function of the seed and of the steps before, and a resumed run continues with the same masks, because
checkpoints contain the generator's state. The masks are not those that `torch.nn.Dropout` would draw.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

LEVELS = 1 << 16
"""The probability of keeping a value is a multiple of 1 / LEVELS; kept values are scaled by the inverse of that one, so
that the mean is exact."""
_SPREAD = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) * 2)
"""(256, 8): the factors 0 and 2 of eight values, by the bits of a byte."""


def fast_dropout(x: Tensor, p: float, *, inplace: bool = False) -> Tensor:
    """Return ``x``, float32 or float64 of any shape, with values set to 0 with probability ``p``, and the others
    divided by the probability of being kept.

    0 < ``p`` < 1, rounded to a multiple of 1 / `LEVELS`. With ``inplace``, ``x`` itself is changed, unless it has a
    gradient.
    """
    mask = _mask(x, p)
    return x.mul_(mask) if inplace and not x.requires_grad else x * mask


def _mask(x: Tensor, p: float) -> Tensor:
    """Return factors in the shape, strides and dtype of ``x``."""
    key = int(torch.randint(0, 1 << 62, ()).item())
    count = x.numel()
    keep = LEVELS - round(p * LEVELS)
    if keep == LEVELS // 2:  # one bit for each value
        octets = torch.from_numpy(_words(key, -(-count // 64)).view(np.uint8))
        flat = _SPREAD.index_select(0, octets.int()).view(-1)[:count].to(x.dtype)
    else:
        kept = _words(key, -(-count // 4)).view(np.uint16)[:count] < keep
        flat = torch.from_numpy(kept).to(x.dtype).mul_(LEVELS / max(keep, 1))
    if x.is_contiguous(memory_format=torch.channels_last) if x.ndim == 4 else False:
        return flat.as_strided(x.shape, x.stride())
    return flat.view(x.shape)


def _words(key: int, count: int) -> np.ndarray:
    return np.random.Philox(key=key).random_raw(count)  # numpy keeps the streams of its bit generators


class FastDropout(nn.Module):
    """`fast_dropout` in place of a `torch.nn.Dropout`, whose probability and mode it has."""

    def __init__(self, original: nn.Dropout, *, inplace: bool) -> None:
        super().__init__()
        self.original, self.inplace = original, inplace

    def forward(self, x: Tensor) -> Tensor:
        p = self.original.p
        return fast_dropout(x, p, inplace=self.inplace) if self.original.training and 0 < p < 1 else self.original(x)


def use_fast_dropout(training: fx.GraphModule) -> int:
    """Replace the dropouts of a graph for training, modules and calls of `torch.nn.functional.dropout`; return their
    number.

    A dropout may change the input of the graph in place if nothing else reads it.
    """
    found = 0
    for node in list(training.graph.nodes):
        module = training.get_submodule(str(node.target)) if node.op == "call_module" else None
        free = bool(node.args) and _is_free(node.args[0])
        if type(module) is nn.Dropout:
            name = f"fast_dropout_{found}"
            training.add_submodule(name, FastDropout(module, inplace=free))
            node.target = name
        elif node.op == "call_function" and node.target is F.dropout:
            settings = dict(zip(("input", "p", "training", "inplace"), node.args, strict=False)) | node.kwargs
            p = settings.get("p", 0.5)
            if settings.get("training", True) is not True or not isinstance(p, float) or not 0 < p < 1:
                continue
            node.target, node.args, node.kwargs = fast_dropout, (settings["input"], p), {"inplace": free}
        else:
            continue
        found += 1
    if found:
        training.recompile()
    return found


def _is_free(value: object) -> bool:
    return isinstance(value, fx.Node) and value.op == "placeholder" and len(value.users) == 1
