"""On CUDA: whether a training step that is captured as a CUDA graph gives the weights of the same step run plainly.

One epoch of a small network with batch norm and dropout at batch size 64, on random images, by Adam: run plainly, with
a capturable optimizer, with the learning rate as a tensor on the device, and as a graph. Each pair is compared to the
bit; ``seconds`` is the time of the epoch.

python benchmarks/gpu_capture.py [--samples 60000] [--out benchmarks/results/gpu_capture.json]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _epoch import captured
from _record import write_result
from torch import Tensor, nn
from torch.nn import functional as F

RESULT = Path(__file__).parent / "results" / "gpu_capture.json"
SIZE, RATE = 64, 0.01


class Way(NamedTuple):
    """How the epoch is run."""

    graph: bool
    capturable: bool
    tensor_rate: bool


WAYS = {
    "eager": Way(graph=False, capturable=False, tensor_rate=False),
    "capturable": Way(graph=False, capturable=True, tensor_rate=False),
    "tensor lr": Way(graph=False, capturable=True, tensor_rate=True),
    "graph": Way(graph=True, capturable=True, tensor_rate=False),
    "graph lr": Way(graph=True, capturable=True, tensor_rate=True),
}
PAIRS = {
    "eager repeats": ("eager", "eager again"),
    "capturable equals": ("eager", "capturable"),
    "graph equals capturable": ("capturable", "graph"),
    "graph equals eager": ("eager", "graph"),
    "tensor lr graph equals tensor lr eager": ("tensor lr", "graph lr"),
}


def network(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    layers += [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(256, 10)).to(device).train()


def captured_and_reset(
    step: Callable[[], None], model: nn.Module, optimizer: torch.optim.Optimizer
) -> Callable[[], None]:
    """The step as a graph; weights, optimizer and random state are afterwards what they were."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.cuda.get_rng_state()
    replay = captured(step)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(weights[name])
        for state in optimizer.state.values():
            for value in state.values():
                value.zero_()
    optimizer.zero_grad(set_to_none=False)
    torch.cuda.set_rng_state(random)
    return replay


def epoch(way: Way, precision: str, images: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """The weights after the epoch, as one vector, and its seconds."""
    device, batches = images.device, len(images) // SIZE
    model, rows = network(device), torch.zeros(SIZE, dtype=torch.long, device=device)
    rate: Any = torch.tensor(RATE, device=device) if way.tensor_rate else RATE
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True, capturable=way.capturable)

    def step() -> None:
        inputs = images[rows].float().div_(255).sub_(0.5).div_(0.25)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(model(inputs), labels[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    torch.manual_seed(7)
    call = captured_and_reset(step, model, optimizer) if way.graph else step
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1)).to(device)
    synchronize(device)
    started = time.perf_counter()
    for batch in range(batches):
        rows.copy_(order[batch * SIZE : (batch + 1) * SIZE])
        if way.tensor_rate:
            optimizer.param_groups[0]["lr"].fill_(RATE * (1 - batch / batches))
        call()
    synchronize(device)
    return nn.utils.parameters_to_vector(model.parameters()).detach(), time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(precision: str, images: Tensor, labels: Tensor) -> dict[str, Any]:
    ways = {name: way for name, way in WAYS.items() if images.is_cuda or not way.capturable}
    found = {name: epoch(way, precision, images, labels) for name, way in ways.items()}
    found["eager again"] = epoch(WAYS["eager"], precision, images, labels)
    equal = {
        name: [torch.equal(found[one][0], found[other][0]), float((found[one][0] - found[other][0]).abs().max())]
        for name, (one, other) in PAIRS.items()
        if other in found
    }
    return {**equal, "seconds": {name: seconds for name, (_, seconds) in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu runs what can be run there, to try the script")
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (chosen.samples, 1, 28, 28), dtype=torch.uint8, generator=draw).to(chosen.device)
    labels = torch.randint(0, 10, (chosen.samples,), generator=draw).to(chosen.device)
    write_result(chosen.out, {"cases": {each: measure(each, images, labels) for each in ("fp32", "bf16")}})


if __name__ == "__main__":
    main()
