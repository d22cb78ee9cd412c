"""The operations of a trained model, for the command line, the web page and Python."""
