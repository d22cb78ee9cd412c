"""Pure, unweighted losses."""
