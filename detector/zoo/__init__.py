"""Finding model files by name, and fetching them."""
