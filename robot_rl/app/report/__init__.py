"""The HTML report of a run: one file, no links to anything outside it."""

from robot_rl.app.report.model import ComparedStart, PolicyTrials, ReportEvaluation
from robot_rl.app.report.page import write_report

__all__ = ["ComparedStart", "PolicyTrials", "ReportEvaluation", "write_report"]
