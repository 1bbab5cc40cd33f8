"""What ``--set dataset.…`` may say of these datasets, beside what the core gives to every one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from zoo.api import Options
from zoo.plugin import user_path

Side = Annotated[int, Field(ge=1)]


class CatdogOptions(Options):
    split_seed: int = Field(0, ge=0, description="how PetImages, which has no splits, is divided")


class FolderOptions(Options):
    path: str = Field(
        min_length=1, description="the folder, or an archive of one; written behind the name, as in folder:PATH"
    )
    labels: str | None = Field(
        None, description="a CSV file with the columns file, label and, if you like, split, in place of class folders"
    )
    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="fraction of each class put aside as the test split, where the folder has no test and no val",
    )
    split_seed: int = Field(0, ge=0, description="which ones these are")
    layout: Literal["auto", "classes", "splits"] = Field(
        "auto",
        description="classes: one class for each folder directly under the root; splits: train, val and test with "
        "classes in them; auto: splits where train stands beside val or test, else classes",
    )

    @field_validator("labels")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """A run's config.yaml must mean the same wherever it is run again; zoo does this for the path itself."""
        return None if value is None else str(user_path(value).absolute())


class ImagesOptions(Options):
    path: str = Field(
        min_length=1,
        description="an image, a folder of them, or a pattern (*.jpg); written behind the name, as in images:PATH",
    )


class PhotosOptions(Options):
    size: tuple[Side, Side] | None = Field(
        None,
        description="rows and columns: they are turned to that orientation and cropped at the centre; by default they "
        "stay as they are",
    )
