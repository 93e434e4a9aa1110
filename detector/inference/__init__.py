"""One image into one loaded model: preprocessing, network, suppression."""
