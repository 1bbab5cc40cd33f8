"""What every registered item says of itself. Specs are light: nothing here imports torch or numpy."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from zoo.contract.base import Frozen, Name, Reference, Sha256
from zoo.contract.targets import FEATURES, MAIN_OUTPUT, Output, OutputKind, TargetKind


class Spec(Frozen):
    """``source`` is the paper, book or page that the item follows."""

    name: Name
    summary: str = Field(min_length=1, max_length=200)
    source: str | None = None

    @property
    def implementation(self) -> str | None:
        """The reference to what the item is made of; None where it is made of other items."""
        return None


class Buildable(Spec):
    """``target`` is the implementation; ``options`` the `Options` model that ``--set SECTION.key=value`` is checked
    against, and of which the implementation receives an instance."""

    target: Reference
    options: Reference | None = None

    @property
    def implementation(self) -> str:
        return self.target


class FileSpec(Frozen):
    """One file to have: where it lies under the data folder, where it comes from, and how to know that it is the right
    one."""

    path: str
    url: str = Field(pattern=r"^https://")
    sha256: Sha256
    size: int = Field(gt=0, description="bytes")


class WeightsSpec(Frozen):
    """Trained weights of an architecture: downloaded (``url``) or shipped inside the plugin (``resource``,
    ``"package:path/in/package"``).

    ``size`` is that of the file in bytes, as near as its publisher says; ``sha256`` as much of its digest as he gives,
    from its beginning: all 64 digits of what is shipped, perhaps the eight of a file's name; None where only the server
    tells it, with the file. ``format`` ``"torch"`` is a pickled state dict, of which tensors alone are read.
    ``classes`` is empty where the weights have no classifier. Images were brought to ``input`` (C, H, W) as
    ``resize`` and ``fit`` say: the shorter side to ``resize`` (None: to the input's) and the centre cut out, or
    squashed to it whatever their aspect. ``architecture_options`` are the options the network was built with;
    ``metrics`` what the weights reach on the test split of ``dataset``, measured.
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
            raise ValueError("weights are either downloaded or shipped: give one of url and resource")
        if self.resource is not None and len(self.sha256 or "") != 64:
            raise ValueError("weights that are shipped need their whole sha256")
        return self


class ArchitectureSpec(Buildable):
    """A network.

    ``target`` is ``build(options, *, in_channels, num_outputs, image_size, **builder_options) -> nn.Module``, whose
    outputs are ``outputs``: a tensor where that is one, else tensors by name, or in that order. The main output is the
    first that is not auxiliary; it has ``num_outputs`` channels K, as every auxiliary one. Tasks get it as
    ``"output"``, whatever its name is. ``builder_options`` are passed as they are, so that one builder serves many
    networks.

    ``input`` is the default (C, H, W). ``sizing="fixed"`` takes images of that height and width only; ``"min"`` any
    that are at least ``smallest`` high and wide; ``"chosen"`` is built for one such size, for that of ``input`` unless
    another is asked for (a transformer whose positions are parameters). Where ``multiple`` is not 1, sides must be
    multiples of it. ``channels`` are the counts of input channels it can be built for, the preferred first; None is
    any. ``head`` is the dotted name of the module that gives the main output. ``num_outputs`` is the number it was
    published with. ``deviations`` says where the network differs from its paper, for `zoo info`.
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
    num_outputs: int = Field(default=10, ge=1, description="the number it was published with")
    deviations: str | None = None
    builder_options: dict[str, Any] = Field({})
    weights: dict[str, WeightsSpec] = Field({})

    @model_validator(mode="after")
    def _has_one_main_output(self) -> Self:
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise ValueError("two outputs have one name")
        if not any(output.auxiliary is None for output in self.outputs):
            raise ValueError("every output is auxiliary: one of them must be the network's answer")
        for output in self.outputs:
            if output.name == MAIN_OUTPUT and output != self.main_output:
                raise ValueError(f"an output beside the main one is called '{MAIN_OUTPUT}', as tasks call that")
            if output.name == FEATURES and output.kind != "features":
                raise ValueError(f"an output is called '{FEATURES}', and its kind is {output.kind}")
        return self

    @property
    def main_output(self) -> Output:
        """What the network answers: the first output that is not auxiliary."""
        return next(output for output in self.outputs if output.auxiliary is None)

    def gives(self, kind: OutputKind) -> bool:
        """Whether a task can read it: as the main output, and features from any output of that kind or the head."""
        if kind == "features" and (self.head is not None or any(output.kind == kind for output in self.outputs)):
            return True
        return self.main_output.kind == kind


class FamilySpec(Spec):
    """The many architectures of a library, which bear its names.

    ``target`` is a `Family`: an object that lists them and describes each.

    A member is ``namespace/member``, and answers to its bare name where no registered architecture and no other family
    has it. `zoo list` shows the family in one line. ``examples`` are a few light members, for people and for the
    conformance kit to try.
    """

    target: Reference
    examples: tuple[Name, ...] = Field(min_length=1)

    @property
    def implementation(self) -> str:
        return self.target


class DatasetSpec(Buildable):
    """A dataset. ``target`` is ``open(options, store) -> Dataset``.

    ``targets`` are the kinds that the answers of its samples may be of, one kind for each way it is opened, the usual
    one first. ``classes`` are the names of its classes where they are known; the opened dataset says any others.
    ``shape`` is (C, H, W), with None where images differ. ``files`` are what a download gets, together.
    ``path_option`` names the option that is written behind the name, as in ``folder:PATH``: a path, which zoo makes
    absolute, and replaces a leading ~ in. Such a dataset is the user's own. One that has neither is ``embedded``: it
    comes with a package and needs no network.

    ``held_out`` opens the same data to evaluate a trained model on, and is called as ``target`` is: its test split has
    every image that the data holds out, and all images (a split called ``all``) where it holds out none. Nothing need
    be there to train on. Without it, ``target`` serves.
    """

    held_out: Reference | None = None
    path_option: str | None = None
    targets: tuple[TargetKind, ...] = Field(("classes",), min_length=1)
    classes: tuple[str, ...] = ()
    shape: tuple[int, int | None, int | None]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    homepage: str | None = None
    files: tuple[FileSpec, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether samples have an answer."""
        return self.targets != ("none",)

    @property
    def embedded(self) -> bool:
        return not self.files and self.path_option is None

    @property
    def download_size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)


class TaskSpec(Spec):
    """A task: exactly one of three.

    - ``target`` names a `Task` class: what is learned. It ``accepts`` targets of any of these kinds (none named: all
      kinds), and ``needs`` a main output of the kind ``vector`` or ``map``, and ``features`` where it reads them too.
      ``default``: it is the one for these targets where no task is named.
    - ``solver`` names a `Solver` class: what is solved without training. It takes no architecture, and evaluates no
      other data than its own.
    - neither: the default task of the dataset's target, after ``adaptations`` have changed the network. Its options are
      those of both.
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
            raise ValueError(f"a task is named by one of target, solver and adaptations, and this has {given}")
        if self.default and (self.target is None or not self.accepts):
            raise ValueError("a default task names its target and the kinds of targets that it accepts")
        if self.options is not None and self.adaptations:
            raise ValueError("the options of a task made of adaptations are theirs: leave options out")
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
    """A change to a network before it is trained, under any task. ``target`` names an `Adaptation` class.

    ``needs_weights``: it starts from trained weights, of the architecture's own, a file or a run. ``new_head``: a head
    for other classes than theirs is initialised anew. ``same_inputs``: without a new head, it must get the classes, the
    size and the preprocessing that the weights were trained on, since it works by the network's answers. ``computes``:
    what ``adapt`` works out from the network and the data, in words, where that takes long, such as "the rank of each
    layer": a dry run leaves it out and says so. A combination that lacks what an adaptation needs is refused before
    anything is opened, and `zoo matrix` says so.
    """

    needs_weights: bool = False
    new_head: bool = False
    same_inputs: bool = False
    computes: str | None = None


class Expected(Frozen):
    """The figure a recipe is known to reach on the test split: ``mean`` ± ``sd`` over ``seeds`` runs, measured by its
    author."""

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
    parameters: dict[str, Any] = Field({})
    expected: Expected | None = None
    weights: str | None = None


class ExporterSpec(Buildable):
    """A format for deployment.

    ``target`` is ``build(options) -> Exporter``; ``suffix`` ends the model's file name, with its dot.
    """

    suffix: str = Field(pattern=r"^\.[a-z0-9.]+$")


class AugmentationSpec(Buildable):
    """A random change of training images, which ``train.augment`` and ``zoo show --augment`` know by its name.

    ``target`` is an `Augmentation` class, called with the options object; ``crop: 4`` sets the first field of
    ``options``. The summary is a full sentence.
    """


class MetricSpec(Buildable):
    """A metric, which a configuration names in ``train.metrics``.

    ``target`` is ``build(options, target) -> Metric``: ``options`` is an instance of the options model, ``target`` the
    dataset's `Target` with its names. ``accepts`` are the kinds of targets it can be computed for; another is refused
    before anything is opened. ``mode`` says whether more is better.
    """

    accepts: tuple[TargetKind, ...] = Field(("classes",), min_length=1)
    mode: Literal["max", "min"] = "max"


class CommandSpec(Spec):
    """A command group, ``zoo NAMESPACE …``. ``target`` is a `typer.Typer`, loaded when the group is called."""

    target: Reference

    @property
    def implementation(self) -> str:
        return self.target
