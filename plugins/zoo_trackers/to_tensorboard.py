"""TensorBoard: event files in the run directory, written by torch.utils.tensorboard."""

from __future__ import annotations

from collections.abc import Mapping

from torch.utils.tensorboard import SummaryWriter

from zoo_trackers.tracker import TrackedRun


class TensorBoard:
    """A tracked run is the folder ``tensorboard`` of the run; a resumed run adds a file to it."""

    def __init__(self, run: TrackedRun) -> None:
        folder = run.folder / "tensorboard"
        self.where = f"tensorboard --logdir {run.folder.parent}"
        self._folder = folder
        self._writer = SummaryWriter(folder)
        if not run.resumed:
            table = "".join(f"| {key} | {value} |\n" for key, value in run.settings.items())
            self._writer.add_text("config", f"| key | value |\n| --- | --- |\n{table}", 0)

    def last_step(self, metric: str) -> int:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self._folder), size_guidance={"scalars": 0})
        events.Reload()
        return max((each.step for each in events.Scalars(metric)), default=-1) if metric in _scalars(events) else -1

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def refer(self, name: str, target: str) -> None:
        self._writer.add_text(name, f"`{target}`", 0)

    def close(self, status: str) -> None:
        self._writer.add_text("status", status, 0)
        self._writer.close()


def _scalars(events: object) -> list[str]:
    tags: dict[str, list[str]] = events.Tags()  # type: ignore[attr-defined]
    return tags["scalars"]
