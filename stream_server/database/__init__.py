"""One database for accounts, videos and events: connection, base of the tables, one chain of migrations."""
