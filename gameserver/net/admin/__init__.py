"""The admin API: for operators, on a port and with a token of its own."""
