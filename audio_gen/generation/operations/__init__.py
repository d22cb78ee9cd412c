"""What a trained model does, one function each, for the command line, a page and Python alike."""
