from pydantic import Field

from zoo.api import DatasetSpec, Options, hookimpl

ZOO_API = "2.0"


class TidesOptions(Options):
    file: str = Field("", description="a Parquet file with the columns image (PNG), x and y")
    units: tuple[str, str] = Field(("cm", "cm"), description="of x and y")


@hookimpl
def zoo_register_datasets():
    facts = {"target": "zoo_tides.tides:Tides", "options": "zoo_tides:TidesOptions", "path_option": "file"}
    images = {"shape": (3, None, None), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    summary = "Images and two numbers each, from a Parquet file"
    return [DatasetSpec(name="tides", summary=summary, targets=("values",), licence="yours", **facts, **images)]
