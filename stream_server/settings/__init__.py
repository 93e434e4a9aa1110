"""Changes of the configuration while the server runs: by the API, and by hand in its file."""
