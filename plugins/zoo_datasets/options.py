"""The options of these datasets, in addition to those common to all datasets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from zoo.api import Options
from zoo.plugin import user_path

Side = Annotated[int, Field(ge=1)]


class CatdogOptions(Options):
    split_seed: int = Field(0, ge=0, description="seed of the division of PetImages into splits")


class FolderOptions(Options):
    path: str = Field(min_length=1, description="the folder, or an archive of one; given after the name: folder:PATH")
    labels: str | None = Field(
        None,
        description="a CSV file with the column file, the columns of the targets and optionally split, instead of "
        "class folders",
    )
    target: Literal["auto", "classes", "multi_label", "values", "mask"] = Field(
        "auto",
        description="classes: one for each image; multi_label: any number of labels; values: numbers; mask: a "
        "class for each pixel; auto: masks if there are folders images and masks, otherwise classes, except for a CSV "
        "file with a column labels, with columns of 0 and 1, or with numbers",
    )
    columns: list[str] | None = Field(
        None,
        min_length=1,
        description="columns of the CSV file with the labels or numbers; default: all except file and split",
    )
    label_separator: str = Field(
        ";", min_length=1, max_length=1, description="character between the labels in one cell of the CSV file"
    )
    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="fraction of each class for the test split, if the folder has neither test nor val",
    )
    split_seed: int = Field(0, ge=0, description="seed of that split")
    near_duplicates: Literal["any", "together"] = Field(
        "any",
        description="together: images of a class whose difference hashes differ in at most 4 of 64 bits are not in "
        "both train and test, and val_fraction does not divide them; any: no comparison",
    )
    layout: Literal["auto", "classes", "splits"] = Field(
        "auto",
        description="classes: one class for each direct subfolder; splits: train, val and test with class folders; "
        "auto: splits if there is train with val or test, otherwise classes",
    )

    @field_validator("labels")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """Make the path absolute, so that config.yaml works from any folder; zoo does the same for ``path``."""
        return None if value is None else str(user_path(value).absolute())


class ImagesOptions(Options):
    path: str = Field(
        min_length=1,
        description="an image, a folder of images, or a pattern (*.jpg); given after the name: images:PATH",
    )


class PhotosOptions(Options):
    size: tuple[Side, Side] | None = Field(
        None,
        description="height and width; the photographs are rotated to that orientation and cropped at the centre; "
        "default: unchanged",
    )


class OnPhotosOptions(Options):
    digits: int = Field(4, ge=1, le=10, description="number of digits: the classes are the background and 0, 1, 2 …")
