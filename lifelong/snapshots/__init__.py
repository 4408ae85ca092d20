"""What is served: a function of the log, published by one rename, opened by every reader."""
