"""liger-kernel has no types of its own, and is an extra: the parts that this package uses."""
