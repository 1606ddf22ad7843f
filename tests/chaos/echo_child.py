"""A child for tests: it answers each line with that line, and fails at the word `fail`."""

import sys

for line in sys.stdin:
    if line == "fail\n":
        raise SystemExit("it has failed")
    sys.stdout.write(line)
    sys.stdout.flush()
