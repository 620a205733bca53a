"""The ROS package; all else about robot_rl stands in the repository's pyproject.toml."""

from glob import glob

from setuptools import find_packages, setup

NAME = "robot_rl_bringup"

setup(
    name=NAME,
    version="0.1.0",
    description="Launch files, DDS profile and views for robot_rl's graph.",
    maintainer="robot_rl",
    maintainer_email="robot-rl@example.com",
    license="Apache-2.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config/dds", sorted(glob("config/dds/*.xml"))),
        (f"share/{NAME}/foxglove", sorted(glob("foxglove/*.json"))),
        (f"share/{NAME}/rviz", sorted(glob("rviz/*.rviz"))),
    ],
    install_requires=["setuptools", "robot_rl"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
)
