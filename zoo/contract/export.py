"""Exporters: write a model for deployment, then check, open and describe the file. Zoo itself opens no format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from zoo.contract.base import JSON, Options
from zoo.contract.decisions import Decision, Raw
from zoo.contract.targets import Output

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

O = TypeVar("O", bound=Options)  # noqa: E741  # as in the sketch and the docs
MAIN_INPUT = "input"
"""The name of the images, float32 (N, C, H, W), in exported files and runners."""


@dataclass(frozen=True)
class ExportJob:
    """A model to export.

    ``model`` is in eval mode and on the CPU; ``example`` is an input, float32 (2, C, H, W). ``outputs`` are what the
    model returns, the main output first. ``preprocessing`` and ``decision`` say how images become inputs and how the
    main output becomes a prediction. ``batch`` is a fixed batch size; None makes the batch dynamic. ``metadata`` must
    be stored in the file, if the format can store text.
    """

    model: nn.Module
    example: Tensor
    outputs: Sequence[Output] = (Output(),)
    preprocessing: JSON = field(default_factory=dict)
    decision: Decision = field(default_factory=Raw)
    batch: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileFacts:
    """The result of `Exporter.check`, for verify.json and the model card.

    ``size_bytes`` counts every file of the model. ``batch`` is its batch size; None if it is dynamic. ``requires`` has
    the oldest version of each package that runs the file, such as ``{"torch": "2.9"}``. ``versions`` are those of the
    packages that wrote it. ``details`` are further facts of the format, as JSON.
    """

    size_bytes: int
    requires: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    details: JSON = field(default_factory=dict)
    batch: int | None = None


@dataclass
class FileContents:
    """The result of `Exporter.inspect`: what it is, facts, contents with a description each, and reasons not to open
    the file."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    contents: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Runner(Protocol):
    """An opened file.

    ``runtime`` is the name and version of the runtime, such as ``"torch 2.9.0"``. ``provider`` is the execution
    provider that really runs the file, as the runtime reports it. ``metadata`` is the text that the file carries; empty
    if the format stores none.
    """

    runtime: str
    provider: str
    metadata: Mapping[str, str]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the outputs by name, float32, for inputs by name.

        Zoo passes the normalised images as ``"input"``, float32 (N, C, H, W), and reads the main output ``"output"``
        (N, …). The runner of a file with other names maps its first input and output to these.
        """
        ...

    def close(self) -> None:
        """Release the file and the memory of the runtime."""
        ...


class Exporter(ABC, Generic[O]):
    """A format for deployment. Zoo verifies every written file against PyTorch before it publishes the bundle.

    The ``target`` of an `ExporterSpec` names a subclass; it is called with the validated options. Importing its module
    should not import torch, so that `zoo predict` opens a bundle without it.
    """

    providers: ClassVar[Sequence[str]] = ("cpu",)
    """The execution providers that ``--provider`` accepts for this format."""
    alternative: ClassVar[str] = ""
    """What to try if a file differs from PyTorch, such as ``"try --set export.strict=true"``."""

    def __init__(self, options: O) -> None:
        self.options = options

    def require(self, job: ExportJob | None, provider: str) -> None:  # optional
        """Check that packages, provider and options suffice, before anything is computed; ``job`` is None if a file
        is only opened.

        Raises SetupError with the command that installs what is missing, or ExportError if the options do not fit.
        """

    @abstractmethod
    def write(self, job: ExportJob, path: Path) -> None:
        """Write the model to ``path``. Further files must be in the same folder, and have names that start with
        ``path.stem``.

        Raises ExportError that names the unsupported operator and its module, and leaves no file then.
        """

    @abstractmethod
    def check(self, path: Path, job: ExportJob | None) -> FileFacts:
        """Check that the file is valid, and that it is the one that ``job`` describes; None for a file of unknown
        origin.

        Raises ExportError.
        """

    @abstractmethod
    def open(self, path: Path, provider: str, threads: int | None = None) -> Runner:
        """Open the file with an execution provider of `providers`, on ``threads`` CPU threads (None: the runtime's
        default).

        Raises SetupError if the runtime falls back to another provider, CheckpointError if the file cannot be opened.
        """

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        """Return the first layer whose output differs from that of its PyTorch module by more than ``tolerance``,
        relative to its largest value; None if no single layer differs or the format does not show layers."""
        return None

    def client(self, description: JSON) -> Mapping[str, bytes]:
        """Return the files of the bundle that run the model without zoo, by name.

        Zoo runs ``predict.py`` for the verification: ``python predict.py IMAGE … --csv FILE [--masks FOLDER]
        [--provider P]``. ``zoo.plugin.client_files`` returns one for a function that opens the file.
        """
        return {}

    def card(self, facts: FileFacts) -> str:
        """Return rows of the model card's first table about the file, in Markdown; each is ``| name | value |``."""
        return ""

    def inspect(self, path: Path) -> FileContents | None:
        """Describe a file of unknown origin without running any of it; None if the format cannot."""
        return None
