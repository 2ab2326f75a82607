"""A database that has grown: filled directly, with the rows that finished runs leave."""
