"""What a student is trained on, one small file a method. Each works alone, in anybody's loop."""

from tutelage.losses.at import at
from tutelage.losses.catalog import LOSSES, LogitLoss, logit_loss
from tutelage.losses.crd import CRD
from tutelage.losses.dist import dist
from tutelage.losses.dkd import dkd
from tutelage.losses.fitnets import FitNets
from tutelage.losses.kd import kd
from tutelage.losses.mse import annealing, mse
from tutelage.losses.rkd import rkd
from tutelage.losses.sp import sp
from tutelage.losses.standardise import standardise

__all__ = [
    "CRD",
    "LOSSES",
    "FitNets",
    "LogitLoss",
    "annealing",
    "at",
    "dist",
    "dkd",
    "kd",
    "logit_loss",
    "mse",
    "rkd",
    "sp",
    "standardise",
]
