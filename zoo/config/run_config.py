"""`RunConfig`: the complete configuration of a run, merged from a recipe, a YAML file and the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator

from zoo.config.augmentation_options import canonical
from zoo.errors import UsageError

SCHEMA = 1
Scalar = bool | int | float | str
MAX_PIXELS = 100_000_000

CachePolicy = Literal["sized", "source", "none"]
PositiveInt = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Section(BaseModel):
    """A named item and its options. Keys other than the fields below are options of the item, validated by its plugin's
    options model."""

    model_config = ConfigDict(extra="allow", validate_assignment=True)

    name: str = Field(description="NAME or NAMESPACE/NAME")

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class DatasetSection(Section):
    """The options common to all datasets; a dataset may have its own in addition."""

    resize: Literal["auto", "never"] | PositiveInt = Field(
        "auto",
        description=(
            "auto: resize only if the network does not accept the images' size; never: raise an error instead; a "
            "number: resize to that side length in pixels"
        ),
    )
    fit: Literal["auto", "cover", "squash", "crop"] = Field(
        "auto",
        description=(
            "cover: keep the aspect ratio and crop the centre; squash: ignore the aspect ratio; crop: crop or pad with "
            "black, without resizing; auto: as for the pretrained weights, otherwise cover"
        ),
    )
    scale: PositiveInt | None = Field(
        None,
        description="shorter side in pixels before the centre crop, such as 256 for a crop of 224; none: the crop size",
    )
    channels: Literal["auto", 1, 3] = Field(
        "auto", description="auto: the images' own number if the network supports it; 1: grayscale; 3: RGB"
    )
    mean: list[float] | None = Field(None, description="mean of each channel, 0 to 1; none: the dataset's")
    std: list[PositiveFloat] | None = Field(None, description="standard deviation of each channel; none: the dataset's")
    cache: CachePolicy = Field(
        "sized",
        description=(
            "when image files are decoded. sized: once, to the network's size; source: once, with training images at "
            "their original size; none: each time they are used. With source and none, random crops are taken from the "
            "images at their original size"
        ),
    )
    classes: list[str] | None = Field(None, description="use only the images of these classes, in this order")
    value_range: Literal["auto"] | tuple[Finite, Finite] = Field(
        "auto",
        description=(
            "the two pixel values that are mapped to 0 and 255, for grayscale images with more than 8 bits, such as "
            "[0, 4095]; auto: chosen from all training images: 0 to 1 for floats, otherwise 0 to 255, 4095 or 65535"
        ),
    )
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        lt=2**31,
        description="maximum number of pixels of an image, before and after resizing; larger images are an error",
    )
    skip_bad_images: bool = Field(
        False,
        description="skip unreadable training images; an unreadable validation or test image is always an error",
    )
    val_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="fraction of the train split to use for validation, if the dataset has no validation split",
    )
    permute_pixels: int | None = Field(
        None, ge=0, description="seed of a random permutation that is applied to the pixels of every image"
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
        """Accept integers as class names, as in ``classes: [3, 5]``."""
        return [str(each) if type(each) is int else each for each in value] if isinstance(value, list) else value


class TrainConfig(Strict):
    epochs: PositiveInt = Field(1, description="number of passes over the train split")
    batch_size: Literal["auto"] | PositiveInt = Field(
        64, description="samples per training step; auto: the largest power of two that fits into memory"
    )
    eval_batch_size: PositiveInt = Field(1000, description="samples per evaluation step")
    micro_batches: PositiveInt = Field(
        1,
        description="split each batch into this number of parts to save memory (batch norm then normalises each part)",
    )
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time, the same results"
    )
    drop_last: bool = Field(False, description="drop the last, smaller batch of an epoch")
    augment: list[dict[str, dict[str, Any]]] = Field(
        [], description="augmentations of the training images, such as [flip, crop: 4]"
    )
    metrics: list[str | dict[str, dict[str, Any]]] = Field(
        [], description="additional metrics, as NAME or NAME: {OPTION: VALUE} (see `zoo list metrics`)"
    )
    teacher: str | None = Field(None, description="run whose network is the teacher in knowledge distillation")
    distillation: float = Field(
        0.9, ge=0, le=1, description="weight of the distillation loss, 0 to 1; the weights of both losses add up to 1"
    )
    temperature: PositiveFloat = Field(2.0, description="temperature of the distillation loss")
    mixup: PositiveFloat | None = Field(
        None, description="alpha of mixup; if cutmix is set too, each batch uses one of them at random"
    )
    cutmix: PositiveFloat | None = Field(None, description="alpha of CutMix")
    optimizer: str = Field("adam", description="class of torch.optim in lower case, or a name of timm.optim")
    lr: PositiveFloat = Field(1e-3, description="learning rate")
    momentum: float | None = Field(None, ge=0, lt=1, description="momentum, for optimizers that have it")
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="weight decay of the optimizer")
    weight_decay_scope: Literal["all", "weights"] = Field(
        "all", description="parameters with weight decay; weights: all except biases and norms (1-D parameters)"
    )
    optimizer_options: dict[str, Scalar | list[float]] = Field({}, description="further arguments of the optimizer")
    schedule: str = Field(
        "constant", description="learning rate schedule: constant, or one of timm.scheduler (cosine, step, poly, …)"
    )
    schedule_options: dict[str, Scalar | list[int]] = Field({}, description="further arguments of the schedule")
    warmup_epochs: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="epochs of linear learning rate warmup",
    )
    clip_norm: PositiveFloat | None = Field(None, description="maximum total norm of the gradients")
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay of an exponential moving average of the weights, which is then evaluated and saved",
    )
    patience: PositiveInt | None = Field(
        None, description="stop after this number of epochs without improvement on the validation split"
    )
    evaluate_start: bool = Field(
        False,
        description="also evaluate the network before training; the initial weights are kept if no epoch is better on "
        "the validation split (needs one)",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="fp32; bf16 or fp16: autocast with this type; auto: bf16 on CUDA devices that support it, "
        "otherwise fp32",
    )
    compile: bool = Field(
        False, description="compile the network (torch.compile): a slower start, often faster training"
    )
    cuda_graph: bool = Field(
        False,
        description="launch training steps as a CUDA graph, after a comparison with plain steps: faster for small "
        "networks",
    )
    channels_last: Literal["auto"] | bool = Field(
        "auto", description="use the channels-last memory format; auto: on CUDA"
    )
    cache_features: bool = Field(True, description="run frozen layers once and cache their outputs (see transfer.md)")
    checkpoint_steps: PositiveInt | None = Field(
        None, description="also write a checkpoint within an epoch after this number of steps"
    )
    checkpoint_seconds: PositiveFloat = Field(
        120.0, description="also write a checkpoint within an epoch after this number of seconds"
    )
    keep_checkpoints: int = Field(2, ge=2, description="number of newest checkpoints to keep, in addition to the best")
    log_steps: PositiveInt = Field(100, description="number of training steps between two logged losses")
    profile: bool = Field(
        False, description="profile 20 training steps: a table of their time by phase, and a trace in profile/"
    )
    log_samples: bool = Field(False, description="write the indices of the samples of each batch to samples.jsonl")

    @property
    def samples_per_step(self) -> int:
        """The batch size as a number. Raises UsageError if it is auto and was not chosen yet."""
        if self.batch_size == "auto":
            raise UsageError(
                "there is no training for which a batch size could be chosen",
                where="train.batch_size=auto",
                fix="use a number: --batch-size 64",
            )
        return self.batch_size

    @field_validator("augment", mode="before")
    @classmethod
    def _every_option(cls, value: Any) -> Any:
        return canonical(value)


class RunConfig(Strict):
    schema_version: int = Field(SCHEMA, alias="schema", description="version of the configuration format")
    recipe: str | None = Field(None, description="recipe that the configuration is based on")
    name: str | None = Field(None, description="name of the run directory; none: date and time")
    architecture: Section | None = None
    dataset: DatasetSection
    task: Section
    adapt: list[Section] = Field(
        [], description="adaptations of the network before training, in order, as NAME or NAME: {OPTION: VALUE}"
    )
    weights: str | None = Field(
        None,
        description=(
            "initial weights: pretrained weights of the architecture (see `zoo info`), a safetensors file or its "
            "address (hf: or https:), or a run. Without a value, they are random, and a task that needs pretrained "
            "weights is refused; the word `none` chooses random weights for such a task, too"
        ),
    )
    weights_key: str | None = Field(
        None,
        description="prefix of the tensors to load if the file contains several networks: ema for ema.fc.weight",
    )
    train: TrainConfig = TrainConfig()
    seed: int = Field(
        0, ge=0, lt=2**63, description="seed of initial weights, sample order, dropout and the validation split"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    deterministic: bool = Field(False, description="use only deterministic operations (slower on CUDA)")
    threads: PositiveInt | None = Field(None, description="number of CPU threads; none: PyTorch's default")

    model_config = ConfigDict(extra="forbid", validate_assignment=True, populate_by_name=True)

    @field_validator("schema_version")
    @classmethod
    def _known_schema(cls, value: int) -> int:
        if value != SCHEMA:
            newer = "newer than" if value > SCHEMA else "not supported by"
            raise ValueError(f"schema {value} is {newer} this zoo, which reads {SCHEMA}; update torch-zoo")
        return value

    @field_validator("adapt", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """Accept a name, or a name with its options (``lora: {rank: 4}``), in place of a section."""
        return [_section(each) for each in value] if isinstance(value, list) else value

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is not None:
            check_run_name(value)
        return value

    def with_batch_size(self, size: int) -> RunConfig:
        return self.model_copy(update={"train": self.train.model_copy(update={"batch_size": size})})

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data, `schema` first; `RunConfig.model_validate` of it returns an equal config."""
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
    """Yield the types of a union's members and of a list's items."""
    if get_origin(annotation) in (UnionType, Union, list):
        for each in get_args(annotation):
            yield from _members(each)
    elif isinstance(annotation, type):
        yield annotation


TEXT_KEYS = tuple(_text_keys(RunConfig))
"""Configuration keys whose values (or list items) can only be strings."""


DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows a dot."""


def check_run_name(value: str) -> None:
    """Raise ValueError unless ``value`` is a valid folder name on every operating system."""
    allowed = all(char.isalnum() or char in "._-" for char in value)
    if not value or len(value) > 100 or not allowed or value[0] in ".-" or value[-1] == ".":
        raise ValueError(
            f"{value!r} is not a valid run name: use up to 100 letters, digits, '.', '_' and '-', not starting with "
            "'.' or '-', and not ending with '.'"
        )
    if DEVICE_NAMES.fullmatch(value):
        raise ValueError(f"{value!r} is not a valid run name: Windows reserves it for a device")
