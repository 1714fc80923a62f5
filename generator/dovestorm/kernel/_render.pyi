import numpy as np
from numpy.typing import NDArray

from dovestorm.kernel.pieces import Template

class Walker:
    def __init__(self, template: Template) -> None: ...
    def render_into(
        self,
        kind: NDArray[np.int32],
        offset: NDArray[np.int64],
        values: NDArray[np.int64],
        *,
        first: int,
        out: NDArray[np.uint8],
        ends: NDArray[np.int64],
    ) -> tuple[int, int]: ...

def mix64_into(state: NDArray[np.uint64], increment: int, out: NDArray[np.uint64]) -> None: ...
def quantile_into(bits: NDArray[np.uint64], shift: int, table: NDArray[np.int64], out: NDArray[np.int64]) -> None: ...
