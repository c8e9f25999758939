"""State from events: what a projection is, some that are ready-made, and replays that know every past state."""
