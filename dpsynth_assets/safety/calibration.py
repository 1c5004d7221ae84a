"""Log-odds to probabilities that mean what they say (Platt 1999, "Probabilistic outputs for support vector machines").

Fitted to held-out *synthetic or declared-public* rows. It also undoes what training on balanced classes did to the
scores: the probabilities are those of rows with the held-out rows' share of unsafe texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from dpsynth_assets.classify.errors import ClassifierError


@dataclass(frozen=True)
class Platt:
    """probability = sigmoid(slope * log_odds + intercept), increasing in the log-odds."""

    slope: float
    intercept: float

    def __call__(self, log_odds: np.ndarray) -> np.ndarray:
        """Probabilities, float64, shape of the log-odds."""
        return np.asarray(expit(self.slope * np.asarray(log_odds, dtype=np.float64) + self.intercept))


def fit(log_odds: np.ndarray, unsafe: np.ndarray) -> Platt:
    """The most likely slope and intercept, with Platt's targets: (n + 1) / (n + 2) and 1 / (n + 2) in place of 1 and 0,
    by which separable rows do not ask for certainty.

    Raises:
        ClassifierError: the rows are all of one kind, or the classifier ranks them no better than backwards.
    """
    scores, truth = np.asarray(log_odds, dtype=np.float64), np.asarray(unsafe, dtype=bool)
    if truth.all() or not truth.any():
        raise ClassifierError(f"the {len(truth)} calibration rows are all of one kind; give safe and unsafe ones")
    if not np.isfinite(scores).all():
        raise ClassifierError("a score of the classifier is not finite; train it again")
    wanted = np.where(truth, (truth.sum() + 1) / (truth.sum() + 2), 1 / ((~truth).sum() + 2))
    middle, scale = scores.mean(), scores.std() or 1.0  # of the order of one, for the solver
    # A row with a target between 0 and 1 is an unsafe row and a safe one that share its weight.
    of_both = np.tile((scores - middle) / scale, 2)[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1_000)
    model.fit(of_both, np.repeat([True, False], len(scores)), sample_weight=np.concatenate([wanted, 1 - wanted]))
    slope = float(model.coef_[0, 0] / scale)
    if slope <= 0:
        raise ClassifierError(
            "the classifier scores unsafe validation rows no higher than safe ones; generate more or better rows"
        )
    return Platt(slope, float(model.intercept_[0] - slope * middle))
