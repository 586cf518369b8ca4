"""Windows over event time: which are open, what they hold, and when they close."""
