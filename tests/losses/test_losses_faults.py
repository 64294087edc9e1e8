"""Faults of public distillation code, in the losses that `kd` was followed by.

Each test has a sentence that holds for the right loss, and the faulty version on which the same
sentence fails. Those of `kd` itself are in test_kd_faults.py.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tutelage.losses import annealing, dist, dkd, kd, mse, standardise

torch.set_num_threads(1)


def problem(images=20, classes=6, seed=0):
    """Logits of a student and of a surer teacher, float64, and labels."""
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, images, classes, generator=generator, dtype=torch.float64)
    return both[0], both[1] * 4, torch.randint(0, classes, (images,), generator=generator)


def fails_for(faulty, sentence):
    """The same sentence, said of a faulty loss, is not true."""
    with pytest.raises(AssertionError):
        sentence(faulty)


def close(found, expected, rel=1e-9):
    assert found.item() == pytest.approx(float(expected), rel=rel)


def kl_div(student, teacher, reduction="batchmean", teacher_is_log=False):
    """PyTorch's KL in the way that it is usually called, with room for its usual misuses."""
    target = F.log_softmax(teacher, -1) if teacher_is_log else F.softmax(teacher, -1)
    return F.kl_div(F.log_softmax(student, -1), target, reduction=reduction)


def parts(logits, labels, tau):
    """What DKD compares: logits of (label, all others), and of the others alone."""
    z = logits / tau
    own = torch.zeros_like(z, dtype=torch.bool).scatter_(1, labels[:, None], True)
    rest = z[~own].view(len(z), -1)
    return torch.stack((z[own], rest.logsumexp(1)), 1), rest


def dkd_by(divergence):
    """DKD with another KL."""

    def faulty(student, teacher, labels, tau=4.0, target_weight=1.0, non_target_weight=8.0):
        (s_binary, s_rest), (t_binary, t_rest) = (parts(z, labels, tau) for z in (student, teacher))
        target = target_weight * divergence(s_binary, t_binary)
        return tau**2 * (target + non_target_weight * divergence(s_rest, t_rest))

    return faulty


def standardised_by(divergence, tau=2.0):
    """Standardised KD with another KL."""
    return lambda s, t: tau**2 * divergence(standardise(s) / tau, standardise(t) / tau)


def standardised_kd(student, teacher):
    return kd(standardise(student), standardise(teacher), 2.0)


def test_the_faulty_ones_are_faulty_in_nothing_else():
    """With PyTorch's KL as it is meant, they are the losses themselves."""
    student, teacher, labels = problem()
    close(dkd_by(kl_div)(student, teacher, labels), dkd(student, teacher, labels))
    close(standardised_by(kl_div)(student, teacher), standardised_kd(student, teacher))


# KL with reduction "mean"


def mean_kl(student, teacher):
    return kl_div(student, teacher, reduction="mean")


@pytest.mark.filterwarnings("ignore:reduction")
def test_dkd_with_kl_divided_by_the_class_count():
    student, teacher, labels = problem()

    def sentence(loss):
        """A class that neither thinks possible changes nothing."""
        more = [F.pad(z, (0, 1), value=-1e3) for z in (student, teacher)]
        close(loss(*more, labels), loss(student, teacher, labels))

    sentence(dkd)
    fails_for(dkd_by(mean_kl), sentence)


@pytest.mark.filterwarnings("ignore:reduction")
def test_standardised_kd_with_kl_divided_by_the_class_count():
    def sentence(loss):
        """At any class count it is p log(p / q), summed over the classes."""
        for classes in (2, 10, 50):
            student, teacher, _ = problem(4, classes)
            s, t = standardise(student) / 2, standardise(teacher) / 2
            log_p, log_q = t.log_softmax(1), s.log_softmax(1)
            close(loss(student, teacher), 2**2 * (log_p.exp() * (log_p - log_q)).sum() / 4)

    sentence(standardised_kd)
    fails_for(standardised_by(mean_kl), sentence)


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_mse_and_annealing_divided_by_the_class_count(factor):
    student, teacher, _ = problem()

    def sentence(loss):
        """A class on which the student says what is wanted changes nothing."""
        more = F.pad(student, (0, 1), value=factor * 3.0), F.pad(teacher, (0, 1), value=3.0)
        close(loss(*more), loss(student, teacher))

    sentence(mse if factor == 1 else lambda s, t: annealing(s, t, factor))
    fails_for(lambda s, t: F.mse_loss(s, factor * t), sentence)


@pytest.mark.parametrize("name", ["mse", "dist", "dkd", "standardised kd"])
def test_a_loss_summed_over_the_batch(name):
    student, teacher, labels = problem()
    right = {
        "mse": lambda s, t, y: mse(s, t),
        "dist": lambda s, t, y: dist(s, t),
        "dkd": dkd,
        "standardised kd": lambda s, t, y: standardised_kd(s, t),
    }[name]

    def sentence(loss):
        """A batch of the same images twice has the same loss."""
        twice = (torch.cat([z, z]) for z in (student, teacher, labels))
        close(loss(*twice), loss(student, teacher, labels))

    sentence(right)
    fails_for(lambda s, t, y: len(s) * right(s, t, y), sentence)


# tau^2 dropped


@pytest.mark.parametrize("name", ["dkd", "standardised kd"])
def test_tau_squared_dropped_from_a_kl(name):
    student, teacher, labels = problem()

    def right(z, tau):
        if name == "dkd":
            return dkd(z, teacher, labels, tau)
        return kd(standardise(z), standardise(teacher), tau)

    def sentence(loss):
        """The gradient keeps its size as the temperature goes from 10 to 40."""
        sizes = []
        for tau in (10.0, 40.0):
            z = student.clone().requires_grad_()
            loss(z, tau).backward()
            sizes.append(z.grad.norm().item())
        assert sizes[1] == pytest.approx(sizes[0], rel=0.3)

    sentence(right)
    fails_for(lambda z, tau: right(z, tau) / tau**2, sentence)


def test_tau_squared_dropped_from_dist():
    student, teacher, _ = problem()

    def correlations(s, t):
        rows = zip(s, t, strict=True)
        return torch.stack([torch.corrcoef(torch.stack(both))[0, 1] for both in rows]).mean()

    # At high temperature p is (1 + z / tau) / C, with z centred: Pearson's r of it is that of z.
    s, t = (z - z.mean(1, keepdim=True) for z in (student, teacher))
    limit = (1 - correlations(s, t)) + (1 - correlations(s.T, t.T))

    def sentence(loss):
        """It grows as tau^2, with correlations of logits as the factor."""
        for tau in (1e3, 1e4):
            close(loss(student, teacher, tau), tau**2 * limit, rel=0.02)

    sentence(dist)
    fails_for(lambda s, t, tau: dist(s, t, tau) / tau**2, sentence)


@pytest.mark.parametrize("weight", ["target_weight", "non_target_weight"])
def test_tau_squared_dropped_from_dkd_where_a_weight_is_zero(weight):
    student, teacher, labels = problem()

    def faulty(s, t, y, **weights):
        return dkd(s, t, y, **weights) / (1 if all(weights.values()) else 4.0**2)

    def sentence(loss):
        """A weight that goes to zero takes its part with it, and nothing else."""
        at, near = (loss(student, teacher, labels, **{weight: w}) for w in (0.0, 1e-9))
        close(near, at, rel=1e-6)

    sentence(dkd)
    fails_for(faulty, sentence)


@pytest.mark.parametrize("weight", ["inter_weight", "intra_weight"])
def test_tau_squared_dropped_from_dist_where_a_weight_is_zero(weight):
    student, teacher, _ = problem()

    def faulty(s, t, **weights):
        return dist(s, t, **weights) / (1 if all(weights.values()) else 4.0**2)

    def sentence(loss):
        """A weight that goes to zero takes its part with it, and nothing else."""
        at, near = (loss(student, teacher, **{weight: w}) for w in (0.0, 1e-9))
        close(near, at, rel=1e-6)

    sentence(dist)
    fails_for(faulty, sentence)


# Softmax twice


@pytest.mark.parametrize("who", ["student", "teacher", "both"])
@pytest.mark.parametrize("name", ["mse", "annealing", "dkd"])
def test_softmax_twice(name, who):
    student, teacher, labels = problem()
    right = {
        "mse": mse,
        "annealing": lambda s, t: annealing(s, t, 0.5),
        "dkd": lambda s, t: dkd(s, t, labels),
    }[name]
    wanted = teacher * (0.5 if name == "annealing" else 1)

    def sentence(loss):
        """It is 0 where the student says what is wanted; and two networks that are sure of
        different classes differ by more the surer they are."""
        assert abs(loss(wanted, teacher)) < 1e-12
        surer = [loss(scale * student, -scale * student) for scale in (10.0, 100.0)]
        assert surer[1] > 5 * surer[0]

    def faulty(s, t):
        return right(
            s.softmax(1) if who != "teacher" else s, t.softmax(1) if who != "student" else t
        )

    sentence(right)
    fails_for(faulty, sentence)


@pytest.mark.parametrize("who", ["student", "teacher", "both"])
def test_softmax_twice_in_standardised_kd(who):
    student, teacher, _ = problem()

    def sentence(loss):
        """Neither the scale nor the shift of logits is seen, of the student nor of the teacher."""
        close(loss(3 * student + 1, teacher), loss(student, teacher), rel=1e-5)
        close(loss(student, 3 * teacher + 1), loss(student, teacher), rel=1e-5)

    def faulty(s, t):
        return standardised_kd(
            s.softmax(1) if who != "teacher" else s, t.softmax(1) if who != "student" else t
        )

    sentence(standardised_kd)
    fails_for(faulty, sentence)


def spread(logits, share, tau=4.0):
    """Logits of which the softmax at tau is nearer to 1 / C by a share: Pearson's r is as before"""
    p = (logits / tau).softmax(1)
    return tau * (p + share * (1 / p.shape[1] - p)).log()


def inter(student, teacher):
    return dist(student, teacher, 4.0, 1.0, 0.0)


@pytest.mark.parametrize("who", ["student", "teacher", "both"])
def test_softmax_twice_in_dist(who):
    student, teacher, _ = problem()

    def sentence(loss):
        """An image's probabilities, shrunk towards 1 / C on either side, are as correlated."""
        close(loss(spread(student, 0.8), teacher), loss(student, teacher))
        close(loss(student, spread(teacher, 0.8)), loss(student, teacher))

    def faulty(s, t):
        return inter(
            s.softmax(1) if who != "teacher" else s, t.softmax(1) if who != "student" else t
        )

    sentence(inter)
    fails_for(faulty, sentence)


# Log-probabilities as probabilities


def test_dist_of_log_probabilities():
    student, teacher, _ = problem()

    def faulty(s, t, tau=4.0):
        """Pearson's r of log-softmax."""
        s, t = ((z / tau).log_softmax(1) for z in (s, t))
        s, t = (z - z.mean(1, keepdim=True) for z in (s, t))
        return tau**2 * (1 - F.cosine_similarity(s, t).mean())

    def sentence(loss):
        """An image's probabilities, shrunk towards 1 / C, are as correlated."""
        close(loss(spread(student, 0.8), teacher), loss(student, teacher))

    sentence(inter)
    fails_for(faulty, sentence)


def log_as_probability(student, teacher):
    return kl_div(student, teacher, teacher_is_log=True)


def test_dkd_of_log_probabilities_as_probabilities():
    student, teacher, labels = problem()

    def sentence(loss):
        """A number above 0, and 0 where both agree."""
        assert loss(student, teacher, labels) > 0
        assert abs(loss(teacher, teacher, labels)) < 1e-12

    sentence(dkd)
    fails_for(dkd_by(log_as_probability), sentence)


def test_standardised_kd_of_log_probabilities_as_probabilities():
    student, teacher, _ = problem()

    def sentence(loss):
        """A number above 0, and 0 where both agree."""
        assert loss(student, teacher) > 0
        assert abs(loss(teacher, teacher)) < 1e-12

    sentence(standardised_kd)
    fails_for(standardised_by(log_as_probability), sentence)


def test_mse_of_log_probabilities_instead_of_logits():
    _, teacher, _ = problem()

    def sentence(loss):
        """A shift of all logits, which no probability shows, is a distance of C times its square"""
        close(loss(teacher + 2, teacher), 4 * 6)
        close(loss(teacher - 0.5, teacher), 0.25 * 6)

    sentence(mse)
    fails_for(lambda s, t: mse(s.log_softmax(1), t.log_softmax(1)), sentence)


# The wrong way round


@pytest.mark.parametrize("name", ["dkd", "standardised kd", "annealing"])
def test_student_and_teacher_exchanged(name):
    student, teacher, labels = problem()
    right = {
        "dkd": lambda s, t: dkd(s, t, labels),
        "standardised kd": standardised_kd,
        "annealing": lambda s, t: annealing(s, t, 0.25),
    }[name]

    def sentence(loss):
        """The first argument learns, the second does not."""
        s, t = (z.clone().requires_grad_() for z in (student, teacher))
        loss(s, t).backward()
        assert s.grad is not None
        assert t.grad is None

    sentence(right)
    fails_for(lambda s, t: right(t, s), sentence)
    assert right(student, teacher) != pytest.approx(right(teacher, student).item(), rel=0.02)
