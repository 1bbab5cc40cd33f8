"""`zoo evaluate`: evaluate a trained model on a split of its dataset, or of another dataset with the same classes or a
subset of them. The model is a run, an exported file, or an architecture with pretrained weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from zoo.api import Classes, EvaluationResult, PartView, ReportItem
from zoo.config.run_config import DatasetSection
from zoo.data.data_loader import Data, open_data
from zoo.data.splits import usual_part
from zoo.data.target_summary import summary
from zoo.errors import UnknownNameError, UsageError
from zoo.exporting.opening import Exported, check_no_device
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.runs.build_components import build_learned, build_solver, reader_of
from zoo.runs.load_model import LoadedModel, task_of
from zoo.runs.plugin_check import require_plugins
from zoo.runs.plugin_metrics import build_metrics
from zoo.runs.provided_objects import provide_again
from zoo.runs.resolve_config import dataset_section
from zoo.runs.task_plan import TaskPlan
from zoo.support.atomic_files import storage_errors, write_json
from zoo.support.formatting import figures, plural
from zoo.support.html_tables import html_facts
from zoo.training.devices import choose_device
from zoo.training.evaluation import evaluate_part, write_per_sample, write_predictions
from zoo.workflows.class_order import in_order, notes_on_classes
from zoo.workflows.model_argument import Found, find_model, loaded_model


@dataclass(frozen=True)
class RunEvaluation:
    """The result of `evaluate_run`: dataset, split, metrics (empty without labels), and the ``path`` of the report.

    ``run`` names the model: the id of a run, an architecture with its weights, or the path of a bundle or file.
    """

    run: str
    dataset: str
    fingerprint: str
    split: str
    samples: int
    metrics: dict[str, float]
    notes: tuple[str, ...] = ()
    path: Path | None = None
    evaluated_on: str = ""
    """A description of ``samples``: a split, or all images of the dataset."""
    engine: str = ""
    """What computed the outputs: PyTorch, or the runtime of an exported file and its provider."""

    def _repr_html_(self) -> str:
        """A table of the metrics, for notebooks."""
        facts: dict[str, object] = {"data": f"{self.dataset}, {self.evaluated_on}, {plural(self.samples, 'sample')}"}
        return html_facts(self.run, {**facts, **figures(self.metrics), "computed by": self.engine})


def evaluate_run(
    run: str | Path | Found,
    split: str | None = None,
    dataset: str | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    *,
    model: nn.Module | Any = None,
    data: Any = None,
    weights: str | None = None,
    weights_key: str | None = None,
    provider: str = "cpu",
) -> RunEvaluation:
    """Evaluate a trained model on a split of its dataset, or of another dataset whose classes are a subset of the
    model's, in any order.

    ``run`` is a run (its best checkpoint), a bundle or an exported file (run by its ``provider``), or with ``weights``
    (a name, a safetensors file or the address of one) an architecture or a recipe. The default split is the test split.
    For another dataset, it is the test split, otherwise the validation split, otherwise all images. ``out`` is a new or
    empty folder for tables, figures and evaluation.json. The run is not changed. If the network or the data of a run
    was a Python object, pass it again as ``model`` or ``data``, as for `zoo.load`.

    Raises UsageError if the dataset has no such split, no labels (unless ``out`` is given, for predictions), or classes
    that the model lacks, and if a run without a network is to be evaluated on other data.
    """
    if isinstance(run, str | Path):
        provide_again(run, model, data)
    found = find_model(run, weights, weights_key) if isinstance(run, str | Path) else run
    folder = None if out is None else _free(Path(out))
    if isinstance(found, Exported):
        check_no_device(device)
    target = torch.device("cpu") if isinstance(found, Exported) else choose_device(device)
    with loaded_model(found, provider, target) as loaded:
        return _evaluate(loaded, target, split, dataset, folder)


def _evaluate(
    loaded: LoadedModel, device: torch.device, split: str | None, dataset: str | None, folder: Path | None
) -> RunEvaluation:
    task = task_of(registry(), loaded.config, loaded.target)
    split, data, held_out = _open(loaded, task, device, split, dataset)
    view = _in_the_models_terms(data, split, loaded)
    evaluated = _Evaluated(loaded, task, view)
    found = evaluated.result
    if not found.metrics and folder is None:
        raise UsageError(
            f"the {split} split of {data.name} has no labels",
            fix="add --out DIR to write predictions, or choose another split",
        )
    notes = (*notes_on_classes(data.classes, loaded.classes), *_notes_on_leaks(held_out, loaded))
    result = RunEvaluation(
        run=loaded.label,
        dataset=data.name,
        fingerprint=data.fingerprint,
        split=split,
        samples=len(view),
        metrics=dict(found.metrics),
        notes=(*loaded.notes, *data.notes, *notes),
        path=folder,
        evaluated_on=f"{split} split" if held_out is None else _named_split(held_out.split),
        engine=loaded.engine,
    )
    if folder is not None:
        _write(result, folder, lambda: evaluated.report(folder))
    return result


class _Evaluated:
    """The evaluation of a model on a split, with its tables and figures."""

    def __init__(self, loaded: LoadedModel, plan: TaskPlan, view: PartView) -> None:
        config = loaded.config
        self._loaded, self._view, self._has_network = loaded, view, plan.learned is not None
        self.result: EvaluationResult
        if plan.learned is None:
            solver = build_solver(plan, config)
            self.result = solver.evaluate(loaded.model, view)
            self._show = solver.report
        else:
            task = build_learned(plan, config, loaded.target, loaded.statistics)
            self.result = evaluate_part(
                loaded.model,
                task,
                loaded.decision,
                view,
                config.train.eval_batch_size,
                _reader(loaded, plan),
                metrics=build_metrics(registry(), config.train.metrics, loaded.target),
            )
            self._show = task.report

    def report(self, folder: Path) -> Sequence[ReportItem]:
        loaded = self._loaded
        write_per_sample(folder / "per_sample.csv", self.result, self._view)
        if self._has_network:
            file = folder / "predictions.csv"
            write_predictions(file, self.result, self._view, loaded.target, loaded.decision)
        return self._show(self.result, self._view, folder)


def _reader(loaded: LoadedModel, plan: TaskPlan) -> OutputReader:
    """Return the reader of the model's outputs. Raises UsageError if the task needs features that an exported file does
    not return."""
    architecture = loaded.config.architecture
    if architecture is not None:
        return reader_of(registry().architecture(architecture.name).spec, plan)
    needs_features = plan.learned is not None and "features" in plan.learned.spec.needs
    if needs_features and loaded.output.kind != "features":
        raise UsageError(
            f"{plan.label} needs features, which the exported file does not return",
            where=loaded.label,
            fix="evaluate the run that it was exported from",
        )
    return OutputReader((loaded.output,), features=needs_features)


def _in_the_models_terms(data: Data, split: str, loaded: LoadedModel) -> PartView:
    """Return the split with labels in the model's order of classes. Raises UsageError for other targets."""
    part = data.part(split)
    if isinstance(data.target, Classes) and isinstance(loaded.target, Classes):
        return in_order(part, data.name, data.classes, loaded.classes)
    if data.target != loaded.target and part.targets is not None:
        raise UsageError(
            f"{data.name} has other targets ({summary(data.target)}) than the model ({summary(loaded.target)})",
            fix="choose a dataset with the same targets",
        )
    return part


class HeldOut(NamedTuple):
    """The held-out split of another dataset: its name, and the dataset's section."""

    split: str
    section: DatasetSection


def _open(
    loaded: LoadedModel, task: TaskPlan, device: torch.device, split: str | None, dataset: str | None
) -> tuple[str, Data, HeldOut | None]:
    """Return the split to evaluate and its data; for another dataset without a given split, also the `HeldOut`.

    Raises UsageError if a run without a network is to be evaluated on other data.
    """
    config, where = loaded.config, loaded.run
    if dataset is not None:
        section = dataset_section(registry(), dataset, permute_pixels=loaded.preprocessing.permute_pixels)
    else:
        section = _own_section(loaded)
    own: Mapping[str, Any] = where.record.results if where is not None and task.learned is None else {}
    split = split or next(iter(own), usual_part(registry().dataset(section.name).spec, "test"))
    held_out = dataset is not None and split == "test"
    data = open_data(
        registry(),
        section,
        device,
        preprocessing=loaded.preprocessing,
        parts=(split,),
        seed=config.seed,
        held_out=held_out,
    )
    if task.learned is None and (split not in own or data.fingerprint != loaded.origin["fingerprint"]):
        raise UsageError(
            f"a run of task {config.task.name} can be evaluated only on its own data",
            fix=f"zoo run {config.task.name} --data D",
        )
    return split, data, HeldOut(data.split_names[split], section) if held_out else None


def _own_section(loaded: LoadedModel) -> DatasetSection:
    """Return the model's own dataset. Raises UsageError if it is not known where its images are."""
    section = loaded.config.dataset
    if loaded.run is not None:
        require_plugins(loaded.run.record, registry(), "dataset")
        return section
    try:
        option = registry().dataset(section.name).spec.path_option
    except UnknownNameError as error:
        raise UsageError(
            f"{loaded.label} was trained on {section.name}, which is not an installed dataset",
            fix="name a dataset with the same classes, or some of them: --data D",
        ) from error
    if option is not None and not section.options.get(option):
        raise UsageError(
            f"{loaded.label} was trained on the user's own images, whose path is not recorded",
            fix=f"name them: --data {section.name.rpartition('/')[2]}:{option.upper()}",
        )
    return section


def _named_split(name: str) -> str:
    return "all images" if name == "all" else f"{name} split"


def _notes_on_leaks(held_out: HeldOut | None, loaded: LoadedModel) -> tuple[str, ...]:
    """Return a note if a dataset without held-out images is the run's training data."""
    own = loaded.config.dataset
    if held_out is None or held_out.split not in ("all", "train"):
        return ()
    if (held_out.section.name, held_out.section.options) != (own.name, own.options):
        return ()
    return ("the run was trained on some of these images; without --data, only its held-out images are evaluated",)


def _free(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("the output folder must be new or empty", where=folder, fix="choose another --out")
    return folder


def _write(result: RunEvaluation, folder: Path, report: Callable[[], object]) -> None:
    with storage_errors(folder):
        (folder / "plots").mkdir(parents=True, exist_ok=True)
        report()
    facts = {name: value for name, value in asdict(result).items() if name != "path"}
    write_json(folder / "evaluation.json", facts)
