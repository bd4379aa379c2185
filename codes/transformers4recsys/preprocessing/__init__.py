"""From raw logs, real or made up, to day files of sessions."""
