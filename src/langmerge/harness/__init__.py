"""lm-evaluation-harness: its tasks on our models, its results in our form."""
