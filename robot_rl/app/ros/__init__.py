"""`robot-rl ros`: a cell's graph of ROS 2 nodes, planned here and started without `launch`.

What is started, with which parameters, is a plan: data, from one pure function. `robot-rl ros up`
and the launch files of `robot_rl_bringup` start the same one. Nothing here imports ROS.
"""
