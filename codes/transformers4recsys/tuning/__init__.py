"""The search over settings: what may vary, a study that several processes work on, and what it found."""
