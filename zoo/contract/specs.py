"""Specs: the descriptions that plugins register. Nothing here imports torch or numpy."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from zoo.contract.base import Frozen, Name, Reference, Sha256
from zoo.contract.targets import FEATURES, MAIN_OUTPUT, Output, OutputKind, TargetKind


class Spec(Frozen):
    """Base class of specs. ``source`` is the paper, book or page that the item follows."""

    name: Name
    summary: str = Field(min_length=1, max_length=200)
    source: str | None = None

    @property
    def implementation(self) -> str | None:
        """The reference to the implementation; None if the item is composed of other items."""
        return None


class Buildable(Spec):
    """Base class of specs with an implementation, ``target``.

    ``options`` is an `Options` model. ``--set SECTION.key=value`` is validated against it, and the implementation
    receives an instance.
    """

    target: Reference
    options: Reference | None = None

    @property
    def implementation(self) -> str:
        return self.target


class FileSpec(Frozen):
    """A file to download: its path under the data folder, its URL, size and checksum."""

    path: str
    url: str = Field(pattern=r"^https://")
    sha256: Sha256
    size: int = Field(gt=0, description="bytes")


class WeightsSpec(Frozen):
    """Trained weights of an architecture, downloaded (``url``) or shipped in the plugin's package (``resource``,
    ``"package:path/in/package"``).

    ``size`` is the file's size in bytes, approximate if the publisher states only that. ``sha256`` is the digest or its
    first digits (at least 8): all 64 for shipped weights, often 8 in a published file name, and None if only the server
    provides it with the download. ``format`` ``"torch"`` is a pickled state dict, loaded with tensors only. ``classes``
    is empty if the weights have no classifier.

    The weights expect images of size ``input`` (C, H, W). ``fit="cover"`` resizes the shorter side to ``resize`` (None:
    to that of ``input``) and crops the centre; ``"squash"`` resizes without keeping the aspect ratio.
    ``architecture_options`` are the options the network was built with. ``metrics`` are measured on the test split of
    ``dataset``.
    """

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
    architecture_options: dict[str, Any] = Field({})
    metrics: dict[str, float] = Field({})

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.url is None) == (self.resource is None):
            raise ValueError("weights are either downloaded or shipped: give exactly one of url and resource")
        if self.resource is not None and len(self.sha256 or "") != 64:
            raise ValueError("shipped weights need their full sha256 (64 digits)")
        return self


class ArchitectureSpec(Buildable):
    """An architecture.

    ``target`` is ``build(options, *, in_channels, num_outputs, image_size, **builder_options) -> nn.Module``.
    ``builder_options`` are passed unchanged, so that one builder can serve many architectures.

    The module returns ``outputs``: a tensor if there is one output, otherwise a mapping by name or a sequence in that
    order. The main output is the first that is not auxiliary. It has ``num_outputs`` channels, as has every auxiliary
    output. Tasks receive it as ``"output"``, whatever its name.

    ``input`` is the default (C, H, W). ``sizing="fixed"`` accepts only images of that height and width. ``"min"``
    accepts any image at least ``smallest`` high and wide. ``"chosen"`` is built for one such size, by default that of
    ``input`` (a vision transformer, whose position embeddings are parameters). Both sides must be multiples of
    ``multiple``. ``channels`` are the supported numbers of input channels, the preferred one first; None means any.

    ``head`` is the dotted name of the module that computes the main output. ``num_outputs`` is the number of outputs in
    the publication. ``deviations`` states how the network differs from its paper.
    """

    paper: str | None = None
    year: int | None = None
    input: tuple[int, int, int]
    sizing: Literal["fixed", "min", "chosen"] = "min"
    smallest: int = Field(default=1, ge=1)
    multiple: int = Field(default=1, ge=1)
    channels: tuple[Literal[1, 3], ...] | None = Field(default=None, min_length=1)
    head: str | None = None
    outputs: tuple[Output, ...] = (Output(),)
    num_outputs: int = Field(default=10, ge=1, description="number of outputs in the publication")
    deviations: str | None = None
    builder_options: dict[str, Any] = Field({})
    weights: dict[str, WeightsSpec] = Field({})

    @model_validator(mode="after")
    def _has_one_main_output(self) -> Self:
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise ValueError("two outputs have the same name")
        if not any(output.auxiliary is None for output in self.outputs):
            raise ValueError("every output is auxiliary: one must be the main output")
        for output in self.outputs:
            if output.name == MAIN_OUTPUT and output != self.main_output:
                raise ValueError(f"only the main output may be called '{MAIN_OUTPUT}'")
            if output.name == FEATURES and output.kind != "features":
                raise ValueError(f"the output '{FEATURES}' must be of the kind features, not {output.kind}")
        return self

    @property
    def main_output(self) -> Output:
        """The first output that is not auxiliary."""
        return next(output for output in self.outputs if output.auxiliary is None)

    def gives(self, kind: OutputKind) -> bool:
        """Return whether a task can read an output of this kind.

        It must be the main output; features may also come from another output of that kind or from the head's input.
        """
        if kind == "features" and (self.head is not None or any(output.kind == kind for output in self.outputs)):
            return True
        return self.main_output.kind == kind


class FamilySpec(Spec):
    """A library of architectures, such as timm, whose members keep the library's names.

    ``target`` is a `Family`, an object that lists and describes the members.

    The full name of a member is ``namespace/member``. The short name ``member`` works if no registered architecture and
    no other family has it. `zoo list` shows the family in one line. ``examples`` are a few small members, shown to
    users and tested by the conformance kit.
    """

    target: Reference
    examples: tuple[Name, ...] = Field(min_length=1)

    @property
    def implementation(self) -> str:
        return self.target


class DatasetSpec(Buildable):
    """A dataset. ``target`` is ``open(options, store) -> Dataset``.

    ``targets`` are the kinds of targets it can have, the default first; the options choose between them.
    ``target_kind`` is ``target_kind(options) -> TargetKind | None``, the kind that they choose, or None if it is not
    known yet (a missing file). It is called before anything is opened, and imports no torch. ``classes`` are its class
    names if known in advance; otherwise the opened dataset provides them. ``shape`` is (C, H, W), with None for sides
    that vary. ``files`` are downloaded together.

    ``path_option`` names the option for a user's own data, written after the name as in ``folder:PATH``. Zoo makes that
    path absolute and expands a leading ~. A dataset with neither ``files`` nor ``path_option`` is ``embedded``: it is
    part of a package and needs no network.

    ``held_out`` opens the same data for the evaluation of a trained model, with the signature of ``target``. It needs
    no training images. Its test split has every image that the data holds out for testing, or all images (a split
    called ``all``) if none are held out. The default is ``target``.
    """

    held_out: Reference | None = None
    path_option: str | None = None
    targets: tuple[TargetKind, ...] = Field(("classes",), min_length=1)
    target_kind: Reference | None = None
    classes: tuple[str, ...] = ()
    shape: tuple[int, int | None, int | None]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    homepage: str | None = None
    files: tuple[FileSpec, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether the samples have targets."""
        return self.targets != ("none",)

    @property
    def embedded(self) -> bool:
        return not self.files and self.path_option is None

    @property
    def download_size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)


class TaskSpec(Spec):
    """A task. Give exactly one of ``target``, ``solver`` and ``adaptations``.

    - ``target`` refers to a `Task` class, which is trained. ``accepts`` are the kinds of targets it supports (empty:
      all). ``needs`` is the kind of main output, ``vector`` or ``map``, and ``features`` if the task reads them too.
      ``default=True`` makes it the default task for these targets.
    - ``solver`` refers to a `Solver` class, which computes the result without training. It takes no architecture and
      evaluates only its own data.
    - ``adaptations`` are applied to the network, which is then trained on the default task of the dataset's target. The
      options are those of the adaptations and of that task.
    """

    target: Reference | None = None
    solver: Reference | None = None
    options: Reference | None = None
    accepts: tuple[TargetKind, ...] = ()
    needs: tuple[OutputKind, ...] = ("vector",)
    adaptations: tuple[str, ...] = ()
    default: bool = False

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        named = [key for key in ("target", "solver", "adaptations") if getattr(self, key)]
        if len(named) != 1:
            given = " and ".join(named) or "none of them"
            raise ValueError(f"a task needs exactly one of target, solver and adaptations, but this one has {given}")
        if self.default and (self.target is None or not self.accepts):
            raise ValueError("a default task needs target and accepts")
        if self.options is not None and self.adaptations:
            raise ValueError("a task made of adaptations has their options: leave options out")
        return self

    @property
    def implementation(self) -> str | None:
        return self.target or self.solver

    @property
    def needs_architecture(self) -> bool:
        return self.solver is None

    @property
    def needs_labels(self) -> bool:
        takes_none = "none" in self.accepts or not (self.accepts or self.adaptations)
        return self.solver is None and not takes_none


class AdaptationSpec(Buildable):
    """A change to a network before training, under any task. ``target`` refers to an `Adaptation` class.

    ``needs_weights``: it needs trained weights (from a plugin, a file or a run). ``new_head``: it re-initialises the
    head if the classes differ from those of the weights. ``same_inputs``: without a new head, the dataset must have the
    classes, image size and preprocessing that the weights were trained with. ``computes`` names what a slow ``adapt``
    computes from the network and the data, such as "the rank of each layer"; a dry run skips it and prints that.

    A run that lacks what an adaptation needs is refused before anything is opened; `zoo matrix` shows the reason.
    """

    needs_weights: bool = False
    new_head: bool = False
    same_inputs: bool = False
    computes: str | None = None


class Expected(Frozen):
    """The metric that a recipe reaches on the test split, as measured by its author: ``mean`` ± ``sd`` (standard
    deviation) over ``seeds`` runs."""

    metric: str = "accuracy"
    mean: float
    sd: float = Field(ge=0)
    seeds: int = Field(ge=1)
    seconds: float = Field(gt=0, description="one run, training and evaluation, on `device`")
    device: str


class RecipeSpec(Spec):
    """A named combination of architecture, dataset, task and configuration.

    ``parameters`` is a partial run configuration (see ``docs/configuration.md``). ``weights`` names the weights of the
    architecture that this recipe trained; `zoo export` uses them if there is no run of the recipe.

    ``own_data`` makes the recipe one that ``zoo run NAME:PATH`` may choose for a user's own data, if its targets are of
    the kind of ``dataset``. It is a partial configuration that is then added. Of several such recipes, zoo chooses by
    the size of their weights. Recipes with ``quality`` are those of ``--quality``: they take longer for a better model.
    """

    architecture: str | None = None
    dataset: str
    task: str
    parameters: dict[str, Any] = Field({})
    own_data: dict[str, Any] | None = None
    quality: bool = False
    expected: Expected | None = None
    weights: str | None = None


class ExporterSpec(Buildable):
    """A format for deployment.

    ``target`` is an `Exporter` class, called with the options object; ``suffix`` ends the model's file name, with its
    dot. ``default`` exporters are used by `zoo export` if no format is named.
    """

    default: bool = False
    suffix: str = Field(pattern=r"^\.[a-z0-9.]+$")


class AugmentationSpec(Buildable):
    """A random transform of training images, for ``train.augment`` and ``zoo show --augment``.

    ``target`` is an `Augmentation` class, called with the options object; ``crop: 4`` sets the first field of
    ``options``. The summary is a full sentence.
    """


class MetricSpec(Buildable):
    """A metric for ``train.metrics``.

    ``target`` is ``build(options, target) -> Metric``. ``options`` is an instance of the options model, ``target`` the
    dataset's `Target` with its names. ``accepts`` are the kinds of targets it supports; a run with another kind is
    refused before anything is opened. ``mode`` ``"max"`` means that higher is better.
    """

    accepts: tuple[TargetKind, ...] = Field(("classes",), min_length=1)
    mode: Literal["max", "min"] = "max"


class CommandSpec(Spec):
    """A command group, ``zoo NAMESPACE …``. ``target`` is a `typer.Typer`, loaded when the group is called."""

    target: Reference

    @property
    def implementation(self) -> str:
        return self.target
