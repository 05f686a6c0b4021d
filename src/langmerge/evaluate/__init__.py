"""Model in, predictions out: log-likelihoods of candidates, generated text."""
