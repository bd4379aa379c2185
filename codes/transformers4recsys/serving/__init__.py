"""A run folder behind HTTP: requests, batches, answers, and models that are taken over while it runs."""
