"""A conformance suite for losses of logits, to be run on one's own: properties, each with a check.

    from tutelage.testing import LIKE_KD, assert_loss

    def test_my_loss():
        assert_loss(my_loss, LIKE_KD)

The command is `tutelage doctor losses module:function`.
"""

from tutelage.testing.conformance import (
    ALL,
    ANY_LOSS,
    LIKE_KD,
    PROPERTIES,
    Verdict,
    assert_loss,
    check_loss,
)
from tutelage.testing.own import OWN_LOSSES, Declaration
from tutelage.testing.subject import Batch, Property, Subject

__all__ = [
    "ALL",
    "ANY_LOSS",
    "LIKE_KD",
    "OWN_LOSSES",
    "PROPERTIES",
    "Batch",
    "Declaration",
    "Property",
    "Subject",
    "Verdict",
    "assert_loss",
    "check_loss",
]
