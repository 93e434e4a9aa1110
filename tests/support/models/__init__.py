"""Makes model files of every kind, small ones with known answers and the default model in other forms."""
