"""How good is what a search finds in a given time, and what does it cost beside the fits alone?

The rules of the measurement:
- overhead: one grid of a pipeline, tried by `shoal.train.search` and by scikit-learn's
  `cross_validate` on the same folds, with as many workers, in turns; the figure is the ratio of
  their times in one round, and the scores must be the same.
- quality: the best mean score of cross-validation after a time budget.
- beside FLAML: both have the same two cores and the same time budget, learn from the same records
  of each outer fold, and are measured on the others, which neither has seen. FLAML has an
  environment of its own. A set counts as not worse if the interval of the difference (corrected
  resampled t, Nadeau and Bengio 2003, 95 %) reaches 0 or above, and as better if the mean does.
"""

from benchmarks.search._command import main

__all__ = ["main"]
