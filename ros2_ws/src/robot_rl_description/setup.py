"""The ROS package; all else about robot_rl stands in the repository's pyproject.toml."""

from glob import glob

from setuptools import find_packages, setup

NAME = "robot_rl_description"

setup(
    name=NAME,
    version="0.1.0",
    description="The arm of robot_rl's cell, its frames and where its cameras look.",
    maintainer="robot_rl",
    maintainer_email="robot-rl@example.com",
    license="Apache-2.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/urdf", sorted(glob("urdf/*.urdf"))),
    ],
    install_requires=["setuptools", "robot_rl"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
)
