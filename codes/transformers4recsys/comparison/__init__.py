"""Runs side by side: what each found, what their differences are worth, as one page and as numbers."""
