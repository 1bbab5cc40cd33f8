"""`RunConfig`: the one model that a recipe, a YAML file and the command line fill in together.

What it says, a run does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator

from zoo.config.augmentation_options import canonical

SCHEMA = 1
Scalar = bool | int | float | str
MAX_PIXELS = 100_000_000

PositiveInt = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Section(BaseModel):
    """A named item and its options; the options beyond the fields below are the plugin's, checked against its own
    model."""

    model_config = ConfigDict(extra="allow", validate_assignment=True)

    name: str = Field(description="bare or namespace/name")

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class DatasetSection(Section):
    """Options that every dataset has, beside its own."""

    resize: Literal["auto", "never"] | PositiveInt = Field(
        "auto",
        description=(
            "auto: bring images that the network cannot take to the size it needs; never: make that an error; a "
            "number: that side"
        ),
    )
    fit: Literal["auto", "cover", "squash", "crop"] = Field(
        "auto",
        description=(
            "cover that size and crop the centre, squash to it, or crop unscaled, padded with black; auto: as weights "
            "learned, or cover"
        ),
    )
    scale: PositiveInt | None = Field(
        None,
        description="the shorter side before the centre is cropped, as 256 before 224; by default just enough to cover",
    )
    channels: Literal["auto", 1, 3] = Field(
        "auto", description="auto: as the images are, or as the network needs; 1: grey; 3: RGB"
    )
    mean: list[float] | None = Field(None, description="of each channel, 0 to 1, in place of the dataset's own")
    std: list[PositiveFloat] | None = Field(None, description="of each channel, in place of the dataset's own")
    classes: list[str] | None = Field(None, description="keep the images of these classes alone, in this order")
    value_range: Literal["auto"] | tuple[Finite, Finite] = Field(
        "auto",
        description=(
            "values of grey images with more than 8 bits that become 0 and 255, as [0, 4095]; auto: by all training "
            "images"
        ),
    )
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        lt=2**31,
        description="the most pixels an image may have, as it is and scaled; more is an error",
    )
    skip_bad_images: bool = Field(
        False,
        description="leave out training images that cannot be read; images that the run is evaluated on never are",
    )
    val_fraction: float = Field(
        0.0, ge=0, lt=1, description="fraction of train put aside as the validation split, where there is none"
    )
    permute_pixels: int | None = Field(
        None, ge=0, description="permute every image's pixels by one permutation, drawn from this seed"
    )

    @field_validator("value_range")
    @classmethod
    def _rising(cls, value: Any) -> Any:
        if value != "auto" and value[0] >= value[1]:
            raise ValueError(f"the lower value must be below the upper one, not [{value[0]:g}, {value[1]:g}]")
        return value

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """From Python, digits may be given as numbers."""
        return [str(each) if type(each) is int else each for each in value] if isinstance(value, list) else value


class TrainConfig(Strict):
    epochs: PositiveInt = Field(1, description="times the training split is seen")
    batch_size: PositiveInt = Field(64, description="samples a step")
    eval_batch_size: PositiveInt = Field(1000, description="samples a step in evaluation")
    micro_batches: PositiveInt = Field(
        1, description="pieces a batch is taken in: the same step in less memory (batch norm sees a piece)"
    )
    drop_last: bool = Field(False, description="leave out an epoch's last, smaller batch")
    augment: list[dict[str, dict[str, Any]]] = Field(
        [], description="random changes of the training images, such as [flip, crop: 4]"
    )
    metrics: list[str | dict[str, dict[str, Any]]] = Field(
        [], description="more metrics of each evaluation, as names or name: {option: value} (see `zoo list metrics`)"
    )
    teacher: str | None = Field(
        None, description="a run whose network teaches this one (distillation), beside the targets"
    )
    distillation: float = Field(0.9, ge=0, le=1, description="the teacher's share of the loss")
    temperature: PositiveFloat = Field(2.0, description="at which the teacher's answers are compared")
    mixup: PositiveFloat | None = Field(
        None, description="alpha of mixup; with cutmix as well, a coin chooses for each batch"
    )
    cutmix: PositiveFloat | None = Field(None, description="alpha of CutMix")
    optimizer: str = Field("adam", description="a class of torch.optim in lower case, else a name of timm.optim")
    lr: PositiveFloat = Field(1e-3, description="learning rate")
    momentum: float | None = Field(None, ge=0, lt=1, description="for optimizers that have one")
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="as the optimizer understands it")
    weight_decay_scope: Literal["all", "weights"] = Field(
        "all", description="what weight_decay is of; weights: not biases and norms (1-D parameters)"
    )
    optimizer_options: dict[str, Scalar | list[float]] = Field({}, description="anything else the optimizer takes")
    schedule: str = Field("constant", description="constant, or a schedule of timm.scheduler: cosine, step, poly, …")
    schedule_options: dict[str, Scalar | list[int]] = Field({}, description="anything else the schedule takes")
    warmup_epochs: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="epochs over which the learning rate rises to what the schedule says",
    )
    clip_norm: PositiveFloat | None = Field(None, description="largest norm of all gradients together")
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="decay of a moving average of the weights, which is then evaluated and kept"
    )
    patience: PositiveInt | None = Field(
        None, description="stop after this number of epochs without a better one on the validation split"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 autocast on CUDA devices that have it, else fp32"
    )
    compile: bool = Field(
        False, description="compile the network (torch.compile): slow to start, often faster to train"
    )
    channels_last: Literal["auto"] | bool = Field("auto", description="memory format of 4-D tensors; auto: on CUDA")
    cache_features: bool = Field(
        True, description="run layers that learn nothing once, and keep what they give (see transfer.md)"
    )
    checkpoint_steps: PositiveInt | None = Field(
        None, description="number of steps after which a checkpoint is also written within an epoch"
    )
    checkpoint_seconds: PositiveFloat = Field(
        120.0, description="seconds after which a checkpoint is also written within an epoch"
    )
    keep_checkpoints: int = Field(2, ge=2, description="newest checkpoints kept, beside the best")
    log_steps: PositiveInt = Field(100, description="steps between two logged losses")
    log_samples: bool = Field(False, description="write the indices of every batch to samples.jsonl")

    @field_validator("augment", mode="before")
    @classmethod
    def _every_option(cls, value: Any) -> Any:
        return canonical(value)


class RunConfig(Strict):
    schema_version: int = Field(SCHEMA, alias="schema", description="version of this layout")
    recipe: str | None = Field(None, description="the recipe this came from")
    name: str | None = Field(None, description="name of the run directory, in place of date and time")
    architecture: Section | None = None
    dataset: DatasetSection
    task: Section
    adapt: list[Section] = Field(
        [], description="changes to the network before it is trained, in order, each a name or a name with its options"
    )
    weights: str | None = Field(
        None,
        description=(
            "start from these: weights the architecture names, a safetensors file, a run, or none, where a task needs "
            "some"
        ),
    )
    weights_key: str | None = Field(None, description="the network to take where that file holds several, such as ema")
    train: TrainConfig = TrainConfig()
    seed: int = Field(
        0, ge=0, lt=2**63, description="of initial weights, order of samples, dropout and the validation split"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    deterministic: bool = Field(False, description="refuse operations that differ from run to run (slower on CUDA)")
    threads: PositiveInt | None = Field(None, description="CPU threads; by default all cores")

    model_config = ConfigDict(extra="forbid", validate_assignment=True, populate_by_name=True)

    @field_validator("schema_version")
    @classmethod
    def _known_schema(cls, value: int) -> int:
        if value != SCHEMA:
            newer = "newer than" if value > SCHEMA else "unknown to"
            raise ValueError(f"schema {value} is {newer} this zoo, which reads {SCHEMA}; update torch-zoo")
        return value

    @field_validator("adapt", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """A bare name, or a name with its options (``lora: {rank: 4}``), says the same as a section."""
        return [_section(each) for each in value] if isinstance(value, list) else value

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is not None:
            check_run_name(value)
        return value

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, with `schema` first; `RunConfig.model_validate` of it gives an equal config."""
        return self.model_dump(mode="json", by_alias=True)


def _section(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" not in value and len(value) == 1:
        (name, options), *_ = value.items()
        return {**(options or {}), "name": name} if isinstance(options, dict | None) else value
    return value


def _text_keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        members = set(_members(field.annotation))
        if str in members and not members & {bool, int, float}:
            yield (*above, name)
        for member in members:
            if issubclass(member, BaseModel):
                yield from _text_keys(member, (*above, name))


def _members(annotation: Any) -> Iterator[type]:
    """The types in a union and of a list's items."""
    if get_origin(annotation) in (UnionType, Union, list):
        for each in get_args(annotation):
            yield from _members(each)
    elif isinstance(annotation, type):
        yield annotation


TEXT_KEYS = tuple(_text_keys(RunConfig))
"""Keys of a configuration whose values, or whose lists' items, are text and nothing else."""


DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows a dot."""


def check_run_name(value: str) -> None:
    """Raises ValueError unless ``value`` can be the name of one folder on every system."""
    allowed = all(char.isalnum() or char in "._-" for char in value)
    if not value or len(value) > 100 or not allowed or value[0] in ".-" or value[-1] == ".":
        raise ValueError(
            f"{value!r} cannot name a run: letters, digits, '.', '_' and '-' alone, at most 100, not starting with '.' "
            "or '-', not ending with '.'"
        )
    if DEVICE_NAMES.fullmatch(value):
        raise ValueError(f"{value!r} cannot name a run: Windows keeps this name for a device")
