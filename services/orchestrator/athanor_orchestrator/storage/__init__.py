"""Persistence: the only folder that imports sqlalchemy.

`database` opens it and hands out transactions; each other module holds the verbs of one subject, plain functions whose
first argument is the transaction. SQLite and PostgreSQL share one schema and one set of verbs; `sqlite` and
`postgresql` state only what differs. Verbs change rows and wake nobody: the engine says whom a change concerns
(`Transaction.wake`). What watches of many tell of is noted by the verbs themselves, in `changes`.
"""
