"""Open a dataset with its plugin; nothing here imports torch."""

from __future__ import annotations

from typing import Any

from zoo.api import Dataset, DatasetSpec, DatasetStore
from zoo.config.item_options import options_of
from zoo.data.data_folder import Store
from zoo.errors import PluginError, report_to
from zoo.registry.lookup import Item, calls_of, faults_named, load_object


def open_dataset(
    item: Item[DatasetSpec], options: dict[str, Any], store: DatasetStore | None = None, *, held_out: bool = False
) -> Dataset:
    """Open a dataset; with ``held_out``, with its spec's ``held_out`` function if it has one."""
    build = load_object((held_out and item.spec.held_out) or item.spec.target, item)
    given = options_of(item, options, "dataset")
    with calls_of([item], "opening the dataset"), faults_named(item, "opened"):
        opened = build(given, store or Store())
    if not isinstance(opened, Dataset):
        raise PluginError(
            f"dataset '{item.canonical}' opens as {type(opened).__name__}, expected zoo.api.Dataset",
            where=item.plugin.distribution,
            fix=report_to(item.plugin.distribution),
        )
    return opened
