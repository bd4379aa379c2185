"""A file a subcommand: settings in, objects built, run."""
