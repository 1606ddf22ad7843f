"""A game server for real-time group battles: supervised Trio actors, durable in PostgreSQL."""
