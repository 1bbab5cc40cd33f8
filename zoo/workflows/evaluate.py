"""`zoo evaluate`: evaluate a trained model on a split of its dataset, or of another dataset with the same classes or a
subset of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from zoo.api import Batch, Classes, EvaluationResult, PartView, ReportItem
from zoo.data.data_loader import Data, open_data
from zoo.data.splits import nfc, usual_part
from zoo.data.target_summary import summary
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.runs.build_components import build_solver, build_task, output_reader
from zoo.runs.load_model import LoadedModel, load_run, plan_of
from zoo.runs.plugin_check import require_plugins
from zoo.runs.plugin_metrics import build_metrics
from zoo.runs.resolve_config import dataset_section
from zoo.runs.run_directory import RunDir, find, run_id
from zoo.support.atomic_files import storage_errors, write_json
from zoo.training.devices import choose_device
from zoo.training.evaluation import evaluate_part, write_per_sample, write_predictions


@dataclass(frozen=True)
class RunEvaluation:
    """The result of `evaluate_run`: dataset, split, metrics (empty without labels), and the ``path`` of the report."""

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


def evaluate_run(
    run: str | Path | RunDir,
    split: str | None = None,
    dataset: str | None = None,
    device: str = "auto",
    out: str | Path | None = None,
) -> RunEvaluation:
    """Evaluate a run's best checkpoint on a split of its dataset, or of another dataset whose classes are a subset of
    the run's, in any order.

    The default is the test split. For another dataset, it is the test split, otherwise the validation split, otherwise
    all images. ``out`` is a new or empty folder for tables, figures and evaluation.json. The run is not changed.

    Raises UsageError if the dataset has no such split, no labels (unless ``out`` is given, for predictions), or classes
    that the run lacks, and if a run without a network is to be evaluated on other data.
    """
    where, folder = run if isinstance(run, RunDir) else find(run), None if out is None else _free(Path(out))
    target = choose_device(device)
    loaded = load_run(where, target)
    split, data, held_out = _open(where, loaded, target, split, dataset)
    view = _in_the_models_terms(data, split, loaded)
    evaluated = _Evaluated(where, loaded, view)
    found = evaluated.result
    if not found.metrics and folder is None:
        raise UsageError(
            f"the {split} split of {data.name} has no labels",
            fix="add --out DIR to write predictions, or choose another split",
        )
    result = RunEvaluation(
        run=run_id(where.path),
        dataset=data.name,
        fingerprint=data.fingerprint,
        split=split,
        samples=len(view),
        metrics=dict(found.metrics),
        notes=(*data.notes, *_notes_on_classes(data.classes, loaded.classes), *_notes_on_leaks(held_out, loaded)),
        path=folder,
        evaluated_on=f"{split} split" if held_out is None else _named_split(held_out.split),
    )
    if folder is not None:
        _write(result, folder, lambda: evaluated.report(folder))
    return result


class _Evaluated:
    """The evaluation of a run's model on a split, with its tables and figures."""

    def __init__(self, where: RunDir, loaded: LoadedModel, view: PartView) -> None:
        record, config = where.record, loaded.config
        plan = plan_of(registry(), config, loaded.preprocessing)
        self._loaded, self._view = loaded, view
        self.result: EvaluationResult
        if plan.task.learned is None:
            solver = build_solver(plan)
            self.result = solver.evaluate(loaded.model, view)
            self._show = solver.report
        else:
            task = build_task(plan, record.target, record.statistics)
            self.result = evaluate_part(
                loaded.model,
                task,
                loaded.decision,
                view,
                config.train.eval_batch_size,
                output_reader(plan),
                metrics=build_metrics(registry(), config.train.metrics, record.target),
            )
            self._show = task.report

    def report(self, folder: Path) -> Sequence[ReportItem]:
        loaded = self._loaded
        write_per_sample(folder / "per_sample.csv", self.result, self._view)
        if loaded.config.architecture is not None:
            file = folder / "predictions.csv"
            write_predictions(file, self.result, self._view, loaded.target, loaded.decision)
        return self._show(self.result, self._view, folder)


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
    """The held-out split of another dataset: its name, and the options it was opened with."""

    split: str
    options: dict[str, Any]


def _open(
    where: RunDir, loaded: LoadedModel, device: torch.device, split: str | None, dataset: str | None
) -> tuple[str, Data, HeldOut | None]:
    """Return the split to evaluate and its data; for another dataset without a given split, also the `HeldOut`.

    Raises UsageError if a run without a network is to be evaluated on other data.
    """
    config = loaded.config
    section = config.dataset
    if dataset is not None:
        section = dataset_section(registry(), dataset, permute_pixels=section.permute_pixels)
    else:
        require_plugins(where.record, registry(), "dataset")
    own = where.record.results if config.architecture is None else {}
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
    if config.architecture is None and (split not in own or data.fingerprint != where.record.fingerprint):
        raise UsageError(
            f"a run of task {config.task.name} can be evaluated only on its own data",
            fix=f"zoo run {config.task.name} --data D",
        )
    return split, data, HeldOut(data.split_names[split], section.options) if held_out else None


class Reordered:
    """A split with its labels mapped to another order of classes. ``table``: int64 (K,), the new label by the old."""

    def __init__(self, part: PartView, table: np.ndarray) -> None:
        self._part, self._table = part, table
        self.names, self.images_of = part.names, part.images_of
        self.targets = None if part.targets is None else table[part.targets]

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        theirs = self._part.targets_of(indices)
        return None if theirs is None else self._table[theirs]

    @property
    def raw_images(self) -> Sequence[np.ndarray]:
        return self._part.raw_images

    def __len__(self) -> int:
        return len(self._part)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        table = torch.from_numpy(self._table)
        for batch in self._part.batches(batch_size):
            yield (
                batch
                if batch.targets is None
                else batch._replace(targets=table.to(batch.targets.device)[batch.targets])
            )


def in_order(part: PartView, dataset: str, theirs: Sequence[str], ours: Sequence[str]) -> PartView:
    """Return a split of a dataset with the labels of the model's classes, which may be more.

    Raises UsageError with the classes that the model lacks.
    """
    if tuple(theirs) == tuple(ours):
        return part
    places = {nfc(name): index for index, name in enumerate(ours)}
    extra = {name for name in theirs if nfc(name) not in places}
    if extra:
        missing = {name for name in ours if nfc(name) not in set(map(nfc, theirs))}
        more = f"; the dataset lacks {_few(missing)}" if missing else ""
        raise UsageError(
            f"{dataset} has classes that the model lacks: {_few(extra)}{more}",
            fix="choose a dataset whose classes are a subset of the model's",
        )
    return Reordered(part, np.array([places[nfc(name)] for name in theirs]))


def _named_split(name: str) -> str:
    return "all images" if name == "all" else f"{name} split"


def _notes_on_classes(theirs: Sequence[str], ours: Sequence[str]) -> tuple[str, ...]:
    if len(theirs) == len(ours):
        return ()
    return (f"the dataset has {len(theirs)} of the model's {len(ours)} classes: {_few(theirs)}",)


def _notes_on_leaks(held_out: HeldOut | None, loaded: LoadedModel) -> tuple[str, ...]:
    """Return a note if a dataset without held-out images is the run's training data."""
    if held_out is None or held_out.split not in ("all", "train") or held_out.options != loaded.config.dataset.options:
        return ()
    return ("the run was trained on some of these images; without --data, only its held-out images are evaluated",)


def _few(names: Collection[str], count: int = 5) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(repr, sorted(names)[:count])) + more


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
