"""JSON that leaves the product, whichever way it goes."""
