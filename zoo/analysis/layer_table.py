"""The layers of a network before training: parameters, cost and receptive fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from zoo.analysis.receptive_field_tracer import Step, Trail
from zoo.analysis.window_arithmetic import Axis
from zoo.models.building import counting


@dataclass(frozen=True)
class Layer:
    """One call of a module; or a windowed function, or a concatenation, called by a module that has others inside.

    ``output`` is its shape without the batch, None for a module that is never called itself (its parent uses its
    weights, or it is at work in training only). ``axes`` has the height's and the width's `Axis`, by "h" and "w": empty
    where the trail was lost. A module's parameters count at its first call.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int = 0
    macs: int = 0
    steps: tuple[Step, ...] = ()
    axes: dict[str, Axis] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all of the image reaches this output."""
        return bool(self.axes) and all(axis.whole for axis in self.axes.values())


@dataclass(frozen=True)
class Anatomy:
    """A network at one input. ``macs``: multiply-accumulates of convolutions and matrix products for one image.

    ``activation_bytes``: what its layers put out for one image in fp32, an output that is written over its input
    counted once. ``unused``: parameters that evaluation does not touch, by the outermost module that has them.
    """

    input: tuple[int, int, int]
    output: tuple[int, ...]
    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    macs: int
    activation_bytes: int
    by_kind: dict[str, int]
    unused: dict[str, int]


def anatomy(model: nn.Module, shape: tuple[int, int, int]) -> Anatomy:
    """Examine a network by one forward of an image (C, H, W) in eval mode, on its device; nothing of it is changed."""
    training = model.training
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    image = torch.zeros(1, *shape, device=device)
    model.eval()
    try:
        with counting(model) as counter, _Observer(model, counter) as observer, observer.hooked():
            observer.trail.begin(image)
            output = model(image)
    finally:
        model.train(training)
    sizes = {id(parameter): parameter for parameter in model.parameters()}
    layers = (*observer.layers, *observer.uncalled())
    return Anatomy(
        input=shape,
        output=tuple(output.shape[1:]),
        layers=layers,
        parameters=sum(parameter.numel() for parameter in sizes.values()),
        trainable=sum(parameter.numel() for parameter in sizes.values() if parameter.requires_grad),
        macs=counter.get_total_flops() // 2,
        activation_bytes=sum(observer.storages.values()),
        by_kind=_by_kind(model),
        unused=_outermost(
            model, {name for name, parameter in model.named_parameters() if id(parameter) not in observer.touched}
        ),
    )


@dataclass
class _Frame:
    """A module that is being called."""

    name: str
    module: nn.Module
    macs: int = 0
    steps: list[Step] = field(default_factory=list)


class _Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, and knows from hooks which module it belongs to."""

    def __init__(self, model: nn.Module, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trail, self.layers, self.touched = Trail(), list[Layer](), set[int]()
        self.storages: dict[int, int] = {}
        self._kept: list[Tensor] = []  # so that no storage is given out twice
        self._model, self._counter = model, counter
        self._frames = [_Frame("", nn.Identity())]
        self._counted: set[int] = set()
        self._called: Counter[int] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = self._counter.get_total_flops()
        out = func(*args, **(kwargs or {}))
        frame = self._frames[-1]
        macs = (self._counter.get_total_flops() - before) // 2
        self.touched.update(id(each) for each in args if isinstance(each, nn.Parameter))
        step = self.trail.follow(func, args, out)
        joined = func is torch.ops.aten.cat.default and len(args[0]) > 1
        if (step is not None or joined) and _has_children(frame.module):
            operation = "concatenation" if step is None else step.operation.strip("_").removesuffix("_with_indices")
            self._add_function(
                frame, operation, () if step is None else (step,), out[0] if isinstance(out, tuple) else out, macs
            )
            return out
        frame.macs += macs
        if step is not None:
            frame.steps.append(step)
        return out

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """A dispatch mode is asked about operations alone; hooks tell of the modules."""
        handles = []
        for module, names in _names(self._model).values():
            handles.append(module.register_forward_pre_hook(lambda module, _, names=names: self._enter(module, names)))
            handles.append(module.register_forward_hook(lambda _module, _, output: self._leave(output)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, names: list[str]) -> None:
        """A module that stands in several places is called by their names in turn; where a place inside the caller is
        among them, by those."""
        caller = self._frames[-1].name
        inside = [name for name in names if caller and name.startswith(f"{caller}.")] or names
        self._frames.append(_Frame(inside[self._called[id(module)] % len(inside)], module))
        self._called[id(module)] += 1

    def _leave(self, output: Any) -> None:
        frame = self._frames.pop()
        parameters = self._count_once(frame.module)
        result = next(
            (each for each in (output if isinstance(output, tuple | list) else (output,)) if isinstance(each, Tensor)),
            None,
        )
        if result is None or (_has_children(frame.module) and not parameters and not frame.macs):
            return
        if not _has_children(frame.module):
            self._keep(result)
        self.layers.append(
            Layer(
                frame.name,
                type(frame.module).__name__,
                tuple(result.shape[1:]),
                parameters,
                frame.macs,
                tuple(frame.steps),
                self._axes(result),
            )
        )

    def _add_function(self, frame: _Frame, operation: str, steps: tuple[Step, ...], result: Tensor, macs: int) -> None:
        name = ".".join(part for part in (frame.name, operation) if part)
        self._keep(result)
        self.layers.append(Layer(name, "function", tuple(result.shape[1:]), 0, macs, steps, self._axes(result)))

    def _axes(self, result: Tensor) -> dict[str, Axis]:
        found = self.trail.of(result)
        return {} if found is None else found.axes

    def _keep(self, result: Tensor) -> None:
        self._kept.append(result)
        storage = result.untyped_storage()
        self.storages[storage.data_ptr()] = result.nbytes

    def _count_once(self, module: nn.Module) -> int:
        fresh = {
            id(parameter): parameter.numel()
            for parameter in module.parameters(recurse=False)
            if id(parameter) not in self._counted
        }
        self._counted.update(fresh)
        return sum(fresh.values())

    def uncalled(self) -> list[Layer]:
        """Modules with parameters that were not called."""
        rows = []
        for name, module in self._model.named_modules():
            if id(module) not in self._called and (parameters := self._count_once(module)):
                rows.append(Layer(name, type(module).__name__, None, parameters))
        return rows


def _names(model: nn.Module) -> dict[int, tuple[nn.Module, list[str]]]:
    """Each module with the names of all the places where it stands, in their order."""
    found: dict[int, tuple[nn.Module, list[str]]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        found.setdefault(id(module), (module, []))[1].append(name)
    return found


def _has_children(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _by_kind(model: nn.Module) -> dict[str, int]:
    """Parameters by the class of the module that has them, most first."""
    seen: set[int] = set()
    counts: Counter[str] = Counter()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                counts[type(module).__name__] += parameter.numel()
    return dict(counts.most_common())


def _outermost(model: nn.Module, names: set[str]) -> dict[str, int]:
    """Parameters of those names, by the outermost module that has no others."""
    found: dict[str, int] = {}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    for name in sorted(names):
        parts = name.split(".")
        prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        outer = next(
            prefix
            for prefix in prefixes
            if all(other in names for other in sizes if other == prefix or other.startswith(f"{prefix}."))
        )
        found[outer] = found.get(outer, 0) + sizes[name]
    return found


def blocks(layers: Sequence[Layer], limit: int = 12) -> list[tuple[str, int]]:
    """Return blocks with their parameter counts, in the network's order. The largest block is split repeatedly, up to
    ``limit`` blocks."""
    rows = [
        (tuple(layer.name.split(".")) if layer.name else ("(itself)",), layer.parameters)
        for layer in layers
        if layer.parameters
    ]
    opened: set[tuple[str, ...]] = set()
    groups = _grouped(rows, opened)
    while True:
        closed = {prefix: count for prefix, count in groups.items() if any(_inside(name, prefix) for name, _ in rows)}
        if not closed:
            break
        largest = max(closed, key=lambda prefix: closed[prefix])
        wider = _grouped(rows, opened | {largest})
        if len(wider) > limit:
            break
        opened.add(largest)
        groups = wider
    return [(".".join(prefix), count) for prefix, count in groups.items()]


def _inside(name: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    return len(name) > len(prefix) and name[: len(prefix)] == prefix


def _grouped(rows: Sequence[tuple[tuple[str, ...], int]], opened: set[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    groups: dict[tuple[str, ...], int] = {}
    for name, count in rows:
        length = 1
        while name[:length] in opened and length < len(name):
            length += 1
        groups[name[:length]] = groups.get(name[:length], 0) + count
    return groups


def hints(found: Anatomy) -> list[str]:
    """Return hints about the architecture, one sentence each."""
    said = []
    heaviest = max(found.layers, key=lambda layer: layer.parameters, default=None)
    if heaviest is not None and heaviest.parameters >= 0.5 * found.parameters and len(found.by_kind) > 1:
        said.append(
            f"{heaviest.parameters / found.parameters:.0%} of the parameters are in one {heaviest.kind}, "
            f"{heaviest.name}"
        )
    side = min(found.input[1:])
    wide = next((layer for layer in found.layers if layer.steps and _seen(layer) > side and not layer.whole), None)
    if wide is not None:
        said.append(
            f"from {wide.name} on, a position sees {_seen(wide)} pixels: more than the image's {side}, the rest is "
            "padding"
        )
    point = next(
        (
            layer
            for layer in found.layers
            if layer.steps and not layer.whole and _before(layer) == 1 and _reach(layer) > 1
        ),
        None,
    )
    if point is not None:
        said.append(
            f"at {point.name} the image is down to 1×1 already: its window sees padding around one position; larger "
            "images would use it"
        )
    for name, count in found.unused.items():
        said.append(f"{name} ({count:,} parameters) is not used in evaluation")
    return said


def _seen(layer: Layer) -> int:
    return min((axis.field for axis in layer.axes.values()), default=0)


def _before(layer: Layer) -> int:
    return max((axis.side for axis in layer.steps[0].before.values()), default=0)


def _reach(layer: Layer) -> int:
    return max(window.span for window in layer.steps[0].windows.values())
