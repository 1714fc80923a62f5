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
