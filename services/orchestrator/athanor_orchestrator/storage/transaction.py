"""What a command or a query is given to work with."""

import sqlalchemy


class Transaction:
    """One command's or query's view of the database; valid only while it runs."""

    connection: sqlalchemy.Connection

    @property
    def now_us(self) -> int:
        """The database's clock: read once for each transaction. On SQLite it is the machine's."""
        raise NotImplementedError

    def wake(self, topic: str) -> None:
        """Have those who wait for `topic` woken after the commit, once; nothing when the command fails."""
        raise NotImplementedError
