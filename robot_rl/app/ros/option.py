"""What the verbs that make a plan have in common: their options, as the launch files have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from robot_rl.app.ros.argument import Arguments, load_graph
from robot_rl.app.ros.plan import plan
from robot_rl.app.ros.process import Plan
from robot_rl.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """Which graph, and how."""

    graph: Annotated[tuple[str, ...], tyro.conf.Positional]
    """A graph's YAML file, then overrides `key=value`."""

    group: str = "hil"
    """sensors, robot, policy, teleop, record, or a whole: hil, eval, collect, sim."""

    ns: str = ""
    """Namespace instead of the graph's own."""

    train: str = ""
    """For hil: YAML of a run that acts, learns and records in the graph, in place of policy and
    recorder; or the folder of one to go on with."""

    person: str = ""
    """With --train: name of whoever sits at the run's correction session, at its page, in place of
    the graph's device."""

    record: bool = False
    """Record, also where the group would not."""

    no_record: bool = False
    """Do not record, also where the group would."""

    use_sim_time: bool = False
    """The nodes' time is that of /clock."""

    no_autostart: bool = False
    """Leave configuring and activating to somebody else."""

    log_level: str = "info"
    """debug, info, warn, error or fatal."""

    dds_profile: str = "shm"
    """shm (shared memory of 16 MB), none, or the path of an XML file."""

    discovery: str = "localhost"
    """localhost, or subnet for graphs on several machines."""

    def plan(self) -> Plan:
        """Return what is to run.

        Raises:
            ConfigError: for what is wrong in file, overrides or options.
        """
        if not self.graph:
            raise ConfigError("name a graph's YAML file, e.g. configs/ros/sim_fr3.yaml")
        if self.record and self.no_record:
            raise ConfigError("--record and --no-record: say one of them")
        file, *overrides = self.graph
        if not file.endswith(".yaml"):
            raise ConfigError(f"got {file!r}, expected a graph's .yaml file in front of overrides")
        arguments = Arguments(
            robot=file,
            ns=self.ns,
            train=self.train,
            person=self.person,
            use_sim_time=self.use_sim_time,
            autostart=not self.no_autostart,
            record="true" if self.record else "false" if self.no_record else "auto",
            log_level=self.log_level,
            dds_profile=self.dds_profile,
            discovery=self.discovery,
        )
        return plan(load_graph(arguments, tuple(overrides)), self.group, arguments)
