"""How well a classifier tells the sessions of two streams apart.

Source: a classifier two-sample test (Lopez-Paz, Oquab: "Revisiting classifier two-sample tests", 2017): if no classifier can tell two samples
apart, nothing that it looks at tells them apart. Its area under the ROC curve is the probability that it takes the right one of a session of A and
a session of B for the one of B; 0.5 is a coin.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.errors import DovestormError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["FEWEST_SESSIONS", "MissingExtraError", "Separability", "TooFewSessionsError", "matrix", "separability"]

FEWEST_SESSIONS = 10
"""Of each stream; with less, an area says nothing."""

_FOLDS = 5
_FEATURES = 2_000
_TELLING = 10


class MissingExtraError(DovestormError):
    """scikit-learn is not installed."""

    exit_code = 2


class TooFewSessionsError(DovestormError):
    """There are not enough sessions to say anything."""


@dataclass(frozen=True, slots=True)
class Separability:
    """What the classifier achieved.

    Attributes:
        auc: Mean area under the ROC curve of the folds, each judged by a classifier that was not shown it.
        error: Standard error of ``auc`` for that many sessions (Hanley and McNeil, 1982); the luck of training comes on top.
        folds: Area of each fold.
        sessions: How many sessions of A and of B were looked at.
        features: How many features the classifier had.
        telling: The features that tell most by themselves, each with the area that it alone gives (0 to 1; far from 0.5 tells much).
    """

    auc: float
    error: float
    folds: tuple[float, ...]
    sessions: tuple[int, int]
    features: int
    telling: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        telling = [{"feature": name, "auc": round(area, 4)} for name, area in self.telling]
        return {
            "auc": round(self.auc, 4),
            "error": round(self.error, 4),
            "folds": [round(area, 4) for area in self.folds],
            "sessions": list(self.sessions),
            "features": self.features,
            "telling": telling,
        }


def separability(a: Sequence[Mapping[str, float]], b: Sequence[Mapping[str, float]], *, folds: int = _FOLDS, seed: int = 0) -> Separability:
    """How well sessions are told apart, by stratified cross-validation; the same input gives the same figure.

    The judge is gradient boosting over decision trees, which notices shifted amounts and strange transitions alike.

    Args:
        a: The features of each session of A.
        b: Likewise of B.
        folds: Parts of the cross-validation.
        seed: Of the parts and the trees.

    Raises:
        MissingExtraError: scikit-learn is not there.
        TooFewSessionsError: Fewer than ten sessions of either.
    """
    try:
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import StratifiedGroupKFold
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingExtraError("the classifier needs scikit-learn, install it with: pip install 'dovestorm[compare]'") from None
    if min(len(a), len(b)) < FEWEST_SESSIONS:
        raise TooFewSessionsError(f"{len(a)} sessions of A and {len(b)} of B, must be {FEWEST_SESSIONS} or more of each")
    names, values = matrix([*a, *b])
    truth = np.repeat(np.array([0, 1]), [len(a), len(b)])
    areas = []
    with threadpool_limits(1):  # threads of a busy machine wait for each other longer than one works
        for train, test in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(values, truth, _pairs(values, truth)):
            guess = _guess(values[train], truth[train], values[test], seed)
            areas.append(float(roc_auc_score(truth[test], guess)))
    auc = float(np.mean(areas))
    return Separability(auc, _error(auc, len(a), len(b)), tuple(areas), (len(a), len(b)), len(names), _telling(values, truth, names))


def _pairs(values: NDArray[np.float32], truth: NDArray[Any]) -> list[int]:
    """A number for each session; one of A and one of B that look exactly alike share it.

    Parted by a fold, the classifier would know the one and take the other for its kind: wrong each time, and the area far below 0.5.
    """
    waiting: dict[bytes, list[int]] = {}
    numbers = []
    a = int((truth == 0).sum())
    for at, row in enumerate(np.ascontiguousarray(values)):
        looks = row.tobytes()
        if at < a:
            waiting.setdefault(looks, []).append(at)
        numbers.append(waiting[looks].pop() if at >= a and waiting.get(looks) else at)
    return numbers


def _guess(values: NDArray[np.float32], truth: NDArray[Any], unseen: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """The probability of each unseen session to be one of B."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if not values.shape[1]:
        return np.zeros(len(unseen))
    model = HistGradientBoostingClassifier(
        max_iter=80,
        learning_rate=0.1,
        max_leaf_nodes=8,
        min_samples_leaf=5,
        max_bins=63,
        l2_regularization=1.0,
        max_features=0.2,
        early_stopping=False,
        random_state=seed,
    )
    guess: NDArray[np.float64] = model.fit(values, truth).predict_proba(unseen)[:, 1]
    return guess


def matrix(sessions: Sequence[Mapping[str, float]]) -> tuple[list[str], NDArray[np.float32]]:
    """Names of features, and sessions by features.

    A count that is missing is 0; an amount that is missing is -1000, which no logarithm is. Left out are features that hardly any session has
    (under 1 %, or two), that are the same for all, or that another one repeats; of more than 2,000 the most common stay.
    """
    met = Counter(name for session in sessions for name in session)
    least = max(3, len(sessions) // 100)
    names = sorted(sorted((name for name, count in met.items() if count >= least), key=lambda name: (-met[name], name))[:_FEATURES])
    position = {name: at for at, name in enumerate(names)}
    values = np.zeros((len(sessions), len(names)), np.float32)
    values[:, [at for at, name in enumerate(names) if name.startswith("amount ")]] = -1e3
    for row, session in enumerate(sessions):
        for name, value in session.items():
            at = position.get(name)
            if at is not None:
                values[row, at] = value
    first: dict[bytes, int] = {}
    for at in range(len(names)):
        column = values[:, at]
        if (column != column[0]).any():
            first.setdefault(column.tobytes(), at)
    kept = list(first.values())
    return [names[at] for at in kept], values[:, kept]


def _error(auc: float, a: int, b: int) -> float:
    first, second = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (b - 1) * (first - auc * auc) + (a - 1) * (second - auc * auc)) / (a * b)
    return float(np.sqrt(max(variance, 0.0)))


def _telling(values: NDArray[np.float32], truth: NDArray[Any], names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Each feature's own area by the rank-sum formula, ties counted half; the ten farthest from 0.5."""
    b = int(truth.sum())
    a = len(truth) - b
    found = []
    for at, name in enumerate(names):
        _, inverse, counts = np.unique(values[:, at], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
        area = (float(ranks[truth == 1].sum()) - b * (b + 1) / 2) / (a * b)
        found.append((name, area))
    return tuple(sorted(found, key=lambda item: (-abs(item[1] - 0.5), item[0]))[:_TELLING])
