"""What a student is trained on, one small file a method. Each works alone, in anybody's loop."""

from tutelage.losses.kd import kd

__all__ = ["kd"]
