"""Model in, predictions out; metrics of predictions, and statistics of metrics."""
