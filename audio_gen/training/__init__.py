"""The engine and the tasks that it trains."""
