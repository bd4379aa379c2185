"""Train and evaluate sequence models for next-item recommendation, day after day."""
