"""A minimal client of the game's HTTP and WebSocket APIs: for the load test, `gameserver play` and the tests."""
