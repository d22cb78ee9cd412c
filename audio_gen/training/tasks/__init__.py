"""One task per model, and runs of them."""
