"""All that a plugin imports: the specs it registers and the protocols its implementations follow.

This module never imports torch or numpy, and neither may a plugin's ``__init__``: specs name their implementation as
``"module:attribute"``, imported the first time it is needed. ``zoo.hookspecs`` shows the hooks; ``docs/hooks.md``
explains both. Models build their validators when they are first used (``defer_build``): `zoo list` does not wait for
what it does not need.

Policy: additions raise the minor number of `VERSION`; a removal is announced one minor version ahead and raises the
major one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, Self

import pluggy
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from zoo.contract.augmentation import Augmentation

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

__all__ = [
    "VERSION",
    "ArchitectureSpec",
    "Augmentation",
    "AugmentationSpec",
    "Auxiliary",
    "Batch",
    "CommandSpec",
    "DataView",
    "Dataset",
    "DatasetSpec",
    "DatasetStore",
    "EmitRequest",
    "Evaluation",
    "Expected",
    "Exporter",
    "ExporterSpec",
    "Family",
    "FamilySpec",
    "FileSpec",
    "Loss",
    "Monitor",
    "Options",
    "Part",
    "PartView",
    "RecipeSpec",
    "ReportItem",
    "Runner",
    "Spec",
    "Split",
    "Task",
    "TaskSpec",
    "WeightsSpec",
    "hookimpl",
]

VERSION = "1.6"

hookimpl = pluggy.HookimplMarker("zoo")
"""Marks a function of a plugin as the implementation of the hook whose name it bears."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.\-]*$", max_length=100)]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""``"module:attribute"``, imported when it is first used."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Part = Literal["train", "val", "test", "predict"]
"""What a split is for.

``train`` is learned from; ``val`` picks the best checkpoint; ``test`` gives the figure and chooses nothing, ever;
``predict`` has no labels.
"""


class Options(BaseModel):
    """Base for the ``options`` model of a spec: unknown keys are refused, values are checked, defaults are shown by
    ``zoo info``."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


# ---------------------------------------------------------------------------------------------------------------- specs


class Spec(BaseModel):
    """What every registered item says of itself.

    ``target`` is the implementation; ``options`` the `Options` model that ``--set SECTION.key=value`` is checked
    against; ``source`` the paper, book or page it follows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: Name
    summary: str = Field(min_length=1, max_length=200)
    source: str | None = None


class Buildable(Spec):
    target: Reference
    options: Reference | None = None


class FileSpec(BaseModel):
    """One file to have: where it lies under the data folder, where it comes from, and how to know that it is the right
    one."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    path: str
    url: str = Field(pattern=r"^https://")
    sha256: Sha256
    size: int = Field(gt=0, description="bytes")


class WeightsSpec(BaseModel):
    """Trained weights of an architecture: downloaded (``url``) or shipped inside the plugin (``resource``,
    ``"package:path/in/package"``).

    ``size`` is that of the file in bytes, as near as its publisher says; ``sha256`` as much of its digest as he gives,
    from its beginning: all 64 digits of what is shipped, perhaps the eight of a file's name; None where only the server
    tells it, with the file. ``format`` ``"torch"`` is a pickled state dict, of which tensors alone are read.
    ``classes`` is empty where the weights have no classifier. Pictures were brought to ``input`` (C, H, W) as
    ``resize`` and ``fit`` say: the shorter side to ``resize`` (None: to the input's) and the centre cut out, or
    squashed to it whatever their aspect. ``architecture_options`` are the options the network was built with;
    ``metrics`` what the weights reach on the report split of ``dataset``, measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    summary: str
    url: str | None = Field(default=None, pattern=r"^https://")
    resource: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[^/\\].*$")
    size: int | None = Field(default=None, gt=0)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    format: Literal["safetensors", "torch"] = "safetensors"
    licence: str
    dataset: str
    classes: tuple[str, ...]
    input: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = Field(default=None, gt=0)
    fit: Literal["cover", "squash"] = "cover"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    architecture_options: dict[str, Any] = {}
    metrics: dict[str, float] = {}

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.url is None) == (self.resource is None):
            raise ValueError("weights are either downloaded or shipped: give one of url and resource")
        if self.resource is not None and len(self.sha256 or "") != 64:
            raise ValueError("weights that are shipped need their whole sha256")
        return self


class ArchitectureSpec(Buildable):
    """A network.

    ``target`` is ``build(*, in_channels, num_classes, image_size, **options) -> nn.Module`` returning logits (N,
    num_classes).

    ``input`` is the default (C, H, W). ``sizing="fixed"`` takes pictures of that height and width only; ``"min"`` any
    that are at least ``smallest`` high and wide; ``"chosen"`` is built for one such size, for that of ``input`` unless
    another is asked for (a transformer whose positions are parameters). Where ``multiple`` is not 1, sides must be
    multiples of it. ``channels`` are the counts of input channels it can be built for, the preferred first; None is
    any. ``head`` is the dotted name of the module that gives the logits. ``arguments`` are passed to ``target`` as they
    are: so one builder serves many networks. One that has auxiliary classifiers returns `Auxiliary` in training mode.
    ``deviations`` says where the network differs from its paper, for `zoo info`.
    """

    paper: str | None = None
    year: int | None = None
    input: tuple[int, int, int]
    sizing: Literal["fixed", "min", "chosen"] = "min"
    smallest: int = Field(default=1, ge=1)
    multiple: int = Field(default=1, ge=1)
    channels: tuple[Literal[1, 3], ...] | None = Field(default=None, min_length=1)
    head: str | None = None
    classes: int = Field(default=10, ge=1, description="the number it was published with")
    deviations: str | None = None
    arguments: dict[str, Any] = {}
    weights: dict[str, WeightsSpec] = {}


class FamilySpec(Spec):
    """The many architectures of a library, which bear its names.

    ``target`` is a `Family`: an object that lists them and describes each.

    A member is ``namespace/member``, and answers to its bare name where no registered architecture and no other family
    has it. `zoo list` shows the family in one line. ``examples`` are a few light members, for people and for the
    conformance kit to try.
    """

    target: Reference
    examples: tuple[Name, ...] = Field(min_length=1)


class DatasetSpec(Buildable):
    """A dataset. ``target`` is ``open(store, **options) -> Dataset``.

    ``shape`` is (C, H, W), with None where pictures differ. No ``classes``: the opened dataset says them, or it is not
    ``labelled``. ``files`` is what a download brings, together. ``argument`` names the option that is written behind
    the name, as in ``folder:PATH``; such a dataset is the user's own. One that has neither is ``embedded``: it comes
    with a package and needs no network.

    ``held_out`` opens the same data to evaluate a trained model on, and is called as ``target`` is: its test split has
    every image that the data holds out, and all images (a split called ``all``) where it holds out none. Nothing need
    be there to train on. Without it, ``target`` serves.
    """

    held_out: Reference | None = None
    argument: str | None = None
    classes: tuple[str, ...] = ()
    labelled: bool = True
    shape: tuple[int, int | None, int | None]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    homepage: str | None = None
    files: tuple[FileSpec, ...] = ()

    @property
    def embedded(self) -> bool:
        return not self.files and self.argument is None

    @property
    def download_size(self) -> int:
        """Bytes that a download brings."""
        return sum(file.size for file in self.files)


class TaskSpec(Buildable):
    """A task. ``target`` is ``build(**options) -> Task``.

    ``default``: the one for an architecture that is run by its own name.

    ``needs_architecture=False``: it is of the data alone, takes none, and its run judges no other data than its own.
    ``needs_weights``: it starts from trained weights, of the architecture's own, a file or a run. ``same_inputs``: with
    these it must get the classes, the size and the preprocessing that they were trained on, since it works by the
    network's answers. A combination that lacks what a task needs is refused before anything is opened, and `zoo matrix`
    says so. ``computes``: what the task's ``prepare`` works out from the network and the data, in words, where that
    takes long, such as "the rank of each layer": a dry run leaves it out and says so.
    """

    needs_architecture: bool = True
    needs_labels: bool = True
    needs_weights: bool = False
    same_inputs: bool = False
    computes: str | None = None
    default: bool = False


class Expected(BaseModel):
    """The figure a recipe is known to reach on the report split: ``mean`` ± ``sd`` over ``seeds`` runs, measured by its
    author."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    metric: str = "accuracy"
    mean: float
    sd: float = Field(ge=0)
    seeds: int = Field(ge=1)
    seconds: float = Field(gt=0, description="one run, training and evaluation, on `device`")
    device: str


class RecipeSpec(Spec):
    """A combination that works, under a name.

    ``parameters`` is a partial run configuration (see ``docs/configuration.md``).

    ``weights`` names those of the architecture's weights that this recipe trains and ships: `zoo export` falls back on
    them.
    """

    architecture: str | None = None
    dataset: str
    task: str
    parameters: dict[str, Any] = {}
    expected: Expected | None = None
    weights: str | None = None


class ExporterSpec(Buildable):
    """A format for deployment.

    ``target`` is ``build(**options) -> Exporter``; ``suffix`` ends the model's file name, with its dot.
    """

    suffix: str = Field(pattern=r"^\.[a-z0-9.]+$")


class AugmentationSpec(Buildable):
    """A random change of training images, which ``train.augment`` and ``zoo show --augment`` know by its name.

    ``target`` is an `Augmentation` class, called with the options object; ``crop: 4`` sets the first field of
    ``options``. The summary is a full sentence.
    """


class CommandSpec(Spec):
    """A command group, ``zoo NAMESPACE …``. ``target`` is a `typer.Typer`, loaded when the group is called."""

    target: Reference


# ------------------------------------------------------------------------------------------------------------ protocols


class Family(Protocol):
    """What a `FamilySpec` names: architectures of a library, known by name long before one is described."""

    @property
    def version(self) -> str:
        """What the names depend on, as the version of the library; they are asked for once and remembered for as long
        as this stays."""
        ...

    def names(self) -> Sequence[str]:
        """Every member. This may take seconds and read files; importing torch or numpy here is a fault."""
        ...

    def spec(self, name: str) -> ArchitectureSpec:
        """One member, under that name; the library may be imported now. Raises KeyError where there is none."""
        ...


@dataclass(frozen=True)
class Split:
    """Pictures as uint8 (N, C, H, W), or the N files they are in; their labels as int64 (N,) or None, and a name for
    each (a file or an index).

    Files may differ in size; the core decodes them once, to the network's size, into a cache.
    """

    images: np.ndarray | Sequence[Path]
    labels: np.ndarray | None
    names: Sequence[str] | None = None


class Dataset(Protocol):
    """An opened dataset.

    ``parts`` says which of its splits serves which purpose, e.g. ``{"train": "train", "test": "test"}``.

    One whose spec has no ``classes`` has them as an attribute of that name, in the order of their labels.
    """

    @property
    def parts(self) -> Mapping[Part, str]: ...

    @property
    def fingerprint(self) -> str:
        """A digest of the content: equal where a run would see the same pictures and labels."""
        ...

    def load(self, split: str) -> Split: ...


class DatasetStore(Protocol):
    """What the core hands to a dataset: the data folder, and the files of its spec, found there or downloaded after
    saying so."""

    @property
    def root(self) -> Path: ...

    def files(self, spec: DatasetSpec) -> Mapping[str, Path]:
        """Path by `FileSpec.path`. Raises DataError naming all that is missing where there is no network."""
        ...

    def unpack(self, archive: Path) -> Path:
        """The folder with what is in an archive of pictures (.zip, .tar.*, .rar), unpacked once into the cache.

        Raises DataError.
        """
        ...

    def digest(self, path: Path) -> str:
        """The sha256 of any file, remembered for as long as its size and time of change stay."""
        ...

    def note(self, text: str) -> None:
        """Something worth saying about the data, in one line; the run tells it."""
        ...


class Batch(NamedTuple):
    """``inputs`` float32 (B, C, H, W), normalised; ``labels`` int64 (B,) or None; ``indices`` int64 (B,) into the part.

    On the device.
    """

    inputs: Tensor
    labels: Tensor | None
    indices: Tensor


class Auxiliary(NamedTuple):
    """What a network with auxiliary classifiers returns in training mode; in evaluation it returns its logits alone.

    ``logits`` are float (B, num_classes). Each of ``heads`` is the weight of an auxiliary classifier and its logits, of
    the same shape: the trainer adds its loss, times the weight, to that of the logits.
    """

    logits: Tensor
    heads: tuple[tuple[float, Tensor], ...]


class PartView(Protocol):
    """One part of the data, ready for a network."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def labels(self) -> np.ndarray | None:
        """int64 (N,), or None where the part has none."""
        ...

    def __len__(self) -> int: ...

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in order."""
        ...

    @property
    def originals(self) -> Sequence[np.ndarray]:
        """The first pictures (20 of them) as the dataset has them, uint8 (C, h, w), of any size."""
        ...

    def pictures(self, indices: Iterable[int]) -> np.ndarray:
        """uint8 (n, H, W, C), as the network sees them but before normalisation, for people to look at."""
        ...


class DataView(Protocol):
    """What a task sees of the data."""

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def parts(self) -> Mapping[Part, PartView]: ...


@dataclass(frozen=True)
class Evaluation:
    """What a task found on a part. ``metrics`` are floats by name, best-known first.

    ``outputs`` are the logits, float32 (N, num_classes), and ``labels`` the truths, int64 (N,) or None, both in the
    part's order. ``details`` is anything else worth keeping, as JSON (a confusion matrix, for one).
    """

    metrics: Mapping[str, float]
    outputs: np.ndarray
    labels: np.ndarray | None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportItem:
    """Something of a run to look at: ``file``, a .png or .csv under the run's folder, shown on its page under
    ``title``, with a sentence.

    A table that has a column ``picture``, whose cells name .png files under that folder, is shown as pictures with
    their facts.
    """

    title: str
    file: str
    caption: str = ""


class Loss(NamedTuple):
    """The loss of each sample of a batch, float32 (B,), and its weight (B,); None: each counts one.

    The trainer takes Σ values·weights / Σ weights over the whole batch, also where that is computed in pieces
    (``train.micro_batches``). No gradient flows through weights.
    """

    values: Tensor
    weights: Tensor | None = None


class Monitor(NamedTuple):
    """The metric that picks the best checkpoint, and whether more of it is better."""

    metric: str
    mode: Literal["max", "min"]


class Task(Protocol):
    """What is done to a model with data. One shared trainer serves every task; a task has no loop of its own.

    ``prepare`` changes the model for the data and tells how, as JSON; ``restructure`` does the same change from that
    JSON alone, so that a run's model is rebuilt with no data and no network: build → restructure → load weights.

    More methods are called where a task has them: ``introduce(architecture: ArchitectureSpec)``, before any other;
    ``set_modes(model)``, whenever the model has been put into training mode, to keep a part of it (a frozen batch norm)
    out of that; ``rates(model) -> Mapping[str, float]``, the share of the learning rate that parameters have which are
    not to learn at all of it, by name; and ``begin_epoch(model, epoch)``, before each epoch (counted from 0), which may
    set ``requires_grad`` of what learns by the last epoch, but of nothing that ``prepare`` froze.

    A task whose ``prepare`` measures, and might choose otherwise another time, has
    ``resume(model, data, structure) -> nn.Module``, called in place of ``prepare`` where a run is resumed: the same
    change from the JSON of the run, measuring nothing.

    A task with a closed form has ``fit(model, data, note) -> None`` in place of being trained, and needs no ``loss``:
    it fills the model that ``prepare`` made, and tells people what matters by ``note(text)``. Where no architecture is
    asked for, the model that ``prepare`` and ``restructure`` get is an empty module.
    """

    monitor: Monitor

    def prepare(self, model: nn.Module, data: DataView) -> tuple[nn.Module, dict[str, Any]]: ...

    def restructure(self, model: nn.Module, structure: dict[str, Any]) -> nn.Module: ...

    def loss(self, logits: Tensor, batch: Batch) -> Loss | Tensor:
        """The loss of each sample, and its weight where they differ; or a scalar, the plain mean over the samples.

        A scalar that is another mean (a weighted one, or one of pairs in the batch) is refused where batches are taken
        in pieces.
        """
        ...

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], classes: Sequence[str]) -> Evaluation:
        """Judge a model that is in eval mode, under no_grad."""
        ...

    def report(
        self, evaluation: Evaluation, part: PartView, classes: Sequence[str], directory: Path
    ) -> Sequence[ReportItem] | None:
        """Write what people would rather look at (pictures, tables) into ``directory``, and name what the run's page is
        to show of it."""
        ...


class Runner(Protocol):
    """An exported file, loaded by a runtime that is not torch; ``provider`` is the one that really runs it."""

    provider: str

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W), normalised → float32 logits (N, num_classes)."""
        ...


class EmitRequest(NamedTuple):
    """What is asked of an exporter.

    ``batch`` None leaves the batch dynamic; ``metadata`` is written into the file, text by key.
    """

    opset: int | None
    batch: int | None
    metadata: Mapping[str, str]


class Exporter(Protocol):
    """Writes a model for deployment. The core's gate proves what it wrote; nothing is published before that."""

    def emit(self, model: nn.Module, example: Tensor, path: Path, request: EmitRequest) -> None:
        """Write ``model`` (eval mode, CPU) to ``path``; ``example`` is (2, C, H, W).

        Raises ExportError naming operator and module.
        """
        ...

    def check(self, path: Path, request: EmitRequest) -> dict[str, Any]:
        """Prove the file's form (its checker, opset, metadata) and return what was found. Raises ExportError."""
        ...

    def runner(self, path: Path, provider: str) -> Runner:
        """Raises SetupError where ``provider`` (``"cpu"``, ``"cuda"``) is not the one that runs."""
        ...

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        """The first layer whose output is not the module's, or None where no layer by itself departs."""
        ...
