"""Learning-rate schedules of fits and of trainings."""

from lossatlas.schedules.schedule import SCHEDULES, Schedule, find_schedule_options

__all__ = ["SCHEDULES", "Schedule", "find_schedule_options"]
