"""What a person holds in the hand to drive the arm."""
