"""Signal measures: pure functions on arrays of samples and on the shared spectrogram. No files, no operators."""
