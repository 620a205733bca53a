"""Published facts of the Franka Research 3 and the Franka Hand, and the primitives that draw them.

Numbers only: kinematics, limits and inertias come from the manufacturer's data sheet, from its
"Robot specifications" page (modified DH table, joint limits) and from its `franka_description`
(`fr3` joint limits and inertials, `franka_hand` inertials). The shapes are our own sketch in
boxes, capsules and cylinders. How they become a model is in `fr3.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_H = math.pi / 2

# Modified (Craig) DH rows of joints 1 to 7: a_{i-1} [m], d_i [m], alpha_{i-1} [rad].
DH: tuple[tuple[float, float, float], ...] = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -_H),
    (0.0, 0.316, _H),
    (0.0825, 0.0, _H),
    (-0.0825, 0.384, -_H),
    (0.0, 0.0, _H),
    (0.088, 0.0, _H),
)
# From frame 7 to the flange along z, from the flange to the hand's tcp along z [m], and the
# hand's turn about that z [rad].
FLANGE_M = 0.107
HAND_TCP_M = 0.1034
HAND_YAW_RAD = -math.pi / 4

JOINT_LOWER = (-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159)  # rad
JOINT_UPPER = (2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159)  # rad
JOINT_VELOCITY = (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26)  # rad/s
JOINT_ACCELERATION = (10.0,) * 7  # rad/s^2
JOINT_TORQUE = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)  # N m

# The manufacturer's ready pose: tool straight down, x forward [rad].
HOME_Q = (0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, _H, math.pi / 4)

FINGER_TRAVEL_M = 0.04
FINGER_ROOT_M = 0.0584


@dataclass(frozen=True, slots=True)
class Inertial:
    """Mass [kg], centre of mass [m] and inertia about it (xx yy zz xy xz yz) [kg m^2]."""

    mass: float
    com: tuple[float, float, float]
    inertia: tuple[float, float, float, float, float, float]


# fmt: off
LINKS: tuple[Inertial, ...] = (
    Inertial(2.3966, (-0.0172, 0.0004, 0.0745), (0.0090, 0.0115, 0.0085, 0.0, 0.0020, 0.0)),
    Inertial(2.9274653454, (4.128e-07, -0.0181251324, -0.038603597),
             (0.0239273165, 0.0224821613, 0.0063500983,
              1.33179e-05, -1.140477e-04, -0.0019950321)),
    Inertial(2.9355370338, (0.0031828864, -0.0743221644, 0.0088146084),
             (0.0419389463, 0.0251451489, 0.0617021447,
              2.025733e-04, 0.0040777842, -0.0042252158)),
    Inertial(2.2449013699, (0.0407015686, -0.0048200565, -0.0289730823),
             (0.0241014255, 0.0197405327, 0.0190444945,
              0.0024046946, -0.0028562693, -0.0021042127)),
    Inertial(2.6155955791, (-0.0459100965, 0.063049296, -0.0085187868),
             (0.0345299832, 0.0288816219, 0.0412547117,
              0.0132255227, 0.0101514300, -9.762834e-04)),
    Inertial(2.3271207594, (-0.0016039605, 0.0292536262, -0.097296599),
             (0.0516102785, 0.0478772971, 0.0164236256,
              -0.0057151734, -0.0035673168, 0.0106739851)),
    Inertial(1.8170376524, (0.0597131221, -0.0410294666, -0.0101692726),
             (0.0054123336, 0.0140583295, 0.0160808179,
              0.0061934564, 0.0014219289, -0.0013140754)),
    Inertial(0.6271432862, (0.0045225817, 0.0086261921, -0.0161633251),
             (2.109239e-04, 1.771857e-04, 5.993191e-05, -2.43330e-05, 4.56448e-05, 8.74407e-05)),
)
# The data sheet states 0.73 kg for the whole hand: the fingers' share is taken off the body's.
FINGER = Inertial(0.0291, (0.0, 0.015285, 0.0219675),
                  (8.49e-06, 8.53e-06, 1.77e-06, 0.0, 0.0, -1.06e-06))
HAND = Inertial(0.73 - 2 * FINGER.mass, (-3.76e-05, 0.0119128, 0.020726),
                (0.00186, 0.00030, 0.00174, 0.0, 0.0, -2e-05))

WHITE = (0.93, 0.94, 0.95, 1.0)
GREY = (0.42, 0.44, 0.47, 1.0)
DARK = (0.13, 0.14, 0.16, 1.0)
Rgba = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Rod:
    """A capsule (`round_ends`) or cylinder between two points of a link's frame [m]."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    rgba: Rgba = WHITE
    round_ends: bool = True
    collides: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A box in a link's frame: centre and half sizes [m]."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    rgba: Rgba = WHITE
    collides: bool = False


Shape = Rod | Box

LINK_SHAPES: tuple[tuple[Shape, ...], ...] = (
    (Box((-0.06, 0.0, 0.035), (0.075, 0.06, 0.035)),
     Rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.137), 0.068, round_ends=False)),
    (Rod((0.0, 0.0, -0.196), (0.0, 0.0, -0.188), 0.066, GREY, round_ends=False),
     Rod((0.0, 0.0, -0.15), (0.0, 0.0, -0.01), 0.06)),
    (Rod((0.0, 0.0, -0.075), (0.0, 0.0, 0.075), 0.062, round_ends=False),
     Rod((0.0, 0.0, 0.075), (0.0, 0.0, 0.079), 0.05, GREY, round_ends=False),
     Rod((0.0, 0.0, -0.079), (0.0, 0.0, -0.075), 0.05, GREY, round_ends=False),
     Rod((0.0, 0.0, 0.0), (0.0, -0.15, 0.0), 0.056)),
    (Rod((0.0, 0.0, -0.122), (0.0, 0.0, -0.114), 0.061, GREY, round_ends=False),
     Rod((0.0, 0.0, -0.09), (0.0, 0.0, -0.03), 0.056),
     Rod((0.02, 0.0, -0.02), (0.0825, 0.0, 0.0), 0.05)),
    (Rod((0.0, 0.0, -0.072), (0.0, 0.0, 0.072), 0.056, round_ends=False),
     Rod((0.0, 0.0, 0.072), (0.0, 0.0, 0.076), 0.046, GREY, round_ends=False),
     Rod((0.0, 0.0, -0.076), (0.0, 0.0, -0.072), 0.046, GREY, round_ends=False),
     Rod((-0.02, 0.03, 0.0), (-0.0825, 0.09, 0.0), 0.05)),
    (Rod((0.0, 0.0, -0.252), (0.0, 0.0, -0.245), 0.057, GREY, round_ends=False),
     Rod((0.0, 0.0, -0.23), (0.0, 0.055, -0.1), 0.052),
     Rod((0.0, 0.06, -0.1), (0.0, 0.06, 0.0), 0.042, collides=True)),
    (Rod((0.0, 0.0, -0.062), (0.0, 0.0, 0.072), 0.048, round_ends=False),
     Rod((0.0, 0.0, -0.066), (0.0, 0.0, -0.062), 0.04, GREY, round_ends=False),
     Rod((0.0, 0.0, 0.01), (0.088, 0.0, 0.01), 0.045),
     Rod((0.088, 0.055, 0.0), (0.088, -0.03, 0.0), 0.051, round_ends=False)),
    (Rod((0.0, 0.0, 0.03), (0.0, 0.0, 0.036), 0.051, GREY, round_ends=False),
     Rod((0.0, 0.0, 0.036), (0.0, 0.0, 0.09), 0.045, round_ends=False),
     Rod((0.0, 0.0, 0.09), (0.0, 0.0, FLANGE_M), 0.034, GREY, round_ends=False)),
)
HAND_SHAPES: tuple[Shape, ...] = (
    Box((0.0, 0.0, 0.036), (0.031, 0.102, 0.03), WHITE, collides=True),
    Box((0.0, 0.0, 0.008), (0.03, 0.05, 0.008), GREY),
)
# In a finger's frame: the finger pads meet at y = 0, the slide axis is +y, the tip is +z.
FINGER_SHAPES: tuple[Shape, ...] = (
    Box((0.0, 0.0095, 0.0265), (0.0105, 0.0095, 0.0265), DARK, collides=True),
)
# fmt: on
