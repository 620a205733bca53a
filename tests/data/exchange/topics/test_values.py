from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import StorageError
from robot_rl.data.exchange.topics.values import NumberField, pick, stamp_ns


def read(kind: str, message, path: str = "", names: tuple[str, ...] = ()):
    found = NumberField(kind=kind, path=path, names=names).read(message)
    return found and (found[0], found[1].tolist())


def vector3(ros, x, y, z):
    return ros.type("geometry_msgs/msg/Vector3", x=x, y=y, z=z)


def test_joints_are_taken_by_name_whatever_their_order_in_the_message(ros):
    message = ros.joints(0, [1.0, 2.0, 3.0], ("a", "b", "c"))
    assert read("JointState", message) == (("a", "b", "c"), [1, 2, 3])
    assert read("JointState", message, "velocity", ("c", "a")) == (("c", "a"), [30, 10])


def test_joint_states_of_another_publisher_are_passed_over(ros):
    assert read("JointState", ros.joints(0, [1.0], ("finger",)), names=("a", "b")) is None


def test_wrench_is_force_then_torque(ros):
    wrench = ros.type(
        "geometry_msgs/msg/Wrench", force=vector3(ros, 1, 2, 3), torque=vector3(ros, 4, 5, 6)
    )
    message = ros.type("geometry_msgs/msg/WrenchStamped", header=ros.header(0), wrench=wrench)
    names, values = read("WrenchStamped", message)
    assert values == [1, 2, 3, 4, 5, 6]
    assert names[0] == "force.x"
    assert read("WrenchStamped", message, "wrench.torque") == (("x", "y", "z"), [4, 5, 6])
    chosen = read("WrenchStamped", message, names=("torque.z", "force.x"))
    assert chosen == (("torque.z", "force.x"), [6, 1])


def test_pose_is_position_then_quaternion_xyzw(ros):
    pose = ros.type(
        "geometry_msgs/msg/Pose",
        position=ros.type("geometry_msgs/msg/Point", x=1.0, y=2.0, z=3.0),
        orientation=ros.type("geometry_msgs/msg/Quaternion", x=0.1, y=0.2, z=0.3, w=0.9),
    )
    message = ros.type("geometry_msgs/msg/PoseStamped", header=ros.header(0), pose=pose)
    assert read("PoseStamped", message)[1] == pytest.approx([1, 2, 3, 0.1, 0.2, 0.3, 0.9])


def test_elements_without_names_may_be_given_some_but_joints_may_not(ros):
    assert read("Float64MultiArray", ros.floats(7, 8), names=("x", "y")) == (("x", "y"), [7, 8])
    assert read("Bool", ros.flag(True)) == (("value",), [1])
    with pytest.raises(StorageError, match=r"\['x'\].*has 2: \['0', '1'\]"):
        read("Float64MultiArray", ros.floats(7, 8), names=("x",))


def test_lists_of_messages_are_reached_by_number():
    message = {"points": [{"positions": [1, 2]}, {"positions": [3, 4]}]}
    assert read("JointTrajectory", message, "points.1.positions") == (("0", "1"), [3, 4])


def test_unknown_field_is_named_with_the_nearest_one(ros):
    with pytest.raises(StorageError, match=r"'positions'.*did you mean 'position'"):
        pick(ros.joints(0, [1.0], ("a",)), "positions")
    with pytest.raises(StorageError, match="no field '5'"):
        pick({"points": [1]}, "points.5")


def test_words_are_no_numbers(ros):
    with pytest.raises(StorageError, match=r"holds str, expected numbers"):
        read("JointState", ros.joints(0, [1.0], ("a",)), "name")


def test_a_stamp_that_was_never_set_is_none(ros):
    assert stamp_ns(ros.joints(1500, [1.0], ("a",))) == ros.start_ns + 1_500_000_000
    assert stamp_ns(ros.joints(None, [1.0], ("a",))) is None
    assert stamp_ns(ros.floats(1.0)) is None
    assert stamp_ns({"timestamp": {"sec": 2, "nsec": 5}, "data": "x"}) == 2_000_000_005


def test_values_are_float32(ros):
    found = NumberField(kind="Float64MultiArray", path="", names=()).read(ros.floats(0.1))
    assert found is not None
    assert found[1].dtype == np.float32
