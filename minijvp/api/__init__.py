"""What users call: functions of pytrees, checked, around the interpreters of `minijvp.transforms`."""
