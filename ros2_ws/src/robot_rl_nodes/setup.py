"""The ROS package; all else about robot_rl stands in the repository's pyproject.toml."""

from glob import glob

from setuptools import find_packages, setup

NAME = "robot_rl_nodes"

setup(
    name=NAME,
    version="0.1.0",
    description="The nodes that let a policy and a person drive a robot behind a safety gate.",
    maintainer="robot_rl",
    maintainer_email="robot-rl@example.com",
    license="Apache-2.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        # Scripts with the shebang of the active environment, where `ros2 run` looks for them.
        (f"lib/{NAME}", sorted(glob("scripts/*"))),
    ],
    install_requires=["setuptools", "robot_rl"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
)
