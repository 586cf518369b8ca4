"""From columns of mixed types to the matrix that an estimator takes; all of it can be exported."""
