"""Raw events to day files, a step a file."""
