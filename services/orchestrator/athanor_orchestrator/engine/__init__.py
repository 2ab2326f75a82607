"""What moves: sessions, dispatch, intake, subscriptions. Transaction scripts over storage; no gRPC in here."""
