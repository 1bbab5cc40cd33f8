from pydantic import Field

from zoo.api import ArchitectureSpec, Options, hookimpl

ZOO_API = "2.0"


class RippleOptions(Options):
    width: int = Field(8, ge=1, description="channels of the first convolution, doubled by each of the next two")


@hookimpl
def zoo_register_architectures():
    facts = {"target": "zoo_ripple.network:Ripple", "options": "zoo_ripple:RippleOptions", "head": "head"}
    summary = "Three convolutions with a sine in between"
    return [ArchitectureSpec(name="ripple", summary=summary, input=(3, 32, 32), smallest=8, **facts)]
