"""How close Athanor comes to the limits of the machine it runs on: `make bench`."""
