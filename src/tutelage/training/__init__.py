"""The one epoch loop, and how its states are kept. It knows a teacher only as a signal."""
