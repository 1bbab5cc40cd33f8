"""Checks of architectures: shape of the logits, training, determinism, saving and loading."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.api import ArchitectureSpec, Batch, Classes
from zoo.config.run_config import Section, TrainConfig
from zoo.errors import ZooError
from zoo.models.building import build_model, load_state
from zoo.models.named_outputs import OutputReader, due_shape, fits, shown
from zoo.models.pretrained_weights import weights_file
from zoo.models.tensor_files import read_tensors
from zoo.registry.lookup import Item, Registry
from zoo.registry.plugin_isolation import isolated
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import ENGINE, ToyTask, other_generators
from zoo.testing.options import default_options
from zoo.training.losses import piece_loss
from zoo.training.optimizer_step import Stepper

NUM_OUTPUTS, OTHER_NUM_OUTPUTS = 10, 3
CHANNELS = (1, 3, 4, 10)
"""The numbers of input channels that are tested if the spec supports any number."""
SEED, OTHER_SEED = 0, 1
STEPS = 2
FEW, FEW_OF_A_MODULE = 12_000_000, 200_000
"""Parameter counts (in total, and per module) up to which initialisation is faster than the meta device. The time of
the meta device grows with the number of modules."""
MANY = 100_000
"""The number of elements above which a tensor is filled by `CheaplyFilled`."""
LARGE = 16 << 20
"""The size in bytes from which a tensor is not serialised; the small tensors suffice for the check, in less time."""
ROUNDING = 1e-4
"""Tolerance between outputs in different batches, relative to the largest output."""
SURE = 1e-4
"""Tolerance between a sum of probabilities and 1."""

Shape = tuple[int, int, int]


class CheaplyFilled(TorchFunctionMode):
    """A context in which large tensors are filled with a short, repeated block of random numbers.

    Drawing random numbers takes most of the time of building a network. Use it for networks whose values are
    overwritten or do not matter. The numbers come from the requested distribution, because an initialisation may redraw
    until its conditions hold (as `trunc_normal_` does).
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        tensor = args[0] if args else given.get("tensor")
        if not isinstance(tensor, Tensor) or tensor.numel() <= MANY or tensor.is_meta:
            return func(*args, **given)
        if getattr(func, "__module__", "") == nn.init.__name__:
            return tensor  # skip the initialisation
        if func not in (Tensor.normal_, Tensor.uniform_) or not tensor.is_contiguous():
            return func(*args, **given)
        with torch.no_grad():
            flat = tensor.view(-1)
            func(flat[:MANY], *args[1:], **given)
            for start in range(MANY, len(flat), MANY):
                flat[start : start + MANY] = flat[: min(MANY, len(flat) - start)]
        return tensor


@dataclass(frozen=True)
class Builder:
    """Builds the network of an architecture with its default options and a fixed seed."""

    catalogue: Registry
    item: Item[ArchitectureSpec]

    @cached_property
    def smallest(self) -> Shape:
        channels, *default = self.item.spec.input
        height, width = [self.item.spec.smallest] * 2 if self.item.spec.sizing == "min" else default
        return channels, height, width

    def build(
        self, shape: Shape | None = None, num_outputs: int = NUM_OUTPUTS, seed: int = SEED, **options: Any
    ) -> nn.Module:
        # An import of a third-party library may change the warning filters, which is not the plugin's fault.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            torch.manual_seed(seed)
            return self.build_here(shape, num_outputs, **options)

    def build_here(self, shape: Shape | None = None, num_outputs: int = NUM_OUTPUTS, **options: Any) -> nn.Module:
        """Build it without seeding or restoring the random generators."""
        shape = shape or self.smallest
        section = Section(name=self.item.canonical, **{**default_options(self.item), **options})
        return build_model(self.catalogue, section, in_channels=shape[0], num_outputs=num_outputs, image_size=shape[1:])

    def try_out(self, shape: Shape, num_outputs: int = NUM_OUTPUTS, *, meta: bool) -> None:
        """Build it and check the shapes of its outputs, on the ``meta`` device (without arithmetic) if ``meta``.

        Raises the errors of `build_model`.
        """
        try:
            with torch.device("meta") if meta else CheaplyFilled():
                self.build(shape, num_outputs)
        except ZooError:
            if not meta:
                raise
            self.build(shape, num_outputs)  # the network may use an operation that the meta device lacks


def architecture_findings(
    catalogue: Registry, item: Item[Any], sizes: dict[str, int] | None = None
) -> Iterator[Finding]:
    """Run all checks at the smallest image size.

    With other channels, and at the default size with another number of outputs, only the output shapes are checked.
    ``sizes`` receives the parameter count.
    """
    yield from _spec_findings(item.spec)
    builder, built = Builder(catalogue, item), list[nn.Module]()
    yield from guarded("build", _build_findings(builder, built))
    if not built:
        return
    network = Network(builder, built.pop())
    if sizes is not None:
        sizes[item.canonical] = network.parameters
    yield from guarded("build", network.default_findings())
    yield from guarded("channels", network.channel_findings())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield from guarded("output", network.output_findings())
        yield from guarded("head", network.head_findings())
        yield from guarded("eval_mode", network.eval_findings())
        yield from guarded("initialisation", network.initialisation_findings())
        yield from guarded("saving", network.saving_findings())
        yield from guarded("training", network.training_findings())
    del network
    for name in item.spec.weights:
        yield from guarded("weights", _weights_findings(builder, name))


def _spec_findings(spec: ArchitectureSpec) -> Iterator[Finding]:
    if spec.channels is not None and spec.input[0] not in spec.channels:
        yield Finding("spec", f"input has {spec.input[0]} channels, but channels are {_listed(spec.channels)}")
    for name, weights in spec.weights.items():
        if len(weights.mean) != weights.input[0] or len(weights.std) != weights.input[0]:
            yield Finding(
                "spec", f"weights '{name}': mean and std must have {weights.input[0]} values, one per channel"
            )


def _listed(values: Sequence[object]) -> str:
    return " or ".join(map(str, values))


def _build_findings(builder: Builder, built: list[nn.Module]) -> Iterator[Finding]:
    """Append the network of the smallest size to ``built``."""
    built.append(builder.build())
    yield from ()


class Network:
    """The checks of a built network."""

    def __init__(self, builder: Builder, model: nn.Module) -> None:
        self.builder, self.model, self.spec = builder, model, builder.item.spec
        self.reader = OutputReader(self.spec.outputs)
        self.shape = builder.smallest
        self.where = f"at {'×'.join(map(str, self.shape))} with {NUM_OUTPUTS} outputs, "

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def default_findings(self) -> Iterator[Finding]:
        """Check the default size with another number of outputs."""
        self.builder.try_out(self.spec.input, OTHER_NUM_OUTPUTS, meta=self.parameters > FEW)
        yield from ()

    def channel_findings(self) -> Iterator[Finding]:
        named, modules = self.spec.channels, len(list(self.model.modules()))
        said = "supports any number of channels" if named is None else f"supports {_listed(named)} channels"
        for channels in named or CHANNELS:
            try:
                if channels != self.shape[0]:
                    shape = (channels, *self.shape[1:])
                    self.builder.try_out(shape, meta=self.parameters > max(FEW, FEW_OF_A_MODULE * modules))
            except ZooError as error:
                yield Finding(
                    "channels",
                    f"its spec says that it {said}, but it fails with {channels}: {error.what}; list the supported "
                    "numbers in ArchitectureSpec.channels",
                )
                return

    def outputs(self, inputs: Tensor, model: nn.Module | None = None) -> Tensor:
        """The main output in eval mode."""
        with torch.no_grad():
            return self.reader.main_of((model or self.model).eval()(inputs))

    def output_findings(self) -> Iterator[Finding]:
        kind = self.reader.main.kind
        for batch in (1, 3):
            found = self.outputs(torch.randn(batch, *self.shape))
            due = due_shape(self.reader.main, NUM_OUTPUTS, batch)
            if not fits(found.shape, due):
                text = f"{self.where}its {kind} for a batch of {batch} has shape {tuple(found.shape)}, not {shown(due)}"
                yield Finding("output", text)
                return
        if kind == "features":
            return
        if _are_ones(found.double().logsumexp(1).exp()):
            yield Finding("logits", "it returns log-probabilities: return logits, the loss applies log-softmax")
        elif bool((found >= 0).all()) and _are_ones(found.double().sum(1)):
            yield Finding("logits", "it returns probabilities: return logits, the loss applies softmax")

    def head_findings(self) -> Iterator[Finding]:
        head, seen = self.spec.head, list[tuple[Any, Any]]()
        if head is None:
            return
        module = self.model.get_submodule(head)
        handle = module.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
        try:
            main = self.outputs(torch.randn(3, *self.shape))
        finally:
            handle.remove()
        if not seen:
            yield Finding("head", f"its head '{head}' is not called in a forward pass")
            return
        features, output = seen[-1]
        if self.reader.main.kind == "map":
            if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[1] != NUM_OUTPUTS:
                yield Finding(
                    "head", f"its head '{head}' does not return the {NUM_OUTPUTS} channels of the main output"
                )
            return
        if not isinstance(output, Tensor) or not torch.equal(output.flatten(1), main.flatten(1)):
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            yield Finding(
                "head",
                f"the output of its head '{head}', {got}, is not the network's main output {tuple(main.shape)}: set "
                "head to the module that computes it",
            )
        elif len(features) != 3 or features.flatten(1).shape[1] != features.shape[1]:
            yield Finding(
                "head", f"the input of its head '{head}' has shape {tuple(features.shape)}, expected features (N, D)"
            )

    def eval_findings(self) -> Iterator[Finding]:
        inputs = torch.randn(3, *self.shape)
        outputs = self.outputs(inputs)
        if not torch.equal(outputs, self.outputs(inputs)):
            yield Finding("eval_mode", f"{self.where}two forward passes in eval mode differ")
        elif (outputs[:1] - self.outputs(inputs[:1])).abs().max() > ROUNDING * (outputs.abs().max() + 0.1):
            yield Finding("eval_mode", f"{self.where}in eval mode, the outputs of an image depend on its batch")

    def initialisation_findings(self) -> Iterator[Finding]:
        """Build it again with the same state of torch's generator and another state of Python's and numpy's."""
        changed: list[str] = []
        strictly = isolated(self.builder.item.plugin.namespace, "being built", changed.append, draws=False)
        with other_generators(), strictly, torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            again = self.builder.build_here()
            seeded = torch.initial_seed() != SEED
        yield from (Finding("global_state", text.removesuffix("; restored")) for text in changed)
        if seeded:
            yield Finding("global_state", "building it seeds torch's generator: do not set seeds, zoo does")
        one, other = self.model.state_dict(), again.state_dict()
        differing = [name for name, value in one.items() if name not in other or not _equal(value, other[name])]
        if differing or one.keys() != other.keys():
            yield Finding(
                "initialisation",
                f"built twice with the same torch seed, {', '.join(differing[:3]) or 'its parameters'} differ: draw "
                "random numbers only from torch's generator",
            )

    def training_findings(self) -> Iterator[Finding]:
        """Train two steps with the trainer's optimizer step and loss, auxiliary outputs included."""
        train = TrainConfig(optimizer="sgd", lr=0.001)
        stepper = Stepper(self.model.train(), train, ENGINE, STEPS)
        task = ToyTask(Classes(names=tuple(map(str, range(NUM_OUTPUTS)))))
        before = {name: value.detach().sum().item() for name, value in self.model.named_parameters()}
        for step in range(STEPS):
            batch = Batch(torch.randn(4, *self.shape), torch.arange(4), torch.arange(4))
            outputs = self.reader.by_name(self.model(batch.inputs))
            loss = piece_loss(task, self.reader, outputs, [(1.0, batch)]).mean
            if not bool(loss.isfinite()):
                yield Finding("training", f"{self.where}the loss of step {step + 1} is {loss.item()}")
                return
            stepper.backward(loss)
            unreached = [] if step else _unreached(self.model)
            if unreached:
                yield Finding("gradients", f"{self.where}no gradient reaches {', '.join(unreached[:5])}")
            stepper.update()
        after = {name: value.detach().sum().item() for name, value in self.model.named_parameters()}
        if before and before == after:
            yield Finding("training", f"{self.where}two steps of training change no parameter")

    def saving_findings(self) -> Iterator[Finding]:
        """Save as safetensors and load into a network built with another seed."""
        with CheaplyFilled():
            other = self.builder.build(seed=OTHER_SEED)
        state = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        small = {name: tensor for name, tensor in state.items() if tensor.nbytes < LARGE}
        load_state(other, {**state, **load(save(small))}, "memory")
        inputs = torch.randn(3, *self.shape)
        if not torch.equal(self.outputs(inputs), self.outputs(inputs, other)):
            yield Finding("saving", f"{self.where}the outputs differ after the weights are saved and loaded")


def _are_ones(sums: Tensor) -> bool:
    return bool(((sums - 1).abs() < SURE).all())


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _unreached(model: nn.Module) -> list[str]:
    """Return the names of trainable parameters without a gradient."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]


def _weights_findings(builder: Builder, name: str) -> Iterator[Finding]:
    """Check that shipped weights have their checksum and fit the network."""
    weights = builder.item.spec.weights[name]
    if weights.resource is not None:
        model = builder.build(weights.input, len(weights.classes), **weights.architecture_options)
        path = weights_file(builder.item, name)
        load_state(model, read_tensors(path), path.name)
    yield from ()
