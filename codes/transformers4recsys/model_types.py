"""Values of `model_type` that name a baseline: help pages list them beside the encoders, which know nothing of them."""

BASELINE_NAMES = ("popular", "recent", "rules", "itemknn", "vsknn", "stan", "vstan")
