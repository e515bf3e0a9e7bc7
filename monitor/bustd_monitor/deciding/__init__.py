"""From readings to the decision that somebody must die: pure, so that a recorded trace can be replayed."""
