"""Real cameras on this machine, scripted to misbehave."""
