"""Where a network that is partly frozen can be cut: all before the cut is the same function of an image in every
epoch, and is computed once.

The cut is the latest value of the forward such that nothing learns before it, everything after it depends on the
image through it alone, and it is a function of one image: neither of chance (dropout) nor of the rest of the batch
(a batch norm that learns). The forward is read by `torch.fx`; where that cannot follow it, the input of the network's
head is tried. What is found is compared with the network itself before it is used.
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
"""Of the forwards that are compared to find what depends on chance."""
CLOSE_ON_CPU, CLOSE = 1e-5, 2e-3
"""By which rounding may make a network and its two halves differ, or an image in one batch and in another, of the
largest value. Other devices choose their algorithms by the batch, and round products to fewer bits.
"""


@dataclass
class SplitPoint:
    """``backbone`` is images (N, C, H, W) → features (N, …); ``layer`` the name of what gives them; ``head_of``
    makes, of this network or of one with other weights, the module from there on, which shares its parameters and
    follows its mode.
    """

    backbone: nn.Module
    """To be put into eval mode before it is run: its modules are the network's own."""
    layer: str
    head_of: Callable[[nn.Module], nn.Module] = field(repr=False)
    shape: tuple[int, ...] = ()
    """Of one image's features."""
    silent_heads: bool = False
    """Whether the rest leaves out auxiliary classifiers, which learn nothing."""


def find_split_point(
    model: nn.Module, example: Tensor, head: str | None, train_mode: Callable[[nn.Module], None]
) -> SplitPoint | None:
    """The cut of ``model``, or None where it has no frozen beginning.

    ``train_mode`` puts it into the mode it is trained in.

    ``example`` is three different images (3, C, H, W) on the model's device; ``head`` the name of the module that
    gives the logits. The model's mode, its buffers and the random generators are left as they were.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return None
    with _left_as_it_was(model):
        for find in (_by_graph, _before_head):
            try:
                point = find(model, example, head, train_mode)
                if point is not None and _agrees(model, point, example[:2], train_mode):
                    return point
            except Exception:  # noqa: S112  # whatever a network does that cannot be followed: its forward itself is not at fault
                continue
    return None


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
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
    """Whether backbone and rest together are the network, in evaluation and, for equal chances, in training."""
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
        # auxiliary classifiers that are left out draw no random numbers either
        model.training = train and not point.silent_heads
        output = model(example)
        return next(iter(output.values())) if isinstance(output, Mapping) else output  # the main output stands first

    return all(
        _close(logits(train, SEEDS[0], whole=True), logits(train, SEEDS[0], whole=False)) for train in (False, True)
    )


def _close(one: Any, other: Any) -> bool:
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
        return _Rest(network, _second_part(training, place.name), _second_part(evaluating, place.name))

    return SplitPoint(backbone, _name_of(place), head_of, silent_heads=silent_heads)


def _training_graph(
    model: nn.Module, train_mode: Callable[[nn.Module], None], example: Tensor
) -> tuple[fx.Graph, bool]:
    """The forward in training, and whether auxiliary classifiers were left out of it: where they learn nothing, their
    loss is a constant.

    A network has auxiliary classifiers as long as it is itself in training mode; its modules keep their modes.
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
    """The parameters that a node uses, by their names in the network."""
    target = str(node.target)
    if node.op == "call_module":
        return {f"{target}.{name}": parameter for name, parameter in model.get_submodule(target).named_parameters()}
    if node.op == "get_attr":
        owner, _, name = target.rpartition(".")
        value = getattr(model.get_submodule(owner), name, None)
        return {target: value} if isinstance(value, nn.Parameter) else {}
    return {}


class _Rest(nn.Module):
    """A network from the cut on: one graph for training and one for evaluation, over the same modules."""

    def __init__(self, network: nn.Module, training: fx.Graph, evaluating: fx.Graph) -> None:
        super().__init__()
        self._train, self._eval = fx.GraphModule(network, training), fx.GraphModule(network, evaluating)

    def train(self, mode: bool = True) -> _Rest:
        """The modules belong to the network, whose modes are the task's to set."""
        self.training = mode
        return self

    def forward(self, features: Tensor) -> Any:
        return (self._train if self.training else self._eval)(features)


def _name_of(node: fx.Node) -> str:
    """The module that computes it, the innermost where they are nested; the operation's own name outside of all."""
    if node.op == "call_module":
        return str(node.target)
    return next(reversed([path for path in node.meta.get("nn_module_stack", {}) if path]), node.name)


def _places(model: nn.Module, graph: fx.Graph) -> list[fx.Node]:
    """Nodes, in order, that everything after them depends on the input through alone, and that nothing learns
    before."""
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
    """Runs a graph and keeps what its places give for the first image, as they gave it (later operations may work in
    place)."""

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
    """The last place up to which the first image always gives the same, whatever the second is and however chance
    falls."""
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
        if not all(other is not None and _close(first, other) for other in others):
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
        """Made when it is first used: what stands before the cut and does not depend on the image (a weight, a
        constant) comes along so."""
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
    """All but the head, where only that learns and its output is the network's."""
    if head is None or head not in dict(model.named_modules()):
        return None
    module = model.get_submodule(head)
    own = {id(parameter) for parameter in module.parameters()}
    if any(parameter.requires_grad and id(parameter) not in own for parameter in model.parameters()):
        return None
    backbone = _without(model, head)
    train_mode(model)
    seen = []
    for seed, other in zip(SEEDS, (example[1], example[2], example[1]), strict=True):
        torch.manual_seed(seed)
        value = backbone(torch.stack([example[0], other]))
        if not isinstance(value, Tensor):
            return None
        seen.append(value[0].clone())
    pure = all(_close(seen[0], other) for other in seen[1:])
    return SplitPoint(backbone, f"the input of {head}", lambda network: network.get_submodule(head)) if pure else None


def _without(model: nn.Module, name: str) -> nn.Module:
    """The network with an identity in the place of a module.

    Only the modules on the way to it are new; all others are shared.
    """
    first, _, others = name.partition(".")
    shared = copy.copy(model)
    shared.__dict__["_modules"] = {
        **model._modules,
        first: _without(model.get_submodule(first), others) if others else nn.Identity(),
    }
    return shared
