"""Variants, viewers, framing, and the loop that sends to all."""
