"""Measure loading, training and evaluation on made-up sessions."""
