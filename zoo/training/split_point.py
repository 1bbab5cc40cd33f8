"""Find the split point of a partly frozen network: the backbone before it is constant during training, so that its
features are computed once.

The split point is the latest value of the forward pass with three properties: no layer before it is trained; everything
after it depends on the image only through it; and it depends on one image only, neither on random numbers (dropout) nor
on the rest of the batch (a batch norm in training mode). The forward pass is traced with `torch.fx`; if tracing fails,
the input of the network's head is tried. The result is compared with the whole network before it is used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

SEEDS = (11, 12, 13)
"""The seeds of the forward passes that are compared to find random values."""
CLOSE_ON_CPU, CLOSE = 1e-5, 2e-3
"""Relative tolerance between the network and its two parts, and between an image in different batches. Devices other
than the CPU choose algorithms by batch size and round products to fewer bits."""


@dataclass
class SplitPoint:
    """A split of a network into backbone and head.

    ``backbone`` maps images (N, C, H, W) to features (N, …), the output of ``layer``. ``head_of`` returns the module
    after the split point for this network or one with other weights; it shares the network's parameters and mode.
    """

    backbone: nn.Module
    """Set it to eval mode before running it; it shares its modules with the network."""
    layer: str
    head_of: Callable[[nn.Module], nn.Module] = field(repr=False)
    shape: tuple[int, ...] = ()
    """The shape of one image's features."""
    silent_heads: bool = False
    """Whether the head omits auxiliary classifiers, which are frozen."""


def find_split_point(
    model: nn.Module, example: Tensor, head: str | None, train_mode: Callable[[nn.Module], None]
) -> SplitPoint | None:
    """Return the split point of ``model``, or None if its first layers are not frozen.

    ``train_mode`` sets the model's training mode. ``example`` is three different images (3, C, H, W) on the model's
    device. ``head`` is the name of the module that computes the logits. The model's mode, its buffers and the random
    generators are restored.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return None
    with left_as_it_was(model):
        for find in (_by_graph, _before_head):
            try:
                point = find(model, example, head, train_mode)
                if point is not None and _agrees(model, point, example[:2], train_mode):
                    return point
            except Exception:  # noqa: S112  # whatever a network does that cannot be followed: its forward itself is not at fault
                continue
    return None


def operations_of(module: nn.Module) -> str:
    """Return what a module in eval mode computes, for a digest: its modules with their settings and, if it can be
    traced, its code."""
    try:
        traced = module if isinstance(module, fx.GraphModule) else fx.symbolic_trace(module)
    except Exception:  # whatever a network does that cannot be followed
        return str(module)
    return f"{module} {traced.code}"


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = [tensor.device for tensor in model.parameters() if tensor.device.type == "cuda"][:1]
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            for buffer, value in buffers:
                buffer.copy_(value)


def _agrees(model: nn.Module, point: SplitPoint, example: Tensor, train_mode: Callable[[nn.Module], None]) -> bool:
    """Return whether backbone and head together equal the network, in eval mode and (with equal seeds) in training."""
    trained = point.head_of(model)
    point.backbone.eval()
    features = point.backbone(example)
    point.shape = tuple(features.shape[1:])

    def logits(train: bool, seed: int, *, whole: bool) -> Any:
        train_mode(model) if train else model.eval()
        trained.train(train)
        torch.manual_seed(seed)
        if not whole:
            return trained(features.clone())
        # Omitted auxiliary classifiers draw no random numbers.
        model.training = train and not point.silent_heads
        output = model(example)
        return next(iter(output.values())) if isinstance(output, Mapping) else output  # the main output is the first

    return all(
        close(logits(train, SEEDS[0], whole=True), logits(train, SEEDS[0], whole=False)) for train in (False, True)
    )


def close(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return False
    allowed = CLOSE_ON_CPU if one.device.type == "cpu" else CLOSE
    return one.shape == other.shape and bool((one - other).abs().max() <= allowed * one.abs().max().clamp_min(1e-12))


# --------------------------------------------------------------------------------------------------------- by the graph


def _by_graph(
    model: nn.Module, example: Tensor, _head: str | None, train_mode: Callable[[nn.Module], None]
) -> SplitPoint | None:
    training, silent_heads = _training_graph(model, train_mode, example)
    model.eval()
    evaluating = fx.Tracer().trace(model)
    train_mode(model)
    place = _last_pure(model, training, _places(model, training), example)
    if place is None or place.name not in {node.name for node in _places(model, evaluating)}:
        return None
    backbone = fx.GraphModule(model, _first_part(evaluating, place.name))

    def head_of(network: nn.Module) -> nn.Module:
        return Rest(network, _second_part(training, place.name), _second_part(evaluating, place.name))

    return SplitPoint(backbone, _name_of(place), head_of, silent_heads=silent_heads)


def _training_graph(
    model: nn.Module, train_mode: Callable[[nn.Module], None], example: Tensor
) -> tuple[fx.Graph, bool]:
    """Return the graph of the training forward pass, and whether auxiliary classifiers were omitted: if they are
    frozen, their loss is constant.

    Auxiliary classifiers run only if the network itself is in training mode; its modules keep their modes.
    """
    train_mode(model)
    if isinstance(model(example), Tensor):
        return fx.Tracer().trace(model), False
    model.training = False
    graph = fx.Tracer().trace(model)
    heard = {name for node in graph.nodes for name in _parameters(model, node)}
    if any(parameter.requires_grad and name not in heard for name, parameter in model.named_parameters()):
        train_mode(model)
        return fx.Tracer().trace(model), False
    return graph, True


def _parameters(model: nn.Module, node: fx.Node) -> dict[str, nn.Parameter]:
    """Return the parameters that a node uses, by name."""
    target = str(node.target)
    if node.op == "call_module":
        return {f"{target}.{name}": parameter for name, parameter in model.get_submodule(target).named_parameters()}
    if node.op == "get_attr":
        owner, _, name = target.rpartition(".")
        value = getattr(model.get_submodule(owner), name, None)
        return {target: value} if isinstance(value, nn.Parameter) else {}
    return {}


class Rest(nn.Module):
    """A network after the split point, with a graph for training and one for evaluation over the same modules."""

    def __init__(self, network: nn.Module, training: fx.Graph, evaluating: fx.Graph) -> None:
        super().__init__()
        self.training_graph, self._eval = fx.GraphModule(network, training), fx.GraphModule(network, evaluating)

    def train(self, mode: bool = True) -> Rest:
        """Set the mode of this module only; its modules belong to the network, which sets their modes."""
        self.training = mode
        return self

    def forward(self, features: Tensor) -> Any:
        return (self.training_graph if self.training else self._eval)(features)


def _name_of(node: fx.Node) -> str:
    """Return the innermost module that computes a node, or the operation's name outside of modules."""
    if node.op == "call_module":
        return str(node.target)
    return next(reversed([path for path in node.meta.get("nn_module_stack", {}) if path]), node.name)


def _places(model: nn.Module, graph: fx.Graph) -> list[fx.Node]:
    """Return the candidate nodes, in order: all later nodes depend on the input only through them, and no earlier node
    is trained."""
    depends: set[fx.Node] = set()
    live: set[fx.Node] = set()
    left = {node: len(node.users) for node in graph.nodes}
    found = []
    for node in graph.nodes:
        if node.op == "output":
            break
        if any(parameter.requires_grad for parameter in _parameters(model, node).values()):
            break
        if node.op == "placeholder" or any(source in depends for source in node.all_input_nodes):
            depends.add(node)
            if node.users:
                live.add(node)
        for source in node.all_input_nodes:
            left[source] -= 1
            if left[source] == 0:
                live.discard(source)
        if live == {node} and node.op != "placeholder":
            found.append(node)
    return found


class _Watching(fx.Interpreter):
    """Runs a graph and copies the outputs of its candidates for the first image, before in-place operations change
    them."""

    def __init__(self, model: nn.Module, graph: fx.Graph, places: list[fx.Node]) -> None:
        super().__init__(model, graph=graph)
        self._places = set(places)
        self.seen: dict[fx.Node, Tensor | None] = {}

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if node in self._places:
            whole = isinstance(value, Tensor) and value.ndim > 1 and len(value) == 2 and value.is_floating_point()
            self.seen[node] = value[0].clone() if whole else None
        return value


def _last_pure(model: nn.Module, graph: fx.Graph, places: list[fx.Node], example: Tensor) -> fx.Node | None:
    """Return the last candidate whose output for the first image depends neither on the other images nor on the
    seed."""
    runs = []
    for seed, other in zip(SEEDS, (example[1], example[2], example[1]), strict=True):
        torch.manual_seed(seed)
        watching = _Watching(model, graph, places)
        watching.run(torch.stack([example[0], other]))
        runs.append(watching.seen)
    last = None
    for place in places:
        first, *others = (seen.get(place) for seen in runs)
        if first is None:
            continue  # a size, or a value whose first axis is not the batch
        if not all(other is not None and close(first, other) for other in others):
            break
        last = place
    return last


def _first_part(graph: fx.Graph, name: str) -> fx.Graph:
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        copies[node] = part.node_copy(node, lambda each: copies[each])
        if node.name == name:
            part.output(copies[node])
            break
    return part


def _second_part(graph: fx.Graph, name: str) -> fx.Graph:
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    nodes = list(graph.nodes)
    begin = next(index for index, node in enumerate(nodes) if node.name == name)
    copies[nodes[begin]] = part.placeholder("features")

    def copy_of(node: fx.Node) -> fx.Node:
        """Copy a node on first use, so that nodes before the split point that do not depend on the image (weights,
        constants) are included."""
        if node not in copies:
            copies[node] = part.node_copy(node, copy_of)
        return copies[node]

    for node in nodes[begin + 1 :]:
        copy_of(node)
    return part


# ------------------------------------------------------------------------------------------------------ before the head


def _before_head(
    model: nn.Module, example: Tensor, head: str | None, train_mode: Callable[[nn.Module], None]
) -> SplitPoint | None:
    """Return the split point before the head, if only the head is trained and its output is the network's."""
    if head is None or head not in dict(model.named_modules()):
        return None
    module = model.get_submodule(head)
    own = {id(parameter) for parameter in module.parameters()}
    if any(parameter.requires_grad and id(parameter) not in own for parameter in model.parameters()):
        return None
    backbone = without(model, head)
    train_mode(model)
    seen = []
    for seed, other in zip(SEEDS, (example[1], example[2], example[1]), strict=True):
        torch.manual_seed(seed)
        value = backbone(torch.stack([example[0], other]))
        if not isinstance(value, Tensor):
            return None
        seen.append(value[0].clone())
    pure = all(close(seen[0], other) for other in seen[1:])
    return SplitPoint(backbone, f"the input of {head}", lambda network: network.get_submodule(head)) if pure else None


def without(model: nn.Module, name: str) -> nn.Module:
    """Return the network with an identity in place of a module; other modules are shared, not copied."""
    first, _, others = name.partition(".")
    shared = copy.copy(model)
    shared.__dict__["_modules"] = {
        **model._modules,
        first: without(model.get_submodule(first), others) if others else nn.Identity(),
    }
    return shared
