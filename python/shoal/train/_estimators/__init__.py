"""The estimators that are compared, and what each needs to be exported truly."""
