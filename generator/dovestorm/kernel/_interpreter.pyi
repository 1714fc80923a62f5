import numpy as np
from numpy.typing import NDArray

from dovestorm.kernel.instructions import Bytecode, Timing

class Interpreter:
    def __init__(self, bytecode: Bytecode, timing: Timing) -> None: ...
    def run(
        self,
        table: NDArray[np.int64],
        clock: NDArray[np.int64],
        place: NDArray[np.int32],
        over: NDArray[np.int64],
        kind: NDArray[np.int32],
        offset: NDArray[np.int64],
        session: NDArray[np.int64],
        moment: NDArray[np.int64],
        values: NDArray[np.int64],
        *,
        first: int,
        used: int,
        end: int,
        events: int,
        integers: int,
    ) -> tuple[int, int, int, int, bool, int, int]: ...

def in_order(moment: NDArray[np.int64], session: NDArray[np.int64], order: NDArray[np.int64], room: NDArray[np.uint64], *, end: int) -> int: ...
