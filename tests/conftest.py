"""What every test shares: places of its own, no network, and skips that say why."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zoo.runs.run_directory import RunDir

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell leaves it for what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

# they share the cores; before torch is imported, and for processes that tests start
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

DRAWING = {"analysis", "benching", "plugins", "reporting", "test_conformance.py"}
"""The folders and files of tests that draw figures as a user's are."""


@pytest.fixture(autouse=True)
def own_places(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own runs, exports and data folder, and none of the caller's ZOO_* settings; `realdata` keeps
    ZOO_DATA."""
    keep = {"ZOO_DATA"} if request.node.get_closest_marker("realdata") else set()
    for name in [name for name in os.environ if name.startswith("ZOO_") and name not in keep]:
        monkeypatch.delenv(name)
    for name in {"ZOO_RUNS", "ZOO_EXPORTS", "ZOO_DATA", "ZOO_CACHE"} - keep:
        monkeypatch.setenv(name, str(tmp_path / name.removeprefix("ZOO_").lower()))
    monkeypatch.setenv("ZOO_OFFLINE", "1")


@pytest.fixture(autouse=True)
def work_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out work that changes no result of a test: no test ends by a power cut, so nothing is flushed to the disk;
    the sources of timm, whose names each new cache folder lacks, are parsed once; and torch's exporter keeps the list
    of its operators, for which it would parse 500 functions in every export."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    keep_results("zoo.support.decorated_functions", "_decorated")
    if "onnxscript.function_libs.torch_lib.ops" in sys.modules:  # something was exported
        keep_results("torch.onnx._internal._lazy_import", "onnxscript_apis", "get_torchlib_ops")


def keep_results(module: str, *names: str) -> None:
    """Makes a function of a module, if that is imported and has it, keep its results for the rest of the session."""
    owner: Any = sys.modules.get(module)
    for name in names[:-1]:
        owner = getattr(owner, name, None)
    function = getattr(owner, names[-1], None)
    if function is not None and not hasattr(function, "cache_info"):
        setattr(owner, names[-1], functools.cache(function))


def kept_registry() -> Any:
    """The function that keeps this process's registry, if it keeps one; a test may have put another in its place."""
    known = getattr(sys.modules.get("zoo.registry.lookup"), "registry", None)
    return known if hasattr(known, "cache_info") and known.cache_info().currsize else None


@pytest.fixture(autouse=True, scope="module")
def own_registry() -> Iterator[None]:
    """What the tests of a module register is not there for those of the next one."""
    yield
    known = kept_registry()
    if known is None:
        return
    from zoo.registry.catalogue import KINDS, LOCAL

    if any(known().items(kind, namespace=LOCAL) for kind in KINDS):
        known.cache_clear()


@pytest.fixture(autouse=True)
def sound_registry() -> Iterator[None]:
    """No test leaves a registry with a broken plugin or family for the next one of its process."""
    yield
    known = kept_registry()
    if known is None:
        return
    left = known()
    broken = {plugin.namespace: plugin.cause for plugin in left.plugins if plugin.state not in ("ok", "disabled")}
    if broken or left.faults:
        known.cache_clear()
        pytest.fail(f"the test leaves a broken registry: {broken or left.faults}")


@pytest.fixture(autouse=True)
def plain_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the tests of figures, a figure is drawn coarsely and is not laid out, which takes half the time of a
    short run."""
    full_size = "full_figures" in request.fixturenames or DRAWING.intersection(request.path.parts)
    if "matplotlib.figure" not in sys.modules or full_size:
        return
    from matplotlib.figure import Figure

    full = Figure.savefig

    def coarse(self: Figure, *arguments: Any, **options: Any) -> None:
        self.set_layout_engine("none")
        full(self, *arguments, **{**options, "dpi": 30})

    monkeypatch.setattr(Figure, "savefig", coarse)


@pytest.fixture
def full_figures() -> None:
    """Figures of this test are drawn as a user's are."""


class Hangs(BaseException):
    """No `TimeoutError`, which is an OSError and may be taken for a file's."""


@contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hangs(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def no_longer_than() -> Callable[[int], AbstractContextManager[None]]:
    """A block that would take longer than so many seconds ends in an error that no code under test catches."""
    return _no_longer_than


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a distribution with one plugin on the path, as an installer would have left it; returns the folder of its
    metadata."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def put(
        distribution: str, namespace: str, source: str, *, module: str | None = None, requires: Sequence[str] = ()
    ) -> Path:
        module = module or distribution.replace("-", "_")
        monkeypatch.setitem(sys.modules, module, sys)  # so that what the test imports is forgotten after it
        del sys.modules[module]
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        (site / module).mkdir()
        info.mkdir()
        (site / module / "__init__.py").write_text(textwrap.dedent(source), encoding="utf-8")
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{needs}", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(f"[zoo]\n{namespace} = {module}\n", encoding="utf-8")
        (info / "RECORD").write_text(
            f"{module}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n", encoding="utf-8"
        )
        return info

    return put


@pytest.fixture
def made_run(tmp_path: Path) -> Callable[..., Any]:
    """Makes the directory of a run that never was: its record (changed by keywords), configuration, metrics.csv and
    steps.jsonl."""
    from zoo.config.run_config import RunConfig
    from zoo.data.preprocessing import Preprocessing
    from zoo.runs.run_directory import Record, create

    def make(
        name: str,
        *,
        config: dict[str, Any] | None = None,
        epochs: Sequence[dict[str, float]] = (),
        steps: int = 0,
        **facts: Any,
    ) -> Any:
        base = {
            "dataset": {"name": "lab/toy"},
            "task": {"name": "lab/sort"},
            "architecture": {"name": "lab/net"},
            "name": name,
        }
        settled = RunConfig.model_validate({**base, **(config or {})})
        run = create(settled, tmp_path / "runs" / "toy" / name)
        values = {
            "id": f"toy/{name}", "status": "finished", "created": "2026-01-01T00:00:00+00:00", "label": "toy",
            "architecture": "lab/net",
            "dataset": "lab/toy", "task": "lab/sort", "target": {"kind": "classes", "names": ["a", "b"]},
            "fingerprint": "abcdef0123456789",
            "parameters": 1234, "macs": 5678,
            "preprocessing": Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.5,)), "seconds": 61.0,
            "samples": {"test": 10},
            "device": {"device": "cpu", "name": "cpu", "threads": 2},
            "versions": {"torch": "2.15.0", "processor": "Test 9000"},
            "results": {"test": {"accuracy": 0.9, "loss": 0.25}},
        }  # fmt: skip
        run.bind(Record.model_validate({**values, **facts}))
        if epochs:
            lines = [",".join(epochs[0]), *(",".join(map(str, row.values())) for row in epochs)]
            run.metrics_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        run.steps_file.write_text(
            "".join(f'{{"step": {step}, "epoch": 1, "loss": {1 / step}}}\n' for step in range(1, steps + 1)),
            encoding="utf-8",
        )
        return run

    return make


@pytest.fixture
def make_run() -> Callable[..., RunDir]:
    """Writes the records of a run without a model: its name, by default of the recipe cnn_digits, its status and
    options of its dataset."""
    from zoo.registry.lookup import registry
    from zoo.runs import run_directory
    from zoo.runs.resolve_config import resolve
    from zoo.runs.run_directory import Record
    from zoo.support.paths import runs_root

    def make(
        name: str, recipe: str = "cnn_digits", status: str = "finished", label: str | None = None, **dataset: object
    ) -> RunDir:
        config = resolve(registry(), recipe, overrides={"name": name, "dataset": dataset}).config
        run = run_directory.create(config, None if label is None else runs_root() / label / name)
        assert config.architecture is not None
        record = {
            "id": name,
            "status": status,
            "created": f"2026-01-0{name[-1]}",
            "label": run_directory.label_of(config),
            "architecture": config.architecture.name,
            "dataset": config.dataset.name,
            "task": config.task.name,
            "target": {"kind": "classes", "names": ["0"]},
            "preprocessing": {"channels": 1, "height": 28, "width": 28, "mean": (0.0,), "std": (1.0,)},
            "fingerprint": "",
        }
        run.bind(Record.model_validate(record))
        return run

    return make


@pytest.fixture
def bundle_model(tmp_path: Path) -> Path:
    """The model.onnx of a bundle with the classes dark and bright, written with onnx alone: logits (-8 m, 8 m) of a
    normalised image's mean m."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from zoo.data.preprocessing import Preprocessing
    from zoo.runtime import METADATA_KEY
    from zoo.support.atomic_files import sha256

    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    shapes = {"input": ["batch", 1, 4, 4], "logits": ["batch", 2]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    weight = numpy_helper.from_array(np.array([[-8, 8]], np.float32), "weight")
    graph = helper.make_graph(nodes, "brightness", values[:1], values[1:], [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    spec = Preprocessing(channels=1, height=4, width=4, mean=(0.5,), std=(0.5,)).describe()
    helper.set_model_props(
        proto, {METADATA_KEY: json.dumps({"input": spec, "output": {"classes": ["dark", "bright"]}})}
    )
    folder = tmp_path / "bundle"
    folder.mkdir()
    onnx.save(proto, folder / "model.onnx")
    digest = {"sha256": sha256(folder / "model.onnx"), "size": (folder / "model.onnx").stat().st_size}
    (folder / "bundle.json").write_text(
        json.dumps({"model": "model.onnx", "files": {"model.onnx": digest}}), encoding="utf-8"
    )
    return folder / "model.onnx"


@pytest.fixture
def put_client() -> Callable[[Path], Path]:
    """Writes the files with which a bundle of an ONNX model predicts without zoo to its folder; returns predict.py."""
    import zoo_onnx.client

    from zoo.exporting.client_files import runtime_source

    def put(folder: Path) -> Path:
        (folder / "zoo_runtime.py").write_bytes(runtime_source())
        (folder / "predict.py").write_bytes(Path(zoo_onnx.client.__file__).read_bytes())
        return folder / "predict.py"

    return put


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[BaseHTTPRequestHandler]], ThreadingHTTPServer]]:
    """Starts a server on the loopback interface that downloads are allowed from; its ``address`` ends without a
    slash."""
    from zoo.data import downloads

    started: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.address = f"http://127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]
        monkeypatch.setattr(downloads, "ALLOWED", ("https://", f"{server.address}/"))  # type: ignore[attr-defined]
        monkeypatch.setattr(downloads, "RETRY_SECONDS", 0.0)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("realdata") and not (Path(os.environ.get("ZOO_DATA", "")) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real datasets: set ZOO_DATA to a folder that has MNIST/raw")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
    if item.get_closest_marker("onnxruntime_cuda"):
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            pytest.skip("needs onnxruntime-gpu")


def pytest_report_header() -> str:
    """Which zoo is tested; `make test-wheel` insists on the built one."""
    import zoo

    where = Path(zoo.__file__).parent
    wanted = os.environ.get("ZOO_TEST_INSTALLED")
    if wanted and not where.is_relative_to(Path(wanted).resolve()):
        raise pytest.UsageError(f"the tests were to run against {wanted}, and zoo is imported from {where}")
    return f"zoo: {where}"
