#!/usr/bin/env bash
# Builds the ROS 2 messages of ros2_ws/src/robot_rl_msgs into .venv/, where `import robot_rl_msgs`
# then just works. Takes a few minutes; nothing when nothing changed. Where ROS 2 is installed and
# sourced, `colcon build` in ros2_ws/ does the same into its own overlay.
#
# Usage: scripts/ros_messages.sh      after scripts/setup.sh ros (or dev)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
python=$root/.venv/bin/python
messages=ros2_ws/src/robot_rl_msgs
stamp=.venv/.ros-messages

say() { echo "ros: $*" >&2; }
stop() { say "$*"; exit 1; }

fingerprint() { find "$messages" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; }

if [[ -f $stamp && $(cat "$stamp") == "$(fingerprint)" ]]; then
    exit 0
fi

"$python" -c 'import colcon_core, rclpy' 2>/dev/null ||
    stop "the build tools are missing: run scripts/setup.sh ros first."
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[[ -f $include/Python.h ]] ||
    stop "$include/Python.h is missing: install Python's headers with" \
        "'apt-get install python3.12-dev', then run this again."
for tool in g++ make; do
    command -v "$tool" >/dev/null || stop "$tool is missing: 'apt-get install $tool' has it."
done

# The wheels were made on another machine and say where its Python and numpy were.
numpy=$("$python" -c 'import numpy; print(numpy.get_include())')
{ grep -rlZ /opt/python/ .venv/share/*/cmake/ || true; } | xargs -0r sed -i \
    -e "s#/opt/python/[^;\"]*/numpy/_core/include#$numpy#g" \
    -e "s#/opt/python/[^;\"]*/include/python3\.12#$include#g"

say "building $messages; this takes a few minutes"
log=.venv/ros-messages.log
export PATH="$root/.venv/bin:$PATH" AMENT_PREFIX_PATH=$root/.venv CMAKE_PREFIX_PATH=$root/.venv
"$python" -m colcon --log-base .venv/ros-messages/log build \
    --base-paths "$messages" --build-base .venv/ros-messages/build \
    --install-base .venv --merge-install \
    --cmake-args -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
    "-DPython3_EXECUTABLE=$python" >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; stop "the messages could not be built; all of it is in $log"; }
"$python" -c 'import robot_rl_msgs.msg, robot_rl_msgs.srv, robot_rl_msgs.action' ||
    stop "the messages were built but cannot be imported (see above)."
fingerprint >"$stamp"
say "robot_rl_msgs is ready"
