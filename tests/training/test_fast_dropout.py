"""Dropout by the bits of a counter-based generator: torch's definition, other random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

from zoo.training.fast_dropout import LEVELS, fast_dropout, use_fast_dropout


@pytest.mark.parametrize("p", [0.5, 0.2, 0.9, 1 / 3])
def test_kept_values_are_scaled_and_as_many_as_torch_keeps(p) -> None:
    torch.manual_seed(0)
    x = torch.randn(500, 400)
    found = fast_dropout(x, p)
    kept = found != 0
    keep = 1 - round(p * LEVELS) / LEVELS
    torch.testing.assert_close(found[kept], x[kept] / keep)
    sd = (p * (1 - p) / x.numel()) ** 0.5
    for mask in (kept, F.dropout(x, p) != 0):  # torch's own as the reference
        assert abs(mask.double().mean().item() - (1 - p)) < 4 * sd
    ones = fast_dropout(torch.ones(500, 400, dtype=torch.float64), p)
    assert ones.mean().item() == pytest.approx(1, abs=4 * sd / (1 - p))
    assert ones.var().item() == pytest.approx(p / (1 - p), rel=0.02)


@pytest.mark.parametrize("p", [0.5, 0.3])
def test_values_are_dropped_independently(p) -> None:
    """Neighbours along each axis, values 8, 64 and 1,024 apart, and two masks in a row are uncorrelated."""
    torch.manual_seed(1)
    x = torch.ones(256, 16, 8, 8)
    first, second = ((fast_dropout(x, p) != 0).double().numpy() for _ in range(2))
    flat = first.ravel()
    pairs = [(np.take(first, range(1, n), a), np.take(first, range(n - 1), a)) for a, n in enumerate(first.shape)]
    pairs += [(flat[apart:], flat[:-apart]) for apart in (8, 64, 1024)]
    for one, other in [*pairs, (first, second)]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4.5 / one.size**0.5
    counts = np.bincount(flat[: flat.size // 8 * 8].reshape(-1, 8).astype(int) @ (1 << np.arange(8)), minlength=256)
    shares = np.array([p ** (8 - bin(each).count("1")) * (1 - p) ** bin(each).count("1") for each in range(256)])
    expected = shares * counts.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 350  # chi-squared, 255 degrees of freedom: p = 0.0001 at 346


@pytest.mark.parametrize("p", [0.5, 0.3])
def test_the_state_of_torchs_generator_determines_the_masks(p) -> None:
    x = torch.ones(3, 5, 7, 2)
    torch.manual_seed(3)
    first = fast_dropout(x, p)
    state = torch.get_rng_state()
    second = fast_dropout(x, p)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(fast_dropout(x, p), second)
    torch.manual_seed(3)
    assert torch.equal(fast_dropout(x, p), first)


@pytest.mark.parametrize("p", [0.5, 0.3])
def test_layout_dtype_and_gradient_are_kept(p) -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    found = fast_dropout(x, p, inplace=True)
    assert found.dtype == x.dtype and found.is_contiguous(memory_format=torch.channels_last)
    found.sum().backward()
    factors = (found / x).detach()
    torch.testing.assert_close(x.grad, factors)
    batch = torch.ones(2, 3)
    assert fast_dropout(batch, p, inplace=True) is batch


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop, self.linear, self.late = nn.Dropout(0.5), nn.Linear(8, 8), nn.Dropout(0.25)

    def forward(self, x):
        return F.dropout(self.late(self.linear(self.drop(x))), 0.1, training=self.training)


def test_the_dropouts_of_a_graph_are_replaced_and_keep_their_modes() -> None:
    head = Head().train()
    graph = fx.GraphModule(head, fx.Tracer().trace(head))
    plain = fx.GraphModule(head, fx.Tracer().trace(head))
    assert use_fast_dropout(graph) == 3
    assert dict(graph.named_parameters()).keys() == dict(plain.named_parameters()).keys()
    x = torch.randn(4, 8)
    torch.manual_seed(0)
    one = graph(x.clone())
    assert not torch.equal(one, graph(x.clone()))
    head.drop.eval(), head.late.eval()
    for draws in (graph, plain):  # only the call of the function still drops values
        found = draws(x.clone())
        kept = found != 0
        torch.testing.assert_close(found[kept], (head.linear(x) / 0.9)[kept], rtol=1e-4, atol=1e-6)


def test_a_dropout_of_no_or_all_values_stays_torchs() -> None:
    for p in (0.0, 1.0):
        head = nn.Sequential(nn.Dropout(p)).train()
        graph = fx.symbolic_trace(head)
        use_fast_dropout(graph)
        x = torch.ones(5)
        assert torch.equal(graph(x.clone()), head(x))
