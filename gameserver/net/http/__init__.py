"""The public HTTP API: a table of routes, and one small function for each."""
