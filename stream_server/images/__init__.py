"""Images from anybody: admission, detection, files and answers."""
