"""What a student is trained on, one small file a method. Each works alone, in anybody's loop."""

from tutelage.losses.at import at
from tutelage.losses.catalog import LOSSES, LogitLoss, logit_loss
from tutelage.losses.dist import dist
from tutelage.losses.dkd import dkd
from tutelage.losses.kd import kd
from tutelage.losses.mse import annealing, mse
from tutelage.losses.standardise import standardise

__all__ = [
    "LOSSES",
    "LogitLoss",
    "annealing",
    "at",
    "dist",
    "dkd",
    "kd",
    "logit_loss",
    "mse",
    "standardise",
]
