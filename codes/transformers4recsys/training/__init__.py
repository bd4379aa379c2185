"""Train and evaluate day after day."""
