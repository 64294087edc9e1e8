"""What a student is trained on, one small file a method. Each works alone, in anybody's loop."""

from tutelage.losses.kd import kd, kd_by_image

__all__ = ["kd", "kd_by_image"]
