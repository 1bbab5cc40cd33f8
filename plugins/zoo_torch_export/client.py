"""Run the torch.export archive beside this file on images, with numpy, Pillow and torch.

    python predict.py photo.jpg folder/ … [--top 3] [--csv FILE] [--masks FOLDER] [--provider cuda]

This file is the predict.py of a bundle, and the part of zoo that opens ``.pt2`` files. `zoo_runtime.py`, beside it in a
bundle, decodes and prepares the images and turns outputs into predictions; `pt2_archive.py` checks the archive.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

if __package__:
    from zoo.plugin import runtime
    from zoo_torch_export import archive as pt2_archive
else:
    import pt2_archive  # type: ignore[import-not-found,no-redef]  # beside this file in a bundle
    import zoo_runtime as runtime  # type: ignore[import-not-found,no-redef]

OLDEST: dict[str, tuple[int, ...]] = {"torch": (2, 11)}
"""The oldest version that this file works with, which it is tested with."""
PROVIDERS = ("cpu", "cuda")
INSTALL = "pip install torch (see https://pytorch.org/get-started/locally for the build with CUDA)"


class TorchRunner:
    """A ``.pt2`` archive in torch, on the CPU or a CUDA device, in float32 without TF32.

    The first output is also called "output".
    """

    def __init__(self, path: Path, provider: str = "cpu", threads: int | None = None) -> None:
        """Raises SetupError if the provider is not available, ModelError if the file is refused or cannot be
        loaded."""
        refuse_missing(provider)
        import torch

        archive = pt2_archive.Archive(path)
        self.metadata: Mapping[str, str] = archive.metadata
        self.runtime, self.provider, self._threads = f"torch {torch.__version__}", provider, threads
        try:
            program = load(archive)
            if provider == "cuda":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, "cuda")
            self._module = program.module(check_guards=False)
        except pt2_archive.UnsafeArchiveError as error:
            raise runtime.ModelError(f"{path}: it is not loaded: {error}") from error
        except Exception as error:
            written = str(archive.program.get("torch_version"))[:40]
            raise runtime.ModelError(
                f"{path}: torch {torch.__version__} cannot load it (written by torch {written}): {_one_line(error)}"
            ) from error
        _refuse_other_device(self._module, provider)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        images = torch.from_numpy(np.ascontiguousarray(inputs[runtime.INPUT], np.float32)).to(self.provider)
        with torch.inference_mode(), _threads(self._threads), _strict_fp32(self.provider):
            outputs = self._module(images)
        named = outputs if isinstance(outputs, Mapping) else {}
        first = next(iter(named.values())) if named else outputs[0] if isinstance(outputs, (tuple, list)) else outputs
        return {name: _array(value) for name, value in {**named, runtime.OUTPUT: first}.items()}

    def close(self) -> None:
        del self._module


def load(archive: pt2_archive.Archive) -> Any:
    """Return the ExportedProgram of a checked archive. Raises UnsafeArchiveError for one that is refused, and whatever
    torch raises."""
    import torch

    content = archive.rebuilt()
    before = logging.root.manager.disable
    with warnings.catch_warnings():  # of tensors that cannot be written to
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            return torch.export.load(content)
        finally:
            logging.disable(before)


def refuse_missing(provider: str) -> None:
    """Raises SetupError if there is no torch, an older one than `OLDEST`, or no CUDA device for it."""
    try:
        import torch
    except ImportError as error:
        raise runtime.SetupError(f"{error}; fix: {INSTALL}") from error
    runtime.refuse_older({"torch": torch.__version__}, OLDEST)
    if provider == "cuda" and torch.version.cuda is None:
        raise runtime.SetupError(
            f"torch {torch.__version__} is built without CUDA; fix: {INSTALL}, or use --provider cpu"
        )
    if provider == "cuda" and not torch.cuda.is_available():
        raise runtime.SetupError(
            f"torch {torch.__version__} finds no CUDA device; fix: install the NVIDIA driver (see nvidia-smi), or use "
            "--provider cpu"
        )


def _refuse_other_device(module: Any, provider: str) -> None:
    tensors = [*module.parameters(), *module.buffers()]
    found = {tensor.device.type for tensor in tensors} - {provider}
    if found:
        raise runtime.SetupError(f"torch keeps weights on {', '.join(sorted(found))}; fix: use --provider cpu")


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute on this number of CPU threads; None changes nothing."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _strict_fp32(provider: str) -> Iterator[None]:
    """Switch TF32 off: its 10 bits are too imprecise to verify. torch uses it in convolutions on CUDA by default."""
    import torch

    backends: Any = torch.backends
    kinds = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    places = kinds if provider == "cuda" else ()
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, precision in zip(places, before):  # noqa: B905  # Python 3.8
            place.fp32_precision = precision


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.float().cpu().numpy())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


if __name__ == "__main__":
    sys.exit(runtime.main(TorchRunner, Path(__file__).with_name("model.pt2"), PROVIDERS))
