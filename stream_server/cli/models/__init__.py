"""What `stream-server models` does: lists, describes, fetches and measures detection models."""
