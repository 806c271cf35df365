"""Says what a card number is: keeps it masked, judges it, and finds it where none may be."""
