"""What holds whatever the database, the network and the clock do: records, rules and errors. Standard library only."""
