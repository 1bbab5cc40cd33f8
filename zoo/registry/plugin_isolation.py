"""Around a call into a plugin: what it changes in the process is restored and named, and what it raises cannot end the
command by itself.

Nothing is imported for this: of numpy and torch, only what is loaded already is looked at, so that `zoo list` stays
light.
"""

from __future__ import annotations

import locale
import operator
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from zoo.support import stop_signals

READ_BY_A_RUN = ("ZOO_", "OMP_", "MKL_", "CUDA_", "CUBLAS_", "PYTORCH_", "TORCH_", "PYTHON", "NUMEXPR_", "OPENBLAS_")
"""Beginnings of the environment variables that change what a run computes; a tracker may set others for itself."""


class Escaped(Exception):
    """A plugin raised SystemExit, KeyboardInterrupt or another exception that would have ended the command; its text
    says which."""


class Probe(NamedTuple):
    """A part of the process's state.

    ``initial`` is what it is after the import of its library, where that is always the same.
    """

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    same: Callable[[Any, Any], bool] = operator.eq
    initial: Any = None


@contextmanager
def isolated(plugin: str, doing: str, report: Callable[[str], object], *, draws: bool = True) -> Iterator[None]:
    """Around a call into ``plugin``; ``report`` gets one line that names what it changed, which is restored by then.

    Without ``draws`` it has no business with random numbers or warning filters either (registration, events). Raises
    Escaped in place of what would end the command; a Ctrl-C of the user stays one.
    """
    loaded = _loaded()
    with contained() as received:
        before = [(probe, probe.read()) for probe in _probes(loaded, draws)]
        try:
            yield
        finally:
            before += [
                (probe, probe.initial) for probe in _probes(_loaded() - loaded, draws) if probe.initial is not None
            ]
            changed = [_restored(probe, value) for probe, value in before if probe.name != SIGNALS or not received()]
            if any(changed):
                report(f"plugin '{plugin}' changed {', '.join(filter(None, changed))} in {doing}; restored")


@contextmanager
def contained() -> Iterator[Callable[[], bool]]:
    """Around code that plugins are part of: Escaped in place of what would end the command, but for a Ctrl-C of the
    user. Gives whether a signal came from outside since.
    """
    with _known_interrupts() as received:
        try:
            yield received
        except Exception:
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) or (isinstance(error, KeyboardInterrupt) and received()):
                raise
            raise Escaped(describe(error)) from error


def describe(error: BaseException) -> str:
    """In one line: the type of an error and what it says."""
    said = " ".join(str(error).split())
    if isinstance(error, Escaped):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def _known_interrupts() -> Iterator[Callable[[], bool]]:
    """Gives whether a signal came from outside since; where that cannot be known, because a handler is not ours, it
    says yes."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop_signals.interrupt)
    before = stop_signals.received()
    ours = handler is signal.default_int_handler or stop_signals.is_ours(handler)
    try:
        yield lambda: stop_signals.received() != before or not ours
    finally:
        if handler is signal.default_int_handler and signal.getsignal(signal.SIGINT) is stop_signals.interrupt:
            signal.signal(signal.SIGINT, handler)


def _restored(probe: Probe, value: Any) -> str | None:
    """The probe's name where its state was not ``value``, which it is again."""
    try:
        if value is None or probe.same(probe.read(), value):
            return None
        probe.restore(value)
    except Exception as error:  # a folder that is gone, a locale that is not installed
        return f"{probe.name} (which cannot be restored: {describe(error)})"
    return probe.name


# ---------------------------------------------------------------------------------------------------- what is looked at


def _loaded() -> frozenset[str]:
    """Of the libraries with state of their own, those that are imported."""
    return frozenset(name for name in RANDOM if name in sys.modules and not _being_imported(sys.modules[name]))


def _being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _probes(loaded: frozenset[str], draws: bool) -> list[Probe]:
    probes = [*PROCESS, *(_torch() if "torch" in loaded else ())]
    if not draws:
        probes.append(WARNINGS)
        probes += [probe for name in sorted(loaded) for probe in RANDOM[name]()]
    return probes


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:
        return None  # it was removed


def _handlers() -> dict[signal.Signals, Any]:
    return {each: handler for each in signal.Signals if (handler := signal.getsignal(each)) is not None}


def _set_handlers(handlers: dict[signal.Signals, Any]) -> None:
    for each, handler in handlers.items():
        if signal.getsignal(each) != handler:
            signal.signal(each, handler)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(READ_BY_A_RUN)}


def _set_environment(values: dict[str, str]) -> None:
    for name in _environment().keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


def _set_filters(values: list[Any]) -> None:
    warnings.resetwarnings()  # which also says that what was remembered of the filters is out of date
    cast("list[Any]", warnings.filters).extend(values)


SIGNALS = "signal handlers"
PROCESS = [
    Probe("the working directory", _folder, os.chdir),
    Probe("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Probe("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    Probe(SIGNALS, _handlers, _set_handlers),
    Probe("environment variables", _environment, _set_environment),
]
WARNINGS = Probe("warning filters", lambda: list(warnings.filters), _set_filters)


def _torch() -> list[Probe]:
    torch = sys.modules["torch"]
    cudnn = torch.backends.cudnn
    probes = [
        Probe("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype, initial=torch.float32),
        Probe("torch's default device", torch.get_default_device, _set_default_device, initial=torch.device("cpu")),
        Probe("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled, initial=True),
        Probe("torch's deterministic mode", _deterministic, _set_deterministic, initial=(False, False)),
        Probe("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        Probe(
            "torch's precision of matrix products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        Probe("torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, initial=False),
    ]
    settings = ("enabled", "benchmark", "deterministic")
    probes += [Probe(f"cuDNN's setting '{name}'", _getter(cudnn, name), _setter(cudnn, name)) for name in settings]
    return probes + [
        Probe(f"autocast on {device}", _autocast(device), _set_autocast(device), initial=False)
        for device in ("cpu", "cuda")
    ]


def _getter(owner: Any, name: str) -> Callable[[], Any]:
    return lambda: getattr(owner, name)


def _setter(owner: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(owner, name, value)


def _autocast(device: str) -> Callable[[], Any]:
    return lambda: sys.modules["torch"].is_autocast_enabled(device)


def _set_autocast(device: str) -> Callable[[Any], Any]:
    return lambda value: sys.modules["torch"].set_autocast_enabled(device, value)


def _set_default_device(device: Any) -> None:
    sys.modules["torch"].set_default_device(None if device.type == "cpu" else device)


def _deterministic() -> tuple[bool, bool]:
    torch = sys.modules["torch"]
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(values: tuple[bool, bool]) -> None:
    sys.modules["torch"].use_deterministic_algorithms(values[0], warn_only=values[1])


# ------------------------------------------------------------------------------------------------------- random numbers


def _of_random() -> list[Probe]:
    module = sys.modules["random"]
    return [Probe("the random state of Python", module.getstate, module.setstate)]


def _of_numpy() -> list[Probe]:
    random = sys.modules["numpy"].random
    return [Probe("the random state of numpy", random.get_state, random.set_state, same=_same_numpy)]


def _same_numpy(one: Any, other: Any) -> bool:
    return one[0] == other[0] and bytes(one[1]) == bytes(other[1]) and tuple(one[2:]) == tuple(other[2:])


def _of_torch() -> list[Probe]:
    torch = sys.modules["torch"]
    probes = [Probe("the random state of torch", torch.get_rng_state, torch.set_rng_state, same=torch.equal)]
    if torch.cuda.is_initialized():
        cuda = torch.cuda
        probes.append(Probe("the random state of CUDA", cuda.get_rng_state_all, cuda.set_rng_state_all, same=_same_all))
    return probes


def _same_all(one: Any, other: Any) -> bool:
    equal = sys.modules["torch"].equal
    return len(one) == len(other) and all(equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


RANDOM: dict[str, Callable[[], list[Probe]]] = {"random": _of_random, "numpy": _of_numpy, "torch": _of_torch}
