"""The peak of the memory of tensors on the CPU, counted as operations make and free them."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the context, ``peak`` is the largest number of bytes of new tensors that existed at once.

    It is exact and repeatable, unlike the resident memory of the process. The scratch memory inside of an operation is
    not counted.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_identity(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        outputs = function(*args, **(kwargs or {}))
        for each in tree_leaves(outputs):
            if isinstance(each, Tensor) and _identity(each) not in given:
                self._count(each)
        return outputs

    def _count(self, tensor: Tensor) -> None:
        key, storage = _identity(tensor), tensor.untyped_storage()
        if key in self._alive:
            return
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)

        def free(_: object) -> None:
            self.now -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, free)


def _identity(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
