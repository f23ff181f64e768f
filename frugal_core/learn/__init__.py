"""Learning from the user's own traffic."""
