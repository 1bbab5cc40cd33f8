from pydantic import Field

from zoo.api import Options, TaskSpec, hookimpl

ZOO_API = "2.0"


class LogCoshOptions(Options):
    sharpness: float = Field(1.0, gt=0, description="the larger, the nearer to the absolute error")


@hookimpl
def zoo_register_tasks():
    facts = {"target": "zoo_logcosh.task:LogCosh", "options": "zoo_logcosh:LogCoshOptions", "accepts": ("values",)}
    return [TaskSpec(name="logcosh", summary="Learn standardised numbers by the log-cosh loss", **facts)]
