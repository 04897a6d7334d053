"""The experiment that this package grew out of, run again and measured."""
