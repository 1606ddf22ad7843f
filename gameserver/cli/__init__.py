"""One small module per command: `run(settings, options)` returns the exit code."""
