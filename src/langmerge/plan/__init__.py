"""What would run and why, decided without torch: the job graph, its keys and its decisions."""

from langmerge.plan.decisions import Decision, Planner, plan
from langmerge.plan.graph import Job, job_graph

__all__ = ["Decision", "Job", "Planner", "job_graph", "plan"]
