"""What travels over a WebSocket, without any I/O: envelopes, events, sessions, frames and close codes."""
