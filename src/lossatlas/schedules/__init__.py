"""Learning-rate schedules, of fits and of trainings."""

from lossatlas.schedules.schedule import SCHEDULES, Schedule, schedule_options

__all__ = ["SCHEDULES", "Schedule", "schedule_options"]
