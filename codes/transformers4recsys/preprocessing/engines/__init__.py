"""The databases that do the work of preprocessing."""
