"""Videos that are annotated in the background: kept, queued, worked on, and ready to be fetched."""
