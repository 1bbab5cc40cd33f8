"""Labels from a CSV file: a row a picture, with its file (from the folder on), its label and, if there is such a column, its split."""

from __future__ import annotations

import csv
from pathlib import Path

from zoo.errors import DataError
from zoo_datasets.folder import SPLITS, Sample


def read_table(table: Path, root: Path) -> dict[str, list[Sample]]:
    """Samples by split. Raises DataError naming the line that is wrong. A row without a label may only be in the test split, with no other."""
    splits: dict[str, list[Sample]] = {}
    seen: dict[Path, int] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in ("file", "label") if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"the table has no column '{missing[0]}'", where=table, fix="name the columns file, label and, if you like, split")
            for row in reader:
                split, sample = _row(row, root, table, reader.line_num)
                if sample.file in seen:
                    raise _fault(f"'{row['file']}' stands on line {seen[sample.file]} already", table, reader.line_num)
                seen[sample.file] = reader.line_num
                splits.setdefault(split, []).append(sample)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the table of labels cannot be read: {error}", where=table, fix="give a CSV file in UTF-8") from error
    for name, samples in splits.items():
        unlabelled = [sample for sample in samples if sample.label is None]
        if unlabelled and (name != "test" or len(unlabelled) < len(samples)):
            raise DataError(f"'{unlabelled[0].file.name}' of split '{name}' has no label", where=table, fix="label it, or remove its row")
    if "train" not in splits:
        raise DataError("the table has no rows to train on", where=table, fix="add rows, with split train where there is such a column")
    return splits


def _row(row: dict[str, str], root: Path, table: Path, line: int) -> tuple[str, Sample]:
    named, split = (row["file"] or "").strip(), (row.get("split") or "train").strip().lower()
    if split not in SPLITS:
        raise _fault(f"'{split}' is no split: {', '.join(SPLITS)}", table, line)
    file = root / named
    if not named or not file.is_file():
        raise _fault(f"there is no file '{named}' in {root}", table, line)
    return SPLITS[split], Sample(file, (row["label"] or "").strip() or None)


def _fault(what: str, table: Path, line: int) -> DataError:
    return DataError(f"line {line}: {what}", where=table, fix="correct the row")
