"""Trainings looked at: their list, verdicts, differences, ablation studies, histories of other programs."""
